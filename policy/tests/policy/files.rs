//! Files: strict YAML, every error in one run, and merging.

use std::fmt::Write as _;

use proptest::prelude::*;
use serde::Deserialize;
use stubgate_policy::source::{Spanned, read, span_of};
use stubgate_policy::{Diagnostic, Policy, SourceFile, compile, render};

use crate::support::{ask, errors, file, policy, policy_of, said, with_rules};

const RULE: &str = "  - { name: r, agents: [a], hosts: [x.example], methods: [GET] }";

#[test]
fn yaml_that_could_surprise_is_refused() {
    for (text, code) in [
        ("", "SG0014"),
        ("# nothing\n", "SG0014"),
        ("version: 1\n---\nversion: 1\n", "SG0007"),
        ("version: 1\nagents: &x\n  a: { sources: [10.0.0.1/32] }\n", "SG0005"),
        ("version: 1\nrules: *x\n", "SG0005"),
        ("version: 1\nrules: [*.example.com]\n", "SG0005"),
        ("version: !!int 1\n", "SG0004"),
        ("version: !v 1\n", "SG0004"),
        ("version: 1\nagents: !!map { a: { sources: [10.0.0.1/32] } }\n", "SG0004"),
        ("version: 1\nagents: { a: { sources: [!!binary aGVsbG8=] } }\n", "SG0004"),
        ("version: 1\nagents: { a: { <<: {}, sources: [10.0.0.1/32] } }\n", "SG0006"),
        ("version: 1\nversion: 1\n", "SG0008"),
        ("version: 1\nagents:\n  a: { sources: [10.0.0.1/32] }\n  a: { sources: [10.0.0.2/32] }\n", "SG0008"),
        ("version: 1\nagents:\n", "SG0009"),
        ("version: 1\nrules: null\n", "SG0009"),
        ("version: 1\nrules: ~\n", "SG0009"),
        ("version: 1\nagents: { ~: { sources: [10.0.0.1/32] } }\n", "SG0009"),
        ("version: 1\nagents:\n  null: { sources: [10.0.0.1/32] }\n", "SG0009"),
        ("version: 1\nagents:\n  : { sources: [10.0.0.1/32] }\n", "SG0009"),
        ("version: 1\nothers: { ~: 1 }\n", "SG0009"),
        ("version: 1\nrules: []\n", "SG0013"),
        ("version: 1\ndns: []\n", "SG0013"),
        ("version: 1\nrule: []\n", "SG0010"),
        ("agents: {}\n", "SG0011"),
        ("version: 2\n", "SG0102"),
        ("version: '1'\n", "SG0012"),
        ("version: 1\nagents: []\n", "SG0012"),
        ("version: 1\nrules: {}\n", "SG0012"),
        ("- version: 1\n", "SG0012"),
        ("version: 1\nagents:\n\ta: 1\n", "SG0001"),
        ("version: 1\nagents: {\n", "SG0001"),
        ("version: 1\n? [a]\n: 1\n", "SG0001"),
        ("\u{feff}version: 1\n", "SG0003"),
        ("version: 1 # \u{202e}x\n", "SG0003"),
        ("version: 1 # \0\n", "SG0003"),
        ("version: 1\u{a0}\n", "SG0003"),
        ("version: 1 # \u{1b}[2J\n", "SG0003"),
    ] {
        assert_eq!(errors(text), [code], "{text:?}");
    }
}

#[test]
fn bombs_are_refused_at_once() {
    let deep = format!("version: 1\nrules: {}{}\n", "[".repeat(20_000), "]".repeat(20_000));
    assert!(matches!(errors(&deep)[..], ["SG0015" | "SG0001"]), "{:?}", errors(&deep));
    let maps = format!("version: 1\nrules: {}\n", "{a: ".repeat(2_000));
    assert!(matches!(errors(&maps)[..], ["SG0015" | "SG0001"]), "{:?}", errors(&maps));
    let laughs = "a: &a [x, x]\nb: &b [*a, *a]\nc: &c [*b, *b]\nd: [*c, *c]\n";
    assert!(errors(laughs).iter().all(|code| *code == "SG0005"));
    let large = " ".repeat(65 * 1024 * 1024);
    assert_eq!(errors(&large), ["SG0002"]);
}

