//! One rule beside a question, in words.

use super::Asked;
use super::words::list;
use crate::decide::consider::{Fit, Miss};
use crate::model::hosts::HostRule;
use crate::model::paths::Paths;
use crate::model::policy::AgentSet;
use crate::model::{Effect, Host, Rule, RuleId};
use crate::question::Question;

/// A rule that was considered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Considered {
    /// Its name.
    pub rule: String,
    /// What it does where it matches.
    pub effect: Effect,
    /// How it compares.
    pub fits: Fits,
    /// The path pattern that matches, where it has paths.
    pub pattern: Option<String>,
    /// The same in words: what matches, or the first thing that does not.
    pub text: String,
}

/// How a rule compares with a question. What does not fit is the first such thing, in this order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Fits {
    /// It matches.
    Yes,
    /// A deny rule whose paths can't be compared with an odd path, and which denies for that.
    Unclear,
    /// It is for other agents.
    NoAgent,
    /// It is for other schemes or ports.
    NoAuthority,
    /// It is for other methods.
    NoMethod,
    /// It is for other paths.
    NoPath,
    /// The path has several readings, and some rule of the host has paths.
    NoOddPath,
    /// The body is not as it demands.
    NoBody,
    /// Deny rules leave nothing of it; before the method is known.
    Closed,
    /// A deny rule that does not close the whole host; before the method is known.
    Partly,
}

impl Fits {
    /// The word in JSON.
    pub const fn as_str(self) -> &'static str {
        match self {
            Fits::Yes => "yes",
            Fits::Unclear => "unclear",
            Fits::NoAgent => "agent",
            Fits::NoAuthority => "authority",
            Fits::NoMethod => "method",
            Fits::NoPath => "path",
            Fits::NoOddPath => "odd_path",
            Fits::NoBody => "body",
            Fits::Closed => "closed",
            Fits::Partly => "partly",
        }
    }

    /// Whether the rule takes part in the decision.
    pub const fn matches(self) -> bool {
        matches!(self, Fits::Yes | Fits::Unclear)
    }
}

/// The word for an effect.
pub(super) fn effect(effect: Effect) -> &'static str {
    match effect {
        Effect::Allow => "allow",
        Effect::Deny => "deny",
        Effect::Observe => "observe",
    }
}

pub(super) fn considered(asked: &Asked<'_>, id: RuleId, fit: &Fit) -> Considered {
    let rule = asked.policy.rule(id);
    let fault = asked.fault(id, fit);
    let (fits, pattern, text) = match fit {
        Fit::Fits(_) if fault.is_some() => (Fits::NoBody, None, fault.map(|fault| fault.text).unwrap_or_default()),
        Fit::Fits(Some(pattern)) => (Fits::Yes, Some(pattern.clone()), format!("matches by {pattern}")),
        Fit::Fits(None) => (Fits::Yes, None, "matches".to_owned()),
        Fit::Unclear => {
            (Fits::Unclear, None, "its paths can't be compared with a path that has several readings".to_owned())
        }
        Fit::Misses(miss) => {
            let (fits, text) = misses(asked, rule, *miss);
            (fits, None, text)
        }
    };
    Considered { rule: rule.name().to_owned(), effect: rule.effect(), fits, pattern, text }
}

fn misses(asked: &Asked<'_>, rule: &Rule, miss: Miss) -> (Fits, String) {
    match miss {
        Miss::Agent => (Fits::NoAgent, format!("it is for {}", agents(asked, &rule.agents))),
        Miss::Ends => (Fits::NoAuthority, format!("it is for {}", list(hosts(asked, rule)))),
        Miss::Method => (Fits::NoMethod, format!("its methods are {}", rule.methods)),
        Miss::Path => (Fits::NoPath, format!("its paths are {}", paths(&rule.paths))),
        Miss::Odd(why) => (Fits::NoOddPath, format!("{why}, and rules of this host have paths")),
        Miss::Closed(by) => (Fits::Closed, format!("{} denies all of it", asked.policy.rule(by).name())),
        Miss::Partly => (Fits::Partly, "it denies a part only, which is known with method and path".to_owned()),
    }
}

fn agents(asked: &Asked<'_>, set: &AgentSet) -> String {
    match set {
        AgentSet::Every => "every agent".to_owned(),
        AgentSet::Some(ids) => list(ids.iter().map(|id| asked.policy.agent(*id).name().to_owned())),
    }
}

/// Those of its hosts that cover the host of the question, with their ports.
fn hosts(asked: &Asked<'_>, rule: &Rule) -> Vec<String> {
    let host = match asked.question {
        Question::Request(request) => request.authority().host().clone(),
        Question::Connect { authority } => authority.host().clone(),
        Question::Name { name, .. } => Host::Name(name.clone()),
    };
    let written = |rule: &HostRule| match rule.ends.scheme {
        Some(scheme) => {
            format!("{rule} ({scheme} on {})", rule.ends.port.map_or("every port".into(), |p| p.to_string()))
        }
        None => rule.to_string(),
    };
    rule.hosts.iter().filter(|rule| rule.pattern.covers(&host)).map(written).collect()
}

fn paths(paths: &Paths) -> String {
    match paths {
        Paths::All => "all".to_owned(),
        Paths::Some { patterns, .. } => list(patterns.iter().map(ToString::to_string)),
    }
}
