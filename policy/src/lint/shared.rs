//! Literal stubs with which more than one agent may write.
//!
//! What an agent may do follows from its address, so sharing opens nothing. But one that takes another's stub presents its
//! own, and no tripwire tells; and the stub can't be called back from one of them alone. Where all they do is read, that is
//! not worth a word.

use std::collections::{BTreeMap, BTreeSet};

use super::Lint;
use crate::diagnostic::codes;
use crate::model::policy::AgentSet;
use crate::model::{AgentId, Credential, Effect};

pub(super) fn check(lint: &mut Lint<'_>) {
    let policy = lint.policy;
    let every = || policy.agents().iter().filter_map(|agent| policy.agent_named(agent.name()));
    let mut writers: BTreeMap<&str, (&Credential, BTreeSet<AgentId>)> = BTreeMap::new();
    for rule in policy.rules().iter().filter(|rule| rule.effect == Effect::Allow && rule.methods.writes()) {
        for credential in rule.credentials.iter().map(|id| policy.credential(*id)) {
            if credential.minted_only() {
                continue;
            }
            let (_, agents) = writers.entry(credential.stub()).or_insert_with(|| (credential, BTreeSet::new()));
            match &rule.agents {
                AgentSet::Every => agents.extend(every()),
                AgentSet::Some(ids) => agents.extend(ids.iter().copied()),
            }
        }
    }
    for (credential, agents) in writers.into_values().filter(|(_, agents)| agents.len() > 1) {
        let Some(place) = lint.written.credential(credential.name()) else { continue };
        let names: Vec<&str> = agents.iter().take(MOST_NAMES).map(|id| policy.agent(*id).name()).collect();
        let more = if agents.len() > MOST_NAMES { " and others" } else { "" };
        let message = format!(
            "several agents may write with the literal stub of `{}`: {}{more}",
            credential.name(),
            names.join(", ")
        );
        let help = "mint a stub for each of them with `stubgate stub mint`, and write `minted_only: true` here";
        let label = "nobody can tell whose it was where it turns up".to_owned();
        lint.report(codes::SHARED_STUB, message, vec![(place, label)], help.to_owned());
    }
}

/// Most agents that are named.
const MOST_NAMES: usize = 5;
