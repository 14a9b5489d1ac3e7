//! Every rule whose hosts cover a question's host, and the first thing about each that does not fit.
//!
//! For people, not for decisions: nothing here is asked by [`Policy::decide`]. It looks rules up in the same index and
//! compares them by the same functions (law 1), but it does not stop at the first answer.

use std::collections::BTreeMap;

use super::ask::RequestStage;
use super::index::{Bucket, Entry};
use super::reach::{EVERYWHERE, blocked, closers};
use super::request::Found;
use super::{buckets, own};
use crate::model::hosts::Ends;
use crate::model::methods::MethodSet;
use crate::model::paths::{Compared, Paths};
use crate::model::{AgentId, Authority, Effect, Host, PathError, Policy, Rule, RuleId, Target};

/// How a rule compares with a question.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Fit {
    /// It matches; by this pattern, if it has paths and the question has one.
    Fits(Option<String>),
    /// A deny rule whose paths can't be compared with this one, and which therefore refuses.
    Unclear,
    /// It does not; this comes first.
    Misses(Miss),
}

/// The first thing about a rule that does not fit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Miss {
    /// It is for other agents.
    Agent,
    /// It is for other schemes or ports of the host.
    Ends,
    /// It is for other methods.
    Method,
    /// It is for other paths.
    Path,
    /// The path has several readings, and some rule of the host has paths.
    Odd(PathError),
    /// Before the method is known: deny rules, this one first, leave nothing of it.
    Closed(RuleId),
    /// A deny rule that counts only once method and path are known, or leaves some of them open.
    Partly,
}

/// The rules of a request's host, in the order of their names.
pub(crate) fn request(policy: &Policy, agent: AgentId, ask: &RequestStage<'_>) -> Vec<(RuleId, Fit)> {
    if own::is_own(ask.authority.host()) {
        return Vec::new();
    }
    let found = Found::new(policy, ask);
    let rules = gather(&found.buckets, |entry| entry.ends.cover(ask.authority));
    let compare = |(id, ends): (RuleId, Vec<bool>)| {
        let rule = policy.rule(id);
        let fit = if !rule.agents.contains(agent) {
            Fit::Misses(Miss::Agent)
        } else if !ends.contains(&true) {
            Fit::Misses(Miss::Ends)
        } else if !rule.methods.contains(ask.method) {
            Fit::Misses(Miss::Method)
        } else {
            path(rule, ask, &found)
        };
        (id, fit)
    };
    rules.into_iter().map(compare).collect()
}

fn path(rule: &Rule, ask: &RequestStage<'_>, found: &Found<'_>) -> Fit {
    let by = |fits: &dyn Fn(&Paths) -> bool| {
        let mut fitting = rule.paths.each().filter(|(_, alone)| fits(alone));
        fitting.next().map(|(pattern, _)| pattern.to_string())
    };
    match rule.effect {
        Effect::Deny => match ask.refuses(&rule.paths) {
            Compared::Matches => Fit::Fits(by(&|paths| ask.refuses(paths) == Compared::Matches)),
            Compared::Unclear => Fit::Unclear,
            Compared::Differs => Fit::Misses(Miss::Path),
        },
        Effect::Allow | Effect::Observe if ask.grants(&rule.paths, found) => {
            Fit::Fits(by(&|paths| ask.grants(paths, found)))
        }
        Effect::Allow | Effect::Observe => Fit::Misses(match ask.target {
            Target::Canonical(_) => Miss::Path,
            Target::Odd { why, .. } => Miss::Odd(*why),
        }),
    }
}

/// The rules of a name, or of a connection's authority, in the order of their names.
pub(crate) fn reach(policy: &Policy, agent: AgentId, host: &Host, authority: Option<&Authority>) -> Vec<(RuleId, Fit)> {
    if own::is_own(host) {
        return Vec::new();
    }
    let found = buckets(policy, host);
    let known = |ends: Ends| authority.is_none_or(|authority| ends.cover(authority));
    let rules = gather(&found, |entry| entry.ends);
    let closed = |ends: Ends, methods: &MethodSet| blocked(&found, agent, ends, methods);
    let mut closing: Vec<RuleId> = Vec::new();
    let mut close = |ends: Ends| closing.extend(closers(&found, Some(agent), ends).map(|entry| entry.rule));
    let mut fits: BTreeMap<RuleId, Fit> = BTreeMap::new();
    for (id, ends) in &rules {
        let rule = policy.rule(*id);
        if rule.effect == Effect::Deny || !rule.agents.contains(agent) {
            continue;
        }
        let mut fit = Fit::Misses(Miss::Ends);
        for ends in ends.iter().copied().filter(|ends| known(*ends)) {
            match closed(ends, &rule.methods) {
                None => {
                    fit = Fit::Fits(None);
                    break;
                }
                Some(by) => {
                    close(ends);
                    fit = Fit::Misses(Miss::Closed(by));
                }
            }
        }
        fits.insert(*id, fit);
    }
    if authority.is_none() && closed(EVERYWHERE, &MethodSet::any()).is_some() {
        // Names of forwarded zones are closed by what covers every scheme, port and method.
        close(EVERYWHERE);
    }
    let compare = |(id, ends): (RuleId, Vec<Ends>)| {
        let rule = policy.rule(id);
        let fit = match fits.remove(&id) {
            Some(fit) => fit,
            None if !rule.agents.contains(agent) => Fit::Misses(Miss::Agent),
            None if closing.contains(&id) => Fit::Fits(None),
            None if !ends.iter().any(|ends| known(*ends)) => Fit::Misses(Miss::Ends),
            None => Fit::Misses(Miss::Partly),
        };
        (id, fit)
    };
    rules.into_iter().map(compare).collect()
}

/// Every rule of some buckets, once, with what `of` makes of each of its hosts that are in them.
fn gather<T: PartialEq>(found: &[&Bucket], of: impl Fn(&Entry) -> T) -> BTreeMap<RuleId, Vec<T>> {
    let mut rules: BTreeMap<RuleId, Vec<T>> = BTreeMap::new();
    for entry in found.iter().flat_map(|bucket| bucket.block.all().chain(bucket.refuse.all()).chain(bucket.grant.all()))
    {
        let known = rules.entry(entry.rule).or_default();
        let value = of(entry);
        if !known.contains(&value) {
            known.push(value);
        }
    }
    rules
}
