//! Events published to the others, and kept while nobody takes them.

use std::process::ExitCode;

use clap::Subcommand;

use crate::agent::Place;

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Event {
    /// Publish one event
    Publish {},
}

impl Event {
    /// Runs it.
    pub fn run(&self, _place: &Place) -> ExitCode {
        ExitCode::FAILURE
    }
}
