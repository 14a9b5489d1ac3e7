//! What the session's own record says of turns goes to the state and the log; the health prompt is asked from here.

use std::time::{Duration, Instant};

use tokio::time::{MissedTickBehavior, interval};
use tracing::{info, warn};

use crate::agent::Agent;
use crate::agent::file::Log;
use crate::state::{Client, State};
use crate::transcript::{Entry, Follower};

use super::command;
use super::console::Handle;
use super::health::{Health, Step, TEXT};

/// How often the record is read.
const EVERY: Duration = Duration::from_secs(1);

/// Lines of the session told in one look, of which there is one a second.
const LINES: usize = 100;

/// Follows it. Ends only with its task.
pub(crate) async fn follow(agent: Agent, state: State, console: Handle, masked: Vec<String>, hurry: u32) {
    let projects = agent.place.claude().join("projects");
    let mut folder = command::folder(&agent);
    let mut follower = Follower::new(&projects, &folder).masking(masked.clone());
    let mut health = agent.file.health_prompt.as_ref().map(|prompt| Health::new(prompt, hurry));
    let mut last_pid = None;
    let mut last_entry = Instant::now();
    let mut second = interval(EVERY / hurry.clamp(1, 10));
    second.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        second.tick().await;
        let now = Instant::now();
        let entries = follower.poll();
        if !entries.is_empty() {
            last_entry = now;
        }
        tell(&entries, &state, agent.file.log);
        let pid = match state.facts().client {
            Client::Up { pid, .. } => Some(pid),
            _ => None,
        };
        if pid != last_pid {
            last_pid = pid;
            health.iter_mut().for_each(Health::restarted);
            // Its repository may have been cloned since.
            let now_in = command::folder(&agent);
            if now_in != folder {
                follower = Follower::new(&projects, &now_in).masking(masked.clone());
                folder = now_in;
            }
        }
        if let (Some(health), Some(_)) = (&mut health, pid) {
            let idle = console.idle().min(now.saturating_duration_since(last_entry));
            ask(health, &state, &console, now, idle).await;
        }
    }
}

fn tell(entries: &[Entry], state: &State, log: Log) {
    for entry in entries {
        if let Entry::TurnEnded { at } = entry {
            state.change(|facts| {
                facts.turns += 1;
                facts.last_turn = Some(*at);
                facts.unanswered = None;
            });
        }
    }
    if log == Log::Transcript {
        let (lines, left_out) = lines(entries.iter().filter_map(Entry::line));
        lines.iter().for_each(|line| info!(line, "session"));
        if left_out > 0 {
            warn!(left_out, "lines of the session are left out: too many at once");
        }
    }
}

/// Those that are told at once, and how many are not: the agent may write as many as it likes.
fn lines(all: impl Iterator<Item = String>) -> (Vec<String>, usize) {
    let mut all = all.fuse();
    let told: Vec<String> = all.by_ref().take(LINES).collect();
    (told, all.count())
}

async fn ask(health: &mut Health, state: &State, console: &Handle, now: Instant, idle: Duration) {
    let turns = state.facts().turns;
    match health.look(now, idle, turns) {
        Step::Nothing => {}
        Step::Ask => {
            if console.prompt(TEXT.into()).await {
                info!("the health check was typed");
                health.asked(now, turns);
            }
        }
        Step::Answered => info!("the health check was answered"),
        Step::Unanswered => {
            warn!("the health check was not answered");
            state.change(|facts| facts.unanswered = Some("the health check was not answered in time".into()));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_more_is_told_at_once_than_a_person_could_read() {
        let some = |count: usize| (0..count).map(|number| number.to_string());
        assert_eq!(lines(some(LINES)), (some(LINES).collect(), 0));
        assert_eq!(lines(some(LINES + 7)), (some(LINES).collect(), 7));
    }
}
