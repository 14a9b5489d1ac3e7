//! What docs/operations.md says of versions is what the program takes; what it says of commands is what they are called.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::collections::BTreeSet;
use std::path::Path;

use stubgate_policy::{SourceFile, compile, preset};
use stubgate_proxy::readiness::Unready;

fn document() -> String {
    std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/operations.md")).unwrap()
}

/// The cells of the row whose first begins so.
fn row(beginning: &str) -> Vec<String> {
    let text = document();
    let line = text
        .lines()
        .find(|line| line.starts_with(&format!("| {beginning}")))
        .unwrap_or_else(|| panic!("no row {beginning}"));
    line.trim_matches('|').split('|').map(|cell| cell.trim().to_owned()).collect()
}

fn words(text: &str) -> BTreeSet<String> {
    text.split('`').skip(1).step_by(2).map(str::to_owned).collect()
}

#[test]
fn every_preset_that_the_program_has_is_in_the_table_of_versions_and_no_other() {
    let released = preset::released().iter().map(|one| format!("{}@{}", one.name(), one.version())).collect();
    assert_eq!(words(&row("presets")[1]), released);
    let unknown = compile(&[policy("version: 1\ninclude: [{ preset: github-read@99, agents: [] }]\n")]).unwrap_err();
    assert!(unknown.iter().any(|found| found.code == "SG0190"), "{unknown:#?}");
}

fn policy(text: &str) -> SourceFile {
    SourceFile { name: "p.yaml".into(), text: text.into() }
}

#[test]
fn the_version_of_policy_in_the_table_is_taken_and_the_next_one_refused_by_the_code_that_it_names() {
    let known = row("policy files");
    let version: u32 = words(&known[1]).pop_first().unwrap().strip_prefix("version: ").unwrap().parse().unwrap();
    let text = |version: u32| format!("version: {version}\nagents: {{ a: {{ sources: [\"192.0.2.1/32\"] }} }}\n");
    compile(&[policy(&text(version))]).unwrap_or_else(|found| panic!("{found:#?}"));
    let refused = compile(&[policy(&text(version + 1))]).unwrap_err();
    assert!(refused.iter().any(|found| known[2].contains(found.code)), "{refused:#?}");
}

#[test]
fn every_reason_not_to_be_ready_is_in_its_table() {
    for reason in Unready::ALL {
        assert_eq!(words(&row(&format!("`{reason}`"))[0]), BTreeSet::from([reason.to_string()]));
    }
}
