//! Memory for bodies that are looked at: a bound for all, a bound for each agent, and a share that each can always have.
//!
//! Half of all is divided evenly between the agents of the policy; the other half is for whoever comes first. So the sum
//! stays within the bound, and an agent that takes all it can get leaves every other one its share.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Semaphore;
use tokio::task::JoinError;

use crate::budget::Limit;

/// Bodies of one agent that are read at once beside the threads that serve connections. More wait for their turn, so that
/// many large ones leave the processors to others.
const AT_ONCE: usize = 2;

/// What is held, by agent.
#[derive(Debug)]
pub struct Budget {
    total: usize,
    per_agent: usize,
    held: Mutex<HashMap<Arc<str>, Held>>,
}

#[derive(Debug)]
struct Held {
    bytes: usize,
    /// Of these, what is beyond the share.
    beyond: usize,
    rooms: usize,
    turns: Arc<Semaphore>,
}

impl Default for Held {
    fn default() -> Self {
        Held { bytes: 0, beyond: 0, rooms: 0, turns: Arc::new(Semaphore::new(AT_ONCE)) }
    }
}

/// What one body takes; dropping it gives it back.
#[derive(Debug)]
pub struct Room {
    budget: Arc<Budget>,
    agent: Arc<str>,
    share: usize,
    bytes: usize,
    turns: Arc<Semaphore>,
}

impl Budget {
    /// Bytes for all agents, and for each.
    pub fn new(total: usize, per_agent: usize) -> Arc<Self> {
        Arc::new(Budget { total, per_agent, held: Mutex::default() })
    }

    /// Room for a body of this agent, one of so many; none is taken yet.
    pub fn enter(self: &Arc<Self>, agent: &Arc<str>, agents: usize) -> Room {
        let turns = {
            let mut all = self.held();
            let own = all.entry(Arc::clone(agent)).or_default();
            own.rooms += 1;
            Arc::clone(&own.turns)
        };
        let share = (self.total / 2).checked_div(agents).unwrap_or(0);
        Room { budget: Arc::clone(self), agent: Arc::clone(agent), share, bytes: 0, turns }
    }

    /// Bytes held for all.
    pub fn bytes(&self) -> usize {
        self.held().values().map(|held| held.bytes).sum()
    }

    fn held(&self) -> MutexGuard<'_, HashMap<Arc<str>, Held>> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes what an agent holds; whether there is room for it.
    fn change(&self, room: &Room, bytes: usize) -> bool {
        let mut all = self.held();
        let beyond: usize = all.values().map(|held| held.beyond).sum();
        let Some(own) = all.get_mut(&room.agent) else { return false };
        let now = own.bytes.saturating_sub(room.bytes).saturating_add(bytes);
        let now_beyond = now.saturating_sub(room.share);
        let grows = bytes > room.bytes;
        let common = beyond.saturating_sub(own.beyond).saturating_add(now_beyond);
        if grows && (now > self.per_agent || (now_beyond > 0 && common > self.total / 2)) {
            return false;
        }
        own.bytes = now;
        own.beyond = now_beyond;
        true
    }
}

impl Room {
    /// Makes it so large; `false`, and no change, where there is no room.
    pub fn hold(&mut self, bytes: usize) -> bool {
        let fits = bytes == self.bytes || self.budget.change(self, bytes);
        if fits {
            self.bytes = bytes;
        }
        fits
    }

    /// The bound that stands in the way of making it so large.
    pub fn bound(&self, bytes: usize) -> Limit {
        let others = self.budget.held().get(&self.agent).map_or(0, |own| own.bytes.saturating_sub(self.bytes));
        if others.saturating_add(bytes) > self.budget.per_agent {
            Limit::InspectedBytesPerAgent
        } else {
            Limit::InspectedBytes
        }
    }

    /// Does what takes long beside the threads that serve connections, once it is the agent's turn. The room is held until
    /// it is done, also where nobody waits for it any more: an agent that leaves gets nothing back before.
    ///
    /// # Errors
    /// Where the work panicked, or the runtime ends.
    pub async fn work<T: Send + 'static>(
        self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<(T, Room), JoinError> {
        // Fails only once it is closed, which nobody does.
        let turn = Arc::clone(&self.turns).acquire_owned().await.ok();
        tokio::task::spawn_blocking(move || {
            let done = work();
            drop(turn);
            (done, self)
        })
        .await
    }
}

impl Drop for Room {
    fn drop(&mut self) {
        self.budget.change(self, 0);
        let mut all = self.budget.held();
        if let Some(own) = all.get_mut(&self.agent) {
            own.rooms = own.rooms.saturating_sub(1);
            if own.rooms == 0 {
                all.remove(&self.agent);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_agent_that_takes_all_it_can_leaves_the_others_their_share() {
        let budget = Budget::new(1000, 700);
        let agents: Vec<Arc<str>> = ["a", "b", "c", "d", "e"].map(Arc::from).to_vec();
        let mut greedy = budget.enter(&agents[0], 5);
        assert!(!greedy.hold(701), "its own bound");
        assert!(!greedy.hold(601), "its share and the common half");
        assert_eq!([601, 701].map(|bytes| greedy.bound(bytes)), [Limit::InspectedBytes, Limit::InspectedBytesPerAgent]);
        assert!(greedy.hold(600));
        let mut second = budget.enter(&agents[0], 5);
        assert!(!second.hold(1), "bodies of one agent count together");
        let mut others: Vec<Room> = agents[1..].iter().map(|agent| budget.enter(agent, 5)).collect();
        for other in &mut others {
            assert!(!other.hold(101));
            assert!(other.hold(100));
        }
        assert_eq!(budget.bytes(), 1000);
        drop(greedy);
        assert!(second.hold(600) && others[0].hold(100));
        drop((second, others));
        assert_eq!(budget.bytes(), 0);
        assert!(budget.held().is_empty());
    }

    #[tokio::test]
    async fn what_is_read_is_held_until_it_was_read_also_for_an_agent_that_left() {
        let budget = Budget::new(1000, 1000);
        let begin = |agent: &str| {
            let mut room = budget.enter(&agent.into(), 2);
            assert!(room.hold(100));
            let (began, is_begun) = tokio::sync::oneshot::channel();
            let (go, gone) = std::sync::mpsc::channel::<()>();
            let work = tokio::spawn(room.work(move || {
                began.send(()).unwrap();
                let _ = gone.recv();
            }));
            (work, is_begun, go)
        };
        let mut begun = Vec::new();
        for agent in ["a", "a", "b"] {
            let (work, is_begun, go) = begin(agent);
            is_begun.await.unwrap();
            work.abort();
            assert!(work.await.is_err(), "nobody waits for it");
            begun.push(go);
        }
        assert_eq!(budget.bytes(), 300);
        let (work, mut is_begun, _go) = begin("a");
        tokio::task::yield_now().await;
        assert!(is_begun.try_recv().is_err(), "a third of one agent waits");
        begun.clear();
        is_begun.await.unwrap();
        drop(_go);
        drop(work.await.unwrap().unwrap());
        while budget.bytes() > 0 {
            tokio::task::yield_now().await;
        }
    }

    #[test]
    fn a_body_that_grows_is_counted_once() {
        let budget = Budget::new(1000, 1000);
        let mut room = budget.enter(&"a".into(), 1);
        for bytes in [10, 100, 900, 1000] {
            assert!(room.hold(bytes));
            assert_eq!(budget.bytes(), bytes);
        }
        assert!(!room.hold(1001));
        assert_eq!(budget.bytes(), 1000);
    }
}
