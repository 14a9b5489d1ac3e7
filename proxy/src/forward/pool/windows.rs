//! How much origins may send ahead over HTTP/2 (law 7).
//!
//! What an agent does not read waits here, up to the window of each connection to an origin. An agent may have many such
//! connections, so each gets a part of what is left of a sum for all of them, and none less than the protocol's minimum.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Bytes of one response.
const STREAM: u32 = 256 << 10;
/// Responses that may be left unread before they hold up others on the same connection.
const MOST_PAUSED: u32 = 16;
/// Bytes for the connections of one agent; those beyond have the least that there can be.
const PER_AGENT: u32 = 32 << 20;
/// Connections that share what is left evenly, as far as is foreseen.
const FORESEEN: u32 = 8;
/// RFC 9113 section 6.9.2: a connection begins with so much, whatever is said.
const LEAST: u32 = 65_535;

/// What is lent, by agent.
#[derive(Clone, Default)]
pub(super) struct Windows(Arc<Mutex<HashMap<Arc<str>, u32>>>);

/// The windows of one connection, given back when it ends.
pub(super) struct Lent {
    windows: Windows,
    agent: Arc<str>,
    /// Bytes of all responses together.
    pub(super) connection: u32,
    /// Bytes of one response.
    pub(super) stream: u32,
    charged: u32,
}

impl Windows {
    /// For another connection of this agent.
    pub(super) fn lend(&self, agent: &Arc<str>) -> Lent {
        let mut all = self.lock();
        let lent = all.entry(Arc::clone(agent)).or_default();
        let part = (PER_AGENT.saturating_sub(*lent) / FORESEEN).min(STREAM * MOST_PAUSED);
        // The least is not taken from the sum, so that what is given back is what was taken.
        let charged = if part > LEAST { part } else { 0 };
        *lent += charged;
        let connection = part.max(LEAST);
        let stream = (connection / MOST_PAUSED).clamp(LEAST, STREAM);
        Lent { windows: self.clone(), agent: Arc::clone(agent), connection, stream, charged }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Arc<str>, u32>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Lent {
    fn drop(&mut self) {
        let mut all = self.windows.lock();
        if let Some(lent) = all.get_mut(&self.agent) {
            *lent = lent.saturating_sub(self.charged);
            if *lent == 0 {
                all.remove(&self.agent);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_connections_of_an_agent_together_hold_no_more_than_their_sum_and_the_least_of_each() {
        let windows = Windows::default();
        let agent = Arc::from("devbot");
        let lent: Vec<Lent> = (0..1000).map(|_| windows.lend(&agent)).collect();
        assert_eq!((lent[0].connection, lent[0].stream), (4 << 20, 256 << 10));
        assert_eq!((lent[999].connection, lent[999].stream), (LEAST, LEAST));
        assert!(lent.windows(2).all(|pair| pair[0].connection >= pair[1].connection));
        assert!(lent.iter().all(|lent| lent.stream <= lent.connection));
        let sum: u32 = lent.iter().map(|lent| lent.connection).sum();
        assert!(sum <= PER_AGENT + 1000 * LEAST, "{sum}");
        let other = windows.lend(&Arc::from("otherbot"));
        assert_eq!(other.connection, 4 << 20, "another agent has its own");
        drop(lent);
        assert_eq!(windows.lend(&agent).connection, 4 << 20, "given back");
        drop(other);
        assert!(windows.lock().is_empty());
    }
}
