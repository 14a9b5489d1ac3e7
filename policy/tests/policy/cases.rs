//! Policy tests: read, run, and told.

use std::collections::BTreeSet;

use stubgate_policy::cases::{self, Case, Content, Explain, Presented, Report};
use stubgate_policy::diagnostic::codes;
use stubgate_policy::{
    AgentId, BasicField, Body, Explanation, Policy, Question, Seen, Slot, SlotRef, SourceFile, Token, render,
};

use crate::support::{file, policy_of};

/// Presents stubs as they are; heads are for whoever can read them.
pub(crate) struct Plain;

impl Explain for Plain {
    fn explain(
        &self,
        policy: &Policy,
        agent: AgentId,
        question: &Question,
        headers: &[String],
        body: Option<&Content>,
        presented: Option<Presented<'_>>,
    ) -> Explanation {
        assert!(headers.is_empty());
        let tokens: Vec<Token<'_>> = presented
            .iter()
            .map(|presented| {
                let slot = match presented.slot {
                    Slot::Bearer => SlotRef::Bearer,
                    Slot::Basic => SlotRef::Basic(BasicField::Password),
                    Slot::Bare => SlotRef::Bare,
                    Slot::Header(name) => SlotRef::Header(name),
                    Slot::Query(name) => SlotRef::Query(name),
                };
                Token::literal(slot, presented.stub.as_bytes())
            })
            .collect();
        let kinds = body.and_then(|body| body.kind.as_deref()).map(str::as_bytes);
        let bytes = body.map_or(&b""[..], |body| body.text.as_bytes());
        let query = question.request().and_then(|request| request.query()).map(str::as_bytes);
        let sent = Body { content_types: kinds.into_iter().collect(), query, bytes, ..Body::none() };
        policy.explain_body(Some(agent), question, Ok(&tokens), Some(Seen::Body(&sent)))
    }
}

fn example() -> Policy {
    policy_of(&[file(include_str!("example.yaml"))])
}

fn files(name: &str, text: &str) -> Vec<SourceFile> {
    vec![SourceFile { name: name.into(), text: text.into() }]
}

fn ran(policy: &Policy, files: &[SourceFile]) -> (Vec<Case>, Report) {
    let cases = match cases::read(policy, files) {
        Ok(cases) => cases,
        Err(found) => panic!("{}", render(&found, files, false)),
    };
    let report = cases::run(policy, &cases, &Plain);
    (cases, report)
}

#[test]
fn the_cases_of_the_design_pass_and_their_reach_is_told() {
    let policy = example();
    let files = files("tests/good.yaml", include_str!("cases/good.yaml"));
    let (cases, report) = ran(&policy, &files);
    assert_eq!(report.failed(), 0, "{}", cases::render(&report, &cases, &files, true, false));
    let coverage = &report.coverage;
    // A name that is allowed reaches no rule, and a request that is denied reaches no allow rule of other methods.
    assert_eq!(coverage.unreached, ["github-read", "packages"]);
    assert_eq!((coverage.swapped.as_slice(), coverage.percent()), (&["github".to_owned()][..], 60));
    insta::assert_snapshot!("cases-good", cases::render(&report, &cases, &files, false, false));
}

#[test]
fn a_failure_says_what_came_and_why() {
    let policy = example();
    let files = files("tests/failing.yaml", include_str!("cases/failing.yaml"));
    let (cases, report) = ran(&policy, &files);
    assert_eq!(report.failed(), 3);
    insta::assert_snapshot!("cases-failing", cases::render(&report, &cases, &files, false, false));
    insta::assert_snapshot!("cases-failing-junit", cases::junit(&report, &cases, &files));
    let json = cases::json(&report, &cases, &files);
    assert_eq!((json["failed"].as_u64(), json["tests"][3]["passed"].as_bool()), (Some(3), Some(true)));
    assert_eq!(json["tests"][0]["came"], "deny, reason host_not_allowed");
    assert_eq!(json["tests"][0]["presented"], "the stub of github as bearer");
    assert_eq!(json["tests"][1]["line"], 8);
}

#[test]
fn every_error_of_a_file_of_tests_is_told_at_its_place() {
    let policy = example();
    let files = files("tests/broken.yaml", include_str!("cases/broken.yaml"));
    let found = cases::read(&policy, &files).unwrap_err();
    insta::assert_snapshot!("cases-broken", render(&found, &files, false));
    let mut seen: BTreeSet<&str> = found.iter().map(|diagnostic| diagnostic.code).collect();
    let none = cases::read(&policy, &[]).unwrap_err();
    seen.extend(none.iter().map(|diagnostic| diagnostic.code));
    let ours = codes::ALL.iter().map(|(code, _)| *code).filter(|code| code.starts_with("SG03"));
    assert_eq!(ours.filter(|code| !seen.contains(code)).collect::<Vec<_>>(), Vec::<&str>::new());
}

#[test]
fn a_credential_is_presented_in_every_slot_it_has() {
    let policy = policy_of(&[file(
        "version: 1
agents: { a: { sources: [\"10.0.0.1/32\"] } }
credentials:
  one: { stub: stub-number-one, slots: [bearer, \"header:x-key\"], hosts: [x.example], source: { env: A } }
  two: { stub: stub-number-two, slots: [bearer], hosts: [x.example], source: { env: B } }
rules:
  - { name: r, agents: [a], hosts: [x.example], methods: [GET], credentials: [one], credential_required: true }
",
    )]);
    let case = |credentials: &str, expect: &str| {
        format!("tests:\n  - {{ name: t, agent: a, request: GET https://x.example/, expect: {expect}{credentials} }}\n")
    };
    for (credentials, expect, passes) in [
        ("", "allow", false),
        ("", "deny", true),
        (", credentials: [one]", "allow", true),
        (", credentials: [one, two]", "allow", false),
        (", credentials: [two]", "deny, reason: stub_not_granted", true),
        (", credentials: [one, two]", "deny", false),
    ] {
        let files = files("t.yaml", &case(credentials, expect));
        let (cases, report) = ran(&policy, &files);
        assert_eq!(report.failed() == 0, passes, "{}", cases::render(&report, &cases, &files, true, false));
    }
}

#[test]
fn nothing_to_reach_is_all_reached() {
    assert_eq!(cases::Coverage::default().percent(), 100);
}
