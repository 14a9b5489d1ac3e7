//! A decision differs only if the difference says so, and what the difference says is so.

use std::net::IpAddr;

use proptest::prelude::*;
use stubgate_policy::diff::{Aspect, Diff, Direction, Witness};
use stubgate_policy::{
    Ask, Authority, Body, ConnectStage, Decision, Name, NameGrant, NameStage, OnCredential, Policy, QueryKind, Reason,
    RequestStage, Seen, SlotRef, Source, SourceFile, Target, Token, compile,
};

use crate::laws::world::{NAMES, Request, Rule, files, request, rules};

/// Changes to a policy outside its rules; each line is what to replace, and with what.
const EDITS: &[&[(&str, &str)]] = &[
    &[("stub: stub-one", "stub: stub-uno")],
    &[("{ env: A }", "{ env: C }")],
    &[("slots: [bearer, basic]", "slots: [bearer]")],
    &[("slots: ['header:x-key', 'query:key']", "slots: ['header:x-key', 'query:key', bare]")],
    &[("slots: ['header:x-key', 'query:key']", "slots: [bearer]")],
    &[("slots: ['header:x-key', 'query:key']", "slots: ['header:x-key', 'query:key', 'query:sig']")],
    &[("slots: [bearer, basic]", "slots: [bearer, basic, 'header:x-own']")],
    &[("hosts: [x.example, '*.x.example']", "hosts: [x.example]")],
    &[("hosts: ['x.example:8443', y.x.example]", "hosts: ['x.example:8443', y.x.example, z.y.x.example]")],
    &[("quarantined: true", "quarantined: false")],
    &[("['10.0.0.1/32'], quarantined: false", "['10.0.0.1/32'], quarantined: true")],
    &[("'10.0.0.1/32'", "'10.0.0.1/32', '10.0.0.77/32'")],
    &[("'10.0.0.2/32'", "'10.0.0.64/26', '10.0.0.2/32'")],
    &[("'10.0.0.0/32'", "'10.0.0.4/32'"), ("'10.0.0.1/32'", "'10.0.0.0/32'")],
    &[("  c: ", "  renamed: "), ("'c'", "'renamed'")],
    &[("  k1: ", "  renamed: "), ("'k1'", "'renamed'")],
    &[("rules:\n", "dns: [{ agents: [a, b], names: ['**.example', other.test], types: [A, SRV] }]\nrules:\n")],
    &[("rules:\n", "dns: [{ agents: ['*'], names: ['*.x.example'], types: [SRV, TXT] }]\nrules:\n")],
];

fn text(rules: &[Rule], edits: &[usize]) -> String {
    let mut text = files(rules, 1)[0].text.clone();
    for (from, to) in edits.iter().flat_map(|edit| EDITS[*edit]) {
        text = text.replacen(from, to, if from.starts_with('\'') && !from.contains('/') { 1000 } else { 1 });
    }
    text
}

/// Two policies that have most of their rules in common.
fn policies() -> impl Strategy<Value = (String, String)> {
    let edits = || prop_oneof![2 => Just(Vec::new()), 1 => prop::sample::subsequence((0..EDITS.len()).collect::<Vec<_>>(), 1..3)];
    let kept = prop::collection::vec(prop::bool::weighted(0.8), 16);
    (rules(), rules(), kept, 0_usize..3, edits(), edits()).prop_map(|(old, other, kept, more, before, after)| {
        let mut new: Vec<Rule> =
            old.iter().zip(&kept).filter(|(_, kept)| **kept).map(|(rule, _)| rule.clone()).collect();
        for (at, rule) in other.into_iter().take(more).enumerate() {
            // Some are a rule of old with one thing of another.
            match new.get_mut(at * 2) {
                Some(known) if kept[at + 8] => match at {
                    0 => known.paths = rule.paths,
                    _ => known.methods = rule.methods,
                },
                _ => new.push(Rule { name: format!("other-{at}"), ..rule }),
            }
        }
        if new.is_empty() {
            new.clone_from(&old);
        }
        (text(&old, &before), text(&new, &after))
    })
}

fn read(text: &str) -> Option<Policy> {
    // Some edits leave a policy wrong: a stub for two credentials, a network for two agents.
    compile(&[SourceFile { name: "policy.yaml".into(), text: text.into() }]).ok().map(|compiled| compiled.policy)
}

