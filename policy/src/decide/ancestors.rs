//! Names above allowed names: they exist, so DNS says NODATA for them and never NXDOMAIN (RFC 8020).

use std::collections::HashMap;

use super::index::{Bucket, HostIndex};
use super::reach::blocked;
use crate::model::hash::Folding;
use crate::model::hosts::{Ends, HostPattern};
use crate::model::methods::MethodSet;
use crate::model::policy::{AgentSet, Parts};
use crate::model::{AgentId, Effect, Name};

/// For each ancestor, the agents that have an allowed name below it.
#[derive(Debug, Default)]
pub(super) struct Ancestors(HashMap<Name, Agents, Folding>);

#[derive(Debug, Default)]
struct Agents {
    /// All but these, sorted.
    every: Option<Vec<AgentId>>,
    some: Vec<AgentId>,
}

impl Ancestors {
    pub(super) fn new(parts: &Parts, rules: &HostIndex<Bucket>) -> Ancestors {
        let mut all = Ancestors::default();
        for rule in parts.rules.iter().filter(|rule| rule.effect != Effect::Deny) {
            for host in &rule.hosts {
                let granted = Granted { pattern: &host.pattern, ends: host.ends, methods: &rule.methods };
                all.add(&granted, &rule.agents, rules);
            }
        }
        let any = MethodSet::any();
        let all_ends = Ends { scheme: None, port: None };
        for forward in &parts.forwards {
            for name in &forward.names {
                let granted = Granted { pattern: &name.pattern, ends: all_ends, methods: &any };
                all.add(&granted, &forward.agents, rules);
            }
        }
        for agents in all.0.values_mut() {
            agents.some.sort_unstable();
            agents.some.dedup();
            agents.some.shrink_to_fit();
        }
        all
    }

    /// Whether this agent has an allowed name below `name`.
    pub(super) fn has(&self, name: &Name, agent: AgentId) -> bool {
        self.0.get(name.as_str()).is_some_and(|agents| {
            let every = agents.every.as_ref().is_some_and(|except| except.binary_search(&agent).is_err());
            every || agents.some.binary_search(&agent).is_ok()
        })
    }

    fn add(&mut self, granted: &Granted<'_>, agents: &AgentSet, rules: &HostIndex<Bucket>) {
        let mut buckets = Vec::new();
        rules.find_covering(granted.pattern, |bucket| buckets.push(bucket));
        let denied = |agent: Option<AgentId>| blocked(&buckets, agent, granted.ends, granted.methods).is_some();
        let denied_to = |agent: &AgentId| denied(Some(*agent));
        match agents {
            AgentSet::Every if denied(None) => {}
            AgentSet::Every => {
                let mut except: Vec<AgentId> = buckets.iter().flat_map(|bucket| bucket.block.agents()).collect();
                except.sort_unstable();
                except.dedup();
                except.retain(denied_to);
                self.insert(granted.pattern, |agents| match &mut agents.every {
                    Some(known) => known.retain(|agent| except.binary_search(agent).is_ok()),
                    None => agents.every = Some(except.clone()),
                });
            }
            AgentSet::Some(ids) => {
                let left: Vec<AgentId> = ids.iter().copied().filter(|agent| !denied_to(agent)).collect();
                if !left.is_empty() {
                    self.insert(granted.pattern, |agents| agents.some.extend_from_slice(&left));
                }
            }
        }
    }

    fn insert(&mut self, pattern: &HostPattern, mut add: impl FnMut(&mut Agents)) {
        let mut above = match pattern {
            HostPattern::Exact(name) => name.parent(),
            HostPattern::One(base) | HostPattern::Deep(base) => Some(base.clone()),
            HostPattern::Ip(_) | HostPattern::Any => None,
        };
        while let Some(name) = above {
            above = name.parent();
            add(self.0.entry(name).or_default());
        }
    }
}

struct Granted<'a> {
    pattern: &'a HostPattern,
    ends: Ends,
    methods: &'a MethodSet,
}
