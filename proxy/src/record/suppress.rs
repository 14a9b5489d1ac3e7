//! Refusals above a rate are counted instead of written, agent by agent, so that no agent can fill the disk or push
//! evidence out; and so is what the appliance answers by itself, which has no reason. What is allowed is never counted away.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use stubgate_policy::Reason;

use super::line::Layer;

/// What to do with a refusal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Admission {
    /// Write it.
    Write,
    /// It was counted.
    Count,
}

/// Refusals of one shape that were counted in one second.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Counted {
    /// Whose; `None` for sources that are no agent.
    pub agent: Option<Arc<str>>,
    /// Where.
    pub layer: Layer,
    /// Why; `None` where it was answered.
    pub reason: Option<Reason>,
    /// How many.
    pub count: u64,
}

#[derive(Debug)]
struct Window {
    since: Instant,
    written: u32,
    counted: u64,
}

/// Whose refusals, of which shape: a flood of one shape does not hide the first of another.
type Shape = (Option<Arc<str>>, Layer, Option<Reason>);

/// Counts refusals by agent and shape. The agents are those of policy, and one entry for all that is none; layers and
/// reasons are closed sets; so it is bounded.
#[derive(Debug)]
pub struct Suppressor {
    per_second: u32,
    windows: HashMap<Shape, Window>,
}

impl Suppressor {
    /// At most `per_second` refusals of an agent, layer and reason are written in a second.
    pub fn new(per_second: u32) -> Self {
        Suppressor { per_second, windows: HashMap::new() }
    }

    /// Decides on one refusal.
    pub fn admit(&mut self, agent: Option<&str>, layer: Layer, reason: Option<Reason>, now: Instant) -> Admission {
        let key = (agent.map(Arc::from), layer, reason);
        let window = self.windows.entry(key).or_insert(Window { since: now, written: 0, counted: 0 });
        if now.duration_since(window.since) >= Duration::from_secs(1) && window.counted == 0 {
            window.since = now;
            window.written = 0;
        }
        if window.written < self.per_second {
            window.written += 1;
            return Admission::Write;
        }
        window.counted += 1;
        Admission::Count
    }

    /// What was counted in seconds that have passed; those shapes begin a new second.
    pub fn take_due(&mut self, now: Instant) -> Vec<Counted> {
        let mut due = Vec::new();
        self.windows.retain(|(agent, layer, reason), window| {
            if now.duration_since(window.since) < Duration::from_secs(1) {
                return true;
            }
            if window.counted > 0 {
                due.push(Counted { agent: agent.clone(), layer: *layer, reason: *reason, count: window.counted });
            }
            false
        });
        due
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_what_is_above_the_rate_and_tells_it_once_a_second() {
        let mut suppressor = Suppressor::new(3);
        let start = Instant::now();
        let reason = Some(Reason::NameNotAllowed);
        let written =
            (0..10).filter(|_| suppressor.admit(Some("a"), Layer::Dns, reason, start) == Admission::Write).count();
        assert_eq!(written, 3);
        assert_eq!(suppressor.admit(Some("b"), Layer::Dns, reason, start), Admission::Write);
        assert!(suppressor.take_due(start + Duration::from_millis(999)).is_empty());
        let due = suppressor.take_due(start + Duration::from_secs(1));
        assert_eq!(due, [Counted { agent: Some("a".into()), layer: Layer::Dns, reason, count: 7 }]);
        assert!(suppressor.take_due(start + Duration::from_secs(2)).is_empty());
        assert_eq!(suppressor.admit(Some("a"), Layer::Dns, reason, start + Duration::from_secs(2)), Admission::Write);
    }
}
