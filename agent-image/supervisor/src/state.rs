//! How it all is. Whoever runs something says here how it is; `/healthz`, `/readyz`, `/metrics` and `status` read it.
//!
//! It is told to the cluster, to operators and to the agent itself, so nothing of it is secret: stubs are masked, texts are of
//! one line without control bytes. It refuses to judge: whether the agent is ready follows from the facts alone ([`readiness`]).

pub mod mask;
pub mod metrics;
mod observe;
pub mod readiness;
pub mod report;
mod serve;
pub mod status;

pub use serve::serve;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

use serde::Serialize;

/// How it all is: shared by everything that runs.
#[derive(Clone, Debug, Default)]
pub struct State(Arc<Mutex<Facts>>);

/// What is known.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Facts {
    /// The client.
    pub client: Client,
    /// The dialog that it waits in, as its text.
    pub dialog: Option<String>,
    /// Dialogs answered by the table, and those that nobody answered, since the start.
    pub dialogs_answered: u64,
    /// As above.
    pub dialogs_blocked: u64,
    /// When its last turn ended, as its own record says.
    pub last_turn: Option<SystemTime>,
    /// Turns that ended since the start.
    pub turns: u64,
    /// Why the last health prompt was not answered.
    pub unanswered: Option<String>,
    /// Whether its login holds nothing but the stubs that it was given.
    pub login_is_stub: bool,
    /// How often the login was put right again.
    pub logins_restored: u64,
    /// What is wrong with trust, if anything is.
    pub trust: Option<String>,
    /// Which disk is full, if one is.
    pub disk: Option<String>,
    /// Whether tmux has its session; `None` without tmux.
    pub tmux: Option<bool>,
    /// Every bridge.
    pub bridges: BTreeMap<String, Bridge>,
    /// Events that wait for their server.
    pub spooled: u64,
    /// How often the client was started again; kept from its last state that says so.
    pub restarts: u64,
    /// Events that it refused, and that a person must look at.
    pub events_aside: u64,
}

/// The client's process.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(tag = "is", rename_all = "snake_case")]
pub enum Client {
    /// Not started yet.
    #[default]
    Waiting,
    /// It runs.
    Up {
        /// Its number.
        pid: u32,
        /// Since when.
        since: SystemTime,
        /// How often it was started again.
        restarts: u64,
    },
    /// It runs, but takes no part: stopped, or uninterruptibly asleep.
    Hung {
        /// Its number.
        pid: u32,
        /// Since when.
        since: SystemTime,
    },
    /// It ended and is started again then.
    Down {
        /// How it ended, in words.
        why: String,
        /// When it is started again.
        next: SystemTime,
        /// How often it was started again.
        restarts: u64,
    },
}

/// A bridge.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Bridge {
    /// Whether the agent is not ready without it.
    pub required: bool,
    /// Its version.
    pub version: Option<String>,
    /// When it was last found to work.
    pub last_good: Option<SystemTime>,
    /// Tools that it offered then.
    pub tools: u64,
    /// Why it does not work, if it does not.
    pub failing: Option<String>,
    /// How often it was started again.
    pub restarts: u64,
}

impl Bridge {
    /// Whether its last probe succeeded.
    pub fn is_up(&self) -> bool {
        self.failing.is_none() && self.last_good.is_some()
    }
}

impl State {
    /// Changes what is known.
    pub fn change(&self, change: impl FnOnce(&mut Facts)) {
        let mut facts = self.lock();
        change(&mut facts);
        if let Client::Up { restarts, .. } | Client::Down { restarts, .. } = facts.client {
            facts.restarts = restarts;
        }
    }

    /// What is known now.
    pub fn facts(&self) -> Facts {
        self.lock().clone()
    }

    fn lock(&self) -> MutexGuard<'_, Facts> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
