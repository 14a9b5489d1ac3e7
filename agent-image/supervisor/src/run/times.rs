//! How long everything takes, in one place, as `docs/agent/run.md` tells it.

use std::time::Duration;

use crate::agent::Agent;
use crate::backoff::Limits;

/// Every time that the supervisor waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Times {
    /// Between an end of the client and its next start.
    pub(crate) backoff: Limits,
    /// A client that refuses to continue a session does so within this.
    pub(crate) refusal: Duration,
    /// How often the client's process is looked at.
    pub(crate) look: Duration,
    /// A stopped client is told to go on after this: an operator may have stopped it to look at something.
    pub(crate) go_on: Duration,
    /// Uninterruptible sleep is taken for a hang after this.
    pub(crate) asleep: Duration,
    /// A hung client is started again after this.
    pub(crate) hung: Duration,
    /// After SIGTERM, before SIGKILL. A healthy client needs 0.6 s.
    pub(crate) term: Duration,
    /// After SIGKILL, before its process is given up.
    pub(crate) kill: Duration,
    /// How often the login is looked at besides being watched.
    pub(crate) login: Duration,
    /// Between two restorations of the login at least.
    pub(crate) restore: Duration,
    /// How often tmux is looked at besides being watched.
    pub(crate) tmux: Duration,
    /// How often disks are looked at.
    pub(crate) disk: Duration,
    /// Between two questions for the appliance's bundle, give or take a fifth.
    pub(crate) trust: Duration,
    /// How often trust is looked at besides.
    pub(crate) trust_look: Duration,
    /// What all of it is divided by.
    hurry: u32,
    /// Before a task that died is started again.
    pub(crate) task: Duration,
}

impl Times {
    /// As documented, divided by this: more than 1 is for tests.
    pub(crate) fn new(hurry: u32) -> Self {
        let hurry = hurry.max(1);
        let seconds = |seconds| Duration::from_secs(seconds) / hurry;
        Times {
            backoff: Limits { first: seconds(1), most: seconds(120), healthy: seconds(300) },
            refusal: Duration::from_secs(15),
            look: seconds(1),
            go_on: seconds(60),
            asleep: seconds(60),
            hung: seconds(300),
            term: seconds(10),
            kill: seconds(2),
            login: seconds(30),
            restore: seconds(1),
            tmux: seconds(5),
            disk: seconds(15),
            trust: seconds(300),
            trust_look: seconds(15),
            hurry,
            task: seconds(1),
        }
    }

    /// How long a client must have been idle to be started again for a new bundle; `None`: it never is.
    pub(crate) fn trust_idle(&self, agent: &Agent) -> Option<Duration> {
        let minutes = agent.file.trust.restart_idle_minutes;
        (minutes > 0).then(|| Duration::from_secs(minutes.saturating_mul(60)) / self.hurry)
    }

    /// How near an end is near.
    pub(crate) fn trust_near(&self, near: Duration) -> Duration {
        near / self.hurry
    }
}
