//! What the client calls at its own events.

use std::process::ExitCode;

use clap::Subcommand;

use crate::agent::Place;

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Hook {
    /// Wake the client when its open pull requests have new comments
    PrComments {},
}

impl Hook {
    /// Runs it.
    pub fn run(&self, _place: &Place) -> ExitCode {
        ExitCode::FAILURE
    }
}
