//! Why policy decides as it does, for one question: each phase, each rule that was considered and the first thing about
//! it that does not fit, and the credentials that would be swapped.
//!
//! The decision in an [`Explanation`] is the outcome of [`Policy::decide`] itself (law 1); all else is found with the same
//! index and the same comparisons, and only tells about it. Rules of other hosts are not listed, and no text from a
//! credential place is ever shown.

mod json;
mod phases;
mod rules;
mod verdict;
mod words;

pub use phases::{Phase, PhaseName, State};
pub use rules::{Considered, Fits};
pub use words::{render, sentence};

use verdict::Verdict;

use crate::body::{Fault, Seen};
use crate::decide::consider::{self, Fit};
use crate::decide::{Ask, ConnectStage, NameGrant, NameStage, RequestStage, SlotRef, Token};
use crate::model::{AgentId, CredentialId, Effect, Host, Policy, Reason, RuleId};
use crate::question::{Question, Request};

/// What comes of a question; the words of audit records.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Outcome {
    /// Goes on.
    Allow,
    /// Refused.
    Deny,
    /// Refused, because only an observe rule matches.
    Observe,
    /// Answered by stubgate itself.
    Answer,
}

impl Outcome {
    /// The word in records and tests.
    pub const fn as_str(self) -> &'static str {
        match self {
            Outcome::Allow => "allow",
            Outcome::Deny => "deny",
            Outcome::Observe => "observe",
            Outcome::Answer => "answer",
        }
    }
}

/// A decision and how it came about. Names are those of the policy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Explanation {
    /// The question, in its canonical spelling, without query.
    pub question: String,
    /// Who asked; `None` if nobody is known at the address.
    pub agent: Option<String>,
    /// What comes of it.
    pub decision: Outcome,
    /// The rule that decided, as records name it.
    pub rule: Option<String>,
    /// Why it is refused.
    pub reason: Option<Reason>,
    /// The decision in one sentence.
    pub sentence: String,
    /// What DNS does with an allowed name.
    pub dns: Option<NameGrant>,
    /// The credential that is swapped in.
    pub swap: Option<Swapped>,
    /// The phases in their order.
    pub phases: Vec<Phase>,
    /// Every rule whose hosts cover the host, in the order of names.
    pub rules: Vec<Considered>,
    /// The credentials whose stubs may be swapped in this request.
    pub credentials: Vec<Offer>,
    /// What else a reader should know.
    pub notes: Vec<String>,
}

/// A credential that is swapped in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Swapped {
    /// Its name.
    pub credential: String,
    /// Where its stub stands.
    pub place: String,
    /// Which of the tokens of the question holds it.
    pub token: usize,
}

/// A credential that the matching rules grant and that is bound to the host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Offer {
    /// Its name.
    pub credential: String,
    /// The slots that its stub may stand in.
    pub slots: Vec<String>,
    /// The matching rules that grant it.
    pub rules: Vec<String>,
}

impl Policy {
    /// Explains the decision on a question.
    ///
    /// `agent` is `None` for an address that belongs to no agent. `tokens` is what stands in the credential places of the
    /// request's head, or the reason why the head was refused before policy was asked.
    pub fn explain(
        &self,
        agent: Option<AgentId>,
        question: &Question,
        tokens: Result<&[Token<'_>], Reason>,
    ) -> Explanation {
        self.explain_body(agent, question, tokens, None)
    }

    /// Explains the decision on a whole request, with what is known of its body; `None` asks about the head alone.
    pub fn explain_body(
        &self,
        agent: Option<AgentId>,
        question: &Question,
        tokens: Result<&[Token<'_>], Reason>,
        seen: Option<Seen<'_>>,
    ) -> Explanation {
        let presented = tokens.unwrap_or_default();
        let asked = Asked { policy: self, agent, question, tokens: presented, seen };
        let verdict = match (agent, tokens) {
            (None, _) => Verdict::deny(Reason::UnknownAgent),
            (Some(_), Err(reason)) => Verdict::deny(reason),
            (Some(agent), Ok(_)) => asked.verdict(agent),
        };
        let known = agent.filter(|agent| tokens.is_ok() && !self.agent(*agent).quarantined());
        let fits = known.map(|agent| asked.considered(agent)).unwrap_or_default();
        let offers = asked.offers(&fits);
        let phases = phases::of(&asked, &verdict, &fits);
        let swap = verdict.swap.as_ref().map(|(id, at)| Swapped {
            credential: self.credential(*id).name().to_owned(),
            place: presented.get(*at).map_or_else(String::new, |token| place(token.slot)),
            token: *at,
        });
        let rule = verdict.rule.map(|id| self.rule(id).name().to_owned());
        let mut notes = match question.request().and_then(Request::query) {
            Some(_) => vec!["the query is cut off: no rule matches it".to_owned()],
            None => Vec::new(),
        };
        notes.extend(
            verdict.to_look.then(|| "no body was given: it is refused unless its body is as the rule demands".into()),
        );
        notes.extend(verdict.fault.as_ref().map(|fault| fault.text.clone()));
        Explanation {
            question: question.to_string(),
            agent: agent.map(|agent| self.agent(agent).name().to_owned()),
            decision: verdict.outcome,
            sentence: words::decision(&verdict, rule.as_deref(), swap.as_ref()),
            rule,
            reason: verdict.reason,
            dns: verdict.dns,
            swap,
            phases,
            rules: fits.iter().map(|(id, fit)| rules::considered(&asked, *id, fit)).collect(),
            credentials: offers,
            notes,
        }
    }
}

impl Explanation {
    /// The same, refused by what comes after the decision.
    #[must_use]
    pub fn refused_later(mut self, reason: Reason) -> Explanation {
        if let Some(last) = self.phases.last_mut() {
            last.state = State::Passed;
        }
        let sentence = sentence(reason, None);
        self.phases.push(Phase { name: PhaseName::Swap, state: State::Decided, text: sentence.clone() });
        Explanation {
            decision: Outcome::Deny,
            rule: None,
            reason: Some(reason),
            sentence,
            dns: None,
            swap: None,
            ..self
        }
    }
}

/// A question to a policy.
struct Asked<'a> {
    policy: &'a Policy,
    agent: Option<AgentId>,
    question: &'a Question,
    tokens: &'a [Token<'a>],
    seen: Option<Seen<'a>>,
}

