//! Rules that look into bodies for nothing: no body comes, or the same requests pass by a rule that does not look.

use super::covered::blind_cover;
use super::written::List;
use super::{Lint, MOST_PAIRS};
use crate::diagnostic::codes;
use crate::model::{Effect, RuleId};

/// Methods of requests that have no body.
const WITHOUT: [&str; 5] = ["GET", "HEAD", "OPTIONS", "WEBSOCKET", "any"];

pub(super) fn check(lint: &mut Lint<'_>) {
    let policy = lint.policy;
    let mut left = MOST_PAIRS;
    for (at, rule) in policy.rules().iter().enumerate().filter(|(_, rule)| rule.body.is_some()) {
        for (method, place) in lint.written.list(rule.name(), List::Methods) {
            if WITHOUT.contains(&method) {
                let message = format!("`{}` looks into bodies, and `{method}` has none", rule.name());
                let help = "name the methods that carry a body, such as POST";
                lint.report(codes::NO_BODY, message, vec![(place, String::new())], help.into());
            }
        }
        let Some(id) = RuleId::at(at).filter(|_| rule.effect == Effect::Allow) else { continue };
        let Some(blind) = blind_cover(lint, id, rule, &mut left) else { continue };
        let place = lint.written.rule(rule.name());
        let label = "looks into bodies".to_owned();
        let mut labels: Vec<_> = place.into_iter().map(|place| (place, label.clone())).collect();
        let other = lint.written.rule(blind.name());
        labels.extend(other.map(|place| (place, "lets the same requests pass without a look".to_owned())));
        if labels.is_empty() {
            continue;
        }
        let message = format!("what `{}` refuses for its body passes by `{}`", rule.name(), blind.name());
        let help = format!("narrow `{}` by its paths, or let it make the same demand", blind.name());
        lint.report(codes::NOT_LOOKED_AT, message, labels, help);
    }
}
