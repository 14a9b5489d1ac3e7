//! A command of the agent's own at the end of setup. It has so long; what it started is gone with it; its failure blocks nothing.

use std::time::Duration;

use super::environment;
use super::report::Outcome;
use crate::agent::Agent;
use crate::program;

/// Runs it.
pub(crate) async fn run(agent: &Agent) -> Outcome {
    let Some(hook) = &agent.file.hook else { return Outcome::Skipped("none".into()) };
    let mut command = environment::command(agent, "bash");
    command.args(["-o", "pipefail", "-c", &hook.command]).current_dir(&agent.place.home);
    match program::run_aloud(command, Duration::from_secs(hook.timeout_seconds)).await {
        Ok(status) if status.success() => Outcome::Done(String::new()),
        Ok(status) => Outcome::Failed(status.to_string()),
        Err(error) => Outcome::Failed(error.to_string()),
    }
}
