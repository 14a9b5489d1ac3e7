//! How many TLS handshakes of one agent run at once (TL-07, TL-23). More wait for their turn, within the deadline of a
//! handshake: an agent that opens many connections at once is served in waves, one that floods waits for itself, and
//! between them the others get theirs.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use prometheus::IntGauge;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::metrics::Metrics;

/// Whose handshakes run.
pub struct Handshakes {
    /// Only of agents that policy knows, or knew.
    agents: Mutex<HashMap<Arc<str>, Arc<Semaphore>>>,
    per_agent: usize,
    open: IntGauge,
}

/// A handshake that runs until this is dropped.
pub struct Turn {
    open: IntGauge,
    _permit: Option<OwnedSemaphorePermit>,
}

impl Handshakes {
    /// At most `per_agent` of one agent at once.
    pub fn new(per_agent: usize, metrics: &Metrics) -> Self {
        Handshakes { agents: Mutex::default(), per_agent, open: metrics.handshakes_open.clone() }
    }

    /// Waits for a turn of this agent.
    pub async fn turn(&self, agent: &Arc<str>) -> Turn {
        let slots = {
            let mut agents = self.agents.lock().unwrap_or_else(PoisonError::into_inner);
            let new = || Arc::new(Semaphore::new(self.per_agent));
            Arc::clone(agents.entry(Arc::clone(agent)).or_insert_with(new))
        };
        // Fails only once it is closed, which nobody does.
        let permit = slots.acquire_owned().await.ok();
        self.open.inc();
        Turn { open: self.open.clone(), _permit: permit }
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        self.open.dec();
    }
}
