//! What `credentials:` and the rules that name them may say.

use stubgate_policy::Source;

use crate::support::{errors, policy, with_rules};

#[test]
fn credentials_in_policy_must_be_whole() {
    let with = |line: &str| {
        with_rules("  - { name: r, agents: [a], hosts: [x.example], methods: [GET] }")
            .replace("rules:", &format!("  c: {line}\nrules:"))
    };
    for (line, codes) in [
        ("{ stub: stub-credential, slots: [bearer], hosts: [x.example], source: { env: C } }", &[][..]),
        (
            "{ stub: stub-credential, slots: [bare, 'header:X-Key', 'query:access_token'], hosts: ['*.x.example', '10.0.0.5:8006'], source: { env: C } }",
            &[],
        ),
        ("{ slots: [bearer], hosts: [x.example], source: { env: C } }", &["SG0011"]),
        ("{ stub: stub-credential, hosts: [x.example], source: { env: C } }", &["SG0011"]),
        ("{ stub: stub-credential, slots: [bearer], source: { env: C } }", &["SG0011"]),
        ("{ stub: stub-credential, slots: [bearer], hosts: [x.example] }", &["SG0011"]),
        ("{ stub: stub-cr, slots: [bearer], hosts: [x.example], source: { env: C } }", &["SG0120"]),
        ("{ stub: 'stub credential', slots: [bearer], hosts: [x.example], source: { env: C } }", &["SG0120"]),
        ("{ stub: 'stub:credential', slots: [bearer], hosts: [x.example], source: { env: C } }", &["SG0120"]),
        ("{ stub: stub-github-2, slots: [bearer], hosts: [x.example], source: { env: C } }", &["SG0121"]),
        ("{ stub: my-stub-github, slots: [bearer], hosts: [x.example], source: { env: C } }", &["SG0121"]),
        ("{ stub: ub-githu, slots: [bearer], hosts: [x.example], source: { env: C } }", &["SG0121"]),
        ("{ stub: stub-credential, slots: [Bearer], hosts: [x.example], source: { env: C } }", &["SG0123"]),
        ("{ stub: stub-credential, slots: ['header:'], hosts: [x.example], source: { env: C } }", &["SG0123"]),
        ("{ stub: stub-credential, slots: ['header:a b'], hosts: [x.example], source: { env: C } }", &["SG0123"]),
        ("{ stub: stub-credential, slots: ['header:Host'], hosts: [x.example], source: { env: C } }", &["SG0123"]),
        ("{ stub: stub-credential, slots: ['header:cookie'], hosts: [x.example], source: { env: C } }", &["SG0123"]),
        ("{ stub: stub-credential, slots: ['query:a&b'], hosts: [x.example], source: { env: C } }", &["SG0123"]),
        ("{ stub: stub-credential, slots: ['body:x'], hosts: [x.example], source: { env: C } }", &["SG0123"]),
        ("{ stub: stub-credential, slots: [bearer], hosts: ['http://x.example'], source: { env: C } }", &["SG0160"]),
        ("{ stub: stub-credential, slots: [bearer], hosts: [any], source: { env: C } }", &["SG0135"]),
        ("{ stub: stub-credential, slots: [bearer], hosts: [x.example], source: { file: relative } }", &["SG0124"]),
        ("{ stub: stub-credential, slots: [bearer], hosts: [x.example], source: { env: 'A B' } }", &["SG0124"]),
        ("{ stub: stub-credential, slots: [bearer], hosts: [x.example], source: {} }", &["SG0124"]),
        ("{ stub: stub-credential, slots: [bearer], hosts: [x.example], source: { flie: /x } }", &["SG0010"]),
    ] {
        assert_eq!(errors(&with(line)), codes, "{line}");
    }
}

#[test]
fn rules_and_credentials_must_fit_together() {
    for (rule, codes) in [
        ("hosts: [x.example], credentials: [github]", &["SG0161"][..]),
        ("hosts: ['api.github.com:8443'], credentials: [github]", &["SG0161"]),
        ("hosts: ['*.github.com'], credentials: [github]", &[]),
        ("hosts: [x.example, github.com], credentials: [github]", &[]),
        ("hosts: [github.com, 'http://github.com'], credentials: [github]", &["SG0160"]),
        ("hosts: [github.com], credentials: [githug]", &["SG0106"]),
        ("hosts: [github.com], credentials: [github, github]", &["SG0108"]),
        ("hosts: [github.com], credentials: []", &["SG0013"]),
        ("hosts: [github.com], credential_required: true", &["SG0163"]),
        ("hosts: [github.com], effect: deny, credentials: [github]", &["SG0162"]),
        ("hosts: [github.com], effect: deny, ranges: allow", &["SG0162"]),
        ("hosts: [github.com], effect: deny, credential_required: false", &["SG0162"]),
        ("hosts: [github.com], foreign_credentials: yes", &["SG0109"]),
        ("hosts: [github.com], ranges: true", &["SG0012"]),
        ("hosts: [github.com], effect: permit", &["SG0109"]),
    ] {
        let text = with_rules(&format!("  - {{ name: r, agents: [a], methods: [GET], {rule} }}"));
        assert_eq!(errors(&text), codes, "{rule}");
    }
}

#[test]
fn sources_are_kept_for_those_who_read_secrets() {
    let policy = policy(&with_rules("  - { name: r, agents: [a], hosts: [x.example], methods: [GET] }"));
    let source = |name| policy.credential(policy.credential_named(name).unwrap()).source().clone();
    assert_eq!(source("github"), Source::Env("GITHUB".into()));
    assert_eq!(source("model"), Source::File(std::path::Path::new("/run/model").into()));
    assert!(policy.credential_named("other").is_none());
}