#[test]
fn typing_of_yaml_never_changes_a_meaning() {
    for (rule, codes) in [
        ("{ name: 1, agents: [a], hosts: [x.example], methods: [GET] }", &["SG0012"][..]),
        ("{ name: true, agents: [a], hosts: [x.example], methods: [GET] }", &["SG0012"]),
        ("{ name: no, agents: [a], hosts: [x.example], methods: [GET] }", &[]),
        ("{ name: r, agents: a, hosts: [x.example], methods: [GET] }", &["SG0012"]),
        ("{ name: r, agents: [a], hosts: x.example, methods: GET }", &["SG0012", "SG0012"]),
        ("{ name: r, agents: [a], hosts: [1.5], methods: [GET] }", &["SG0012"]),
        ("{ name: r, agents: [[a]], hosts: [x.example], methods: [GET] }", &["SG0012"]),
        ("{ name: r, agents: [a], hosts: [null], methods: [GET] }", &["SG0009"]),
        ("{ name: r, agents: [a], hosts: [x.example], methods: [GET], paths: [] }", &["SG0013"]),
        ("{ name: r, agents: [a], hosts: [x.example], methods: [GET], paths: }", &["SG0009"]),
        ("{ name: r, agents: [a], hosts: [x.example] }", &["SG0011"]),
        ("{ name: r, hosts: [x.example], methods: [GET] }", &["SG0011"]),
        ("{ name: r, agents: [a], methods: [GET] }", &["SG0011"]),
        ("{ agents: [a], hosts: [x.example], methods: [GET] }", &["SG0011"]),
        ("{ name: r, agents: [a], hosts: [x.example], methods: [GET], credential_required: 'yes' }", &["SG0012"]),
        ("{ name: r r, agents: [a], hosts: [x.example], methods: [GET] }", &["SG0103"]),
        ("{ name: '', agents: [a], hosts: [x.example], methods: [GET] }", &["SG0103"]),
        ("7", &["SG0012"]),
    ] {
        assert_eq!(errors(&with_rules(&format!("  - {rule}"))), codes, "{rule}");
    }
}

#[test]
fn misspelt_keys_never_widen_a_rule() {
    for key in ["method", "Methods", "path", "pathes", "host", "agent", "efect", "credential", "mehtods", "Paths"] {
        let rule = format!("  - {{ name: r, agents: [a], hosts: [x.example], methods: [GET], {key}: [GET] }}");
        let found = compile(&[file(&with_rules(&rule))]).unwrap_err();
        assert_eq!(found.len(), 1, "{key}");
        assert_eq!(found[0].code, "SG0010");
        assert!(found[0].help.as_ref().unwrap().contains("did you mean"), "{key}");
    }
}

#[test]
fn every_error_of_every_file_is_reported_in_one_run() {
    let files = [
        SourceFile {
            name: "one.yaml".into(),
            text: with_rules("  - { name: r, agents: [c], hosts: ['*'], methods: [get], path: [/] }"),
        },
        SourceFile { name: "two.yaml".into(), text: "version: 1\nrules:\n\t- x\n".into() },
        SourceFile {
            name: "three.yaml".into(),
            text: "version: 3\nrules:\n  - { name: r, agents: [a], hosts: [any], methods: [] }\n".into(),
        },
    ];
    let found = compile(&files).unwrap_err();
    let codes: Vec<(usize, &str)> = found.iter().map(|d| (d.labels[0].file, d.code)).collect();
    assert_eq!(
        codes,
        [
            (0, "SG0131"),
            (0, "SG0140"),
            (0, "SG0010"),
            (1, "SG0001"),
            (2, "SG0102"),
            (2, "SG0104"),
            (2, "SG0135"),
            (2, "SG0013")
        ],
        "an agent may be defined in the file that could not be read, so it is not called unknown"
    );
}

