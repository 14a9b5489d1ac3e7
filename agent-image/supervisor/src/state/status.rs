//! How it all is, for people and programs.

use std::process::ExitCode;

use clap::Args;

use crate::agent::Place;

/// The command.
#[derive(Args, Debug)]
pub struct Status {}

impl Status {
    /// Runs it.
    pub fn run(&self, _place: &Place) -> ExitCode {
        ExitCode::FAILURE
    }
}
