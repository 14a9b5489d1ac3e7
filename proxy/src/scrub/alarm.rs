//! The log's word of what agents can bring about at will (a scrub, a tripwire): at most one a second, so that none of them can
//! fill the log. Records and metrics count all.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use stubgate_credentials::kinds::Sights;
use stubgate_policy::OnCredential;
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

    /// Whether it is to be told: not where it was told within this second.
    pub fn is_due(&self) -> bool {
        let now = self.since.elapsed().as_secs() + 1;
        self.told.swap(now, Ordering::Relaxed) != now
    }

    /// Tells of a scrub, if that is due.
    pub fn tell(&self, tally: &Tally, agent: &str, id: &str) {
        if !self.is_due() {
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

impl Alarm {
    /// Tells of credentials that a response showed and that are none of ours, if that is due.
    pub fn tell_shown(&self, seen: &Sights, act: OnCredential, agent: &str, id: &str) {
        if !self.is_due() {
            return;
        }
        for (kind, count) in seen.iter() {
            let (kind, done) = (kind.as_str(), act.as_str());
            tracing::warn!(kind, count, done, agent, id, "a response shows what looks like a credential");
        }
    }
}

impl Default for Alarm {
    fn default() -> Self {
        Alarm::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_told_once_and_not_again_within_the_second() {
        let alarm = Alarm::new();
        let told = (0..1000).filter(|_| alarm.is_due()).count();
        // Should a second begin meanwhile.
        assert!((1..=2).contains(&told), "{told}");
    }
}
