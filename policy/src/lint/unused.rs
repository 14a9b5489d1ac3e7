//! Credentials that no rule grants, and agents that no rule allows anything.

use super::Lint;
use crate::diagnostic::codes;
use crate::model::policy::AgentSet;
use crate::model::{AgentId, CredentialId, Effect};

pub(super) fn check(lint: &mut Lint<'_>) {
    let policy = lint.policy;
    if policy.rules().iter().all(|rule| rule.effect != Effect::Allow) {
        // It is said already that nothing is allowed.
        return;
    }
    let mut granted = vec![false; policy.credentials().len()];
    let mut served = vec![false; policy.agents().len()];
    let mark = |all: &mut [bool], at: usize| {
        if let Some(one) = all.get_mut(at) {
            *one = true;
        }
    };
    for rule in policy.rules().iter().filter(|rule| rule.effect != Effect::Deny) {
        rule.credentials.iter().for_each(|id: &CredentialId| mark(&mut granted, id.index()));
        match &rule.agents {
            AgentSet::Every => served.fill(true),
            AgentSet::Some(ids) => ids.iter().for_each(|id: &AgentId| mark(&mut served, id.index())),
        }
    }
    for (credential, _) in policy.credentials().iter().zip(&granted).filter(|(_, granted)| !**granted) {
        let Some(place) = lint.written.credential(credential.name()) else { continue };
        let message = format!("no rule grants the credential `{}`", credential.name());
        let help = "name it under `credentials:` of a rule, or remove it: a secret that is not needed can't leak";
        lint.report(codes::UNUSED_CREDENTIAL, message, vec![(place, "never swapped".into())], help.into());
    }
    let every = lint.written.askers.contains("*");
    for (agent, _) in policy.agents().iter().zip(&served).filter(|(_, served)| !**served) {
        let asks = every || lint.written.askers.contains(agent.name());
        let Some(place) = lint.written.agent(agent.name()).filter(|_| !asks && !agent.quarantined) else { continue };
        let message = format!("no rule allows the agent `{}` anything", agent.name());
        let help = "name it in a rule, or remove it".to_owned();
        lint.report(codes::UNUSED_AGENT, message, vec![(place, "everything is denied to it".into())], help);
    }
}
