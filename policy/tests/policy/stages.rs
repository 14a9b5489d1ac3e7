//! The name and connect stages: DNS, observe rules, deny rules that cover all, and what stubgate answers itself.

use stubgate_policy::{Answer, Decision, NameGrant, Policy, QueryKind, Reason, SlotRef};

use crate::support::{ask, ask_with, connect, errors, name, policy, reason, said, with_rules};

/// "advertise", "forward", "nodata" or the reason.
fn dns(policy: &Policy, agent: &str, question: &str) -> String {
    let (asked, kind) = question.split_once(' ').unwrap();
    let kind = match kind {
        "A" => QueryKind::A,
        "AAAA" => QueryKind::Aaaa,
        number => QueryKind::from(number.parse::<u16>().unwrap()),
    };
    match name(policy, agent, asked, kind) {
        Decision::Allow(NameGrant::Advertise) => "advertise".into(),
        Decision::Allow(NameGrant::Forward) => "forward".into(),
        Decision::Allow(NameGrant::Nodata) => "nodata".into(),
        Decision::Deny(denial) => denial.reason.to_string(),
        Decision::Answer(_) => panic!("DNS is never answered this way"),
    }
}

#[test]
fn a_name_exists_for_the_agents_that_may_reach_it_on_some_port() {
    let policy = policy(&with_rules(
        "  - { name: one, agents: [a], hosts: [api.one.example, 'odd.example:8443', 'http://plain.example'], methods: [GET], paths: [/x] }
  - { name: two, agents: [b], hosts: ['*.two.example', '**.three.example'], methods: [any] }",
    ));
    for (agent, question, expected) in [
        ("a", "api.one.example A", "advertise"),
        ("a", "API.one.EXAMPLE AAAA", "advertise"),
        ("a", "api.one.example 65", "advertise"),
        ("a", "odd.example A", "advertise"),
        ("a", "plain.example A", "advertise"),
        ("a", "one.example A", "nodata"),
        ("a", "example A", "nodata"),
        ("a", "other.one.example A", "name_not_allowed"),
        ("a", "x.api.one.example A", "name_not_allowed"),
        ("a", "x.two.example A", "name_not_allowed"),
        ("a", "two.example A", "name_not_allowed"),
        ("a", "evil.test A", "name_not_allowed"),
        ("b", "api.one.example A", "name_not_allowed"),
        ("b", "one.example A", "name_not_allowed"),
        ("b", "x.two.example A", "advertise"),
        ("b", "y.x.two.example A", "name_not_allowed"),
        ("b", "two.example A", "nodata"),
        ("b", "three.example A", "nodata"),
        ("b", "y.x.three.example A", "advertise"),
        ("b", "example A", "nodata"),
        ("b", "test A", "name_not_allowed"),
    ] {
        assert_eq!(dns(&policy, agent, question), expected, "{agent} {question}");
    }
}

fn against(deny: &str) -> Policy {
    policy(&with_rules(&format!(
        "  - {{ name: yes, agents: ['*'], hosts: [x.y.example, 'x.y.example:8443'], methods: [GET, POST] }}
  - {{ name: no, effect: deny, {deny} }}"
    )))
}

#[test]
fn a_deny_rule_closes_a_name_only_if_it_covers_all_that_is_allowed() {
    for (deny, closed) in [
        ("agents: [a], hosts: [x.y.example], methods: [any]", true),
        ("agents: ['*'], hosts: [any], methods: [any]", true),
        ("agents: [a], hosts: ['*.y.example'], methods: [any]", true),
        ("agents: [a], hosts: [x.y.example], methods: [any], paths: ['/**']", true),
        ("agents: [a], hosts: [x.y.example], methods: [GET, POST]", true),
        ("agents: [b], hosts: [x.y.example], methods: [any]", false),
        ("agents: [a], hosts: [y.example], methods: [any]", false),
        ("agents: [a], hosts: [x.y.example], methods: [GET]", false),
        ("agents: [a], hosts: [x.y.example], methods: [any], paths: [/a, '/a/**']", false),
        ("agents: [a], hosts: ['x.y.example:443'], methods: [any]", false),
        ("agents: [a], hosts: ['http://x.y.example'], methods: [any]", false),
    ] {
        let policy = against(deny);
        let (expected, parent) = if closed { ("denied_by_rule", "name_not_allowed") } else { ("advertise", "nodata") };
        assert_eq!(dns(&policy, "a", "x.y.example A"), expected, "{deny}");
        assert_eq!(
            dns(&policy, "a", "y.example A"),
            parent,
            "an ancestor of a name that is closed has nothing below it: {deny}"
        );
        let reached = connect(&policy, "a", "https://x.y.example:8443").granted().is_some();
        assert_eq!(reached, !closed, "{deny}");
    }
}