#[test]
fn places_are_exact_behind_characters_of_several_bytes() {
    let text = with_rules("  - { name: r, agents: [a], hosts: [\"é.example\", \"*é\"], methods: [GET] } # é");
    let found = compile(&[file(&text)]).unwrap_err();
    let label = &found[0].labels[0];
    assert_eq!(&text[label.span.clone()], "\"*é\"");
}

#[test]
fn rules_credentials_and_agents_are_shared_by_all_files() {
    let all = with_rules(RULE);
    let (head, rules) = all.split_once("rules:").unwrap();
    let rules = format!("version: 1\nrules:{rules}");
    for files in [[head, rules.as_str()], [rules.as_str(), head]] {
        let policy = policy_of(&files.map(file));
        assert_eq!(said(&policy, &ask(&policy, "a", "GET https://x.example/")), "allow r");
    }
    let twice = compile(&[file(&all), file(&all)]).unwrap_err();
    let codes: Vec<&str> = twice.iter().map(|diagnostic| diagnostic.code).collect();
    assert_eq!(codes, ["SG0104"; 5], "two agents, two credentials, a rule; each points at both places");
    assert!(twice.iter().all(|diagnostic| diagnostic.labels.len() == 2));
}

#[test]
fn the_fingerprint_follows_the_texts_and_not_their_order() {
    let (one, two) = (with_rules(RULE), "version: 1\n".to_owned());
    let print = |texts: [&str; 2]| policy_of(&texts.map(file)).fingerprint().to_owned();
    assert_eq!(print([&one, &two]), print([&two, &one]));
    assert_ne!(print([&one, &two]), print([&one.replace("x.example", "y.example"), &two]));
    assert_eq!(print([&one, &two]).len(), 16);
}

#[test]
fn a_policy_that_allows_nothing_is_taken_with_a_warning() {
    for text in
        ["version: 1\n".to_owned(), with_rules(&format!("{} ", RULE.replace("name: r", "name: r, effect: observe")))]
    {
        let compiled = compile(&[file(&text)]).unwrap();
        assert_eq!(compiled.warnings.iter().map(|warning| warning.code).collect::<Vec<_>>(), ["SG0180"]);
    }
    assert!(compile(&[]).is_err(), "no file at all is not an empty policy");
    let some = compile(&[file(&with_rules(RULE))]).unwrap().warnings;
    assert!(some.iter().all(|warning| warning.code != "SG0180"), "{some:?}");
    let wide = compile(&[file("version: 1\nagents: { a: { sources: [0.0.0.0/0] } }\n")]).unwrap();
    assert!(wide.warnings.iter().any(|warning| warning.code == "SG0113"));
}

#[test]
fn lists_and_rules_have_a_largest_size() {
    let hosts = |count: usize| (0..count).map(|n| format!("h{n}.example")).collect::<Vec<_>>().join(", ");
    let rule = |hosts: &str| with_rules(&format!("  - {{ name: r, agents: [a], hosts: [{hosts}], methods: [GET] }}"));
    assert_eq!(errors(&rule(&hosts(4096))), Vec::<&str>::new());
    assert_eq!(errors(&rule(&hosts(4097))), ["SG0107"]);
}

fn yaml() -> impl Strategy<Value = String> {
    const PIECES: &[&str] = &[
        "version: 1\n",
        "agents:\n",
        "credentials:\n",
        "rules:\n",
        "dns:\n",
        "  a: ",
        "  - ",
        "{ ",
        "}",
        "[",
        "]",
        ", ",
        ": ",
        "\n",
        "name: r",
        "agents: [a]",
        "hosts: [x.example]",
        "methods: [GET]",
        "paths: ['/**']",
        "sources: [10.0.0.1/32]",
        "stub: stub-of-a",
        "*",
        "&",
        "!!",
        "?",
        "'",
        "\"",
        "|",
        ">",
        "#",
        "null",
        "é",
        "\t",
        "<<: ",
        "---\n",
        "any",
        "\u{202e}",
    ];
    let piece = prop_oneof![9 => prop::sample::select(PIECES).prop_map(str::to_owned), 1 => any::<char>().prop_map(String::from)];
    prop::collection::vec(piece, 0..40).prop_map(|pieces| pieces.concat())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn any_text_is_a_policy_or_has_findings_that_can_be_drawn(text in yaml()) {
        let files = [file(&text)];
        match compile(&files) {
            Ok(compiled) => prop_assert!(compiled.policy.fingerprint().len() == 16),
            Err(found) => {
                prop_assert!(found.iter().any(Diagnostic::is_error));
                let drawn = render(&found, &files, false);
                prop_assert_eq!(drawn.matches("error[").count(), found.iter().filter(|found| found.is_error()).count());
            }
        }
        let _ = read::<Config>(0, &files[0]);
    }
}

