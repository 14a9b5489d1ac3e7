//! How much an agent may say in names that only a wildcard allows (law 7).
//!
//! Whoever owns the wildcard's zone reads each name that is resolved for a request, so the labels that a wildcard stands
//! for are a way out: a slow one, and this is what makes it slow. A name that an agent used lately is free. A new one
//! is paid for three times: as a name, by its length, and by what it may carry (its characters' entropy). Each budget
//! holds a minute's worth and fills again over a minute. What is over budget is refused, never delayed.
//!
//! Names that policy names as they are cost nothing. Nothing here grants anything: policy has, before this is asked.

use std::{
    collections::HashMap,
    hash::{BuildHasher, RandomState},
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

/// Names of one agent that are remembered; the oldest go first, and are new again when they come back.
const REMEMBERED: usize = 1024;

/// In milliseconds.
const MINUTE: u64 = 60_000;

/// What new names under wildcards may cost an agent in a minute.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NameBudget {
    /// How many.
    pub names: u32,
    /// Bytes of the labels that wildcards stand for, dots included.
    pub label_bytes: u32,
    /// Bits that those labels may carry.
    pub label_bits: u32,
}

impl Default for NameBudget {
    fn default() -> Self {
        NameBudget { names: 120, label_bytes: 2048, label_bits: 6144 }
    }
}

/// The budgets of all agents, by name, so that a reload keeps them.
#[derive(Debug)]
pub struct NameBudgets {
    most: NameBudget,
    hasher: RandomState,
    agents: Mutex<HashMap<Box<str>, Arc<Mutex<Spent>>>>,
}

#[derive(Debug)]
struct Spent {
    /// Hashes of names, the youngest last. Keyed, so that nobody can make two names look the same.
    known: Vec<u64>,
    /// What is left of names, bytes and bits. A thousandth of each is [`MINUTE`], so that a millisecond brings back as
    /// many as the whole has thousandths, and nothing is ever rounded away.
    left: [u64; 3],
    at: Instant,
}

impl NameBudgets {
    /// Full ones.
    pub fn new(most: NameBudget) -> Self {
        NameBudgets { most, hasher: RandomState::new(), agents: Mutex::default() }
    }

    /// Takes what `agent` needs for a name of which a wildcard covers `wild`.
    ///
    /// # Errors
    /// How long until there is enough; at most a minute, in which the whole budget comes back.
    pub fn spend(&self, agent: &str, name: &str, wild: &str, now: Instant) -> Result<(), Duration> {
        let hash = self.hasher.hash_one(name);
        let spent = self.of(agent, now);
        spent.lock().unwrap_or_else(PoisonError::into_inner).spend(self.most, hash, wild, now)
    }

    /// Lets go of agents that are not to be kept.
    pub fn keep(&self, mut is_known: impl FnMut(&str) -> bool) {
        self.agents.lock().unwrap_or_else(PoisonError::into_inner).retain(|name, _| is_known(name));
    }

    fn of(&self, agent: &str, now: Instant) -> Arc<Mutex<Spent>> {
        let mut agents = self.agents.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(spent) = agents.get(agent) {
            return Arc::clone(spent);
        }
        let spent = Arc::new(Mutex::new(Spent {
            known: Vec::new(),
            left: thousandths(self.most).map(|all| all * MINUTE),
            at: now,
        }));
        agents.insert(agent.into(), Arc::clone(&spent));
        spent
    }
}

impl Spent {
    fn spend(&mut self, most: NameBudget, hash: u64, wild: &str, now: Instant) -> Result<(), Duration> {
        if let Some(at) = self.known.iter().rposition(|known| *known == hash) {
            self.known.get_mut(at..).unwrap_or_default().rotate_left(1);
            return Ok(());
        }
        let full = thousandths(most);
        let since = now.saturating_duration_since(self.at);
        let millis = u64::try_from(since.as_millis()).unwrap_or(u64::MAX);
        // The part of a millisecond that is left over counts the next time.
        self.at = now.max(self.at) - (since - Duration::from_millis(millis));
        let cost = cost(wild).map(|cost| cost.saturating_mul(MINUTE));
        let mut wait = 0;
        for ((left, full), cost) in self.left.iter_mut().zip(full).zip(cost) {
            let all = full * MINUTE;
            *left = (*left + full * millis.min(MINUTE)).min(all);
            // One name can cost more than there ever is: it is let through when all is there.
            let missing = cost.min(all).saturating_sub(*left);
            wait = wait.max(missing.div_ceil(full));
        }
        if wait > 0 {
            return Err(Duration::from_millis(wait));
        }
        for (left, cost) in self.left.iter_mut().zip(cost) {
            *left = left.saturating_sub(cost);
        }
        if self.known.len() >= REMEMBERED {
            self.known.remove(0);
        }
        self.known.push(hash);
        Ok(())
    }
}

fn thousandths(budget: NameBudget) -> [u64; 3] {
    [budget.names, budget.label_bytes, budget.label_bits].map(|most| u64::from(most.max(1)) * 1000)
}

fn cost(wild: &str) -> [u64; 3] {
    let bytes = u64::try_from(wild.len()).unwrap_or(u64::MAX);
    [1000, bytes.saturating_mul(1000), millibits(wild.as_bytes())]
}

