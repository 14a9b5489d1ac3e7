//! Lints: what each warns of, what it leaves alone, and that they are done in a moment.

use std::fmt::Write as _;

use stubgate_policy::{SourceFile, compile, render};

use crate::support::{file, with_rules};

/// The warnings of a policy that must be right.
fn warned(text: &str) -> Vec<&'static str> {
    let files = [file(text)];
    match compile(&files) {
        Ok(compiled) => compiled.warnings.iter().map(|warning| warning.code).collect(),
        Err(found) => panic!("{}", render(&found, &files, false)),
    }
}

/// Of these rules, which must use the agents and credentials of [`with_rules`], beside a rule that does so for those
/// that the rules leave out.
fn of(rules: &[&str]) -> Vec<&'static str> {
    let mut text = String::from(
        "  - { name: zz, agents: [a, b], hosts: [github.com, 'api.model.example:8443'], methods: [GET], credentials: [github, model] }",
    );
    for (at, rule) in rules.iter().enumerate() {
        write!(text, "\n  - {{ name: r{at}, {rule} }}").unwrap();
    }
    warned(&with_rules(&text))
}

#[test]
fn a_rule_that_another_covers_adds_nothing() {
    let one = "agents: [a], hosts: [x.example], methods: [GET]";
    for (rules, found) in [
        (&[one, one][..], &["SG0201"][..]),
        (&[one, "agents: ['*'], hosts: ['*.example', y.example], methods: [GET, HEAD]"], &["SG0201"]),
        (&[one, "agents: [a, b], hosts: ['**.example'], methods: [any]"], &["SG0201"]),
        (&[one, "agents: [b], hosts: [x.example], methods: [GET]"], &[]),
        (&[one, "agents: [a], hosts: ['x.example:444'], methods: [GET]"], &[]),
        (&[one, "agents: [a], hosts: [x.example], methods: [GET, HEAD], paths: [/x]"], &[]),
        (
            &[
                "agents: [a], hosts: [x.example], methods: [GET], paths: [/x/*/y, /z/1]",
                "agents: [a], hosts: [x.example], methods: [GET], paths: ['/x/**', '/z/*']",
            ],
            &["SG0201"],
        ),
        (
            &[
                "agents: [a], hosts: [x.example], methods: [GET], paths: ['/x/**']",
                "agents: [a], hosts: [x.example], methods: [GET], paths: ['/x/*', '/x/*/*']",
            ],
            &["SG0201"],
        ),
        (&[one, "agents: [a], hosts: [x.example], methods: [GET], effect: observe"], &["SG0201"]),
        (
            &[
                "agents: [a], hosts: [x.example], methods: [GET], effect: deny, paths: ['/A/b']",
                "agents: [a], hosts: [any], methods: [any], effect: deny, paths: ['/a/**']",
            ],
            &["SG0201"],
        ),
        // Credentials and options count.
        (
            &[
                "agents: [a], hosts: [github.com], methods: [HEAD], credentials: [github]",
                "agents: [a], hosts: [github.com], methods: [HEAD, OPTIONS]",
            ],
            &[],
        ),
        (
            &[
                "agents: [a], hosts: [x.example], methods: [GET], stub_in_body: deny",
                "agents: [a], hosts: [x.example], methods: [GET, HEAD]",
            ],
            &[],
        ),
        (
            &[
                "agents: [a], hosts: [github.com], methods: [HEAD], credentials: [github]",
                "agents: [a], hosts: [github.com], methods: [HEAD, OPTIONS], credentials: [github], credential_required: true",
            ],
            &[],
        ),
    ] {
        let codes: Vec<&str> = of(rules).into_iter().filter(|code| *code == "SG0201").collect();
        assert_eq!(codes, found, "{rules:#?}");
    }
}

