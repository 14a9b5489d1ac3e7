//! Rules that add nothing: another one matches wherever they do, and grants and demands what they do.

use smallvec::smallvec;

use super::{Lint, MOST_NEIGHBOURS, MOST_PAIRS};
use crate::decide::{Side, Whose};
use crate::diagnostic::codes;
use crate::model::paths::{Compared, Paths};
use crate::model::policy::AgentSet;
use crate::model::prefix::{self, Prefix};
use crate::model::{Effect, Path, Rule, RuleId};

pub(super) fn check(lint: &mut Lint<'_>) {
    let policy = lint.policy;
    let mut left = MOST_PAIRS;
    for (at, rule) in policy.rules().iter().enumerate() {
        let Some(id) = RuleId::at(at) else { continue };
        let Some(wider) = cover(lint, id, rule, &mut left) else { continue };
        let Some(place) = lint.written.rule(rule.name()) else { continue };
        let does = match rule.effect {
            Effect::Allow => "allows",
            Effect::Deny => "denies",
            Effect::Observe => "observes",
        };
        let message = format!("the rule `{}` {does} nothing that `{}` does not cover", rule.name(), wider.name());
        let mut labels = vec![(place, "adds nothing".to_owned())];
        labels.extend(lint.written.rule(wider.name()).map(|place| (place, "matches wherever it does".to_owned())));
        let help = format!("remove `{}`, or narrow `{}`", rule.name(), wider.name());
        lint.report(codes::COVERED, message, labels, help);
    }
}

fn cover<'a>(lint: &Lint<'a>, id: RuleId, rule: &Rule, left: &mut usize) -> Option<&'a Rule> {
    let policy = lint.policy;
    let deny = rule.effect == Effect::Deny;
    let samples = match &rule.paths {
        Paths::All => Vec::new(),
        paths @ Paths::Some { .. } => paths.samples(deny)?,
    };
    let mut wider = candidates(lint, id, rule, &samples).into_iter().map(|other| policy.rule(other));
    wider.find(|wider| covers(wider, rule, &samples, left) && !is_first_of_twins(lint, rule, wider, left))
}

/// An allow rule that looks into no body and matches wherever this one does, whatever it grants.
pub(super) fn blind_cover<'a>(lint: &Lint<'a>, id: RuleId, rule: &Rule, left: &mut usize) -> Option<&'a Rule> {
    let samples = rule.paths.samples(false).unwrap_or_default();
    let mut wider = candidates(lint, id, rule, &samples).into_iter().map(|other| lint.policy.rule(other));
    let is_blind = |wider: &&Rule| wider.effect == Effect::Allow && wider.body.is_none();
    let has_samples = rule.paths == Paths::All || !samples.is_empty();
    wider.find(|wider| has_samples && is_blind(wider) && matches_as_much(wider, rule, &samples, left))
}

/// Other rules that could match wherever this one does.
fn candidates(lint: &Lint<'_>, id: RuleId, rule: &Rule, samples: &[Path]) -> Vec<RuleId> {
    let deny = rule.effect == Effect::Deny;
    let near = samples.first().map_or_else(|| smallvec![Prefix::NONE], |path| prefix::of_path(path.as_str()));
    let whose = match &rule.agents {
        AgentSet::Every => Whose::Every,
        AgentSet::Some(ids) => match ids.first() {
            Some(first) => Whose::One(*first),
            None => return Vec::new(),
        },
    };
    let sides: &[Side] = if deny { &[Side::Block, Side::Refuse] } else { &[Side::Grant] };
    let Some(host) = rule.hosts.first() else { return Vec::new() };
    let index = &lint.policy.index;
    let covering = |side: &Side| index.covering(host, whose, &near, *side, MOST_NEIGHBOURS);
    let mut candidates: Vec<RuleId> = sides.iter().flat_map(covering).filter(|other| *other != id).collect();
    candidates.sort_unstable();
    candidates.dedup();
    candidates
}

fn covers(wide: &Rule, narrow: &Rule, samples: &[Path], left: &mut usize) -> bool {
    grants_as_much(wide, narrow) && matches_as_much(wide, narrow, samples, left)
}

fn matches_as_much(wide: &Rule, narrow: &Rule, samples: &[Path], left: &mut usize) -> bool {
    let effects = match (wide.effect, narrow.effect) {
        (Effect::Allow, Effect::Allow | Effect::Observe) => true,
        (wide, narrow) => wide == narrow,
    };
    let paths = || match (&wide.paths, &narrow.paths) {
        (Paths::All, _) => true,
        (Paths::Some { .. }, Paths::All) => false,
        (paths, _) if narrow.effect == Effect::Deny => {
            samples.iter().all(|path| paths.refuse(path) == Compared::Matches)
        }
        (paths, _) => samples.iter().all(|path| paths.grant(path)),
    };
    let pairs = wide.hosts.len().saturating_mul(narrow.hosts.len());
    let mut is_affordable = || {
        let enough = pairs <= *left;
        *left = left.saturating_sub(if enough { pairs } else { 0 });
        enough
    };
    effects
        && wide.agents.covers(&narrow.agents)
        && wide.methods.covers(&narrow.methods)
        && paths()
        && is_affordable()
        && narrow.hosts.iter().all(|host| wide.hosts.iter().any(|wide| wide.covers_all(host)))
}

/// Credentials and options, as decisions join those of all rules that match.
fn grants_as_much(wide: &Rule, narrow: &Rule) -> bool {
    if narrow.effect != Effect::Allow {
        return true;
    }
    let (more, less) = (wide.options, narrow.options);
    let bodies = match (&wide.body, &narrow.body) {
        // Another warning says that this rule looks for nothing.
        (None, looks) => looks.is_none(),
        (Some(_), None) => false,
        (Some(wide), Some(narrow)) => wide.covers(narrow),
    };
    bodies
        && narrow.credentials.iter().all(|id| wide.credentials.contains(id))
        && (less.credential_required || !more.credential_required)
        && (more.foreign_credentials || !less.foreign_credentials)
        && (more.deny_stub_in_body || !less.deny_stub_in_body)
        && (more.ranges || !less.ranges)
        && less.credential_in_response.is_none_or(|said| more.credential_in_response == Some(said))
}

/// Of two rules that cover each other, the one that is written first is kept.
fn is_first_of_twins(lint: &Lint<'_>, rule: &Rule, other: &Rule, left: &mut usize) -> bool {
    let place = |rule: &Rule| lint.written.rule(rule.name()).map(|place| place.order());
    let samples = |rule: &Rule| rule.paths.samples(rule.effect == Effect::Deny).unwrap_or_default();
    (place(rule), rule.name()) < (place(other), other.name()) && covers(rule, other, &samples(other), left)
}
