//! How long to wait before the next start. Time and chance come in as arguments.

use std::time::Duration;

/// What a back-off keeps to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Limits {
    /// After the first failure.
    pub(crate) first: Duration,
    /// At most.
    pub(crate) most: Duration,
    /// A run of this length starts over with `first`.
    pub(crate) healthy: Duration,
}

/// Doubles with every failure. The last quarter of each wait is chance, so that many agents that failed together don't come back
/// together.
#[derive(Clone, Debug)]
pub(crate) struct Backoff {
    limits: Limits,
    failures: u32,
}

impl Backoff {
    /// Of something that has not failed yet.
    pub(crate) fn new(limits: Limits) -> Self {
        Backoff { limits, failures: 0 }
    }

    /// It ended after it ran for so long; how long to wait. `chance` is from 0 to 1.
    pub(crate) fn ended(&mut self, ran: Duration, chance: f64) -> Duration {
        if ran >= self.limits.healthy {
            self.failures = 0;
        }
        let doubled = self.limits.first.saturating_mul(1_u32.checked_shl(self.failures).unwrap_or(u32::MAX));
        self.failures = self.failures.saturating_add(1);
        let whole = doubled.min(self.limits.most);
        let chance = if chance.is_finite() { chance.clamp(0.0, 1.0) } else { 0.0 };
        whole.mul_f64(1.0 - chance / 4.0).max(self.limits.first.min(self.limits.most))
    }
}

/// A number from 0 to 1 that nobody else draws: good enough to spread starts.
pub(crate) fn chance() -> f64 {
    use std::hash::{BuildHasher, Hasher, RandomState};
    let drawn = RandomState::new().build_hasher().finish() >> 32;
    f64::from(u32::try_from(drawn).unwrap_or(0)) / f64::from(u32::MAX)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const LIMITS: Limits =
        Limits { first: Duration::from_secs(1), most: Duration::from_secs(120), healthy: Duration::from_secs(300) };

    #[test]
    fn doubles_from_one_second_to_two_minutes() {
        let mut backoff = Backoff::new(LIMITS);
        let waits: Vec<u64> = (0..10).map(|_| backoff.ended(Duration::ZERO, 0.0).as_secs()).collect();
        assert_eq!(waits, [1, 2, 4, 8, 16, 32, 64, 120, 120, 120]);
    }

    #[test]
    fn starts_over_after_a_healthy_run() {
        let mut backoff = Backoff::new(LIMITS);
        for _ in 0..5 {
            backoff.ended(Duration::from_secs(299), 0.0);
        }
        assert_eq!(backoff.ended(Duration::from_secs(299), 0.0).as_secs(), 32);
        assert_eq!(backoff.ended(Duration::from_secs(300), 0.0).as_secs(), 1);
        assert_eq!(backoff.ended(Duration::ZERO, 0.0).as_secs(), 2);
    }

    #[test]
    fn draws_differ() {
        let draws: Vec<f64> = (0..8).map(|_| chance()).collect();
        assert!(draws.iter().all(|draw| (0.0..=1.0).contains(draw)), "{draws:?}");
        assert!(draws.windows(2).any(|pair| pair[0] != pair[1]), "{draws:?}");
    }

    proptest! {
        #[test]
        fn every_wait_is_within_the_limits(runs in prop::collection::vec((0_u64..1000, -1.0..2.0_f64), 0..200)) {
            let mut backoff = Backoff::new(LIMITS);
            for (ran, chance) in runs {
                let wait = backoff.ended(Duration::from_secs(ran), chance);
                prop_assert!(wait >= LIMITS.first && wait <= LIMITS.most, "{wait:?}");
            }
        }

        #[test]
        fn chance_takes_a_quarter_at_most(failures in 0_u32..100, chance in 0.0..1.0_f64) {
            let mut steady = Backoff::new(LIMITS);
            let mut drawn = Backoff::new(LIMITS);
            for _ in 0..failures {
                steady.ended(Duration::ZERO, 0.0);
                drawn.ended(Duration::ZERO, 0.0);
            }
            let (most, wait) = (steady.ended(Duration::ZERO, 0.0), drawn.ended(Duration::ZERO, chance));
            prop_assert!(wait <= most && wait.as_secs_f64() >= 0.75 * most.as_secs_f64() - 0.001, "{wait:?} of {most:?}");
        }
    }
}
