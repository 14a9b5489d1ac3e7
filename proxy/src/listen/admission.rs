//! How many connections there may be: of one agent, and of all. An agent can use up only its own share.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use prometheus::IntGauge;

use crate::budget::Limit;
use crate::metrics::{Listener, Metrics};

/// Connections that every agent may have, also when all have theirs together: some agents can't shut out another.
const RESERVED: usize = 8;

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
        let is_full = counts.all >= self.of_all;
        let refused = match counts.agents.get(agent).copied().unwrap_or(0) {
            open if open >= self.per_agent => Some(Limit::ConnectionsPerAgent),
            open if is_full && (agent.is_empty() || open >= RESERVED) => Some(Limit::Connections),
            _ => None,
        };
        if let Some(limit) = refused {
            self.metrics.limit_reached(limit).inc();
            return None;
        }
        *counts.agents.entry(Arc::clone(agent)).or_insert(0) += 1;
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
        let admissions = Admissions::new(20, 30, Metrics::new());
        let (a, b): (Arc<str>, Arc<str>) = ("a".into(), "b".into());
        let mut of_a: Vec<_> = (0..20).map(|_| admissions.enter(&a, Listener::Https).unwrap()).collect();
        assert!(admissions.enter(&a, Listener::Proxy).is_none());
        let of_b: Vec<_> = (0..10).map(|_| admissions.enter(&b, Listener::Https).unwrap()).collect();
        assert!(admissions.enter(&b, Listener::Https).is_none(), "all have theirs");
        assert!(admissions.enter(&"".into(), Listener::Http).is_none(), "so nobody unknown gets one");
        of_a.pop();
        assert!(admissions.enter(&a, Listener::Https).is_some());
        drop(of_b);
    }

    #[test]
    fn an_agent_gets_its_first_connections_also_when_others_took_all_there_are() {
        let admissions = Admissions::new(100, 10, Metrics::new());
        let (a, b): (Arc<str>, Arc<str>) = ("a".into(), "b".into());
        let _of_a: Vec<_> = (0..10).map(|_| admissions.enter(&a, Listener::Https).unwrap()).collect();
        assert!(admissions.enter(&a, Listener::Https).is_none());
        let _of_b: Vec<_> = (0..RESERVED).map(|_| admissions.enter(&b, Listener::Https).unwrap()).collect();
        assert!(admissions.enter(&b, Listener::Https).is_none());
    }
}
