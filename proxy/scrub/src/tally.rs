//! Who was found, and how often.

use std::sync::Arc;

/// Counts by owner. Empty, and without memory of its own, until something is found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tally(Vec<(Arc<str>, u64)>);

impl Tally {
    /// Whether nothing was found.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// How many needles were found.
    pub fn total(&self) -> u64 {
        self.0.iter().map(|(_, count)| count).sum()
    }

    /// The owners, in the order in which they were first found, with their counts.
    pub fn iter(&self) -> impl Iterator<Item = (&Arc<str>, u64)> {
        self.0.iter().map(|(owner, count)| (owner, *count))
    }

    /// Adds what another counted.
    pub fn add(&mut self, other: &Tally) {
        for (owner, count) in other.iter() {
            self.count(owner, count);
        }
    }

    pub(crate) fn count(&mut self, owner: &Arc<str>, count: u64) {
        match self.0.iter_mut().find(|(known, _)| known == owner) {
            Some((_, sum)) => *sum += count,
            None => self.0.push((Arc::clone(owner), count)),
        }
    }
}
