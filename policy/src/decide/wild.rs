//! What of a name a wildcard stands for: the part that an agent chooses, and that a name server of the wildcard's owner
//! can read once the name is resolved. Whoever bounds how much leaves that way asks here; nothing is granted or denied.

use super::HostIndex;
use super::index::Entry;
use crate::model::{AgentId, Effect, Name, Policy};

impl Policy {
    /// The labels in front that only a wildcard covers, without the dot behind them: `data.x` of `data.x.mirror.example` under
    /// `**.mirror.example`. `None` where some allow rule or `dns:` entry of this agent names the name as it is, and where none
    /// covers it at all: what is only observed goes nowhere. Of several wildcards the narrowest counts.
    pub fn wild_part<'n>(&self, agent: AgentId, name: &'n Name) -> Option<&'n str> {
        let allows = |entry: &Entry| self.rule(entry.rule).effect() == Effect::Allow;
        let rules = self.index.rules.bases(name, |bucket| bucket.grant.of(agent).any(allows));
        let forwards = self.index.forwards.bases(name, |forwards| forwards.iter().any(|f| f.agents.contains(agent)));
        let base = match (rules, forwards) {
            (Some(one), Some(other)) => one.max(other),
            (one, other) => one.or(other)?,
        };
        let wild = name.as_str().len().checked_sub(base + 1)?;
        name.as_str().get(..wild)
    }
}

impl<V> HostIndex<V> {
    /// Bytes of the longest ending of `name` that a pattern has whose value counts; all of it where a pattern is the name.
    fn bases(&self, name: &Name, mut counts: impl FnMut(&V) -> bool) -> Option<usize> {
        let mut longest = None;
        self.each_base(name, |base, value| {
            if counts(value) {
                longest = longest.max(Some(base));
            }
        });
        longest
    }
}