#[test]
fn the_example_of_the_format_is_read() {
    let text = include_str!("example.yaml");
    let policy = policy(text);
    assert_eq!((policy.agents().len(), policy.credentials().len(), policy.rules().len()), (2, 1, 4));
    for (agent, request, expected) in [
        ("devbot", "GET https://api.github.com/user", "allow github-read"),
        ("devbot", "GET https://api.github.com/gists/1", "deny denied_by_rule"),
        ("devbot", "POST https://github.com/acme/site.git/git-receive-pack", "allow github-git"),
        ("infrabot", "POST https://github.com/acme/site.git/git-receive-pack", "deny host_not_allowed"),
        ("infrabot", "GET https://a.mirror.example.com/x", "allow packages"),
        ("devbot", "GET http://169.254.169.254/latest/meta-data", "deny host_not_allowed"),
    ] {
        assert_eq!(said(&policy, &ask(&policy, agent, request)), expected, "{agent} {request}");
    }
}

#[test]
fn a_hundred_thousand_rules_are_read() {
    let mut text = String::from("version: 1\nagents:\n  a: { sources: [10.0.0.1/32] }\nrules:\n");
    for n in 0..100_000 {
        writeln!(text, "  - {{ name: r{n}, agents: [a], hosts: [h{n}.example], methods: [GET] }}").unwrap();
    }
    let policy = policy(&text);
    assert_eq!(policy.rules().len(), 100_000);
    assert_eq!(said(&policy, &ask(&policy, "a", "GET https://h99999.example/")), "allow r99999");
}

#[test]
fn a_policy_is_shared_by_threads() {
    fn shared<T: Send + Sync + 'static>() {}
    shared::<Policy>();
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Config {
    listen: Spanned<Vec<Spanned<String>>>,
    #[serde(default)]
    limit: Option<u32>,
    #[serde(default)]
    loud: bool,
}

#[test]
fn the_reader_serves_other_files_too() {
    let good = read::<Config>(0, &file("listen: [\"é\", b]\nlimit: 3\nloud: true\n")).unwrap();
    let values: Vec<&str> = good.listen.value.iter().map(|listen| listen.value.as_str()).collect();
    assert_eq!((values, good.limit, good.loud), (vec!["é", "b"], Some(3), true));
    assert_eq!(span_of(&good.listen.value[1]), 15..16);
    for (text, code, place, help) in [
        ("listen: [a]\nlimt: 3\n", "SG0010", "limt", Some("did you mean `limit`?")),
        ("limit: 3\n", "SG0011", "limit", None),
        ("listen: [a]\nlimit: x\n", "SG0012", "x", None),
        ("listen: [a]\nlimit: -1\n", "SG0012", "-1", None),
        ("listen: [a]\nloud: yes\n", "SG0012", "yes", Some("write `true` or `false`")),
        ("listen: [a]\nlimit:\n", "SG0009", "", None),
        ("listen: a\n", "SG0012", "a", None),
        ("listen: [a]\nlimit: !!int 3\n", "SG0004", "!!int", None),
        ("listen: [a]\nlisten: [b]\n", "SG0008", "listen", None),
    ] {
        let found = read::<Config>(0, &file(text)).unwrap_err();
        assert_eq!(found.len(), 1, "{text:?} {found:?}");
        assert_eq!(found[0].code, code, "{text:?} {found:?}");
        assert_eq!(&text[found[0].labels[0].span.clone()], place, "{text:?}");
        if help.is_some() {
            assert_eq!(found[0].help.as_deref(), help, "{text:?}");
        }
    }
}