#[test]
fn a_rule_that_deny_rules_close_never_matches() {
    let some = "agents: [a], hosts: [x.example], methods: [GET, HEAD], paths: ['/v/**']";
    for (rules, found) in [
        (&[some, "effect: deny, agents: ['*'], hosts: [any], methods: [any]"][..], &["SG0203"][..]),
        (
            &[some, "effect: deny, agents: [a], hosts: ['*.example'], methods: [GET, HEAD], paths: ['/V/**']"],
            &["SG0203"],
        ),
        (&[some, "effect: deny, agents: [b], hosts: [any], methods: [any]"], &[]),
        (&[some, "effect: deny, agents: [a], hosts: [x.example], methods: [GET]"], &[]),
        (&[some, "effect: deny, agents: [a], hosts: [x.example], methods: [any], paths: ['/v/*']"], &[]),
        (&[some, "effect: deny, agents: [a], hosts: ['http://x.example'], methods: [any]"], &[]),
        (
            &[
                some,
                "effect: deny, agents: [a], hosts: [x.example], methods: [GET]",
                "effect: deny, agents: ['*'], hosts: [x.example], methods: [HEAD]",
            ],
            &["SG0202"],
        ),
    ] {
        let codes: Vec<&str> = of(rules).into_iter().filter(|code| matches!(*code, "SG0202" | "SG0203")).collect();
        // A deny rule for every host closes the rule of the others as well.
        let expected = if rules.iter().any(|rule| rule.contains("['*'], hosts: [any]")) { 2 } else { 1 };
        assert_eq!(codes, found.repeat(expected), "{rules:#?}");
    }
    let nobody = "version: 1\nrules:\n  - { name: r, agents: ['*'], hosts: [x.example], methods: [GET] }\n";
    assert_eq!(warned(nobody), ["SG0202"]);
}

#[test]
fn what_no_rule_names_is_said() {
    let rule = |agents: &str, credentials: &str| {
        with_rules(&format!(
            "  - {{ name: r, agents: [{agents}], hosts: [github.com, 'api.model.example:8443'], methods: [GET]{credentials} }}"
        ))
    };
    assert_eq!(warned(&rule("a, b", ", credentials: [github, model]")), Vec::<&str>::new());
    assert_eq!(warned(&rule("'*'", ", credentials: [github]")), ["SG0204"]);
    assert_eq!(warned(&rule("a", ", credentials: [github, model]")), ["SG0206"]);
    let asks =
        rule("a", ", credentials: [github, model]") + "dns: [{ agents: [b], names: [x.internal], types: [A] }]\n";
    assert_eq!(warned(&asks), Vec::<&str>::new());
}

#[test]
fn grants_wider_than_needed_are_said() {
    for (rule, found) in [
        ("agents: [a], hosts: ['*.github.com'], methods: [GET], credentials: [github]", &["SG0205"][..]),
        ("agents: [a], hosts: ['*.example', github.com], methods: [HEAD], credentials: [github]", &[]),
        ("agents: ['*'], hosts: [x.example], methods: [GET, HEAD, OPTIONS]", &[]),
        ("agents: ['*'], hosts: [x.example], methods: [GET, POST]", &["SG0208"]),
        ("agents: ['*'], hosts: [x.example], methods: [any]", &["SG0208"]),
        ("agents: ['*'], hosts: [x.example], methods: [WEBSOCKET]", &["SG0208"]),
        ("agents: ['*'], hosts: [x.example], methods: [any], effect: deny", &[]),
        ("agents: [a, b], hosts: [x.example], methods: [any]", &[]),
        ("agents: [a], hosts: ['http://x.example', 'http://y.example:81'], methods: [GET]", &["SG0209", "SG0209"]),
        ("agents: [a], hosts: ['http://x.example'], methods: [GET], effect: deny", &[]),
        ("agents: [a], hosts: [x.example], methods: [POTS]", &["SG0212"]),
        ("agents: [a], hosts: [x.example], methods: [PROPFIND, SEARCH, FROBNICATE]", &[]),
    ] {
        assert_eq!(of(&[rule]), found, "{rule}");
    }
}

#[test]
fn hosts_that_look_alike_are_said() {
    for (hosts, found) in [
        ("g1tlab.example, gltlab.example", 1),
        ("m.example, rn.example", 1),
        ("\u{0430}\u{0440}\u{0440}\u{04cf}\u{0435}.example", 1),
        ("xn--80ak6aa92e.example", 1),
        ("xn--80ak6aa92e.example, apple.example", 1),
        ("xn--a.example", 1),
        ("p\u{0430}ypaul\u{fc}.example", 1),
        ("b\u{fc}cher.example, \u{043f}\u{0440}\u{0438}\u{043c}\u{0435}\u{0440}.example", 0),
        ("a.example, '*.a.example', 'a.example:444'", 0),
    ] {
        let rule = format!("agents: [a], hosts: [{hosts}], methods: [GET]");
        assert_eq!(of(&[&rule]), vec!["SG0207"; found], "{hosts}");
    }
}