#[test]
fn an_ancestor_exists_even_if_denied_but_what_is_taken_out_of_a_wildcard_does_not() {
    let policy = policy(&with_rules(
        "  - { name: one, agents: [a], hosts: [api.one.example], methods: [any] }
  - { name: all, agents: [a], hosts: ['**.two.example'], methods: [any] }
  - { name: no, effect: deny, agents: ['*'], hosts: [one.example, bad.two.example], methods: [any] }",
    ));
    for (question, expected) in [
        ("one.example A", "nodata"),
        ("api.one.example A", "advertise"),
        ("bad.two.example A", "denied_by_rule"),
        ("x.bad.two.example A", "advertise"),
        ("good.two.example A", "advertise"),
    ] {
        assert_eq!(dns(&policy, "a", question), expected, "{question}");
    }
}

#[test]
fn several_deny_rules_may_cover_all_together() {
    let policy = policy(&with_rules(
        "  - { name: yes, agents: [a], hosts: [x.example], methods: [GET, POST] }
  - { name: any, agents: [a], hosts: [y.example], methods: [any] }
  - { name: no-get, effect: deny, agents: [a], hosts: [x.example, y.example], methods: [GET] }
  - { name: no-post, effect: deny, agents: [a], hosts: ['**.example'], methods: [POST] }",
    ));
    assert_eq!(reason(&connect(&policy, "a", "https://x.example")), Some(Reason::DeniedByRule));
    assert!(connect(&policy, "a", "https://y.example").granted().is_some(), "other methods are left");
}

#[test]
fn connect_is_for_a_host_and_port() {
    let policy = against("agents: [a], hosts: ['x.y.example:443'], methods: [any]");
    for (agent, to, expected) in [
        ("a", "https://x.y.example", Some(Reason::DeniedByRule)),
        ("b", "https://x.y.example", None),
        ("a", "https://x.y.example:8443", None),
        ("a", "http://x.y.example", Some(Reason::ConnectNotAllowed)),
        ("a", "https://x.y.example:22", Some(Reason::ConnectNotAllowed)),
        ("a", "https://y.example", Some(Reason::ConnectNotAllowed)),
        ("a", "https://10.0.0.1", Some(Reason::ConnectNotAllowed)),
    ] {
        assert_eq!(reason(&connect(&policy, agent, to)), expected, "{agent} {to}");
    }
    let reach = connect(&policy, "a", "https://x.y.example:8443");
    let reach = reach.granted().unwrap();
    assert_eq!(reach.host().to_string(), "x.y.example");
    assert_eq!(policy.agent(reach.agent()).name(), "a");
}

#[test]
fn an_observe_rule_lets_the_head_be_read_and_then_denies() {
    let policy = policy(&with_rules(
        "  - { name: watch, effect: observe, agents: [a], hosts: [new.example, both.example], methods: [GET], paths: ['/v1/**'], credentials: [] }
  - { name: yes, agents: [a], hosts: [both.example], methods: [GET], paths: [/v1/a] }
  - { name: no, effect: deny, agents: [a], hosts: [new.example], methods: [any], paths: ['/v1/secret'] }"
            .replace(", credentials: []", "")
            .as_str(),
    ));
    assert_eq!(dns(&policy, "a", "new.example A"), "advertise");
    assert_eq!(dns(&policy, "b", "new.example A"), "name_not_allowed");
    assert!(connect(&policy, "a", "https://new.example").granted().is_some());
    for (request, expected) in [
        ("GET https://new.example/v1/a", "deny observed"),
        ("POST https://new.example/v1/a", "deny method_not_allowed"),
        ("GET https://new.example/v2", "deny path_not_allowed"),
        ("GET https://new.example/v1/secret", "deny denied_by_rule"),
        ("GET https://new.example/v1/../x", "deny path_ambiguous"),
        ("GET https://both.example/v1/a", "allow yes"),
        ("GET https://both.example/v1/b", "deny observed"),
    ] {
        assert_eq!(said(&policy, &ask(&policy, "a", request)), expected, "{request}");
    }
    let observed = ask(&policy, "a", "GET https://new.example/v1/a").denial().unwrap();
    assert_eq!(policy.rule(observed.rule.unwrap()).name(), "watch", "recorded as if allowed");
}

