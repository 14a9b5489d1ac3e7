//! When a source is asked next, and how long its last value is good. Pure: times come in as arguments.

use std::time::{Duration, SystemTime};

use stubgate_policy::{Reading, Source};
use tokio::time::Instant;

use crate::sources;

/// How often a file is read without any sign of a change.
const LOOK: Duration = Duration::from_secs(30);
/// How long a value from elsewhere is taken to be good where nobody says how long it is.
const ELSEWHERE: Duration = Duration::from_secs(5 * 60);
/// What a source is given in any case between two questions.
const LEAST: Duration = Duration::from_millis(100);
/// However long a value says that it lives: clocks can be added up to that.
const MOST: Duration = sources::LONGEST_LIFE;
/// The longest time before the second question, and before any later one.
const BACK_OFF: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(60));

/// How one source has been doing.
#[derive(Debug)]
pub(super) struct Pace {
    /// As policy says.
    ttl: Option<Duration>,
    /// As its kind does by itself, where nobody says anything.
    of_kind: Option<Duration>,
    keep: Duration,
    is_local: bool,
    /// Questions since the last success that gave nothing.
    failures: u32,
    /// When it last gave a value that is still there, and when that ends by itself.
    good: Option<(Instant, Option<SystemTime>)>,
}

impl Pace {
    pub(super) fn new(reading: &Reading, keep: Duration) -> Self {
        let of_kind = match reading.source {
            // It can't change.
            Source::Env(_) => None,
            Source::File(_) => Some(LOOK),
            _ => Some(ELSEWHERE),
        };
        let is_local = crate::sources::is_local(&reading.source);
        Pace { ttl: reading.ttl, of_kind, keep, is_local, failures: 0, good: None }
    }

    pub(super) fn succeeded(&mut self, at: Instant, expires: Option<SystemTime>) {
        self.failures = 0;
        self.good = Some((at, expires));
    }

    pub(super) fn failed(&mut self) {
        self.failures = self.failures.saturating_add(1);
    }

    /// Its value was dropped.
    pub(super) fn dropped(&mut self) {
        self.good = None;
    }

    /// How long from the last answer to the next question; `None` where there is no need for one. `chance` is from 0 to 1.
    pub(super) fn next(&self, now: SystemTime, chance: f64) -> Option<Duration> {
        if self.failures > 0 {
            let (first, most) = BACK_OFF;
            let doubled = first.saturating_mul(2_u32.saturating_pow(self.failures - 1)).min(most);
            // Any time up to the doubled one: full jitter.
            return Some(doubled.mul_f64(chance).max(LEAST));
        }
        let Some((_, expires)) = self.good else { return Some(Duration::ZERO) };
        // Who says when a value ends need not be asked before, unless policy says so.
        let ttl = self.ttl.or(self.of_kind.filter(|_| expires.is_none()));
        let of_ttl = ttl.map(|ttl| if self.is_local { ttl } else { ttl.mul_f64(1.0 - chance / 10.0) });
        // Between 70 and 80 % of its life.
        let of_life = expires.map(|end| end.duration_since(now).unwrap_or_default().mul_f64(0.8 - chance / 10.0));
        let next = match (of_ttl, of_life) {
            (Some(one), Some(other)) => one.min(other),
            (one, other) => one.or(other)?,
        };
        Some(next.clamp(LEAST, MOST))
    }

