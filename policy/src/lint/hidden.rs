//! Rules that deny rules close wholly, and rules that are about no agent at all.

use std::collections::BTreeSet;

use smallvec::{SmallVec, smallvec};

use super::{Lint, MOST_NEIGHBOURS};
use crate::decide::{Side, Whose};
use crate::diagnostic::codes;
use crate::model::hosts::HostRule;
use crate::model::methods::MethodSet;
use crate::model::paths::{Compared, Paths};
use crate::model::policy::AgentSet;
use crate::model::prefix::{self, Prefix};
use crate::model::{Effect, Path, Policy, Rule, RuleId};

pub(super) fn check(lint: &mut Lint<'_>) {
    let policy = lint.policy;
    for rule in policy.rules().iter().filter(|rule| rule.effect != Effect::Deny) {
        let name = rule.name();
        if policy.agents().is_empty() {
            let Some(place) = lint.written.rule(name) else { continue };
            let message = format!("the rule `{name}` is for every agent, and none is defined");
            let help = "define agents under `agents:`".to_owned();
            lint.report(codes::NEVER_MATCHES, message, vec![(place, "never matches".into())], help);
            continue;
        }
        let Some(closers) = closers(policy, rule) else { continue };
        let Some(place) = lint.written.rule(name) else { continue };
        let names: Vec<&str> = closers.iter().take(3).map(|id| policy.rule(*id).name()).collect();
        let mut labels = vec![(place, "never matches".to_owned())];
        for denying in &names {
            labels.extend(lint.written.rule(denying).map(|place| (place, "denies it".to_owned())));
        }
        if let ([one], 1) = (&*names, closers.len()) {
            let message = format!("the deny rule `{one}` hides all of `{name}`: a deny rule always wins");
            let help = format!("narrow `{one}`, or remove `{name}`");
            lint.report(codes::HIDDEN_RULE, message, labels, help);
        } else {
            let message = format!("the rule `{name}` never matches: deny rules together cover all of it");
            let help = format!("narrow one of them, or remove `{name}`");
            lint.report(codes::NEVER_MATCHES, message, labels, help);
        }
    }
}

/// The deny rules that together close every agent, host, method and path of a rule, if they do.
fn closers(policy: &Policy, rule: &Rule) -> Option<BTreeSet<RuleId>> {
    let samples = match &rule.paths {
        Paths::All => vec![None],
        paths @ Paths::Some { .. } => paths.samples(false)?.into_iter().map(Some).collect(),
    };
    let whose: Vec<Whose> = match &rule.agents {
        AgentSet::Every => vec![Whose::Every],
        AgentSet::Some(ids) => ids.iter().map(|id| Whose::One(*id)).collect(),
    };
    let mut all = BTreeSet::new();
    for host in &rule.hosts {
        for whose in &whose {
            for path in &samples {
                all.extend(close(policy, rule, host, *whose, path.as_ref())?);
            }
        }
    }
    (!all.is_empty()).then_some(all)
}

/// The same for one host, agent and path; one rule alone, if there is one.
fn close(
    policy: &Policy,
    rule: &Rule,
    host: &HostRule,
    whose: Whose,
    path: Option<&Path>,
) -> Option<SmallVec<[RuleId; 2]>> {
    let index = &policy.index;
    let near = path.map_or_else(|| smallvec![Prefix::NONE], |path| prefix::of_path(path.as_str()));
    let mut found = index.covering(host, whose, &[Prefix::NONE], Side::Block, MOST_NEIGHBOURS);
    if let Some(path) = path {
        let some = index.covering(host, whose, &near, Side::Refuse, MOST_NEIGHBOURS);
        found.extend(some.into_iter().filter(|id| policy.rule(*id).paths.refuse(path) == Compared::Matches));
    }
    found.sort_unstable();
    found.dedup();
    if let Some(one) = found.iter().find(|id| policy.rule(**id).methods.covers(&rule.methods)) {
        return Some(smallvec![*one]);
    }
    let mut denied = MethodSet::default();
    found.retain(|id| policy.rule(*id).methods.meets(&rule.methods));
    found.iter().for_each(|id| denied.join(&policy.rule(*id).methods));
    denied.covers(&rule.methods).then(|| found.into())
}
