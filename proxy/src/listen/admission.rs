//! How many connections there may be: of one agent, and of all. An agent can use up only its own share.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use prometheus::IntGauge;

use crate::metrics::{Listener, Metrics};

/// Counts connections.
pub struct Admissions {
    counts: Arc<Mutex<Counts>>,
    per_agent: usize,
    of_all: usize,
    metrics: Metrics,
}

#[derive(Default)]
struct Counts {
    agents: HashMap<Arc<str>, usize>,
    all: usize,
}

/// A connection that counts until this is dropped.
pub struct Admission {
    counts: Arc<Mutex<Counts>>,
    agent: Arc<str>,
    open: IntGauge,
}

impl Admissions {
    /// At most `per_agent` of one and `of_all` in all.
    pub fn new(per_agent: usize, of_all: usize, metrics: Metrics) -> Self {
        Admissions { counts: Arc::default(), per_agent, of_all, metrics }
    }

    /// Enters a connection; `None` where the agent, or all, have theirs. Unknown sources share one name, the empty one.
    pub fn enter(&self, agent: &Arc<str>, listener: Listener) -> Option<Admission> {
        let mut counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        if counts.all >= self.of_all {
            return None;
        }
        let of_agent = counts.agents.entry(Arc::clone(agent)).or_insert(0);
        if *of_agent >= self.per_agent {
            return None;
        }
        *of_agent += 1;
        counts.all += 1;
        let open = self.metrics.connections(listener);
        open.inc();
        Some(Admission { counts: Arc::clone(&self.counts), agent: Arc::clone(agent), open })
    }
}

impl Drop for Admission {
    fn drop(&mut self) {
        self.open.dec();
        let mut counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        counts.all = counts.all.saturating_sub(1);
        if let Some(of_agent) = counts.agents.get_mut(&self.agent) {
            *of_agent = of_agent.saturating_sub(1);
            if *of_agent == 0 {
                counts.agents.remove(&self.agent);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_agent_can_use_up_only_its_own_share() {
        let admissions = Admissions::new(2, 3, Metrics::new());
        let (a, b): (Arc<str>, Arc<str>) = ("a".into(), "b".into());
        let first = admissions.enter(&a, Listener::Https).unwrap();
        let _second = admissions.enter(&a, Listener::Proxy).unwrap();
        assert!(admissions.enter(&a, Listener::Https).is_none());
        let _third = admissions.enter(&b, Listener::Https).unwrap();
        assert!(admissions.enter(&b, Listener::Https).is_none(), "all have theirs");
        drop(first);
        assert!(admissions.enter(&a, Listener::Https).is_some());
    }
}