#[test]
fn forwarding_needs_agent_name_and_type() {
    let text = with_rules("  - { name: r, agents: [a], hosts: [web.team.svc.cluster.local], methods: [GET] }")
        + "dns:
  - { agents: [a], names: [db.team.svc.cluster.local, '*.headless.team.svc.cluster.local'], types: [A, SRV] }
  - { agents: [a], names: [web.team.svc.cluster.local], types: [A, TXT] }
  - { agents: ['*'], names: ['**.public.cluster.local', 7.0.0.10.in-addr.arpa], types: [A, AAAA, PTR, TYPE1234] }
";
    let policy = policy(&text);
    for (agent, question, expected) in [
        ("a", "db.team.svc.cluster.local A", "forward"),
        ("a", "db.team.svc.cluster.local 33", "forward"),
        ("a", "db.team.svc.cluster.local AAAA", "nodata"),
        ("a", "db.team.svc.cluster.local 65", "nodata"),
        ("a", "db.team.svc.cluster.local 255", "nodata"),
        ("a", "0.headless.team.svc.cluster.local A", "forward"),
        ("a", "x.0.headless.team.svc.cluster.local A", "name_not_allowed"),
        ("a", "headless.team.svc.cluster.local A", "nodata"),
        ("a", "team.svc.cluster.local A", "nodata"),
        ("a", "cluster.local A", "nodata"),
        ("a", "other.svc.cluster.local A", "name_not_allowed"),
        ("a", "kubernetes.default.svc.cluster.local A", "name_not_allowed"),
        ("a", "web.team.svc.cluster.local A", "advertise"),
        ("a", "web.team.svc.cluster.local 16", "advertise"),
        ("b", "web.team.svc.cluster.local A", "name_not_allowed"),
        ("b", "db.team.svc.cluster.local A", "name_not_allowed"),
        ("b", "team.svc.cluster.local A", "name_not_allowed"),
        ("b", "cluster.local A", "nodata"),
        ("b", "x.y.public.cluster.local AAAA", "forward"),
        ("b", "7.0.0.10.in-addr.arpa 12", "forward"),
        ("b", "x.public.cluster.local 1234", "forward"),
        ("b", "8.0.0.10.in-addr.arpa 12", "name_not_allowed"),
    ] {
        assert_eq!(dns(&policy, agent, question), expected, "{agent} {question}");
    }
    assert_eq!(reason(&connect(&policy, "a", "https://db.team.svc.cluster.local")), Some(Reason::ConnectNotAllowed));
}

#[test]
fn a_deny_rule_that_covers_a_name_whole_stops_forwarding_too() {
    let text = |deny: &str| {
        with_rules(&format!("  - {{ name: no, effect: deny, agents: [a], {deny} }}"))
            + "dns:\n  - { agents: ['*'], names: ['**.cluster.local'], types: [A] }\n"
    };
    for (deny, expected) in [
        ("hosts: [x.cluster.local], methods: [any]", "denied_by_rule"),
        ("hosts: ['**.cluster.local'], methods: [any]", "denied_by_rule"),
        ("hosts: ['x.cluster.local:443'], methods: [any]", "forward"),
        ("hosts: [x.cluster.local], methods: [GET]", "forward"),
        ("hosts: [x.cluster.local], methods: [any], paths: [/x]", "forward"),
    ] {
        let policy = policy(&text(deny));
        assert_eq!(dns(&policy, "a", "x.cluster.local A"), expected, "{deny}");
        assert_eq!(dns(&policy, "b", "x.cluster.local A"), "forward", "{deny}");
    }
}

