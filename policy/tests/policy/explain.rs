//! Explanations as people and programs read them.

use stubgate_policy::explain::{Outcome, PhaseName, State, render, sentence};
use stubgate_policy::{Explanation, Policy, Question, Reason, SlotRef, Token};

use crate::support::{file, policy_of};

const EXAMPLE: &str = include_str!("example.yaml");

fn example() -> Policy {
    policy_of(&[file(EXAMPLE)])
}

fn explain(agent: &str, line: &str, tokens: &[Token<'_>]) -> Explanation {
    let policy = example();
    let agent = policy.agent_named(agent);
    policy.explain(agent, &Question::parse(line).unwrap(), Ok(tokens))
}

fn stub(slot: SlotRef<'static>) -> Token<'static> {
    Token::literal(slot, b"proxy-token-github")
}

#[test]
fn people_see_phases_rules_and_credentials() {
    let bearer = [stub(SlotRef::Bearer)];
    let wrong = [stub(SlotRef::Header("x-api-key"))];
    for (name, agent, line, tokens) in [
        ("push", "devbot", "POST https://github.com/acme/site.git/git-receive-pack?a=b", &bearer[..]),
        ("other-repository", "devbot", "POST https://github.com/other/site.git", &bearer),
        ("gist", "devbot", "POST https://api.github.com/gists", &bearer),
        ("stub-in-the-wrong-slot", "devbot", "GET https://api.github.com/user", &wrong),
        ("without-a-credential", "infrabot", "GET https://api.github.com/user", &[]),
        ("odd-path", "devbot", "GET https://github.com/acme/../x", &[]),
        ("no-rule", "devbot", "GET https://evil.example.org/", &[]),
        ("nobody", "nobody", "GET https://github.com/acme/x", &[]),
        ("name", "devbot", "DNS github.com A", &[]),
        ("no-name", "devbot", "DNS evil.example.org A", &[]),
        ("connect", "infrabot", "CONNECT github.com:22", &[]),
        ("bundle", "devbot", "GET http://stubgate.internal/ca.pem", &[]),
    ] {
        insta::assert_snapshot!(format!("explain-{name}"), render(&explain(agent, line, tokens), false));
    }
}

#[test]
fn programs_see_the_same() {
    let explanation = explain("devbot", "POST https://api.github.com/gists", &[stub(SlotRef::Bearer)]);
    insta::assert_snapshot!("explain-json", serde_json::to_string_pretty(&explanation.to_json()).unwrap());
}

#[test]
fn no_text_of_a_credential_place_is_shown() {
    let secret = Token::literal(SlotRef::Bearer, b"ghp_somebodys_own_secret");
    let explanation = explain("devbot", "GET https://api.github.com/user", &[secret]);
    assert_eq!(explanation.reason, Some(Reason::ForeignCredential));
    assert!(!render(&explanation, true).contains("ghp_"));
    assert!(!explanation.to_json().to_string().contains("ghp_"));
}

#[test]
fn a_head_that_is_refused_before_policy_is_explained_too() {
    let policy = example();
    let question = Question::parse("GET https://github.com/acme/x").unwrap();
    let explanation = policy.explain(policy.agent_named("devbot"), &question, Err(Reason::BadRequest));
    assert_eq!((explanation.decision, explanation.reason), (Outcome::Deny, Some(Reason::BadRequest)));
    let decided = explanation.phases.iter().find(|phase| phase.state == State::Decided).unwrap();
    assert_eq!(decided.name, PhaseName::Authority);
    // Nobody known comes first, as it does for a request.
    let explanation = policy.explain(None, &question, Err(Reason::BadRequest));
    assert_eq!(explanation.reason, Some(Reason::UnknownAgent));
}

#[test]
fn what_comes_after_the_decision_may_refuse() {
    let explanation = explain("devbot", "GET https://api.github.com/user", &[stub(SlotRef::Bearer)]);
    assert_eq!(explanation.decision, Outcome::Allow);
    let refused = explanation.refused_later(Reason::StubOutOfSlot);
    assert_eq!((refused.decision, refused.reason, refused.rule), (Outcome::Deny, Some(Reason::StubOutOfSlot), None));
    assert_eq!(refused.phases.iter().filter(|phase| phase.state == State::Decided).count(), 1);
}

#[test]
fn every_reason_is_a_word_and_a_sentence_and_is_found_by_its_word() {
    for reason in Reason::ALL {
        assert_eq!(Reason::parse(reason.as_str()), Some(*reason));
        assert!(reason.sentence().ends_with('.') && !reason.sentence().contains('\n'), "{}", reason.sentence());
        assert!(sentence(*reason, None).starts_with(char::is_uppercase));
    }
    assert_eq!(Reason::parse("denied"), None);
    assert_eq!(sentence(Reason::DeniedByRule, Some("no-gists")), "A deny rule matches (rule no-gists).");
}
