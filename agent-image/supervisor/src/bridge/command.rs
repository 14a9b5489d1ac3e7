//! What a person does with bridges.

use std::process::ExitCode;

use clap::Subcommand;

use crate::agent::Place;

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Bridge {
    /// Every bridge, its version and its last probe
    List {},
}

impl Bridge {
    /// Runs it.
    pub fn run(&self, _place: &Place) -> ExitCode {
        ExitCode::FAILURE
    }
}
