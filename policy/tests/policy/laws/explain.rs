//! Explanations never say anything else than the decision, and what they say about rules adds up to it.

use std::collections::BTreeSet;

use proptest::prelude::*;
use stubgate_policy::explain::{Explanation, Fits, Outcome, State};
use stubgate_policy::{
    Ask, ConnectStage, Decision, Effect, Name, NameStage, Policy, QueryKind, Question, Reason, RequestStage, Seen,
    Slot, SlotRef, Token,
};

use super::model::touches;
use super::world::{AGENTS, NAMES, Request, files, request, rules};
use crate::support::policy_of;

fn tokens(request: &Request) -> Vec<Token<'_>> {
    request.tokens.iter().map(|(slot, text)| Token::literal(*slot, text.as_bytes())).collect()
}

fn line(request: &Request) -> String {
    let (method, scheme) = match (request.method, request.scheme) {
        ("websocket", "http") => ("WEBSOCKET", "ws"),
        ("websocket", _) => ("WEBSOCKET", "wss"),
        other => other,
    };
    format!("{method} {scheme}://{}:{}{}", request.host, request.port, request.path)
}

fn explain(policy: &Policy, request: &Request) -> Explanation {
    let question = Question::parse(&line(request)).unwrap();
    assert_eq!(question.request().unwrap().authority(), &request.authority());
    assert_eq!(question.request().unwrap().target(), &request.target());
    policy.explain_body(
        policy.agent_named(request.agent),
        &question,
        Ok(&tokens(request)),
        Some(Seen::Body(&request.sent())),
    )
}

/// Outcome, rule and reason, from the decision itself.
fn decided<G>(
    policy: &Policy,
    decision: Decision<G>,
    rule_of: impl Fn(&G) -> Option<String>,
) -> (Outcome, Option<String>, Option<Reason>) {
    match decision {
        Decision::Allow(grant) => (Outcome::Allow, rule_of(&grant), None),
        Decision::Deny(denial) => {
            let outcome = if denial.reason == Reason::Observed { Outcome::Observe } else { Outcome::Deny };
            (outcome, denial.rule.map(|rule| policy.rule(rule).name().to_owned()), Some(denial.reason))
        }
        Decision::Answer(_) => (Outcome::Answer, None, None),
    }
}

fn said(explanation: &Explanation) -> (Outcome, Option<String>, Option<Reason>) {
    (explanation.decision, explanation.rule.clone(), explanation.reason)
}

/// The rules that take part, by effect.
fn fitting(explanation: &Explanation, effect: Effect) -> Vec<&str> {
    let fits = explanation.rules.iter().filter(|rule| rule.effect == effect && rule.fits.matches());
    fits.map(|rule| rule.rule.as_str()).collect()
}

fn has(explanation: &Explanation, fits: Fits) -> bool {
    explanation.rules.iter().any(|rule| rule.effect != Effect::Deny && rule.fits == fits)
}

fn one_phase_decides(explanation: &Explanation) -> bool {
    let states: Vec<State> = explanation.phases.iter().map(|phase| phase.state).collect();
    let at = states.iter().position(|state| *state == State::Decided).unwrap();
    states[..at].iter().all(|state| *state == State::Passed) && states[at + 1..].iter().all(|s| *s == State::Skipped)
}

/// Whether the rules that fit add up to the decision on a request.
fn adds_up(explanation: &Explanation) -> bool {
    let (allows, denies, observes) = (
        fitting(explanation, Effect::Allow),
        fitting(explanation, Effect::Deny),
        fitting(explanation, Effect::Observe),
    );
    let rule = explanation.rule.as_deref();
    let deny_fits = explanation.rules.iter().any(|rule| rule.effect == Effect::Deny && rule.fits == Fits::Yes);
    let refused: Vec<&str> =
        explanation.rules.iter().filter(|rule| rule.fits == Fits::NoBody).map(|rule| rule.rule.as_str()).collect();
    match explanation.reason {
        Some(Reason::Quarantined) => explanation.rules.is_empty(),
        Some(Reason::DeniedByRule) => deny_fits && denies.contains(&rule.unwrap()),
        Some(Reason::PathAmbiguous) if rule.is_some() => !deny_fits && denies.contains(&rule.unwrap()),
        _ if !denies.is_empty() => false,
        Some(Reason::BodyNotAllowed | Reason::BodyNotInspectable) => refused.contains(&rule.unwrap()),
        Some(Reason::Observed) => refused.is_empty() && allows.is_empty() && observes.contains(&rule.unwrap()),
        // A stub that no rule could let pass trips where a rule only observes, too.
        Some(Reason::StubOutOfSlot | Reason::StubWrongHost | Reason::StubOverPlain)
            if allows.is_empty() && refused.is_empty() =>
        {
            observes.contains(&rule.unwrap())
        }
        None => allows.contains(&rule.unwrap()),
        Some(
            Reason::StubOutOfSlot
            | Reason::StubWrongHost
            | Reason::StubNotGranted
            | Reason::StubOverPlain
            | Reason::ForeignCredential
            | Reason::TwoCredentials
            | Reason::CredentialRequired,
        ) => !allows.is_empty() || !refused.is_empty(),
        _ if !refused.is_empty() || !allows.is_empty() || !observes.is_empty() => false,
        Some(Reason::PathNotAllowed) => has(explanation, Fits::NoPath),
        Some(Reason::PathAmbiguous) => has(explanation, Fits::NoOddPath),
        Some(Reason::MethodNotAllowed) => has(explanation, Fits::NoMethod) && !has(explanation, Fits::NoPath),
        Some(Reason::HostNotAllowed) => !has(explanation, Fits::NoMethod) && !has(explanation, Fits::NoPath),
        Some(_) => false,
    }
}

