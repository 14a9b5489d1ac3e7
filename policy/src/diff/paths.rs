//! Kinds of paths: what the rules of both sides at one place make of every path there is.
//!
//! The walk says which paths are worth asking about; what a rule makes of one is asked of the rule (law 1). Paths
//! without a canonical form are all answered alike, and so are one kind.

use std::collections::HashMap;
use std::rc::Rc;

use super::compare::{Comparison, Rules};
use super::outcome::Matched;
use super::parts::PathSpot;
use super::side::{Side, Which};
use crate::model::paths::walk::{Read, Way, walk};
use crate::model::paths::{Compared, PathPattern, Paths};
use crate::model::{Effect, Path, Rule, RuleId, Target};

/// For each kind of paths the rules that match, and a path.
pub(super) struct PathKinds {
    pub(super) all: Vec<(Matched, Matched, Target)>,
    pub(super) complete: bool,
}

impl Comparison<'_> {
    /// What the paths come to that these rules can tell apart; worked out once for the same rules.
    pub(super) fn kinds(&mut self, rules: &Rules) -> Rc<PathKinds> {
        if let Some(known) = self.paths.get(rules) {
            return Rc::clone(known);
        }
        let kinds = Rc::new(self.path_kinds(rules));
        self.paths.insert(rules.clone(), Rc::clone(&kinds));
        kinds
    }

    fn path_kinds(&mut self, rules: &Rules) -> PathKinds {
        let mut always = (Matched::default(), Matched::default());
        let mut reads: Vec<Read<'_>> = Vec::new();
        let mut readers: Vec<Vec<(Which, RuleId)>> = Vec::new();
        let mut known: HashMap<(String, Way), usize> = HashMap::new();
        let mut everything = false;
        let both = [(self.old, &rules.0, &mut always.0), (self.new, &rules.1, &mut always.1)];
        for (side, rules, always) in both {
            for id in rules {
                let rule = side.policy.rule(*id);
                let Paths::Some { patterns, .. } = &rule.paths else {
                    always.add(*id, rule.effect);
                    everything |= rule.effect != Effect::Deny;
                    continue;
                };
                let way = way(rule);
                for pattern in patterns {
                    let at = *known.entry((pattern.to_string(), way)).or_insert_with(|| {
                        reads.push(Read { pattern, way });
                        readers.push(Vec::new());
                        reads.len() - 1
                    });
                    if let Some(readers) = readers.get_mut(at) {
                        readers.push((side.which, *id));
                    }
                }
            }
        }
        let found = walk(&reads, everything, self.effort.min(MOST_STEPS));
        let mut all: Vec<(Matched, Matched, Target)> = Vec::new();
        let mut seen = HashMap::new();
        let mut asked = 0;
        for (path, live) in found.paths {
            let mut matched = always.clone();
            let mut firsts = Vec::new();
            let mut rules: Vec<(Which, RuleId)> =
                live.iter().filter_map(|at| readers.get(*at)).flatten().copied().collect();
            rules.sort_unstable();
            rules.dedup();
            asked += rules.len();
            for (which, id) in rules {
                let (side, matched) = match which {
                    Which::Old => (self.old, &mut matched.0),
                    Which::New => (self.new, &mut matched.1),
                };
                let rule = side.policy.rule(id);
                if takes(&rule.paths, rule.effect, &path) {
                    matched.add(id, rule.effect);
                    firsts.push(first_pattern(rule, &path).map(|(at, _)| at));
                }
            }
            for matched in [&mut matched.0, &mut matched.1] {
                matched.sort();
            }
            // Of the paths of one kind, one without encoded characters stands for it, if there is any.
            let at = *seen.entry((matched.clone(), firsts)).or_insert(all.len());
            match all.get_mut(at) {
                Some((_, _, known)) if known.as_str().contains('%') && !path.as_str().contains('%') => {
                    *known = Target::Canonical(path);
                }
                Some(_) => {}
                None => all.push((matched.0, matched.1, Target::Canonical(path))),
            }
        }
        self.spend(found.steps + asked);
        PathKinds { all, complete: found.complete }
    }

    /// A path that has no canonical form, if either policy may let one pass here.
    pub(super) fn odd(&self, has_paths: (bool, bool), rules: &Rules) -> Option<(Matched, Matched, Target)> {
        let matched = |side: &Side<'_>, rules: &[RuleId], has_paths: bool| {
            let mut matched = Matched::default();
            for id in rules {
                let effect = side.policy.rule(*id).effect;
                if effect == Effect::Deny || !has_paths {
                    matched.add(*id, effect);
                }
            }
            matched
        };
        if has_paths.0 && has_paths.1 {
            return None;
        }
        let target = Target::parse(ODD).ok()?;
        Some((matched(self.old, &rules.0, has_paths.0), matched(self.new, &rules.1, has_paths.1), target))
    }
}

/// As a rule with this effect reads its paths.
fn takes(paths: &Paths, effect: Effect, path: &Path) -> bool {
    match effect {
        Effect::Deny => paths.refuse(path) != Compared::Differs,
        Effect::Allow | Effect::Observe => paths.grant(path),
    }
}

/// The first pattern of a rule that takes this.
pub(super) fn path_spot(side: &Side<'_>, rule: RuleId, target: &Target) -> PathSpot {
    let rule = side.policy.rule(rule);
    let path = match target {
        Target::Canonical(path) => path,
        Target::Odd { .. } => return PathSpot::Odd,
    };
    first_pattern(rule, path)
        .map_or(PathSpot::All, |(_, pattern)| PathSpot::Pattern { text: pattern.to_string(), way: way(rule) })
}

fn first_pattern<'r>(rule: &'r Rule, path: &Path) -> Option<(usize, &'r PathPattern)> {
    let Paths::Some { patterns, encoded_slash } = &rule.paths else { return None };
    let alone =
        |pattern: &PathPattern| Paths::Some { patterns: [pattern.clone()].into(), encoded_slash: *encoded_slash };
    patterns.iter().enumerate().find(|(_, pattern)| takes(&alone(pattern), rule.effect, path))
}

fn way(rule: &Rule) -> Way {
    match (rule.effect, &rule.paths) {
        (Effect::Deny, _) => Way::Refuse,
        (_, Paths::Some { encoded_slash, .. }) => Way::Grant { encoded_slash: *encoded_slash },
        (_, Paths::All) => Way::Grant { encoded_slash: true },
    }
}

/// Most steps of one walk.
const MOST_STEPS: usize = 20_000_000;
/// It has no canonical form.
const ODD: &[u8] = b"/x//x";
