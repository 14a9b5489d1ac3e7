//! How long a bridge that ended waits until it is started again: twice as long each time, spread so that those that end together
//! do not start together, and from the beginning again after it has worked for a while.

use std::hash::{BuildHasher, RandomState};
use std::time::Duration;

/// Between starts.
#[derive(Clone, Debug)]
pub struct Backoff {
    first: Duration,
    longest: Duration,
    next: Duration,
}

impl Backoff {
    /// From the first wait to the longest.
    pub fn new(first: Duration, longest: Duration) -> Self {
        Backoff { first, longest, next: first }
    }

    /// The next wait: between half of it and all of it, at a fraction that is drawn for it.
    pub fn next(&mut self, fraction: f64) -> Duration {
        let wait = self.next.mul_f64(0.5 + fraction.clamp(0.0, 1.0) / 2.0);
        self.next = (self.next * 2).min(self.longest);
        wait
    }

    /// It has worked.
    pub fn reset(&mut self) {
        self.next = self.first;
    }
}

/// A number from 0 to 1 that nothing depends on.
pub fn drawn() -> f64 {
    // Seeded anew for each.
    let bits = RandomState::new().hash_one(0_u8) >> 11;
    bits as f64 / (1_u64 << 53) as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_up_to_the_longest_and_begin_anew() {
        let second = Duration::from_secs(1);
        let mut backoff = Backoff::new(second, second * 5);
        let waits: Vec<u64> = (0..4).map(|_| backoff.next(1.0).as_secs()).collect();
        assert_eq!(waits, [1, 2, 4, 5]);
        backoff.reset();
        assert_eq!(backoff.next(0.0), second / 2);
    }

    #[test]
    fn what_is_drawn_is_a_fraction() {
        assert!((0..1000).map(|_| drawn()).all(|fraction| (0.0..1.0).contains(&fraction)));
    }
}
