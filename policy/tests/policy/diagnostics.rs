//! Diagnostics as people see them, and that every code is drawn at least once.

use std::collections::BTreeSet;

use stubgate_policy::diagnostic::{Diagnostic, codes};
use stubgate_policy::{SourceFile, compile, render};

/// Files that are wrong in every way there is.
const WRONG: &[(&str, &str)] = &[
    ("syntax.yaml", include_str!("wrong/syntax.yaml")),
    ("structure.yaml", include_str!("wrong/structure.yaml")),
    ("anchors.yaml", include_str!("wrong/anchors.yaml")),
    ("documents.yaml", include_str!("wrong/documents.yaml")),
    ("deep.yaml", include_str!("wrong/deep.yaml")),
    ("empty.yaml", ""),
    ("hidden.yaml", "version: 1 # \u{202e}\n"),
    ("agents.yaml", include_str!("wrong/agents.yaml")),
    ("credentials.yaml", include_str!("wrong/credentials.yaml")),
    ("rules.yaml", include_str!("wrong/rules.yaml")),
    ("include.yaml", include_str!("wrong/include.yaml")),
    ("dns.yaml", include_str!("wrong/dns.yaml")),
    ("nothing.yaml", "version: 1\nagents:\n  a: { sources: [\"::/0\"] }\n"),
];

fn found(name: &str, text: &str) -> (Vec<SourceFile>, Vec<Diagnostic>) {
    let files = vec![SourceFile { name: name.into(), text: text.into() }];
    let found = match compile(&files) {
        Ok(compiled) => compiled.warnings,
        Err(found) => found,
    };
    (files, found)
}

#[test]
fn findings_are_drawn_with_place_underline_and_help() {
    for (name, text) in WRONG {
        let (files, found) = found(name, text);
        insta::assert_snapshot!(*name, render(&found, &files, false));
    }
}

#[test]
fn every_code_has_an_example() {
    let mut seen: BTreeSet<&str> =
        WRONG.iter().flat_map(|(name, text)| found(name, text).1).map(|diagnostic| diagnostic.code).collect();
    // Their examples are too large for a file, or are no file.
    seen.extend([codes::NO_FILES, codes::TOO_LARGE, codes::TOO_MANY]);
    // Those of policy tests have theirs in cases.rs.
    let ours = codes::ALL.iter().filter(|(code, _)| !code.starts_with("SG03"));
    let missing: Vec<&str> = ours.map(|(code, _)| *code).filter(|code| !seen.contains(code)).collect();
    assert_eq!(missing, Vec::<&str>::new());
}

#[test]
fn colour_adds_escapes_and_changes_no_text() {
    let (files, found) = found("agents.yaml", include_str!("wrong/agents.yaml"));
    let (plain, colour) = (render(&found, &files, false), render(&found, &files, true));
    assert!(!plain.contains('\u{1b}'));
    assert!(colour.contains("\u{1b}["));
    let mut stripped = String::new();
    for (at, part) in colour.split("\u{1b}[").enumerate() {
        stripped.push_str(if at == 0 { part } else { part.split_once('m').unwrap().1 });
    }
    assert_eq!(stripped, plain);
}

#[test]
fn a_file_cannot_reach_the_terminal_of_its_reader() {
    let text = "version: 1\nagents:\n  \"a\\e[2J\": { sources: [10.0.0.1/32] }\n";
    let (files, found) = found("x\u{1b}[31m.yaml", text);
    assert!(!found.is_empty());
    assert!(!render(&found, &files, false).contains('\u{1b}'));
}
