//! Memory for bodies that are looked at: a bound for all, a bound for each agent, and a share that each can always have.
//!
//! Half of all is divided evenly between the agents of the policy; the other half is for whoever comes first. So the sum
//! stays within the bound, and an agent that takes all it can get leaves every other one its share.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// What is held, by agent.
#[derive(Debug)]
pub struct Budget {
    total: usize,
    per_agent: usize,
    held: Mutex<HashMap<Arc<str>, Held>>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Held {
    bytes: usize,
    /// Of these, what is beyond the share.
    beyond: usize,
    rooms: usize,
}

/// What one body takes; dropping it gives it back.
#[derive(Debug)]
pub struct Room {
    budget: Arc<Budget>,
    agent: Arc<str>,
    share: usize,
    bytes: usize,
}

impl Budget {
    /// Bytes for all agents, and for each.
    pub fn new(total: usize, per_agent: usize) -> Arc<Self> {
        Arc::new(Budget { total, per_agent, held: Mutex::default() })
    }

    /// Room for a body of this agent, one of so many; none is taken yet.
    pub fn enter(self: &Arc<Self>, agent: &Arc<str>, agents: usize) -> Room {
        self.held().entry(Arc::clone(agent)).or_default().rooms += 1;
        let share = (self.total / 2).checked_div(agents).unwrap_or(0);
        Room { budget: Arc::clone(self), agent: Arc::clone(agent), share, bytes: 0 }
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
        let fits = self.budget.change(self, bytes);
        if fits {
            self.bytes = bytes;
        }
        fits
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
