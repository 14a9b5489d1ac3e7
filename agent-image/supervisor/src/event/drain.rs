//! The task that empties the spool while the agent runs: with back-off and jitter, and silent while there is nothing.

use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::send::{Pass, Sender};
use super::spool::Spool;
use crate::agent::Agent;
use crate::backoff::{Backoff, Limits, chance};
use crate::state::State;

/// How often it looks whether there is something.
const LOOK: Duration = Duration::from_secs(2);

/// Between tries that reach nobody.
const WAIT: Limits =
    Limits { first: Duration::from_secs(1), most: Duration::from_secs(60), healthy: Duration::from_secs(60) };

/// Publishes what is spooled until it is stopped.
pub async fn drain(agent: Agent, state: State, stop: CancellationToken) {
    drain_by(agent, state, stop, Sender::of).await;
}

/// The same with a sender of the caller's choice, asked for before each try: what a container trusts may change.
pub async fn drain_by<F>(agent: Agent, state: State, stop: CancellationToken, sender: F)
where
    F: Fn(&Agent) -> Result<Option<Sender>, String> + Clone + Send + 'static,
{
    let Some(events) = agent.file.events.clone() else { return };
    let spool = Spool::of(&agent, &events);
    let mut wait = Backoff::new(WAIT);
    loop {
        let pause = match tell(&spool, &state) {
            0 => {
                wait = Backoff::new(WAIT);
                LOOK
            }
            _ => {
                let agent = agent.clone();
                let (sender, stop) = (sender.clone(), stop.clone());
                // A disk that is slow must not hold up the client's terminal.
                let pass = tokio::task::spawn_blocking(move || try_once(sender(&agent)?, &stop)).await;
                let pass = pass.unwrap_or_else(|error| Err(error.to_string()));
                tell(&spool, &state);
                match report(pass) {
                    Progress::All => WAIT.first,
                    Progress::Some => {
                        wait = Backoff::new(WAIT);
                        wait.ended(Duration::ZERO, chance())
                    }
                    Progress::None => wait.ended(Duration::ZERO, chance()),
                }
            }
        };
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(pause) => {}
        }
    }
}

/// Tells how much waits, and how much of that.
fn tell(spool: &Spool, state: &State) -> u64 {
    let count = |found: std::io::Result<Vec<_>>| found.map_or(0, |found| found.len() as u64);
    let (spooled, aside) = (count(spool.waiting()), count(spool.aside()));
    state.change(|facts| {
        facts.spooled = spooled;
        facts.events_aside = aside;
    });
    spooled
}

fn try_once(sender: Option<Sender>, stop: &CancellationToken) -> Result<Pass, String> {
    let Some(sender) = sender else { return Ok(Pass::default()) };
    let runtime = super::runtime().map_err(|error| error.to_string())?;
    let pass = runtime.block_on(stop.run_until_cancelled(sender.pass()));
    pass.unwrap_or_else(|| Ok(Pass::default())).map_err(|error| error.to_string())
}

enum Progress {
    All,
    Some,
    None,
}

fn report(pass: Result<Pass, String>) -> Progress {
    let pass = match pass {
        Ok(pass) => pass,
        Err(why) => {
            tracing::warn!(why, "events wait");
            return Progress::None;
        }
    };
    for (id, why) in &pass.aside {
        tracing::error!(id, why, "event put aside: stubgate-agent event list");
    }
    if !pass.sent.is_empty() {
        tracing::info!(events = pass.sent.len(), "events published");
    }
    match &pass.failed {
        Some(why) => {
            tracing::warn!(why, "events wait");
            if pass.sent.is_empty() { Progress::None } else { Progress::Some }
        }
        None => Progress::All,
    }
}
