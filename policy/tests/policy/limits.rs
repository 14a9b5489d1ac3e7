//! `limits:`: what may stand there, whose they are, and what a change of them means.

use stubgate_policy::diff::{Aspect, Diff, Direction};
use stubgate_policy::{AgentLimits, Name, Reason, compile};

use crate::support::{ask, errors, file, name, policy, policy_of, reason, said, with_rules};

const RULE: &str = "  - { name: r, agents: [\"*\"], hosts: [x.example], methods: [any] }";

/// A policy with these lines of `limits`, for all and for agent `a`.
fn limited(common: &str, own: &str) -> String {
    let own = if own.is_empty() { String::new() } else { format!(", limits: {own}") };
    let text = with_rules(RULE).replace("[\"10.0.0.1/32\"]", &format!("[\"10.0.0.1/32\"]{own}"));
    if common.is_empty() { text } else { format!("{text}limits: {common}\n") }
}

fn of(text: &str, agent: &str) -> AgentLimits {
    let policy = policy(text);
    *policy.agent(policy.agent_named(agent).unwrap()).limits()
}

#[test]
fn a_number_under_an_agent_takes_the_place_of_the_common_one_and_of_no_other() {
    let text = limited("{ requests_per_minute: 60, bytes_out_per_day: 1000 }", "{ requests_per_minute: 600 }");
    let common =
        AgentLimits { requests_per_minute: Some(60), bytes_out_per_day: Some(1000), quarantine_after_tripwires: None };
    assert_eq!(of(&text, "b"), common);
    assert_eq!(of(&text, "a"), AgentLimits { requests_per_minute: Some(600), ..common });
    assert_eq!(of(&limited("", ""), "a"), AgentLimits::default(), "nothing is a limit by default");
}

#[test]
fn what_is_no_limit_is_an_error() {
    for (limits, code) in [
        ("{ requests_per_minute: 0 }", "SG0114"),
        ("{ bytes_out_per_day: 0 }", "SG0114"),
        ("{ quarantine_after_tripwires: 0 }", "SG0114"),
        ("{ requests_per_minute: 99999999999 }", "SG0114"),
        ("{ requests_per_minute: -1 }", "SG0012"),
        ("{ requests_per_minute: \"60\" }", "SG0012"),
        ("{ requests_per_minute: 1.5 }", "SG0012"),
        ("{ requests_per_minute: null }", "SG0009"),
        ("{ requests_per_hour: 60 }", "SG0010"),
        ("[60]", "SG0012"),
        ("null", "SG0009"),
    ] {
        let both = [errors(&limited(limits, "")), errors(&limited("", limits))];
        for found in both {
            assert_eq!(found, [code], "{limits}");
        }
    }
}

#[test]
fn limits_stand_in_one_file() {
    let mut other = file("version: 1\nlimits: { requests_per_minute: 5 }\n");
    other.name = "more.yaml".into();
    let files = [file(&limited("{ requests_per_minute: 60 }", "")), other];
    let found = compile(&files).unwrap_err();
    assert_eq!(found.iter().map(|diagnostic| diagnostic.code).collect::<Vec<_>>(), ["SG0104"]);
    let one = [file(&limited("", "")), files[1].clone()];
    assert_eq!(policy_of(&one).agents()[0].limits().requests_per_minute, Some(5));
}

