//! Everything that is put in place before the client starts.

pub mod environment;
pub mod login;
pub mod trust;

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
