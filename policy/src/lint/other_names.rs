//! Deny rules for some paths of a host under a rule that allows more of it: the same thing often has another name
//! there (a number for a name, an older version of the interface, a batch or GraphQL endpoint), which stays open.

use std::collections::BTreeMap;

use super::written::List;
use super::{Lint, MOST_NEIGHBOURS};
use crate::decide::{Side, Whose};
use crate::diagnostic::codes;
use crate::model::paths::Paths;
use crate::model::{Effect, Policy, Rule, RuleId};

pub(super) fn check(lint: &mut Lint<'_>) {
    for (deny, allow) in pairs(lint.policy) {
        let (deny, allow) = (lint.policy.rule(deny), lint.policy.rule(allow));
        let Some(place) = lint.written.whole(deny.name(), List::Paths) else { continue };
        let message = format!(
            "`{}` closes some paths, and `{}` allows all others: the same thing may have another name there",
            deny.name(),
            allow.name()
        );
        let mut labels = vec![(place, "closed".to_owned())];
        let open = match allow.paths {
            Paths::All => lint.written.rule(allow.name()),
            Paths::Some { .. } => lint.written.whole(allow.name(), List::Paths),
        };
        labels.extend(open.map(|place| (place, "open".to_owned())));
        let help = format!("let `{}` name the paths that are needed, under `paths:`", allow.name());
        lint.report(codes::OTHER_NAMES, message, labels, help);
    }
}

/// Most pairs of rules that are compared in all.
const MOST_PAIRS: usize = 200_000;

/// Deny rules with paths, each with the first rule that allows more.
fn pairs(policy: &Policy) -> BTreeMap<RuleId, RuleId> {
    let mut found: BTreeMap<RuleId, RuleId> = BTreeMap::new();
    let mut left = MOST_PAIRS;
    let mut note = |deny: RuleId, allow: RuleId| {
        left = left.saturating_sub(1);
        if left > 0 && !found.contains_key(&deny) && is_broader(policy.rule(allow), policy.rule(deny)) {
            found.insert(deny, allow);
        }
    };
    for (at, rule) in policy.rules().iter().enumerate() {
        let Some(id) = RuleId::at(at) else { continue };
        let (side, most) = match (rule.effect, &rule.paths) {
            (Effect::Deny, Paths::Some { .. }) => (Side::Grant, MOST_NEIGHBOURS),
            (Effect::Allow, _) => (Side::Refuse, MOST_NEIGHBOURS / 4),
            (Effect::Deny | Effect::Observe, _) => continue,
        };
        for host in &rule.hosts {
            for other in policy.index.covering(host, Whose::Any, &[], side, most) {
                match rule.effect {
                    Effect::Deny => note(id, other),
                    Effect::Allow | Effect::Observe => note(other, id),
                }
            }
        }
    }
    found
}

fn is_broader(allow: &Rule, deny: &Rule) -> bool {
    allow.effect == Effect::Allow
        && allow.agents.meets(&deny.agents)
        && allow.methods.meets(&deny.methods)
        && match &allow.paths {
            Paths::All => true,
            paths @ Paths::Some { .. } => {
                let samples = deny.paths.samples(false).unwrap_or_default();
                !samples.is_empty() && samples.iter().all(|path| paths.grant(path)) && paths != &deny.paths
            }
        }
}
