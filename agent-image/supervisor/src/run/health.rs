//! The health prompt: when it is due, and whether it was answered. It says what it is, and it is typed only into a session that
//! has been idle, where nothing waits to be sent and no dialog is up. Time comes in as an argument.

use std::time::{Duration, Instant};

use crate::agent::file::HealthPrompt;

/// What is typed.
pub(crate) const TEXT: &str = "[stubgate-agent health check] Please answer with the single word: ok";

/// Watches over one agent.
#[derive(Debug)]
pub(crate) struct Health {
    every: Duration,
    within: Duration,
    asked: Option<(Instant, u64)>,
}

/// What is to be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// Nothing.
    Nothing,
    /// It is due: type it, and say so with [`Health::asked`].
    Ask,
    /// It was answered.
    Answered,
    /// It was not answered in time.
    Unanswered,
}

impl Health {
    /// As the agent's file says, times divided by this.
    pub(crate) fn new(prompt: &HealthPrompt, hurry: u32) -> Self {
        let hurry = hurry.max(1);
        Health {
            every: Duration::from_secs(prompt.every_minutes.saturating_mul(60).max(60)) / hurry,
            within: Duration::from_secs(prompt.answer_within_seconds.max(1)) / hurry,
            asked: None,
        }
    }

    /// What is to be done, of a client that has been idle for so long and has ended so many turns.
    pub(crate) fn look(&mut self, now: Instant, idle: Duration, turns: u64) -> Step {
        match self.asked {
            Some((_, before)) if turns > before => {
                self.asked = None;
                Step::Answered
            }
            Some((at, _)) if now.saturating_duration_since(at) >= self.within => {
                self.asked = None;
                Step::Unanswered
            }
            None if idle >= self.every => Step::Ask,
            _ => Step::Nothing,
        }
    }

    /// It was typed, after so many turns.
    pub(crate) fn asked(&mut self, now: Instant, turns: u64) {
        self.asked = Some((now, turns));
    }

    /// The client was started again: whatever was asked is gone.
    pub(crate) fn restarted(&mut self) {
        self.asked = None;
    }
}

/// Whether the client's input line is there and empty, as far as its screen tells. The client puts an example into an empty one.
pub(crate) fn is_input_empty(screen: &str) -> bool {
    let inputs = screen.lines().rev().filter_map(|line| {
        let line = line.trim_start_matches(['│', ' ']).trim_end_matches(['│', ' ']);
        line.strip_prefix('❯').or_else(|| line.strip_prefix('>'))
    });
    let Some(typed) = inputs.map(|typed| typed.trim_matches(|letter: char| letter.is_whitespace())).next() else {
        return false;
    };
    typed.is_empty() || typed.starts_with("Try \"")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn hourly() -> Health {
        Health::new(&HealthPrompt { every_minutes: 60, answer_within_seconds: 120 }, 1)
    }

    #[test]
    fn asks_an_idle_session_and_waits_for_a_turn() {
        let (start, hour) = (Instant::now(), Duration::from_secs(3600));
        let mut health = hourly();
        assert_eq!(health.look(start, hour - Duration::from_secs(1), 4), Step::Nothing);
        assert_eq!(health.look(start, hour, 4), Step::Ask);
        // Something was in the way.
        assert_eq!(health.look(start, hour, 4), Step::Ask);
        health.asked(start, 4);
        assert_eq!(health.look(start + Duration::from_secs(119), hour, 4), Step::Nothing);
        assert_eq!(health.look(start + Duration::from_secs(119), Duration::ZERO, 5), Step::Answered);
        assert_eq!(health.look(start + Duration::from_secs(120), Duration::ZERO, 5), Step::Nothing);
    }

    #[test]
    fn tells_once_that_nobody_answered_and_asks_again() {
        let (start, hour) = (Instant::now(), Duration::from_secs(3600));
        let mut health = hourly();
        health.asked(start, 4);
        assert_eq!(health.look(start + Duration::from_secs(120), Duration::ZERO, 4), Step::Unanswered);
        assert_eq!(health.look(start + Duration::from_secs(121), Duration::ZERO, 4), Step::Nothing);
        assert_eq!(health.look(start + hour, hour, 4), Step::Ask);
    }

    #[test]
    fn a_new_start_of_the_client_takes_the_question_with_it() {
        let start = Instant::now();
        let mut health = hourly();
        health.asked(start, 4);
        health.restarted();
        assert_eq!(health.look(start + Duration::from_secs(600), Duration::ZERO, 4), Step::Nothing);
    }

    #[test]
    fn types_into_an_empty_line_only() {
        for (screen, is_empty) in [
            ("● hello\n\n─────\n❯ \n─────\n  ⏵⏵ bypass permissions on", true),
            ("╭────╮\n│ >                 │\n╰────╯", true),
            ("─────\n❯ Try \"fix lint errors\"\n─────", true),
            ("─────\n❯\u{a0}\n─────", true),
            ("─────\n❯ rm -rf half a thought\n─────", false),
            ("╭────╮\n│ > half a thought   │\n╰────╯", false),
            ("❯ \nthen\n❯ 1. Yes\n  2. No", false),
            ("$ sh", false),
            ("", false),
        ] {
            assert_eq!(is_input_empty(screen), is_empty, "{screen}");
        }
    }

    proptest! {
        #[test]
        fn never_asks_twice_without_an_end_of_the_first(steps in prop::collection::vec((0_u64..400, 0_u64..8000, 0_u64..3), 0..100)) {
            let (mut now, mut turns, mut is_open) = (Instant::now(), 0, false);
            let mut health = hourly();
            for (later, idle, more) in steps {
                now += Duration::from_secs(later);
                turns += more;
                match health.look(now, Duration::from_secs(idle), turns) {
                    Step::Ask => {
                        prop_assert!(!is_open && idle >= 3600);
                        health.asked(now, turns);
                        is_open = true;
                    }
                    Step::Answered | Step::Unanswered => {
                        prop_assert!(is_open);
                        is_open = false;
                    }
                    Step::Nothing => {}
                }
            }
        }
    }
}
