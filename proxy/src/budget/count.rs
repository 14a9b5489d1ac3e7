//! Counting, and nothing else: time comes in as an argument.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use stubgate_policy::Host;

const DAY: u64 = 86_400;
const MINUTE_NANOS: u64 = 60_000_000_000;
/// Hosts of one agent and day that are counted each for itself; those that come after share one count. Only hosts that
/// the agent really sends to get here, and how many those can be under wildcards is bounded too.
const MOST_HOSTS: usize = 4096;

/// A token bucket kept as the time at which it will be full again (GCRA), so that one word holds it. It holds a minute's
/// worth of tokens.
#[derive(Debug, Default)]
pub(super) struct Bucket {
    full_at: AtomicU64,
}

impl Bucket {
    /// Takes a token of `per_minute` (at least 1) at `now`, counted from any fixed moment.
    ///
    /// # Errors
    /// How long until there is one.
    pub(super) fn take(&self, per_minute: u64, now: Duration) -> Result<(), Duration> {
        let now = u64::try_from(now.as_nanos()).unwrap_or(u64::MAX);
        let interval = (MINUTE_NANOS / per_minute.max(1)).max(1);
        let depth = interval.saturating_mul(per_minute);
        let next = |full_at: u64| full_at.max(now).saturating_add(interval);
        let taken = self.full_at.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |full_at| {
            let next = next(full_at);
            (next - now <= depth).then_some(next)
        });
        taken.map(|_| ()).map_err(|full_at| Duration::from_nanos((next(full_at) - now).saturating_sub(depth)))
    }
}

/// Days since 1970, and how long the present one lasts still.
fn day(now: SystemTime) -> (u64, Duration) {
    let now = now.duration_since(UNIX_EPOCH).unwrap_or_default();
    let day = now.as_secs() / DAY;
    (day, Duration::from_secs((day + 1) * DAY).saturating_sub(now))
}

/// Bytes that one agent sent today, by host.
#[derive(Debug, Default)]
pub(super) struct Sent {
    day: u64,
    hosts: HashMap<Host, u64>,
    /// To hosts beyond those.
    others: u64,
}

impl Sent {
    /// Counts bytes, unless there would be more than `most` of them.
    ///
    /// # Errors
    /// How long until the next day begins; then nothing was counted.
    pub(super) fn add(&mut self, host: &Host, bytes: u64, most: u64, now: SystemTime) -> Result<(), Duration> {
        self.has_room(host, bytes, most, now)?;
        let has_own = self.hosts.len() < MOST_HOSTS || self.hosts.contains_key(host);
        let count = if has_own { self.hosts.entry(host.clone()).or_default() } else { &mut self.others };
        *count = count.saturating_add(bytes);
        Ok(())
    }

    /// Whether so many more bytes would stay within `most`.
    ///
    /// # Errors
    /// As of [`Sent::add`].
    pub(super) fn has_room(&mut self, host: &Host, bytes: u64, most: u64, now: SystemTime) -> Result<(), Duration> {
        let (day, left) = day(now);
        // A clock that goes back gives no new day.
        if day > self.day {
            *self = Sent { day, ..Sent::default() };
        }
        let so_far = match self.hosts.get(host) {
            Some(count) => *count,
            None if self.hosts.len() < MOST_HOSTS => 0,
            None => self.others,
        };
        if so_far.saturating_add(bytes) > most { Err(left) } else { Ok(()) }
    }
}

/// Events of a day.
#[derive(Debug, Default)]
pub(crate) struct Daily {
    day: u64,
    count: u64,
}

impl Daily {
    /// Counts one more; how many there were today.
    pub(crate) fn add(&mut self, now: SystemTime) -> u64 {
        let (day, _) = day(now);
        if day > self.day {
            *self = Daily { day, count: 0 };
        }
        self.count = self.count.saturating_add(1);
        self.count
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> SystemTime {
        UNIX_EPOCH + Duration::from_secs(seconds)
    }

    fn host(name: &str) -> Host {
        Host::Name(stubgate_policy::Name::parse(name.as_bytes()).unwrap())
    }

    #[test]
    fn a_bucket_gives_a_minutes_worth_at_once_and_then_its_rate() {
        let bucket = Bucket::default();
        let taken = |now| (0..1000).filter(|_| bucket.take(60, Duration::from_millis(now)).is_ok()).count();
        assert_eq!(taken(0), 60);
        assert_eq!(taken(999), 0);
        assert_eq!(bucket.take(60, Duration::from_millis(999)), Err(Duration::from_millis(1)));
        assert_eq!(taken(1000), 1);
        assert_eq!(taken(11_000), 10);
        assert_eq!(taken(1_000_000), 60, "a pause gives no more than a minute's worth");
    }

    #[test]
    fn a_limit_that_a_reload_lowers_holds_at_once_and_lets_nobody_wait_for_ever() {
        let bucket = Bucket::default();
        assert_eq!((0..1000).filter(|_| bucket.take(600, Duration::ZERO).is_ok()).count(), 600);
        let wait = bucket.take(1, Duration::ZERO).unwrap_err();
        assert!(wait <= Duration::from_secs(121), "{wait:?}");
    }

    #[test]
    fn bytes_are_counted_by_host_and_begin_anew_at_midnight_utc() {
        let mut sent = Sent::default();
        let (a, b) = (host("a.example"), host("b.example"));
        let evening = 3 * DAY - 10;
        assert_eq!(sent.add(&a, 90, 100, at(evening)), Ok(()));
        assert_eq!(sent.add(&a, 11, 100, at(evening)), Err(Duration::from_secs(10)));
        assert_eq!(sent.add(&a, 10, 100, at(evening)), Ok(()), "what was refused was not counted");
        assert_eq!(sent.add(&b, 100, 100, at(evening)), Ok(()));
        assert_eq!(sent.add(&a, 1, 100, at(3 * DAY - 1)), Err(Duration::from_secs(1)));
        assert_eq!(sent.add(&a, 100, 100, at(3 * DAY)), Ok(()));
        assert_eq!(sent.add(&a, 1, 100, at(2 * DAY)), Err(Duration::from_secs(DAY)), "a clock that went back");
    }

    #[test]
    fn hosts_beyond_the_bound_share_one_count() {
        let mut sent = Sent::default();
        for at_ in 0..MOST_HOSTS {
            sent.add(&host(&format!("h{at_}.example")), 10, 10, at(0)).unwrap();
        }
        assert_eq!(sent.add(&host("one-more.example"), 6, 10, at(0)), Ok(()));
        assert!(sent.add(&host("and-more.example"), 6, 10, at(0)).is_err());
        assert_eq!(sent.hosts.len(), MOST_HOSTS);
    }

    #[test]
    fn events_are_counted_by_day() {
        let mut daily = Daily::default();
        assert_eq!([daily.add(at(DAY)), daily.add(at(DAY + 5)), daily.add(at(2 * DAY))], [1, 2, 1]);
        assert_eq!(daily.add(at(5)), 2, "a clock that goes back forgets nothing");
    }
}