impl Asked<'_> {
    fn verdict(&self, agent: AgentId) -> Verdict {
        let policy = self.policy;
        match self.question {
            Question::Request(request) => {
                let ask = Ask::new(agent, self.stage(request));
                match self.seen {
                    None => policy.decide(&ask).into(),
                    Some(seen) => {
                        let (decision, fault) = policy.decide_body(&ask, seen);
                        Verdict { fault, ..decision.into() }
                    }
                }
            }
            Question::Name { name, kind } => policy.decide(&Ask::new(agent, NameStage { name, kind: *kind })).into(),
            Question::Connect { authority } => policy.decide(&Ask::new(agent, ConnectStage { authority })).into(),
        }
    }

    fn considered(&self, agent: AgentId) -> Vec<(RuleId, Fit)> {
        match self.question {
            Question::Request(request) => consider::request(self.policy, agent, &self.stage(request)),
            Question::Name { name, .. } => consider::reach(self.policy, agent, &Host::Name(name.clone()), None),
            Question::Connect { authority } => consider::reach(self.policy, agent, authority.host(), Some(authority)),
        }
    }

    /// What is wrong with the body for an allow rule whose head fits.
    fn fault(&self, id: RuleId, fit: &Fit) -> Option<Fault> {
        let rule = self.policy.rule(id);
        let (Effect::Allow, Fit::Fits(_), Some(body)) = (rule.effect(), fit, rule.body()) else { return None };
        self.seen.and_then(|seen| seen.satisfies(body).err())
    }

    fn stage<'a>(&'a self, request: &'a Request) -> RequestStage<'a> {
        RequestStage {
            authority: request.authority(),
            method: request.method(),
            target: request.target(),
            tokens: self.tokens,
        }
    }

    /// The credentials of the allow rules that fit a request that no deny rule refuses.
    fn offers(&self, fits: &[(RuleId, Fit)]) -> Vec<Offer> {
        let Some(request) = self.question.request() else {
            return Vec::new();
        };
        let rule = |id: RuleId| self.policy.rule(id);
        let denied = |(id, fit): &(RuleId, Fit)| rule(*id).effect() == Effect::Deny && !matches!(fit, Fit::Misses(_));
        if fits.iter().any(denied) {
            return Vec::new();
        }
        let allows = |(id, fit): &&(RuleId, Fit)| {
            rule(*id).effect() == Effect::Allow && matches!(fit, Fit::Fits(_)) && self.fault(*id, fit).is_none()
        };
        let matched: Vec<RuleId> = fits.iter().filter(allows).map(|(id, _)| *id).collect();
        let mut granted: Vec<CredentialId> = matched.iter().flat_map(|id| rule(*id).credentials()).copied().collect();
        granted.sort_unstable();
        granted.dedup();
        let bound = |id: &CredentialId| {
            let hosts = self.policy.credential(*id).hosts();
            hosts.iter().any(|host| host.covers(request.authority()))
        };
        let offer = |id: CredentialId| {
            let credential = self.policy.credential(id);
            let grants =
                matched.iter().map(|rule| self.policy.rule(*rule)).filter(|rule| rule.credentials().contains(&id));
            Offer {
                credential: credential.name().to_owned(),
                slots: credential.slots().iter().map(ToString::to_string).collect(),
                rules: grants.map(|rule| rule.name().to_owned()).collect(),
            }
        };
        granted.into_iter().filter(bound).map(offer).collect()
    }
}

/// A credential place, as people read it.
fn place(slot: SlotRef<'_>) -> String {
    use crate::decide::BasicField;
    match slot {
        SlotRef::Bearer => "bearer".into(),
        SlotRef::Basic(BasicField::User) => "basic (user)".into(),
        SlotRef::Basic(BasicField::Password) => "basic (password)".into(),
        SlotRef::Bare => "bare".into(),
        SlotRef::Header(name) => format!("header:{name}"),
        SlotRef::Query(name) => format!("query:{name}"),
        SlotRef::Elsewhere => "no credential place".into(),
    }
}
