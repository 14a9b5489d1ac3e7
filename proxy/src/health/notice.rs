//! When people are told that a value ends. Pure: times come in as arguments.
//!
//! A notice is for what stubgate can't renew by itself. So it is given only where the source was asked once more when its
//! time had come, and gave the same end or nothing; and only where the value had lived long enough for that notice to
//! be one: a token that lives an hour is no news each hour.

use std::time::{Duration, SystemTime};

const HOUR: Duration = Duration::from_secs(60 * 60);
/// By how much an end may come earlier and still be the same: programs that count seconds round.
const ROUNDING: Duration = Duration::from_secs(60);
/// How much longer than its notice a value lives. A source that renews has done so by then: it is asked at 70 to 80 % of
/// a value's life.
const LIVES: u32 = 4;

/// How long ahead of the end, the last one first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Ahead {
    /// One hour.
    Hour,
    /// One day.
    Day,
    /// Seven days.
    Week,
}

impl Ahead {
    const ALL: [Ahead; 3] = [Ahead::Hour, Ahead::Day, Ahead::Week];

    /// As people say it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Ahead::Hour => "1 hour",
            Ahead::Day => "1 day",
            Ahead::Week => "7 days",
        }
    }

    const fn time(self) -> Duration {
        match self {
            Ahead::Hour => HOUR,
            Ahead::Day => HOUR.saturating_mul(24),
            Ahead::Week => HOUR.saturating_mul(7 * 24),
        }
    }
}

/// What is to be done now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Due {
    /// Nothing.
    Nothing,
    /// The source is asked whether it has another value; what it says is waited for.
    Ask,
    /// People are told that the value ends in less than that.
    Tell(Ahead),
}

/// What is known of the end of one credential's value, and what was said of it.
#[derive(Debug, Default)]
pub(super) struct Notice {
    value: Option<Value>,
    /// Whether there was a value before with an end.
    had_one: bool,
}

#[derive(Debug)]
struct Value {
    /// When it was first seen, and its end as it was told then.
    seen: (SystemTime, SystemTime),
    /// Its end as it was told last.
    end: SystemTime,
    /// Whether nothing is known of how long the values of its source live: it is the first one of this process.
    is_first: bool,
    /// When its source was last heard of.
    answered: SystemTime,
    asked: Option<Ahead>,
    told: Option<Ahead>,
}

impl Notice {
    /// A source gave a value, which ends then.
    pub(super) fn fetched(&mut self, now: SystemTime, end: Option<SystemTime>) {
        let Some(end) = end else {
            self.value = None;
            return;
        };
        match &mut self.value {
            Some(value) if !value.is_renewed_by(now, end) => (value.end, value.answered) = (end, now),
            value => {
                let is_first = !std::mem::replace(&mut self.had_one, true);
                *value = Some(Value { seen: (now, end), end, is_first, answered: now, asked: None, told: None });
            }
        }
    }

    /// Its source was asked, and gave nothing; whether the value stays in use.
    pub(super) fn failed(&mut self, now: SystemTime, is_kept: bool) {
        if !is_kept {
            self.value = None;
        } else if let Some(value) = &mut self.value {
            value.answered = now;
        }
    }

    /// What is to be done; what is said is not said again.
    pub(super) fn due(&mut self, now: SystemTime) -> Due {
        let Some(value) = &mut self.value else { return Due::Nothing };
        let Ok(left) = value.end.duration_since(now) else { return Due::Nothing };
        let is_due = |ahead: &Ahead| left <= ahead.time() && value.told.is_none_or(|told| *ahead < told);
        let Some(ahead) = Ahead::ALL.into_iter().find(|ahead| is_due(ahead) && value.counts(*ahead)) else {
            return Due::Nothing;
        };
        if value.end.duration_since(value.answered).is_ok_and(|left| left > ahead.time()) {
            let is_asked = value.asked.replace(ahead) == Some(ahead);
            return if is_asked { Due::Nothing } else { Due::Ask };
        }
        value.told = Some(ahead);
        Due::Tell(ahead)
    }

    /// What was said last of the value that is in use.
    pub(super) fn told(&self) -> Option<Ahead> {
        self.value.as_ref()?.told
    }
}

impl Value {
    /// Whether one that ends then is another one: its end has moved with the time, or is another one altogether.
    fn is_renewed_by(&self, now: SystemTime, end: SystemTime) -> bool {
        let (since, first) = self.seen;
        match end.duration_since(first) {
            Ok(moved) => {
                let passed = now.duration_since(since).unwrap_or_default();
                !moved.is_zero() && moved.saturating_mul(2) >= passed
            }
            Err(earlier) => earlier.duration() > ROUNDING,
        }
    }