/// What counts of an answer: what is swapped in, and what may pass with it.
#[derive(Debug, PartialEq)]
enum Said {
    Denied(Reason),
    Allowed { source: Option<(Source, bool)>, deny_stub_in_body: bool, on_credential: OnCredential },
}

fn decide(policy: &Policy, peer: IpAddr, at: RequestStage<'_>, sent: Option<&Body<'_>>) -> Said {
    let Some(agent) = policy.identify(peer) else { return Said::Denied(Reason::UnknownAgent) };
    let tokens = seen(policy, at.authority, at.tokens);
    let at = RequestStage { tokens: &tokens, ..at };
    let ask = Ask::new(agent, at);
    let decision = match sent {
        Some(sent) => policy.decide_body(&ask, Seen::Body(sent)).0,
        None => policy.decide(&ask),
    };
    match decision {
        Decision::Allow(permit) => Said::Allowed {
            source: permit
                .swap()
                .map(|swap| (policy.credential(swap.credential).source().clone(), permit.ranges_allowed())),
            deny_stub_in_body: permit.stub_in_body_denied(),
            on_credential: permit.on_credential(),
        },
        Decision::Deny(denial) => Said::Denied(denial.reason),
        Decision::Answer(answer) => panic!("{answer:?}"),
    }
}

/// What the appliance finds in the places that a policy has it look at.
fn seen<'a>(policy: &Policy, authority: &Authority, tokens: &[Token<'a>]) -> Vec<Token<'a>> {
    let customary = |slot: SlotRef<'_>| match slot {
        SlotRef::Header(name) => ["cookie", "x-api-key"].contains(&name),
        SlotRef::Query(name) => ["key", "token", "access_token"].contains(&name),
        _ => true,
    };
    let is_stub = |text: &[u8]| policy.stubs().any(|stub| stub.as_bytes() == text);
    let place = |token: &Token<'a>| {
        let looked_at = customary(token.slot) || policy.bound_slots(authority).any(|slot| slot.holds(token.slot));
        match looked_at {
            true => Some(*token),
            false => is_stub(token.text).then_some(Token { slot: SlotRef::Elsewhere, ..*token }),
        }
    };
    tokens.iter().filter_map(place).collect()
}

fn is_denied(said: &Said) -> bool {
    matches!(said, Said::Denied(_))
}

fn peers() -> impl Strategy<Value = IpAddr> {
    prop_oneof![6 => 0_u8..4, 1 => Just(4), 2 => Just(77), 1 => Just(99)].prop_map(|last| [10, 0, 0, last].into())
}

fn held(witness: &Witness) -> Vec<Token<'_>> {
    witness.held().map(|(slot, text)| Token::literal(slot, text.as_bytes())).collect()
}

fn of_witness(policy: &Policy, witness: &Witness) -> Said {
    let tokens = held(witness);
    decide(policy, witness.peer.unwrap(), stage(witness, &tokens), None)
}

fn stage<'a>(witness: &'a Witness, tokens: &'a [Token<'a>]) -> RequestStage<'a> {
    RequestStage { authority: &witness.authority, method: &witness.method, target: &witness.target, tokens }
}

fn forwarded(policy: &Policy, peer: IpAddr, at: NameStage<'_>) -> bool {
    policy
        .identify(peer)
        .is_some_and(|agent| policy.decide(&Ask::new(agent, at)).granted() == Some(&NameGrant::Forward))
}

/// So many with optimisation, a quarter without, which takes half a minute; `PROPTEST_CASES` for more or fewer.
fn cases(cases: u32) -> ProptestConfig {
    let cases = if cfg!(debug_assertions) { cases / 4 } else { cases };
    let cases = std::env::var("PROPTEST_CASES").ok().and_then(|n| n.parse().ok()).unwrap_or(cases);
    ProptestConfig { cases, ..ProptestConfig::default() }
}