#[test]
fn dns_entries_name_names_and_types_that_carry_data() {
    let with = |entry: &str| {
        with_rules("  - { name: r, agents: [a], hosts: [x.example], methods: [GET] }")
            + &format!("dns:\n  - {{ {entry} }}\n")
    };
    for (entry, codes) in [
        ("agents: [a], names: [x.local], types: [A]", &[][..]),
        ("agents: [a], names: [x.local], types: [ANY]", &["SG0170"]),
        ("agents: [a], names: [x.local], types: [HTTPS]", &["SG0170"]),
        ("agents: [a], names: [x.local], types: [TYPE64]", &["SG0170"]),
        ("agents: [a], names: [x.local], types: [AXFR]", &["SG0170"]),
        ("agents: [a], names: [x.local], types: [a]", &["SG0170"]),
        ("agents: [a], names: [x.local], types: [TYPE99999]", &["SG0170"]),
        ("agents: [a], names: [x.local], types: []", &["SG0013"]),
        ("agents: [a], names: [x.local]", &["SG0011"]),
        ("agents: [c], names: [x.local], types: [A]", &["SG0105"]),
        ("agents: [a], names: ['x.local:53'], types: [A]", &["SG0133"]),
        ("agents: [a], names: ['http://x.local'], types: [A]", &["SG0134"]),
        ("agents: [a], names: [10.0.0.1], types: [A]", &["SG0130"]),
        ("agents: [a], names: [any], types: [A]", &["SG0135"]),
        ("agents: [a], names: ['*.com'], types: [A]", &["SG0132"]),
        ("agents: [a], names: [stubgate.internal], types: [A]", &["SG0136"]),
        ("agents: [a], names: [ca.stubgate.internal], types: [A]", &["SG0136"]),
        ("agents: [a], names: [x.local], types: [A], zone: x", &["SG0010"]),
    ] {
        assert_eq!(errors(&with(entry)), codes, "{entry}");
    }
}

#[test]
fn the_ca_bundle_is_answered_to_every_known_agent_before_any_rule() {
    let policy = policy(&with_rules(
        "  - { name: wild, agents: [a], hosts: ['**.internal', 'http://**.internal'], methods: [any] }
  - { name: no, effect: deny, agents: ['*'], hosts: [any], methods: [any] }",
    ));
    for agent in ["a", "b"] {
        let answer = ask(&policy, agent, "GET http://stubgate.internal/ca.pem");
        assert_eq!(answer, Decision::Answer(Answer::CaBundle));
        assert_eq!(dns(&policy, agent, "stubgate.internal A"), "advertise");
        assert_eq!(dns(&policy, agent, "internal A"), "nodata");
        assert!(connect(&policy, agent, "http://stubgate.internal").granted().is_some());
    }
    for agent in ["a", "b"] {
        let answer = ask(&policy, agent, "GET http://ca.stubgate.internal/bundle.pem");
        assert_eq!(answer, Decision::Answer(Answer::CaCertificates));
        assert_eq!(dns(&policy, agent, "ca.stubgate.internal A"), "advertise");
    }
    for (request, expected) in [
        ("GET https://ca.stubgate.internal/bundle.pem", "deny host_not_allowed"),
        ("GET http://ca.stubgate.internal/ca.pem", "deny path_not_allowed"),
        ("GET http://stubgate.internal/bundle.pem", "deny path_not_allowed"),
        ("PUT http://ca.stubgate.internal/bundle.pem", "deny method_not_allowed"),
        ("GET https://stubgate.internal/ca.pem", "deny host_not_allowed"),
        ("GET http://stubgate.internal:8080/ca.pem", "deny host_not_allowed"),
        ("POST http://stubgate.internal/ca.pem", "deny method_not_allowed"),
        ("GET http://stubgate.internal/", "deny path_not_allowed"),
        ("GET http://stubgate.internal/./ca.pem", "deny path_not_allowed"),
        ("GET http://x.stubgate.internal/ca.pem", "deny denied_by_rule"),
    ] {
        assert_eq!(said(&policy, &ask(&policy, "a", request)), expected, "{request}");
    }
    assert_eq!(reason(&connect(&policy, "a", "https://stubgate.internal")), Some(Reason::ConnectNotAllowed));
    let stub = ask_with(&policy, "a", "GET http://stubgate.internal/ca.pem", &[(SlotRef::Bearer, "stub-github")]);
    assert_eq!(reason(&stub), Some(Reason::StubOverPlain));
}