    /// Whether it lives so long that this is a notice.
    fn counts(&self, ahead: Ahead) -> bool {
        let (since, end) = self.seen;
        let life = end.duration_since(since).unwrap_or_default();
        if self.is_first { life > ahead.time() } else { life >= ahead.time().saturating_mul(LIVES) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: Duration = Duration::from_secs(24 * 60 * 60);
    const MINUTE: Duration = Duration::from_secs(60);
    const SECOND: Duration = Duration::from_secs(1);

    fn at(time: Duration) -> SystemTime {
        SystemTime::UNIX_EPOCH + 1000 * DAY + time
    }

    /// A value that was seen first at 0, and what is to be done from then on.
    struct Life {
        notice: Notice,
        /// What the source says when it is asked: an end, or nothing.
        answers: Box<dyn Fn(Duration) -> Option<Duration>>,
        asked: usize,
    }

    impl Life {
        /// Goes through time in steps; what was told, and when.
        fn through(&mut self, until: Duration, step: Duration) -> Vec<(Ahead, Duration)> {
            let mut told = Vec::new();
            let mut now = Duration::ZERO;
            while now < until {
                match self.notice.due(at(now)) {
                    Due::Nothing => {}
                    Due::Tell(ahead) => told.push((ahead, now)),
                    Due::Ask => {
                        self.asked += 1;
                        match (self.answers)(now) {
                            Some(end) => self.notice.fetched(at(now), Some(at(end))),
                            None => self.notice.failed(at(now), true),
                        }
                    }
                }
                now += step;
            }
            told
        }
    }

    fn life(end: Duration, answers: impl Fn(Duration) -> Option<Duration> + 'static) -> Life {
        let mut notice = Notice::default();
        notice.fetched(at(Duration::ZERO), Some(at(end)));
        Life { notice, answers: Box::new(answers), asked: 0 }
    }

    #[test]
    fn a_value_that_its_source_does_not_renew_is_told_of_thrice_and_asked_for_before_each() {
        for answer in [Some(90 * DAY), None] {
            let mut life = life(90 * DAY, move |_| answer);
            let told = life.through(100 * DAY, MINUTE);
            let expected = [
                (Ahead::Week, 83 * DAY + MINUTE),
                (Ahead::Day, 89 * DAY + MINUTE),
                (Ahead::Hour, 90 * DAY - HOUR + MINUTE),
            ];
            assert_eq!((told, life.asked), (expected.into(), 3));
        }
    }

    #[test]
    fn a_value_that_is_renewed_when_it_is_asked_for_is_never_told_of() {
        let mut life = life(90 * DAY, |now| Some(now + 90 * DAY));
        assert_eq!(life.through(400 * DAY, HOUR), []);
        assert_eq!(life.asked, 4);
    }

    #[test]
    fn nobody_is_told_each_hour_of_tokens_that_live_an_hour() {
        for (life, renewed) in [(HOUR, 45 * MINUTE), (HOUR + 5 * SECOND, 45 * MINUTE), (75 * MINUTE, 70 * MINUTE)] {
            let mut notice = Notice::default();
            let mut now = Duration::ZERO;
            let mut end = life;
            notice.fetched(at(now), Some(at(end)));
            let mut told = 0;
            while now < 10 * DAY {
                now += SECOND;
                if end - now <= life - renewed {
                    end = now + life;
                    notice.fetched(at(now), Some(at(end)));
                }
                match notice.due(at(now)) {
                    Due::Tell(_) => told += 1,
                    // What a source mints for each question, or what it keeps until shortly before its end.
                    Due::Ask => {
                        notice.fetched(at(now), Some(at(if renewed == 45 * MINUTE { now + life } else { end })))
                    }
                    Due::Nothing => {}
                }
            }
            // Of the first value nobody knows for how long it had lived.
            assert!(told <= usize::from(renewed == 70 * MINUTE), "{life:?}: {told}");
        }
    }

    #[test]
    fn a_value_that_is_near_its_end_at_the_start_is_told_of_with_what_notice_is_left() {
        for (left, expected) in [
            (6 * DAY, &[Ahead::Day, Ahead::Hour][..]),
            (DAY, &[Ahead::Hour]),
            (HOUR + SECOND, &[Ahead::Hour]),
            (HOUR, &[]),
            (20 * SECOND, &[]),
        ] {
            let told = life(left, move |_| Some(left)).through(left, SECOND);
            assert_eq!(told.iter().map(|(ahead, _)| *ahead).collect::<Vec<_>>(), expected, "{left:?}");
        }
    }

    #[test]
    fn after_a_gap_the_shortest_notice_is_told_alone() {
        let mut notice = Notice::default();
        notice.fetched(at(Duration::ZERO), Some(at(90 * DAY)));
        notice.failed(at(89 * DAY + 23 * HOUR + MINUTE), true);
        assert_eq!(notice.due(at(89 * DAY + 23 * HOUR + MINUTE)), Due::Tell(Ahead::Hour));
        assert_eq!(notice.due(at(89 * DAY + 23 * HOUR + 2 * MINUTE)), Due::Nothing);
        assert_eq!(notice.told(), Some(Ahead::Hour));
    }

    #[test]
    fn an_end_that_is_counted_anew_at_each_question_is_the_same_end() {
        let jitter = |now: Duration| Some(90 * DAY + SECOND * u32::try_from(now.as_secs() % 50).unwrap());
        let mut life = life(90 * DAY, jitter);
        let told = life.through(90 * DAY, 7 * MINUTE);
        assert_eq!(told.iter().map(|(ahead, _)| *ahead).collect::<Vec<_>>(), [Ahead::Week, Ahead::Day, Ahead::Hour]);
    }

    #[test]
    fn what_was_told_ends_with_the_value() {
        let told = || {
            let mut notice = Notice::default();
            notice.fetched(at(Duration::ZERO), Some(at(90 * DAY)));
            notice.failed(at(84 * DAY), true);
            assert_eq!(notice.due(at(84 * DAY)), Due::Tell(Ahead::Week));
            notice
        };
        let mut notice = told();
        notice.fetched(at(85 * DAY), Some(at(175 * DAY)));
        assert_eq!((notice.told(), notice.due(at(85 * DAY))), (None, Due::Nothing));
        let mut notice = told();
        notice.fetched(at(85 * DAY), None);
        assert_eq!((notice.told(), notice.due(at(90 * DAY))), (None, Due::Nothing));
        let mut notice = told();
        notice.failed(at(90 * DAY), false);
        assert_eq!((notice.told(), notice.due(at(90 * DAY))), (None, Due::Nothing));
    }
}