proptest! {
    #![proptest_config(cases(10_000))]

    #[test]
    fn a_decision_differs_only_if_the_difference_says_so(
        (before, after) in policies(),
        requests in prop::collection::vec((peers(), request()), 12),
    ) {
        let (Some(old), Some(new)) = (read(&before), read(&after)) else { return Ok(()) };
        let diff = Diff::between(&old, &new);
        for (peer, request) in &requests {
            let (authority, method, target) = (request.authority(), request.method(), request.target());
            let tokens: Vec<Token<'_>> =
                request.tokens.iter().map(|(slot, text)| Token::literal(*slot, text.as_bytes())).collect();
            let at = RequestStage { authority: &authority, method: &method, target: &target, tokens: &tokens };
            let sent = request.sent();
            let (was, is) = (decide(&old, *peer, at, Some(&sent)), decide(&new, *peer, at, Some(&sent)));
            let covering: Vec<_> = diff.covering(*peer, &at).collect();
            let stubs = covering.iter().any(|change| matches!(change.aspect, Aspect::Stub | Aspect::NoStub));
            let is_told = |direction| stubs || covering.iter().any(|change| change.direction == direction);
            let show = || format!("{peer} {request:?}\n{was:?} {is:?}\n{before}\n{after}\n{}", diff.human(false));
            match (is_denied(&was), is_denied(&is)) {
                (true, false) => prop_assert!(is_told(Direction::Widens), "{}", show()),
                (false, true) => prop_assert!(is_told(Direction::Narrows), "{}", show()),
                (false, false) => prop_assert!(was == is || !covering.is_empty(), "{}", show()),
                (true, true) => {}
            }
            for change in covering.iter().filter(|change| change.aspect == Aspect::Reach && !change.paths_in_part) {
                match change.direction {
                    Direction::Widens => prop_assert!(is_denied(&was), "{}", show()),
                    _ => prop_assert!(is_denied(&is), "{}", show()),
                }
            }
            if let (Some(a), Some(b)) = (old.identify(*peer), new.identify(*peer)) {
                let reaches = |policy: &Policy, agent| policy.decide(&Ask::new(agent, ConnectStage { authority: &authority })).granted().is_some();
                if reaches(&old, a) != reaches(&new, b) {
                    prop_assert!(!diff.changes().is_empty(), "{}", show());
                }
            }
        }
    }

}

proptest! {
    #![proptest_config(cases(4_000))]

    #[test]
    fn every_example_is_answered_as_the_difference_says((before, after) in policies()) {
        let (Some(old), Some(new)) = (read(&before), read(&after)) else { return Ok(()) };
        let diff = Diff::between(&old, &new);
        for change in diff.changes() {
            let Some(witness) = &change.witness else { continue };
            let (was, is) = (of_witness(&old, witness), of_witness(&new, witness));
            let show = || format!("{change}\n{was:?} {is:?}\n{before}\n{after}");
            let tokens = held(witness);
            if !matches!(change.aspect, Aspect::Observed | Aspect::NotObserved) {
                let covers = diff.covering(witness.peer.unwrap(), &stage(witness, &tokens)).any(|other| std::ptr::eq(other, change));
                prop_assert!(covers, "{}", show());
            }
            let (less, more) = match change.direction {
                Direction::Narrows => (&is, &was),
                Direction::Widens => (&was, &is),
                Direction::Note if change.aspect == Aspect::NotObserved => (&is, &was),
                Direction::Note => (&was, &is),
            };
            match change.aspect {
                Aspect::Reach | Aspect::WithoutCredential | Aspect::ForeignCredential | Aspect::ForeignPlace => {
                    prop_assert!(is_denied(less) && !is_denied(more), "{}", show());
                }
                Aspect::Credential => {
                    let swaps = matches!(more, Said::Allowed { source: Some(_), .. });
                    let source = |said: &Said| match said {
                        Said::Allowed { source, .. } => source.as_ref().map(|(source, _)| source.clone()),
                        Said::Denied(_) => None,
                    };
                    prop_assert!(swaps && source(less) != source(more), "{}", show());
                }
                Aspect::Ranges => {
                    prop_assert!(matches!(more, Said::Allowed { source: Some((_, true)), .. }), "{}", show());
                    prop_assert!(matches!(less, Said::Allowed { source: Some((_, false)), .. }), "{}", show());
                }
                Aspect::StubInBody => {
                    prop_assert!(matches!(more, Said::Allowed { deny_stub_in_body: false, .. }), "{}", show());
                    prop_assert!(matches!(less, Said::Allowed { deny_stub_in_body: true, .. }), "{}", show());
                }
                Aspect::CredentialInResponse => {
                    let on = |said: &Said| match said {
                        Said::Allowed { on_credential, .. } => Some(*on_credential),
                        Said::Denied(_) => None,
                    };
                    prop_assert!(on(more).is_some() && on(more) < on(less), "{}", show());
                }
                Aspect::Observed | Aspect::NotObserved => {
                    prop_assert_eq!(more, &Said::Denied(Reason::Observed));
                    prop_assert_ne!(less, &Said::Denied(Reason::Observed));
                }
                // With which bodies is not in the example.
                Aspect::Body => prop_assert!(!is_denied(more) && !is_denied(less), "{}", show()),
                other => prop_assert!(false, "{:?} has an example\n{}", other, show()),
            }
        }
    }

    #[test]
    fn what_a_zone_is_asked_differs_only_if_the_difference_says_so((before, after) in policies(), peer in peers()) {
        let (Some(old), Some(new)) = (read(&before), read(&after)) else { return Ok(()) };
        let diff = Diff::between(&old, &new);
        for name in NAMES {
            let name = Name::parse(name.as_bytes()).unwrap();
            for kind in [QueryKind::A, QueryKind::Other(33), QueryKind::Other(16)] {
                let at = NameStage { name: &name, kind };
                let differs = forwarded(&old, peer, at) != forwarded(&new, peer, at);
                prop_assert_eq!(differs, diff.covering_name(peer, &at).next().is_some(), "{} {:?}\n{}\n{}\n{}", name, kind, before, after, diff.human(false));
            }
        }
    }

    #[test]
    fn a_policy_does_not_differ_from_itself(rules in rules().prop_flat_map(|rules| (Just(rules.clone()), Just(rules).prop_shuffle()))) {
        let renamed: Vec<Rule> = rules.1.iter().map(|rule| Rule { name: format!("new-{}", rule.name), ..rule.clone() }).collect();
        let (old, new) = (read(&text(&rules.0, &[])).unwrap(), read(&text(&renamed, &[14, 15])).unwrap());
        let diff = Diff::between(&old, &new);
        prop_assert!(diff.changes().is_empty(), "{}", diff.human(false));
    }
}

