//! Whether the client's process takes part, by what the kernel says of it. A client that runs and does nothing can't be told
//! from one that has nothing to do: that is what the health prompt is for.

use std::time::{Duration, Instant};

use super::times::Times;

/// What the kernel says of a process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Process {
    /// It runs, or waits for something that a signal can end.
    Alive,
    /// It was stopped by a signal.
    Stopped,
    /// It sleeps and no signal wakes it.
    Asleep,
}

/// What follows from it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// All is well.
    Well,
    /// It hangs since then.
    Hangs(Instant),
    /// It hangs, and SIGCONT is sent to it: once while it hangs.
    GoOn(Instant),
    /// It has hung for too long.
    Restart,
}

/// Looks at one process.
#[derive(Debug, Default)]
pub(crate) struct Hang {
    since: Option<Instant>,
    has_been_told: bool,
}

impl Hang {
    /// What follows from what is seen now.
    pub(crate) fn look(&mut self, now: Instant, process: Process, times: &Times) -> Verdict {
        if process == Process::Alive {
            *self = Hang::default();
            return Verdict::Well;
        }
        let since = *self.since.get_or_insert(now);
        let lasts: Duration = now.saturating_duration_since(since);
        if lasts >= times.hung {
            return Verdict::Restart;
        }
        if process == Process::Asleep && lasts < times.asleep {
            return Verdict::Well;
        }
        if process == Process::Stopped && lasts >= times.go_on && !self.has_been_told {
            self.has_been_told = true;
            return Verdict::GoOn(since);
        }
        Verdict::Hangs(since)
    }
}

/// Reads `/proc/PID/stat`. A process that is not there, or a text that is none, is alive: its end is told elsewhere.
pub(crate) fn process(stat: &str) -> Process {
    // The name is in brackets and may hold brackets itself.
    let state = stat.rsplit_once(')').and_then(|(_, rest)| rest.trim_start().chars().next());
    match state {
        Some('T') => Process::Stopped,
        Some('D') => Process::Asleep,
        _ => Process::Alive,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn reads_the_state_behind_any_name() {
        for (stat, expected) in [
            ("12 (claude) S 1 12 12", Process::Alive),
            ("12 (claude) T 1 12 12", Process::Stopped),
            ("12 (a) T) D 1 12 12", Process::Asleep),
            ("12 (x) t 1 12", Process::Alive),
            ("", Process::Alive),
            ("12 (claude)", Process::Alive),
        ] {
            assert_eq!(process(stat), expected, "{stat}");
        }
    }

    #[test]
    fn a_stopped_client_is_told_to_go_on_once_and_started_again_in_the_end() {
        let (times, start) = (Times::new(1), Instant::now());
        let mut hang = Hang::default();
        let mut told = Vec::new();
        for second in 0..=300 {
            let verdict = hang.look(start + Duration::from_secs(second), Process::Stopped, &times);
            match verdict {
                Verdict::Hangs(since) => assert_eq!(since, start),
                other => told.push((second, other)),
            }
        }
        assert_eq!(told, [(60, Verdict::GoOn(start)), (300, Verdict::Restart)]);
    }

    #[test]
    fn one_that_goes_on_is_well_and_may_hang_again() {
        let (times, start) = (Times::new(1), Instant::now());
        let at = |second| start + Duration::from_secs(second);
        let mut hang = Hang::default();
        assert_eq!(hang.look(at(0), Process::Stopped, &times), Verdict::Hangs(at(0)));
        assert_eq!(hang.look(at(60), Process::Stopped, &times), Verdict::GoOn(at(0)));
        assert_eq!(hang.look(at(61), Process::Alive, &times), Verdict::Well);
        assert_eq!(hang.look(at(100), Process::Stopped, &times), Verdict::Hangs(at(100)));
        assert_eq!(hang.look(at(160), Process::Stopped, &times), Verdict::GoOn(at(100)));
    }

    #[test]
    fn uninterruptible_sleep_is_a_hang_only_after_a_while_and_gets_no_signal() {
        let (times, start) = (Times::new(1), Instant::now());
        let at = |second| start + Duration::from_secs(second);
        let mut hang = Hang::default();
        for second in 0..60 {
            assert_eq!(hang.look(at(second), Process::Asleep, &times), Verdict::Well);
        }
        for second in 60..300 {
            assert_eq!(hang.look(at(second), Process::Asleep, &times), Verdict::Hangs(at(0)));
        }
        assert_eq!(hang.look(at(300), Process::Asleep, &times), Verdict::Restart);
    }

    proptest! {
        #[test]
        fn a_client_that_is_alive_in_between_is_never_started_again(
            seen in prop::collection::vec(prop_oneof![Just(Process::Stopped), Just(Process::Asleep)], 0..290),
        ) {
            let (times, mut now) = (Times::new(1), Instant::now());
            let mut hang = Hang::default();
            for process in seen {
                now += Duration::from_secs(1);
                prop_assert_ne!(hang.look(now, process, &times), Verdict::Restart);
            }
            prop_assert_eq!(hang.look(now, Process::Alive, &times), Verdict::Well);
        }

        #[test]
        fn no_stat_breaks_the_reader(stat in ".*") {
            let _ = process(&stat);
        }
    }
}