/// Thousandths of the bits that a text carries if its characters are drawn by their own frequencies: its length times
/// their entropy (Shannon). At least one bit a byte, so that a text of few different characters is not free.
#[expect(
    clippy::cast_possible_truncation,
    reason = "a name has at most 253 bytes, so all numbers are small and positive"
)]
fn millibits(text: &[u8]) -> u64 {
    let mut counts = [0_u32; 256];
    for byte in text {
        if let Some(count) = counts.get_mut(usize::from(*byte)) {
            *count += 1;
        }
    }
    let length = text.len() as f64;
    let bits: f64 = counts
        .iter()
        .filter(|count| **count > 0)
        .map(|count| f64::from(*count) * (length / f64::from(*count)).log2())
        .sum();
    (bits.max(length) * 1000.0).ceil() as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    const ROOMY: NameBudget = NameBudget { names: 1_000_000, label_bytes: 100_000_000, label_bits: 100_000_000 };

    /// How many of so many new names with this much in front are let through at once.
    fn passed(most: NameBudget, label: impl Fn(usize) -> String) -> usize {
        let (budgets, now) = (NameBudgets::new(most), Instant::now());
        (0..2000)
            .filter(|at| {
                let wild = label(*at);
                budgets.spend("a", &format!("{wild}.w.test"), &wild, now).is_ok()
            })
            .count()
    }

    #[test]
    fn new_names_are_bounded_by_number_length_and_entropy() {
        let short = |at: usize| format!("{at:04}");
        assert_eq!(passed(NameBudget { names: 50, ..ROOMY }, short), 50);
        assert_eq!(passed(NameBudget { label_bytes: 400, ..ROOMY }, short), 100);
        let dull = |at: usize| format!("{}{at:04}", "a".repeat(56));
        let rich = |at: usize| {
            let text: String =
                (0..56_usize).map(|i| char::from(b"abcdefghijklmnopqrstuvwxyz234567"[(i * 7 + at) % 32])).collect();
            format!("{text}{at:04}")
        };
        let bits = NameBudget { label_bits: 6144, ..ROOMY };
        let (dull, rich) = (passed(bits, dull), passed(bits, rich));
        assert!(rich * 3 < dull && rich >= 15, "{rich} names that carry much, {dull} that carry little");
    }

    #[test]
    fn a_name_that_was_used_lately_is_free_and_one_that_is_forgotten_is_new() {
        let (budgets, now) = (NameBudgets::new(NameBudget { names: 2, ..ROOMY }), Instant::now());
        let spend = |name: &str, now| budgets.spend("a", name, "x", now);
        for _ in 0..100 {
            assert_eq!(spend("one", now), Ok(()));
        }
        assert_eq!(spend("two", now), Ok(()));
        assert_eq!(spend("three", now), Err(Duration::from_secs(30)));
        assert_eq!(spend("two", now), Ok(()), "known ones are free also when nothing is left");
        assert_eq!(budgets.spend("b", "three", "x", now), Ok(()), "another agent has its own");
        assert_eq!(spend("three", now + Duration::from_secs(30)), Ok(()));
        let (budgets, now) = (NameBudgets::new(ROOMY), Instant::now());
        for at in 0..REMEMBERED + 1 {
            budgets.spend("a", &at.to_string(), "x", now).unwrap();
        }
        let agents = budgets.agents.lock().unwrap();
        assert_eq!(agents["a"].lock().unwrap().known.len(), REMEMBERED);
    }

    #[test]
    fn a_name_that_costs_more_than_there_ever_is_waits_for_a_full_budget_and_not_for_ever() {
        let (budgets, now) = (NameBudgets::new(NameBudget { label_bytes: 10, ..ROOMY }), Instant::now());
        let long = "x".repeat(60);
        assert_eq!(budgets.spend("a", "one", &long, now), Ok(()));
        assert_eq!(budgets.spend("a", "two", &long, now), Err(Duration::from_secs(60)));
        assert_eq!(budgets.spend("a", "two", &long, now + Duration::from_secs(60)), Ok(()));
    }

    #[test]
    fn a_budget_fills_again_under_tries_that_come_faster_than_it_can() {
        let minute = Duration::from_secs(60);
        for (names, step) in
            [(120, Duration::from_micros(300)), (1, Duration::from_millis(17)), (7, Duration::from_millis(1))]
        {
            let (budgets, start) = (NameBudgets::new(NameBudget { names, ..ROOMY }), Instant::now());
            let (mut at, mut passed) = (start, 0);
            while at <= start + minute {
                passed += u32::from(budgets.spend("a", &format!("{at:?}"), "x", at).is_ok());
                at += step;
            }
            // The last try may come a little before the minute is over.
            assert!((2 * names - 1..=2 * names).contains(&passed), "{passed} of {names} twice");
        }
    }

    #[test]
    fn what_is_not_there_yet_by_less_than_a_millisecond_is_waited_for() {
        let (budgets, now) = (NameBudgets::new(NameBudget { names: 7, ..ROOMY }), Instant::now());
        for name in 0..7 {
            budgets.spend("a", &name.to_string(), "x", now).unwrap();
        }
        let wait = budgets.spend("a", "more", "x", now).unwrap_err();
        assert_eq!(wait, Duration::from_millis(8572), "a seventh of a minute, and no less");
        assert!(budgets.spend("a", "more", "x", now + wait - Duration::from_millis(1)).is_err());
        assert_eq!(budgets.spend("a", "more", "x", now + wait), Ok(()));
    }

    #[test]
    fn an_agent_that_policy_no_longer_knows_is_let_go() {
        let budgets = NameBudgets::new(NameBudget::default());
        budgets.spend("a", "one", "x", Instant::now()).unwrap();
        budgets.keep(|name| name != "a");
        assert!(budgets.agents.lock().unwrap().is_empty());
    }
}