#[test]
fn every_reason_has_a_word_and_a_hint_of_its_own() {
    let mut words: Vec<&str> = Reason::ALL.iter().map(|reason| reason.as_str()).collect();
    assert!(Reason::ALL.iter().all(|reason| !reason.hint().is_empty() && reason.hint().is_ascii()));
    assert!(words.iter().all(|word| { word.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_') }));
    words.sort_unstable();
    words.dedup();
    assert_eq!(words.len(), Reason::ALL.len());
}

/// The *answer* outcome: decided before deny rules, for those whom a rule grants the login, and for one path alone.
#[test]
fn the_token_endpoints_of_a_login_in_escrow_are_answered_for_those_who_have_it() {
    let policy = policy(
        &with_rules(
            "  - { name: model, agents: [a], hosts: [api.anthropic.com], methods: [POST], credentials: [claude] }
  - { name: closed, effect: deny, agents: ['*'], hosts: [any], methods: [any] }",
        )
        .replacen(
            "credentials:\n",
            "credentials:\n  claude: { stub: access-token-stub, slots: [bearer], hosts: [api.anthropic.com], \
             source: { oauth: { provider: claude, refresh_stub: refresh-token-stub } } }\n",
            1,
        ),
    );
    for (agent, question, expected) in [
        ("a", "platform.claude.com A", "advertise"),
        ("a", "console.anthropic.com AAAA", "advertise"),
        ("a", "claude.com A", "nodata"),
        ("a", "com A", "nodata"),
        ("a", "api.anthropic.com A", "denied_by_rule"),
        ("a", "x.platform.claude.com A", "name_not_allowed"),
        ("b", "platform.claude.com A", "name_not_allowed"),
        ("b", "claude.com A", "name_not_allowed"),
    ] {
        assert_eq!(dns(&policy, agent, question), expected, "{agent} {question}");
    }
    for (agent, to, expected) in [
        ("a", "https://platform.claude.com", true),
        ("a", "https://platform.claude.com:8443", false),
        ("a", "http://platform.claude.com", false),
        ("b", "https://platform.claude.com", false),
    ] {
        assert_eq!(connect(&policy, agent, to).granted().is_some(), expected, "{agent} {to}");
    }
    let login = policy.credential_named("claude").unwrap();
    for (agent, request, is_answered) in [
        ("a", "POST https://platform.claude.com/v1/oauth/token", true),
        ("a", "POST https://console.anthropic.com/v1/oauth/token", true),
        ("a", "GET https://platform.claude.com/v1/oauth/token", false),
        ("a", "POST https://platform.claude.com/V1/OAuth/token/", true),
        ("a", "POST https://platform.claude.com//v1/oauth/token", false),
        ("a", "POST https://platform.claude.com/v1/oauth/./token", false),
        ("a", "POST https://platform.claude.com/v1/oauth/token;x", false),
        ("a", "POST https://platform.claude.com/v1/oauth/revoke", false),
        ("a", "POST http://platform.claude.com/v1/oauth/token", false),
        ("b", "POST https://platform.claude.com/v1/oauth/token", false),
    ] {
        let decision = ask(&policy, agent, request);
        assert_eq!(decision == Decision::Answer(Answer::OauthToken(login)), is_answered, "{agent} {request}");
        assert!(is_answered || decision.denial().is_some(), "{agent} {request}");
    }
    let stub = [(SlotRef::Bearer, "access-token-stub")];
    let asked = ask_with(&policy, "a", "POST https://platform.claude.com/v1/oauth/token", &stub);
    assert_eq!(asked.denial().unwrap().reason, Reason::StubOutOfSlot);
}
