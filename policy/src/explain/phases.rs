//! The phases that a question goes through, and where its decision fell.

use super::verdict::Verdict;
use super::words::{self, list};
use super::{Asked, Outcome, place, rules};
use crate::decide::consider::Fit;
use crate::decide::{NameGrant, own};
use crate::model::{Effect, Reason, RuleId, Target};
use crate::question::Question;

/// A phase, and what it came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Phase {
    /// Which.
    pub name: PhaseName,
    /// Whether it was passed.
    pub state: State,
    /// In words; empty for a phase that was not reached.
    pub text: String,
}

/// The steps of a decision, in their order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum PhaseName {
    /// From an address to an agent that is not quarantined.
    Identify,
    /// The one host, and the head of the request.
    Authority,
    /// What stubgate answers by itself.
    Own,
    /// Deny rules.
    Deny,
    /// Allow and observe rules.
    Allow,
    /// `dns:` entries and names below; lookups only.
    Forward,
    /// What stands in the credential places; requests only.
    Credentials,
    /// What stands in the body; requests that a rule looks into only.
    Body,
    /// Putting the credential in; only where that refuses what was decided.
    Swap,
}

impl PhaseName {
    /// The word in words and JSON.
    pub const fn as_str(self) -> &'static str {
        match self {
            PhaseName::Identify => "identify",
            PhaseName::Authority => "authority",
            PhaseName::Own => "own",
            PhaseName::Deny => "deny",
            PhaseName::Allow => "allow",
            PhaseName::Forward => "forward",
            PhaseName::Credentials => "credentials",
            PhaseName::Body => "body",
            PhaseName::Swap => "swap",
        }
    }
}

/// What a phase came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum State {
    /// Passed on.
    Passed,
    /// The decision fell here.
    Decided,
    /// Not reached.
    Skipped,
}

impl State {
    /// The word in words and JSON.
    pub const fn as_str(self) -> &'static str {
        match self {
            State::Passed => "passed",
            State::Decided => "decided",
            State::Skipped => "skipped",
        }
    }
}

pub(super) fn of(asked: &Asked<'_>, verdict: &Verdict, fits: &[(RuleId, Fit)]) -> Vec<Phase> {
    use PhaseName as P;
    let looks = |(id, fit): &(RuleId, Fit)| {
        let rule = asked.policy.rule(*id);
        rule.effect() == Effect::Allow && rule.body().is_some() && matches!(fit, Fit::Fits(_))
    };
    let names: &[PhaseName] = match asked.question {
        Question::Request(_) if fits.iter().any(looks) => {
            &[P::Identify, P::Authority, P::Own, P::Deny, P::Allow, P::Credentials, P::Body]
        }
        Question::Request(_) => &[P::Identify, P::Authority, P::Own, P::Deny, P::Allow, P::Credentials],
        Question::Name { .. } => &[P::Identify, P::Own, P::Deny, P::Allow, P::Forward],
        Question::Connect { .. } => &[P::Identify, P::Own, P::Deny, P::Allow],
    };
    let decided = match decided_at(asked, verdict) {
        P::Credentials if verdict.reason.is_none() && names.contains(&P::Body) => P::Body,
        decided => decided,
    };
    let phase = |name: PhaseName| {
        let state = match name.cmp(&decided) {
            std::cmp::Ordering::Less => State::Passed,
            std::cmp::Ordering::Equal => State::Decided,
            std::cmp::Ordering::Greater => State::Skipped,
        };
        let text = if state == State::Skipped { String::new() } else { text(name, asked, verdict, fits) };
        Phase { name, state, text }
    };
    names.iter().copied().map(phase).collect()
}

/// Where the decision fell, by its reason.
fn decided_at(asked: &Asked<'_>, verdict: &Verdict) -> PhaseName {
    use Reason as R;
    let own = match asked.question {
        Question::Request(request) => own::is_own(request.authority().host()),
        Question::Connect { authority } => own::is_own(authority.host()),
        Question::Name { name, .. } => own::name(name).is_some(),
    };
    match verdict.reason {
        Some(R::UnknownAgent | R::Quarantined) => PhaseName::Identify,
        Some(R::BadRequest | R::BadAuthority | R::AuthorityMismatch) => PhaseName::Authority,
        Some(R::BodyNotAllowed | R::BodyNotInspectable) => PhaseName::Body,
        _ if own => PhaseName::Own,
        Some(R::DeniedByRule) => PhaseName::Deny,
        Some(R::PathAmbiguous) if verdict.rule.is_some() => PhaseName::Deny,
        Some(
            R::NameNotAllowed
            | R::ConnectNotAllowed
            | R::HostNotAllowed
            | R::MethodNotAllowed
            | R::PathNotAllowed
            | R::PathAmbiguous
            | R::Observed,
        ) => match asked.question {
            Question::Name { .. } => PhaseName::Forward,
            Question::Request(_) | Question::Connect { .. } => PhaseName::Allow,
        },
        Some(_) => PhaseName::Credentials,
        None => match (asked.question, verdict.dns) {
            (Question::Request(_), _) => PhaseName::Credentials,
            (Question::Name { .. }, Some(NameGrant::Forward | NameGrant::Nodata)) => PhaseName::Forward,
            (Question::Name { .. } | Question::Connect { .. }, _) => PhaseName::Allow,
        },
    }
}

