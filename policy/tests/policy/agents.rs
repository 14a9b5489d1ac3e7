//! Who asks: addresses, quarantine, `"*"`.

use std::net::IpAddr;

use stubgate_policy::{Ask, ConnectStage, Policy, Reason};

use crate::support::{ask, authority, errors, policy, reason, said, with_rules};

fn agent_at(policy: &Policy, peer: &str) -> Option<String> {
    let peer: IpAddr = peer.parse().unwrap();
    policy.identify(peer).map(|id| policy.agent(id).name().to_owned())
}

#[test]
fn a_peer_address_is_one_agent_or_none() {
    let policy = policy(
        "version: 1
agents:
  one: { sources: [\"10.42.0.11/32\", \"10.43.0.0/16\", \"2001:db8:1::/48\"] }
  two: { sources: [\"10.42.0.12\", \"2001:db8:2::5\", \"::/64\"] }
",
    );
    for (peer, agent) in [
        ("10.42.0.11", Some("one")),
        ("::ffff:10.42.0.11", Some("one")),
        ("10.43.0.0", Some("one")),
        ("10.43.255.255", Some("one")),
        ("10.44.0.0", None),
        ("10.42.255.255", None),
        ("10.42.0.12", Some("two")),
        ("10.42.0.13", None),
        ("2001:db8:1:ffff::1", Some("one")),
        ("2001:db8:2::5", Some("two")),
        ("2001:db8:2::6", None),
        ("::2", Some("two")),
        ("0.0.0.0", None),
        ("255.255.255.255", None),
        ("ffff::", None),
    ] {
        assert_eq!(agent_at(&policy, peer).as_deref(), agent, "{peer}");
    }
}

#[test]
fn sources_that_overlap_in_two_agents_are_an_error() {
    for (one, two, code) in [
        ("10.0.0.0/8", "10.1.0.0/16", "SG0112"),
        ("10.1.0.0/16", "10.0.0.0/8", "SG0112"),
        ("10.1.0.1/32", "10.1.0.1", "SG0112"),
        ("2001:db8::/32", "2001:db8::1/128", "SG0112"),
    ] {
        let text = format!("version: 1\nagents:\n  a: {{ sources: [\"{one}\"] }}\n  b: {{ sources: [\"{two}\"] }}\n");
        assert_eq!(errors(&text), [code], "{one} {two}");
    }
    let apart = "version: 1\nagents:\n  a: { sources: [\"::/0\"] }\n  b: { sources: [\"10.0.0.0/8\"] }\n";
    assert_eq!(errors(apart), Vec::<&str>::new(), "IPv4 and IPv6 don't overlap");
}

#[test]
fn every_overlap_is_reported_not_only_the_first() {
    let text = "version: 1
agents:
  a: { sources: [\"10.0.0.0/8\", \"10.1.0.0/16\"] }
  b: { sources: [\"10.1.2.0/24\"] }
  c: { sources: [\"10.200.0.1/32\"] }
";
    assert_eq!(errors(text), ["SG0112", "SG0112", "SG0112"], "b lies in both networks of a, c in one");
}

#[test]
fn networks_with_host_bits_and_other_texts_are_no_sources() {
    for (source, code) in [
        ("10.0.0.1/8", "SG0111"),
        ("10.0.0.0/33", "SG0110"),
        ("::ffff:10.0.0.1/128", "SG0110"),
        ("localhost", "SG0110"),
        ("10.0.0.1-10.0.0.9", "SG0110"),
        ("010.0.0.1/32", "SG0110"),
        ("10.0.0.0/08", "SG0110"),
        ("10.0.0.0/+8", "SG0110"),
        ("10.0.0.0/", "SG0110"),
    ] {
        let text = format!("version: 1\nagents:\n  a: {{ sources: [\"{source}\"] }}\n");
        assert_eq!(errors(&text), [code], "{source}");
    }
}

#[test]
fn a_star_is_every_agent_that_is_defined() {
    let policy = policy(&with_rules("  - { name: r, agents: [\"*\"], hosts: [x.example], methods: [GET] }"));
    assert_eq!(said(&policy, &ask(&policy, "a", "GET https://x.example/")), "allow r");
    assert_eq!(said(&policy, &ask(&policy, "b", "GET https://x.example/")), "allow r");
    assert!(policy.identify("10.0.0.3".parse().unwrap()).is_none());
}

#[test]
fn a_quarantined_agent_is_denied_everything_at_once() {
    let text = with_rules("  - { name: r, agents: [\"*\"], hosts: [x.example], methods: [any] }");
    let policy = policy(&text.replace("[\"10.0.0.1/32\"]", "[\"10.0.0.1/32\"], quarantined: true"));
    assert_eq!(reason(&ask(&policy, "a", "GET https://x.example/")), Some(Reason::Quarantined));
    assert_eq!(reason(&ask(&policy, "a", "GET http://stubgate.internal/ca.pem")), Some(Reason::Quarantined));
    assert_eq!(said(&policy, &ask(&policy, "b", "GET https://x.example/")), "allow r");
}

#[test]
fn an_empty_policy_and_an_id_of_another_policy_are_denied() {
    let full = policy(&with_rules("  - { name: r, agents: [a, b], hosts: [x.example], methods: [any] }"));
    let empty = Policy::empty();
    assert!(empty.identify("10.0.0.1".parse().unwrap()).is_none());
    let x = authority("https://x.example");
    let ask = Ask::new(full.agent_named("b").unwrap(), ConnectStage { authority: &x });
    assert_eq!(reason(&empty.decide(&ask)), Some(Reason::UnknownAgent));
    assert!(empty.agent(full.agent_named("a").unwrap()).quarantined());
    assert_eq!(empty.stubs().count(), 0);
}
