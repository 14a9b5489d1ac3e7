//! What the client calls at its own events. Nothing here holds it up: whatever goes wrong is a note and exit code 0.

pub mod github;
pub mod pr_comments;
pub mod seen;

use std::process::ExitCode;

use clap::Subcommand;

use crate::agent::Place;

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Hook {
    /// Wake the client when its open pull requests have new comments; a Stop hook, with its input on standard input
    PrComments {},
}

impl Hook {
    /// Runs it.
    pub fn run(&self, place: &Place) -> ExitCode {
        match self {
            Hook::PrComments {} => pr_comments::run(place),
        }
    }
}
