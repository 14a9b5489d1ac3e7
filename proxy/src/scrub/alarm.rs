//! The log's word of a scrub: at most one a second, so that no agent can fill the log by having things echoed. Records
//! and metrics count all.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use stubgate_scrub::Tally;

/// When it was told last.
pub struct Alarm {
    since: Instant,
    /// Seconds after `since`, plus one.
    told: AtomicU64,
}

impl Alarm {
    /// Not told yet.
    pub fn new() -> Self {
        Alarm { since: Instant::now(), told: AtomicU64::new(0) }
    }

    /// Tells it, unless it was told within this second.
    pub fn tell(&self, tally: &Tally, agent: &str, id: &str) {
        let now = self.since.elapsed().as_secs() + 1;
        if self.told.swap(now, Ordering::Relaxed) == now {
            return;
        }
        for (credential, count) in tally.iter() {
            tracing::warn!(
                credential = &**credential,
                count,
                agent,
                id,
                "an origin sent a credential; the agent got its stub"
            );
        }
    }
}

impl Default for Alarm {
    fn default() -> Self {
        Alarm::new()
    }
}
