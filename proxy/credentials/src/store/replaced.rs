//! Values that are no longer sent, and still looked for in responses: for a while, and not many of them.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use stubgate_scrub::{Builder, Scrubber};
use tokio::time::Instant;

use super::Generation;
use crate::forms;
use crate::secret::Secret;

/// Values of one credential that were replaced and are still scrubbed from responses.
const MAXIMUM_OF_ONE: usize = 4;
/// The longest that a value is looked for because it is still good somewhere.
const LONGEST: Duration = Duration::from_secs(24 * 60 * 60);

/// Latest first.
#[derive(Default)]
pub(super) struct Replaced(VecDeque<Value>);

struct Value {
    name: Arc<str>,
    /// What is put in its place.
    stub: Box<str>,
    secret: Arc<Secret>,
    since: Instant,
    /// When it has ended, or nobody cares any more.
    ends: Instant,
}

impl Replaced {
    /// Replaced just now, when it was still good for `life`.
    pub(super) fn add(
        &mut self,
        name: &Arc<str>,
        stub: &str,
        secret: &Arc<Secret>,
        (since, life): (Instant, Duration),
    ) {
        let ends = since + life.min(LONGEST);
        let (name, secret) = (Arc::clone(name), Arc::clone(secret));
        self.0.push_front(Value { name: Arc::clone(&name), stub: stub.into(), secret, since, ends });
        let mut count = 0;
        self.0.retain(|value| {
            count += usize::from(value.name == name);
            value.name != name || count <= MAXIMUM_OF_ONE
        });
    }

    /// Whether one more value of that credential would push out one that is still looked for.
    pub(super) fn is_full(&self, name: &str) -> bool {
        self.0.iter().filter(|value| *value.name == *name).count() >= MAXIMUM_OF_ONE
    }

    /// Drops what is older and has ended; whether there was any.
    pub(super) fn forget(&mut self, now: Instant, after: Duration) -> bool {
        let before = self.0.len();
        self.0.retain(|value| now.saturating_duration_since(value.since) < after || now < value.ends);
        self.0.len() < before
    }
}

/// Values in force first, so that they name what is found where a value is in two credentials.
pub(super) fn scrubber(held: &Generation, replaced: &Replaced) -> Scrubber {
    let mut builder = Builder::default();
    let mut names: Vec<&Arc<str>> = held.keys().chain(replaced.0.iter().map(|value| &value.name)).collect();
    names.sort_unstable();
    names.dedup();
    let owners: Vec<_> = names.into_iter().map(|name| (name, builder.owner(Arc::clone(name)))).collect();
    for (name, owner) in &owners {
        if let Some(held) = held.get(*name)
            && let Some(secret) = held.secret()
        {
            forms::add(&mut builder, *owner, secret, &held.stub);
        }
    }
    for value in &replaced.0 {
        if let Some((_, owner)) = owners.iter().find(|(name, _)| **name == value.name) {
            forms::add(&mut builder, *owner, &value.secret, &value.stub);
        }
    }
    builder.build()
}