#[test]
fn other_names_of_what_is_closed_stay_open() {
    let closed = "effect: deny, agents: ['*'], hosts: [x.example], methods: [any], paths: ['/admin/**']";
    for (rules, found) in [
        (&[closed, "agents: [a], hosts: [x.example], methods: [GET]"][..], 1),
        (&[closed, "agents: [a], hosts: ['*.example'], methods: [GET], paths: ['/**']"], 1),
        (&[closed, "agents: [a], hosts: [x.example], methods: [GET], paths: ['/items/**']"], 0),
        (&[closed, "agents: [a], hosts: [y.example], methods: [GET]"], 0),
        (
            &[
                "effect: deny, agents: [b], hosts: [any], methods: [POST], paths: ['/admin/**']",
                "agents: [a], hosts: [x.example], methods: [GET, POST]",
            ],
            0,
        ),
        (
            &[
                "effect: deny, agents: [b], hosts: ['**.example'], methods: [POST], paths: ['/admin/**']",
                "agents: [a, b], hosts: ['*.x.example'], methods: [GET, POST]",
            ],
            1,
        ),
    ] {
        assert_eq!(of(rules), vec!["SG0210"; found], "{rules:#?}");
    }
}

#[test]
fn a_credential_that_can_publish_is_said() {
    for (rules, found) in [
        (&["agents: [a], hosts: [api.github.com], methods: [GET, POST], credentials: [github]"][..], &["SG0211"][..]),
        (&["agents: [a], hosts: [api.github.com], methods: [GET, POST]"], &[]),
        (&["agents: [a], hosts: [api.github.com], methods: [GET, HEAD], credentials: [github]"], &[]),
        (
            &[
                "agents: [a], hosts: [api.github.com], methods: [POST], paths: ['/repos/acme/**'], credentials: [github]",
            ],
            &[],
        ),
        (&["agents: [a], hosts: [github.com], methods: [POST], paths: ['/acme/**'], credentials: [github]"], &[]),
        (&["agents: [a], hosts: [github.com], methods: [POST], credentials: [github]"], &["SG0211"]),
        (
            &[
                "agents: [a], hosts: [api.github.com], methods: [POST], paths: [/gists], credentials: [github]",
                "effect: deny, agents: [a], hosts: [api.github.com], methods: [POST], paths: [/gists]",
            ],
            &["SG0203"],
        ),
    ] {
        assert_eq!(of(rules), found, "{rules:#?}");
    }
}

#[test]
fn a_literal_stub_with_which_several_agents_write_is_shared() {
    let shared = |credential: &str, rules: &str| {
        let text = format!(
            "version: 1
agents: {{ a: {{ sources: [10.0.0.1/32] }}, b: {{ sources: [10.0.0.2/32] }} }}
credentials:
  one: {{ {credential}, slots: [bearer], hosts: [x.example] }}
  two: {{ stub: stub-one, slots: [bearer], hosts: [x.example], source: {{ env: B }} }}
rules:
{rules}"
        );
        warned(&text).into_iter().filter(|code| *code == "SG0214").count()
    };
    let rule = |name: &str, agents: &str, methods: &str, credential: &str| {
        format!(
            "  - {{ name: {name}, agents: [{agents}], hosts: [x.example], methods: [{methods}], credentials: [{credential}] }}\n"
        )
    };
    let literal = "stub: stub-one, source: { env: A }";
    let both = rule("both", "a, b", "GET, POST", "one");
    assert_eq!(shared(literal, &both), 1);
    assert_eq!(shared(literal, &rule("every", "'*'", "any", "one")), 1);
    assert_eq!(shared(literal, &rule("own", "a, b", "PROPFIND", "one")), 1, "nobody knows what it does");
    assert_eq!(shared(literal, &(rule("a", "a", "POST", "one") + &rule("b", "b", "PUT", "one"))), 1, "by two rules");
    assert_eq!(shared(literal, &(rule("a", "a", "POST", "one") + &rule("b", "b", "PUT", "two"))), 1, "one text");
    assert_eq!(shared(literal, &rule("read", "a, b", "'GET', HEAD, OPTIONS, WEBSOCKET", "one")), 0);
    assert_eq!(shared(literal, &(rule("a", "a", "POST", "one") + &rule("b", "b", "GET", "one"))), 0);
    assert_eq!(shared("stub: stub-uno, minted_only: true, source: { env: A }", &both), 0);
}

#[test]
fn warnings_of_a_kind_are_bounded() {
    let rules: String = (0..300)
        .map(|n| format!("  - {{ name: r{n}, agents: [a], hosts: ['http://h{n}.x.example'], methods: [GET] }}\n"))
        .collect();
    let found = compile(&[SourceFile { name: "p.yaml".into(), text: with_rules(&rules) }]).unwrap().warnings;
    let plain: Vec<_> = found.iter().filter(|warning| warning.code == "SG0209").collect();
    assert_eq!(plain.len(), 101);
    assert!(plain.iter().any(|warning| warning.message == "200 more warnings of this kind are not shown"));
}
