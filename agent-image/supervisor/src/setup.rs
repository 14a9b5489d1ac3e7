//! Everything that is put in place before the client starts.

use std::process::ExitCode;

use clap::Args;

use crate::agent::Place;

/// The command.
#[derive(Args, Debug)]
pub struct Setup {}

impl Setup {
    /// Runs it.
    pub fn run(&self, _place: &Place) -> ExitCode {
        ExitCode::FAILURE
    }
}
