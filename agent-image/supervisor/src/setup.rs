//! Everything that is put in place before the client starts: trust, a login of stubs, what the client reads, what it works on.
//!
//! Each step is reported on a line. A step that is required and fails ends setup; any other that fails blocks nothing. A second
//! run changes nothing, and a run that was killed leaves no half of a file, so that the next one goes on where it stopped. What
//! the client wrote into its own files stays. Nothing real is written anywhere: the only tokens that setup knows are stubs.

mod client;
pub mod environment;
mod git;
mod home;
mod instructions;
pub mod login;
mod matrix;
mod merge;
mod plugins;
mod record;
mod report;
mod repositories;
pub mod settings;
mod sources;
pub mod step;
pub mod trust;
mod user_hook;

use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;
use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::agent::{Agent, Place};
use report::Outcome;
use step::Step;

/// The command.
#[derive(Args, Debug)]
pub struct Setup {
    /// The client's managed settings, which are only looked at
    #[arg(long, value_name = "FILE", default_value = settings::MANAGED)]
    pub managed_settings: PathBuf,
}

impl Setup {
    /// Runs it: 0 unless a required step failed.
    pub fn run(&self, place: &Place) -> ExitCode {
        let agent = match place.agent() {
            Ok(agent) => agent,
            Err(error) => {
                say("agent", &Outcome::Failed(error.to_string()));
                return ExitCode::FAILURE;
            }
        };
        let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
            Ok(runtime) => runtime,
            Err(error) => {
                say("agent", &Outcome::Failed(error.to_string()));
                return ExitCode::FAILURE;
            }
        };
        runtime.block_on(async {
            // As the first process of a container it would hear neither by itself. Before anything is started that has to end too.
            let told = (signal(SignalKind::terminate()), signal(SignalKind::interrupt()));
            tokio::select! {
                code = self.all(&agent) => code,
                code = told_to_end(told) => code,
            }
        })
    }

    async fn all(&self, agent: &Agent) -> ExitCode {
        for step in Step::ALL {
            let outcome = step.take(agent, &self.managed_settings).await;
            say(step.name(), &outcome);
            if step.is_required() && matches!(outcome, Outcome::Failed(_)) {
                return ExitCode::FAILURE;
            }
        }
        ExitCode::SUCCESS
    }
}

fn say(step: &str, outcome: &Outcome) {
    // Setup goes on where nobody reads it.
    let _ = writeln!(io::stdout(), "setup: {step}: {outcome}");
}

async fn told_to_end(told: (io::Result<Signal>, io::Result<Signal>)) -> ExitCode {
    let (Ok(mut terminate), Ok(mut interrupt)) = told else { return std::future::pending().await };
    tokio::select! {
        _ = terminate.recv() => ExitCode::from(143),
        _ = interrupt.recv() => ExitCode::from(130),
    }
}
