//! How many control frames a sender may send: a ping costs the other side an answer, and moves nothing.

use std::time::{Duration, Instant};

/// Admits so many in any second that begins with the first of them.
#[derive(Clone, Copy, Debug)]
pub struct ControlRate {
    most: u32,
    since: Option<Instant>,
    count: u32,
}

impl ControlRate {
    /// At most `most` in a second.
    pub fn new(most: u32) -> Self {
        ControlRate { most, since: None, count: 0 }
    }

    /// Counts one more at `now`; whether it is admitted.
    #[must_use]
    pub fn admit(&mut self, now: Instant) -> bool {
        match self.since {
            Some(since) if now.saturating_duration_since(since) < Duration::from_secs(1) => self.count += 1,
            Some(_) | None => {
                self.since = Some(now);
                self.count = 1;
            }
        }
        self.count <= self.most
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn admits_so_many_a_second_and_again_in_the_next() {
        let start = Instant::now();
        let mut rate = ControlRate::new(3);
        let admitted = |rate: &mut ControlRate, at: Duration| (0..5).filter(|_| rate.admit(start + at)).count();
        assert_eq!(admitted(&mut rate, Duration::ZERO), 3);
        assert_eq!(admitted(&mut rate, Duration::from_millis(999)), 0);
        assert_eq!(admitted(&mut rate, Duration::from_millis(1000)), 3);
    }
}
