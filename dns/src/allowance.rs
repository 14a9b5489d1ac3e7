//! What one agent may use of the server: questions a second, connections, forwarded questions under way (law 7). An agent
//! can starve only itself; all unknown sources share one allowance.
//!
//! Allowances outlive a change of policy: they go by the agent's name, because ids belong to one policy only.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use stubgate_policy::{AgentId, Policy};
use tokio::sync::Semaphore;

/// A token bucket's settings, as an interval per token and the time that a full bucket stands for.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rate {
    interval: u64,
    depth: u64,
}

impl Rate {
    /// `per_second` and `burst` are at least 1.
    pub(crate) fn new(per_second: u32, burst: u32) -> Rate {
        let interval = 1_000_000_000 / u64::from(per_second.max(1));
        Rate { interval, depth: interval.saturating_mul(u64::from(burst.max(1))) }
    }
}

/// A token bucket kept as the time at which it will be full again (GCRA), so that one word holds it.
#[derive(Debug, Default)]
struct Bucket {
    full_at: AtomicU64,
}

impl Bucket {
    /// Takes a token at `now` (nanoseconds), if there is one.
    fn take(&self, rate: Rate, now: u64) -> bool {
        self.full_at
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |full_at| {
                let next = full_at.max(now).checked_add(rate.interval)?;
                (next - now <= rate.depth).then_some(next)
            })
            .is_ok()
    }
}

/// The most that each agent may use.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bounds {
    pub(crate) rate: Rate,
    pub(crate) connections: usize,
    pub(crate) forwards: usize,
}

/// One agent's share.
#[derive(Debug)]
pub(crate) struct Allowance {
    rate: Rate,
    start: Instant,
    bucket: Bucket,
    pub(crate) connections: Arc<Semaphore>,
    pub(crate) forwards: Arc<Semaphore>,
}

impl Allowance {
    fn new(bounds: Bounds, start: Instant) -> Allowance {
        Allowance {
            rate: bounds.rate,
            start,
            bucket: Bucket::default(),
            connections: Arc::new(Semaphore::new(bounds.connections)),
            forwards: Arc::new(Semaphore::new(bounds.forwards)),
        }
    }

    /// Whether one more question may be answered at `now`.
    pub(crate) fn take_question(&self, now: Instant) -> bool {
        let since = now.saturating_duration_since(self.start);
        self.bucket.take(self.rate, nanos(since))
    }
}

fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

/// The shares of all agents.
#[derive(Debug)]
pub(crate) struct Allowances {
    bounds: Bounds,
    start: Instant,
    unknown: Arc<Allowance>,
    agents: Mutex<Agents>,
}

#[derive(Debug, Default)]
struct Agents {
    policy: Option<Arc<Policy>>,
    /// By the index of the agent's id in `policy`.
    by_id: Vec<Option<Arc<Allowance>>>,
    by_name: HashMap<Box<str>, Arc<Allowance>>,
}

impl Allowances {
    pub(crate) fn new(bounds: Bounds, start: Instant) -> Allowances {
        let unknown = Arc::new(Allowance::new(bounds, start));
        Allowances { bounds, start, unknown, agents: Mutex::default() }
    }

    /// Opens the shares for a batch of questions that `policy` decides.
    pub(crate) fn open<'a>(&'a self, policy: &'a Arc<Policy>) -> Open<'a> {
        let mut agents = self.agents.lock().unwrap_or_else(PoisonError::into_inner);
        if !agents.policy.as_ref().is_some_and(|known| Arc::ptr_eq(known, policy)) {
            agents.policy = Some(policy.clone());
            agents.by_id = vec![None; policy.agents().len()];
            agents.by_name.retain(|name, _| policy.agent_named(name).is_some());
        }
        Open { allowances: self, policy, agents }
    }
}

/// The shares, held for one batch. Never across an await.
pub(crate) struct Open<'a> {
    allowances: &'a Allowances,
    policy: &'a Policy,
    agents: MutexGuard<'a, Agents>,
}

impl Open<'_> {
    /// The share of an agent of this policy, or that of all unknown sources.
    pub(crate) fn of(&mut self, agent: Option<AgentId>) -> &Arc<Allowance> {
        let Agents { by_id, by_name, .. } = &mut *self.agents;
        let Some((agent, slot)) = agent.and_then(|agent| Some((agent, by_id.get_mut(agent.index())?))) else {
            return &self.allowances.unknown;
        };
        slot.get_or_insert_with(|| {
            by_name
                .entry(self.policy.agent(agent).name().into())
                .or_insert_with(|| Arc::new(Allowance::new(self.allowances.bounds, self.allowances.start)))
                .clone()
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: u64 = 1_000_000_000;

    #[test]
    fn a_bucket_gives_its_burst_and_then_its_rate() {
        let (bucket, rate) = (Bucket::default(), Rate::new(10, 3));
        let taken = |now| (0..100).filter(|_| bucket.take(rate, now)).count();
        assert_eq!(taken(0), 3);
        assert_eq!(taken(SECOND / 10 - 1), 0);
        assert_eq!(taken(SECOND / 10), 1);
        assert_eq!(taken(SECOND * 3 / 10), 2);
        assert_eq!(taken(SECOND * 1000), 3);
    }

    #[test]
    fn a_clock_that_stands_still_goes_back_or_ends_gives_nothing_more() {
        let (bucket, rate) = (Bucket::default(), Rate::new(1, 1));
        assert!(bucket.take(rate, u64::MAX - SECOND));
        assert!(!bucket.take(rate, u64::MAX - SECOND));
        assert!(!bucket.take(rate, 0));
    }
}