    /// How long the value is still good; `None` while nothing ends it, or where there is none.
    pub(super) fn left(&self, at: Instant, now: SystemTime) -> Option<Duration> {
        let (since, expires) = self.good?;
        let of_life = expires.map(|end| end.duration_since(now).unwrap_or_default());
        let of_keeping = (self.failures > 0).then(|| (since + self.keep).saturating_duration_since(at));
        match (of_life, of_keeping) {
            (Some(one), Some(other)) => Some(one.min(other)),
            (one, other) => one.or(other),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pace(ttl: Option<u64>) -> Pace {
        let reading = Reading {
            source: Source::Exec(Box::new(stubgate_policy::secret_source::Exec {
                program: std::path::Path::new("/bin/token").into(),
                arguments: Box::default(),
                timeout: Duration::from_secs(10),
            })),
            json_key: None,
            ttl: ttl.map(Duration::from_secs),
        };
        Pace::new(&reading, Duration::from_secs(1000))
    }

    const NOW: SystemTime = SystemTime::UNIX_EPOCH;

    fn at(seconds: u64) -> SystemTime {
        NOW + Duration::from_secs(seconds)
    }

    #[test]
    fn the_first_question_is_asked_at_once() {
        assert_eq!(pace(None).next(NOW, 0.5), Some(Duration::ZERO));
    }

    #[test]
    fn a_value_is_asked_for_again_at_its_time_or_ahead_of_its_end() {
        let begun = Instant::now();
        for (ttl, expires, chance, seconds) in [
            (None, None, 0.0, 300),
            (None, None, 1.0, 270),
            (Some(100), None, 0.0, 100),
            (Some(100), Some(1000), 0.0, 100),
            (Some(100), Some(50), 0.0, 40),
            (Some(100), Some(50), 1.0, 35),
        ] {
            let mut pace = pace(ttl);
            pace.succeeded(begun, expires.map(at));
            assert_eq!(pace.next(NOW, chance), Some(Duration::from_secs(seconds)), "{ttl:?} {expires:?}");
        }
    }

    #[test]
    fn an_hour_is_used_where_a_source_says_so_whatever_its_kind_does_by_itself() {
        let mut pace = pace(None);
        pace.succeeded(Instant::now(), Some(at(3600)));
        assert_eq!(pace.next(NOW, 0.0), Some(Duration::from_secs(2880)));
    }

    #[test]
    fn a_variable_is_read_once_and_a_file_every_half_a_minute() {
        for (source, expected) in [
            (Source::Env("X".into()), None),
            (Source::File(std::path::Path::new("/x").into()), Some(Duration::from_secs(30))),
        ] {
            let mut pace = Pace::new(&source.into(), Duration::from_secs(1));
            pace.succeeded(Instant::now(), None);
            assert_eq!(pace.next(NOW, 0.7), expected);
            assert_eq!(pace.left(Instant::now() + Duration::from_secs(5), NOW), None, "nothing failed");
        }
    }

    #[test]
    fn failures_are_followed_by_times_that_grow_to_a_minute_and_that_chance_shares_out() {
        let mut pace = pace(None);
        for most in [1, 2, 4, 8, 16, 32, 60, 60] {
            pace.failed();
            assert_eq!(pace.next(NOW, 1.0), Some(Duration::from_secs(most)));
            assert_eq!(pace.next(NOW, 0.5), Some(Duration::from_secs(most) / 2));
            assert_eq!(pace.next(NOW, 0.0), Some(LEAST), "never at once");
        }
        for _ in 0..100 {
            pace.failed();
        }
        assert_eq!(pace.next(NOW, 1.0), Some(Duration::from_secs(60)));
    }

    #[test]
    fn a_value_is_good_until_it_ends_or_for_so_long_after_the_last_success() {
        let begun = Instant::now();
        let after = |seconds| begun + Duration::from_secs(seconds);
        let mut pace = pace(None);
        assert_eq!(pace.left(begun, NOW), None);
        pace.succeeded(begun, None);
        assert_eq!(pace.left(after(5000), NOW), None, "nothing failed");
        pace.failed();
        assert_eq!(pace.left(after(400), NOW), Some(Duration::from_secs(600)));
        assert_eq!(pace.left(after(5000), NOW), Some(Duration::ZERO));
        pace.succeeded(begun, Some(at(100)));
        assert_eq!(pace.left(begun, at(40)), Some(Duration::from_secs(60)));
        pace.failed();
        assert_eq!(pace.left(begun, at(200)), Some(Duration::ZERO));
        pace.dropped();
        assert_eq!(pace.left(begun, at(200)), None);
    }
}
