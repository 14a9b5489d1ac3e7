//! Entries of one host pattern by agent.

use super::index::Entry;
use crate::model::AgentId;
use crate::model::policy::AgentSet;

/// Entries for every agent, and entries for some.
#[derive(Debug, Default)]
pub(super) struct Table {
    every: Vec<Entry>,
    some: Vec<(AgentId, Entry)>,
}

impl Table {
    pub(super) fn add(&mut self, agents: &AgentSet, entry: Entry) {
        match agents {
            AgentSet::Every => self.every.push(entry),
            AgentSet::Some(ids) => self.some.extend(ids.iter().map(|id| (*id, entry))),
        }
    }

    /// To be called once, after the last `add`; rules were added in the order of their ids.
    pub(super) fn sort(&mut self) {
        self.some.sort_by_key(|(agent, _)| *agent);
        self.some.shrink_to_fit();
        self.every.shrink_to_fit();
    }

    /// What concerns this agent; `None`: what concerns every agent.
    pub(super) fn of(&self, agent: impl Into<Option<AgentId>>) -> impl Iterator<Item = &Entry> {
        let agent = agent.into();
        let own = match agent {
            Some(agent) => self.some.get(self.some.partition_point(|(id, _)| *id < agent)..).unwrap_or_default(),
            None => &[],
        };
        let own = own.iter().take_while(move |(id, _)| Some(*id) == agent).map(|(_, entry)| entry);
        self.every.iter().chain(own)
    }

    /// The agents that have entries of their own; an agent may come more than once.
    pub(super) fn agents(&self) -> impl Iterator<Item = AgentId> {
        self.some.iter().map(|(agent, _)| *agent)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.every.is_empty() && self.some.is_empty()
    }
}