#[test]
fn what_takes_too_long_is_said_to_widen() {
    let request = Request::default();
    let policy = |patterns: &str| {
        let rule = format!("  - {{ name: r, agents: [a], hosts: [x.example], methods: [GET], paths: [{patterns}] }}");
        read(&crate::support::with_rules(&rule)).unwrap()
    };
    let (old, new) = (policy("'/**/a*b*c/**/d', '/*a/**/*c/**'"), policy("'/**/*a*b/*c/**', '/a*/**/b*'"));
    let diff = Diff::within(&old, &new, 300);
    assert!(diff.widens());
    let (authority, method, target) = (request.authority(), request.method(), Target::parse(b"/a/c/x").unwrap());
    let at = RequestStage { authority: &authority, method: &method, target: &target, tokens: &[] };
    assert!(diff.covering([10, 0, 0, 1].into(), &at).any(|change| change.aspect == Aspect::Unclear));
}

/// A policy that allows GET of these hosts.
fn of_hosts(hosts: &[String]) -> Policy {
    let hosts: Vec<String> = hosts.iter().map(|host| format!("'{host}'")).collect();
    let rule = format!("  - {{ name: r, agents: [a], hosts: [{}], methods: [GET] }}", hosts.join(", "));
    read(&crate::support::with_rules(&rule)).unwrap()
}

/// A name that leaves room for one label of one byte in front of it.
fn long_name() -> String {
    let long = "q".repeat(63);
    let name = format!("{long}.{long}.{long}.{}.example", "q".repeat(51));
    assert_eq!(name.len(), 251);
    name
}

const LETTERS: &str = "abcdefghijklmnopqrstuvwxyz0123456789";

#[test]
fn a_wildcard_on_a_long_name_is_told_whatever_labels_other_names_have() {
    let mut hosts: Vec<String> = LETTERS.chars().map(|letter| format!("{letter}.x.example")).collect();
    hosts.push(long_name());
    let old = of_hosts(&hosts);
    hosts.push(format!("*.{}", long_name()));
    let diff = Diff::between(&old, &of_hosts(&hosts));
    assert!(diff.widens());
    assert!(diff.changes().iter().all(|change| change.aspect == Aspect::Reach), "{}", diff.human(false));
}

#[test]
fn a_wildcard_whose_hosts_can_not_be_written_is_said_to_widen() {
    let mut hosts: Vec<String> = LETTERS.chars().map(|letter| format!("{letter}.{}", long_name())).collect();
    hosts.push(long_name());
    let old = of_hosts(&hosts);
    assert!(!Diff::between(&old, &of_hosts(&hosts)).changes().iter().any(|change| change.aspect == Aspect::Reach));
    hosts.push(format!("*.{}", long_name()));
    let diff = Diff::between(&old, &of_hosts(&hosts));
    assert!(diff.widens());
}
