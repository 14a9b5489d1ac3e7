//! The client as a child on a terminal of its own, started again when it ends.

pub mod attach;

use std::process::ExitCode;

use clap::Args;

use crate::agent::Place;

/// The command.
#[derive(Args, Debug)]
pub struct Run {
    /// Without tmux: nobody can attach but by `stubgate-agent attach`
    #[arg(long)]
    pub headless: bool,
}

impl Run {
    /// Runs it.
    pub fn run(&self, _place: &Place) -> ExitCode {
        ExitCode::FAILURE
    }
}