fn asked_host(asked: &Asked<'_>) -> Option<crate::model::Host> {
    match asked.question {
        Question::Request(request) => Some(request.authority().host().clone()),
        Question::Connect { authority } => Some(authority.host().clone()),
        Question::Name { .. } => None,
    }
}

fn text(name: PhaseName, asked: &Asked<'_>, verdict: &Verdict, fits: &[(RuleId, Fit)]) -> String {
    let said = || verdict.reason.map_or_else(String::new, |reason| reason.sentence().to_owned());
    match name {
        PhaseName::Identify => match asked.agent {
            _ if matches!(verdict.reason, Some(Reason::UnknownAgent | Reason::Quarantined)) => said(),
            Some(agent) => format!("agent {}", asked.policy.agent(agent).name()),
            None => String::new(),
        },
        PhaseName::Authority => authority(asked, verdict),
        PhaseName::Own => match (verdict.outcome, verdict.reason) {
            (Outcome::Answer, _) => words::answer(verdict),
            _ if decided_at(asked, verdict) != PhaseName::Own => "not a host of stubgate itself".to_owned(),
            (_, Some(_)) => match asked_host(asked) {
                Some(host) => format!("a host of stubgate itself, which answers GET {} only", own::address(&host)),
                None => "a host of stubgate itself".to_owned(),
            },
            (_, None) => "a host of stubgate itself".to_owned(),
        },
        PhaseName::Deny => {
            let (matching, all) = named(asked, fits, |effect| effect == Effect::Deny);
            if matching.is_empty() { none(all.len(), "deny rule") } else { list(matching) }
        }
        PhaseName::Allow => {
            let (matching, all) = named(asked, fits, |effect| effect != Effect::Deny);
            if matching.is_empty() { none(all.len(), "allow or observe rule") } else { list(matching) }
        }
        PhaseName::Forward => match verdict.dns {
            Some(NameGrant::Forward) => "a `dns:` entry lets the agent ask for this name and type".to_owned(),
            Some(NameGrant::Nodata) => {
                "a name below it is allowed, or a `dns:` entry allows it for other types".to_owned()
            }
            Some(NameGrant::Advertise) | None => {
                "no `dns:` entry for this agent and name, and no allowed name below it".to_owned()
            }
        },
        PhaseName::Credentials => credentials(asked, verdict),
        PhaseName::Body => body(verdict),
        PhaseName::Swap => String::new(),
    }
}

fn authority(asked: &Asked<'_>, verdict: &Verdict) -> String {
    if let Some(reason @ (Reason::BadRequest | Reason::BadAuthority | Reason::AuthorityMismatch)) = verdict.reason {
        return reason.sentence().to_owned();
    }
    let Some(request) = asked.question.request() else {
        return String::new();
    };
    match request.target() {
        Target::Canonical(path) => format!("{}, path {path}", request.authority()),
        Target::Odd { raw, why } => format!("{}, path {raw}: {why}", request.authority()),
    }
}

fn body(verdict: &Verdict) -> String {
    match (&verdict.fault, verdict.to_look, verdict.looked) {
        (Some(fault), ..) => fault.text.clone(),
        (None, true, _) => "not given; a rule looks into it".to_owned(),
        (None, false, true) => "as a rule demands".to_owned(),
        (None, false, false) => "not looked into: a rule that looks into none allows the request".to_owned(),
    }
}

fn credentials(asked: &Asked<'_>, verdict: &Verdict) -> String {
    let places = || list(asked.tokens.iter().map(|token| place(token.slot)));
    let stands = || if asked.tokens.is_empty() { String::new() } else { format!(" Found: {}.", places()) };
    let of_body = |reason: &Reason| matches!(reason, Reason::BodyNotAllowed | Reason::BodyNotInspectable);
    match (verdict.reason, &verdict.swap) {
        (Some(reason), _) if of_body(&reason) && asked.tokens.is_empty() => "none presented".to_owned(),
        (Some(reason), _) if of_body(&reason) => format!("found: {}", places()),
        (Some(reason), _) => format!("{}{}", reason.sentence(), stands()),
        (None, Some((id, at))) => {
            let place = asked.tokens.get(*at).map(|token| place(token.slot)).unwrap_or_default();
            format!("the stub of {} stands in {place} and is swapped", asked.policy.credential(*id).name())
        }
        (None, None) if asked.tokens.is_empty() => "none presented".to_owned(),
        (None, None) => format!("no stub presented; what stands in {} passes as it is", places()),
    }
}

/// The names of the rules that match, and of all, by effect.
fn named(asked: &Asked<'_>, fits: &[(RuleId, Fit)], wanted: impl Fn(Effect) -> bool) -> (Vec<String>, Vec<RuleId>) {
    let mut matching = Vec::new();
    let mut all = Vec::new();
    for (id, fit) in fits {
        let rule = asked.policy.rule(*id);
        if wanted(rule.effect()) {
            all.push(*id);
            if !matches!(fit, Fit::Misses(_)) {
                let mark = if rule.effect() == Effect::Observe { rules::effect(Effect::Observe) } else { "" };
                matching.push(format!("{} {mark}", rule.name()).trim_end().to_owned());
            }
        }
    }
    (matching, all)
}

fn none(of: usize, what: &str) -> String {
    match of {
        0 => format!("no {what} for this host"),
        1 => format!("the one {what} for this host does not match"),
        of => format!("none of the {of} {what}s for this host matches"),
    }
}