#[test]
fn a_limit_that_is_raised_or_gone_widens_and_one_that_is_lowered_or_new_narrows() {
    let a = |own: &str| policy(&limited("{ bytes_out_per_day: 1000 }", own));
    for (old, new, direction) in [
        ("{ requests_per_minute: 60 }", "{ requests_per_minute: 61 }", Some(Direction::Widens)),
        ("{ requests_per_minute: 60 }", "", Some(Direction::Widens)),
        ("{ bytes_out_per_day: 10 }", "", Some(Direction::Widens)),
        ("{ quarantine_after_tripwires: 1 }", "{ quarantine_after_tripwires: 2 }", Some(Direction::Widens)),
        ("{ requests_per_minute: 60 }", "{ requests_per_minute: 59 }", Some(Direction::Narrows)),
        ("", "{ quarantine_after_tripwires: 3 }", Some(Direction::Narrows)),
        ("", "{ bytes_out_per_day: 1000 }", None),
    ] {
        let diff = Diff::between(&a(old), &a(new));
        let found: Vec<_> = diff.changes().iter().map(|change| (change.aspect, change.direction)).collect();
        let expected: Vec<_> = direction.iter().map(|direction| (Aspect::Limits, *direction)).collect();
        assert_eq!(found, expected, "{old} {new}");
        assert_eq!(diff.widens(), direction == Some(Direction::Widens));
    }
    let both = Diff::between(
        &policy(&limited("{ requests_per_minute: 60 }", "")),
        &policy(&limited("{ requests_per_minute: 120, bytes_out_per_day: 5 }", "")),
    );
    let text = both.human(false);
    assert!(text.contains("requests_per_minute 60 -> 120") && text.contains("bytes_out_per_day none -> 5"), "{text}");
    assert!(text.contains("a, b"), "both agents in one change: {text}");
    assert_eq!(both.changes()[0].direction, Direction::Widens, "what widens comes first");
}

#[test]
fn an_agent_that_is_held_is_denied_at_every_stage_and_the_difference_does_not_hide_it() {
    let (policy, again) = (policy(&limited("", "")), policy(&limited("", "")));
    policy.hold(policy.agent_named("a").unwrap());
    assert_eq!(reason(&ask(&policy, "a", "GET https://x.example/")), Some(Reason::Quarantined));
    assert_eq!(reason(&name(&policy, "a", "x.example", stubgate_policy::QueryKind::A)), Some(Reason::Quarantined));
    assert_eq!(reason(&crate::support::connect(&policy, "a", "https://x.example")), Some(Reason::Quarantined));
    assert_eq!(said(&policy, &ask(&policy, "b", "GET https://x.example/")), "allow r");
    let lowered = self::policy(&limited("", "{ requests_per_minute: 5 }"));
    assert!(Diff::between(&policy, &again).changes().is_empty());
    assert_eq!(Diff::between(&policy, &lowered).changes().len(), 1);
}

#[test]
fn the_wild_part_of_a_name_is_what_no_rule_of_the_agent_names() {
    let rules = "  - { name: r, agents: [a], hosts: [\"*.w.example\", \"**.deep.example\", \"**.x.deep.example\", s.w.example, \"http://p.w.example\"], methods: [GET] }
  - { name: s, agents: [b], hosts: [only-b.w.example], methods: [GET] }
  - { name: d, effect: deny, agents: [a], hosts: [denied.w.example], methods: [any] }
  - { name: o, effect: observe, agents: [a], hosts: [\"**.seen.example\", seen.w.example], methods: [any] }
dns:
  - { agents: [a], names: [\"*.zone.example\", db.zone.example], types: [A] }";
    let policy = policy(&with_rules(rules));
    let agent = policy.agent_named("a").unwrap();
    for (text, wild) in [
        ("s.w.example", None),
        ("p.w.example", None),
        ("t.w.example", Some("t")),
        ("only-b.w.example", Some("only-b")),
        ("denied.w.example", Some("denied")),
        ("a.b.deep.example", Some("a.b")),
        ("a.b.x.deep.example", Some("a.b")),
        ("db.zone.example", None),
        ("data.zone.example", Some("data")),
        ("a.b.w.example", None),
        ("other.example", None),
        // What is only observed is never resolved: there is nothing to bound, and nothing to name it for others.
        ("x.seen.example", None),
        ("seen.w.example", Some("seen")),
    ] {
        assert_eq!(policy.wild_part(agent, &Name::parse(text.as_bytes()).unwrap()), wild, "{text}");
    }
}