/// Whatever is allowed at a stage without a path, some rule opens; whatever is closed, deny rules that fit close.
fn opens_and_closes(explanation: &Explanation) -> bool {
    let open = explanation.rules.iter().any(|rule| rule.effect != Effect::Deny && rule.fits == Fits::Yes);
    let closed = has(explanation, Fits::Closed);
    let denies = fitting(explanation, Effect::Deny);
    match explanation.reason {
        Some(Reason::Quarantined) => explanation.rules.is_empty(),
        Some(Reason::DeniedByRule) => !open && closed && denies.contains(&&*explanation.rule.clone().unwrap()),
        Some(_) => !open && !closed,
        None => open || explanation.dns.is_some(),
    }
}

fn place(slot: &Slot) -> SlotRef<'_> {
    match slot {
        Slot::Bearer => SlotRef::Bearer,
        Slot::Basic => SlotRef::Basic(stubgate_policy::BasicField::Password),
        Slot::Bare => SlotRef::Bare,
        Slot::Header(name) => SlotRef::Header(name),
        Slot::Query(name) => SlotRef::Query(name),
    }
}

proptest! {

    #[test]
    fn an_explanation_says_what_decide_says_and_its_rules_add_up(rules in rules(), requests in prop::collection::vec(request(), 60)) {
        let policy = policy_of(&files(&rules, 1));
        for request in requests.iter().filter(|request| request.method != "TRACE") {
            let (authority, method, target, tokens) = (request.authority(), request.method(), request.target(), tokens(request));
            let at = RequestStage { authority: &authority, method: &method, target: &target, tokens: &tokens };
            let sent = request.sent();
            let decision = policy.decide_body(&Ask::new(policy.agent_named(request.agent).unwrap(), at), Seen::Body(&sent)).0;
            let swap = decision.granted().and_then(|permit| permit.swap()).map(|swap| swap.name.to_string());
            let explanation = explain(&policy, request);
            let expected = decided(&policy, decision, |permit| Some(policy.rule(permit.rule()).name().to_owned()));
            prop_assert_eq!(said(&explanation), expected, "{:?}", request);
            prop_assert_eq!(explanation.swap.as_ref().map(|swap| swap.credential.clone()), swap.clone());
            prop_assert!(swap.iter().all(|swap| explanation.credentials.iter().any(|offer| offer.credential == *swap)));
            prop_assert!(adds_up(&explanation), "{:?}\n{:#?}", request, explanation);
            prop_assert!(one_phase_decides(&explanation), "{:#?}", explanation);
            let touching: BTreeSet<&str> = rules.iter().filter(|rule| touches(rule, request)).map(|rule| rule.name.as_str()).collect();
            let considered: BTreeSet<&str> = explanation.rules.iter().map(|rule| rule.rule.as_str()).collect();
            prop_assert_eq!(considered, if request.agent == "locked" { BTreeSet::new() } else { touching });
        }
    }

    #[test]
    fn a_stub_that_is_offered_is_swapped_in_every_slot_named(rules in rules(), requests in prop::collection::vec(request(), 40)) {
        let policy = policy_of(&files(&rules, 1));
        for request in requests.into_iter().filter(|request| request.method != "TRACE") {
            for offer in explain(&policy, &Request { tokens: Vec::new(), ..request.clone() }).credentials {
                let credential = policy.credential(policy.credential_named(&offer.credential).unwrap());
                for slot in credential.slots() {
                    let question = Question::parse(&line(&request)).unwrap();
                    let token = [Token::literal(place(slot), credential.stub().as_bytes())];
                    let sent = request.sent();
                    let with = policy.explain_body(policy.agent_named(request.agent), &question, Ok(&token), Some(Seen::Body(&sent)));
                    prop_assert_eq!(with.swap.map(|swap| swap.credential), Some(offer.credential.clone()));
                }
            }
        }
    }

    #[test]
    fn names_and_connections_are_explained_as_they_are_decided(rules in rules(), requests in prop::collection::vec(request(), 30)) {
        let policy = policy_of(&files(&rules, 1));
        for request in &requests {
            let agent = policy.agent_named(request.agent);
            let authority = request.authority();
            let question = Question::parse(&format!("CONNECT {}:{}", request.host, request.port)).unwrap();
            let authority = stubgate_policy::Authority::new(stubgate_policy::Scheme::Https, authority.host().clone(), request.port.try_into().unwrap());
            let explanation = policy.explain(agent, &question, Ok(&[]));
            let decision = policy.decide(&Ask::new(agent.unwrap(), ConnectStage { authority: &authority }));
            prop_assert_eq!(said(&explanation), decided(&policy, decision, |_| None));
            prop_assert!(opens_and_closes(&explanation), "{:#?}", explanation);
            prop_assert!(one_phase_decides(&explanation));
        }
        for agent in AGENTS.iter().map(|agent| policy.agent_named(agent)) {
            for text in NAMES {
                let name = Name::parse(text.as_bytes()).unwrap();
                let question = Question::parse(&format!("DNS {text} A")).unwrap();
                let explanation = policy.explain(agent, &question, Ok(&[]));
                let decision = policy.decide(&Ask::new(agent.unwrap(), NameStage { name: &name, kind: QueryKind::A }));
                prop_assert_eq!(said(&explanation), decided(&policy, decision, |_| None));
                prop_assert!(opens_and_closes(&explanation), "{:#?}", explanation);
                prop_assert!(one_phase_decides(&explanation));
            }
        }
    }
}
