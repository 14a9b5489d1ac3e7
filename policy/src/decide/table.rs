//! Entries of one host pattern, by agent and by the beginning of their paths.

use super::index::Entry;
use crate::model::AgentId;
use crate::model::policy::AgentSet;
use crate::model::prefix::Prefix;

/// Entries in the order of their keys. A rule whose paths begin in several ways has several entries.
#[derive(Debug, Default)]
pub(super) struct Table {
    entries: Vec<(Key, Entry)>,
    /// A bit for each number of segments that some key has.
    lengths: u8,
}

/// Whose, and which paths; `None`: every agent's. Sorted, `None` comes first.
type Key = (Option<AgentId>, Prefix);

impl Table {
    pub(super) fn add(&mut self, agents: &AgentSet, prefixes: &[Prefix], entry: Entry) {
        for prefix in prefixes {
            self.lengths |= 1 << prefix.segments;
            match agents {
                AgentSet::Every => self.entries.push(((None, *prefix), entry)),
                AgentSet::Some(ids) => {
                    self.entries.extend(ids.iter().map(|id| ((Some(*id), *prefix), entry)));
                }
            }
        }
    }

    /// To be called once, after the last `add`.
    pub(super) fn sort(&mut self) {
        self.entries.sort_by_key(|(key, entry)| (*key, entry.rule));
        self.entries.shrink_to_fit();
    }

    /// All that concerns this agent; `None`: what concerns every agent.
    pub(super) fn of(&self, agent: impl Into<Option<AgentId>>) -> impl Iterator<Item = &Entry> {
        let agent = agent.into();
        let own = agent.into_iter().flat_map(|agent| self.run(move |(owner, _)| owner.cmp(&Some(agent))));
        self.run(|(owner, _)| owner.cmp(&None)).chain(own)
    }

    /// What of it could match a path that begins so.
    pub(super) fn near<'a>(&'a self, agent: AgentId, path: &'a [Prefix]) -> impl Iterator<Item = &'a Entry> {
        let lengths = self.lengths;
        let present = move |prefix: &&Prefix| lengths & (1 << prefix.segments) != 0;
        path.iter().filter(present).flat_map(move |prefix| {
            let at = move |owner: Option<AgentId>| self.run(move |key| key.cmp(&(owner, *prefix)));
            at(None).chain(at(Some(agent)))
        })
    }

    /// What concerns every agent, and could match a path that begins so.
    pub(super) fn near_for_every<'a>(&'a self, path: &'a [Prefix]) -> impl Iterator<Item = &'a Entry> {
        path.iter().flat_map(move |prefix| self.run(move |key| key.cmp(&(None, *prefix))))
    }

    /// All, with whose they are.
    pub(super) fn owned(&self) -> impl Iterator<Item = (Option<AgentId>, &Entry)> {
        self.entries.iter().map(|((owner, _), entry)| (*owner, entry))
    }

    /// The agents that have entries of their own; an agent may come more than once.
    pub(super) fn agents(&self) -> impl Iterator<Item = AgentId> {
        self.entries.iter().filter_map(|((agent, _), _)| *agent)
    }

    /// All, of whatever agent; a rule may come more than once.
    pub(super) fn all(&self) -> impl Iterator<Item = &Entry> {
        self.entries.iter().map(|(_, entry)| entry)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// The entries whose keys compare as equal.
    fn run(&self, compare: impl Fn(&Key) -> std::cmp::Ordering) -> impl Iterator<Item = &Entry> {
        let from = self.entries.partition_point(|(key, _)| compare(key).is_lt());
        let rest = self.entries.get(from..).unwrap_or_default();
        rest.iter().take_while(move |(key, _)| compare(key).is_eq()).map(|(_, entry)| entry)
    }
}
