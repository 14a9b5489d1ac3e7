//! Another terminal shows the client's.

use std::process::ExitCode;

use clap::Args;

use crate::agent::Place;

/// The command.
#[derive(Args, Debug)]
pub struct Attach {}

impl Attach {
    /// Runs it.
    pub fn run(&self, _place: &Place) -> ExitCode {
        ExitCode::FAILURE
    }
}
