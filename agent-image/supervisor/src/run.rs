//! The client as a child on a terminal of its own, started again when it ends.
//!
//! The supervisor is the client's parent and owns its terminal, so that the process itself is watched and not a picture of it;
//! viewers and tmux look on. Times, states and exit codes: `docs/agent/run.md`.

pub mod attach;
mod client;
mod command;
mod console;
mod disk;
mod hang;
mod health;
mod init;
mod log;
mod login;
mod renew;
mod session;
mod supervise;
mod tasks;
mod times;
mod tmux;

#[cfg(test)]
mod tests;

use std::process::ExitCode;

use clap::Args;

use crate::agent::Place;

/// The command.
#[derive(Args, Debug)]
pub struct Run {
    /// Without tmux: nobody can attach but by `stubgate-agent attach`
    #[arg(long)]
    pub headless: bool,
    /// Start, tell of signals and reap as the first process of a container does; so by itself where it is the first
    #[arg(long)]
    pub init: bool,
    /// Divides all times: for tests
    #[arg(long, hide = true, default_value_t = 1)]
    pub hurry: u32,
}

impl Run {
    /// Runs it.
    pub fn run(&self, place: &Place) -> ExitCode {
        if init::is_wanted(self.init) {
            return init::run();
        }
        init::unblock_signals();
        log::start();
        match supervise::run(self, place) {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => {
                tracing::error!(why = %crate::web::chain(error.as_ref()), "the supervisor ends");
                ExitCode::FAILURE
            }
        }
    }
}
