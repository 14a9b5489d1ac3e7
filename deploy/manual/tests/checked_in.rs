//! What is checked in is what the definitions say, and what programs make of it is what they are for.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

fn deploy() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn below(folder: &Path, found: &mut BTreeSet<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()) {
        if entry.is_dir() {
            below(&entry, found);
        } else {
            found.insert(entry.strip_prefix(deploy()).unwrap().to_owned());
        }
    }
}

#[test]
fn pages_and_completions_are_those_of_the_command_lines() {
    let files = stubgate_manual::files().unwrap();
    let mut there = BTreeSet::new();
    for folder in stubgate_manual::FOLDERS {
        below(&deploy().join(folder), &mut there);
    }
    let wanted: BTreeSet<PathBuf> = files.keys().cloned().collect();
    assert_eq!(there, wanted, "run: make manual");
    for (path, text) in &files {
        let kept = fs::read(deploy().join(path)).unwrap();
        assert!(kept == *text, "{} differs; run: make manual", path.display());
    }
}

#[test]
fn every_command_has_a_page_and_no_hidden_one_is_told() {
    let files = stubgate_manual::files().unwrap();
    for page in
        ["stubgate/stubgate", "stubgate/stubgate-run", "stubgate/stubgate-policy-check", "stubgate/stubgate-ca-bundle"]
    {
        assert!(files.contains_key(Path::new(&format!("man/{page}.1"))), "{page}");
    }
    for hidden in stubgate_proxy::cli::definition().get_subcommands().filter(|one| one.is_hide_set()) {
        for (path, text) in &files {
            let text = String::from_utf8_lossy(text).replace("\\-", "-");
            assert!(!text.contains(&format!("{}\n", hidden.get_name())), "{} in {}", hidden.get_name(), path.display());
            assert!(!text.contains(&format!(" {} ", hidden.get_name())), "{} in {}", hidden.get_name(), path.display());
        }
    }
}

#[test]
fn everything_that_is_made_is_shipped() {
    let package = fs::read_to_string(deploy().join("../proxy/Cargo.toml")).unwrap();
    for path in stubgate_manual::files().unwrap().keys() {
        let path = format!("../deploy/{}", path.display());
        let pages = path.rsplit_once('/').map(|(folder, _)| format!("{folder}/*.1")).unwrap();
        let is_asset = |path: &str| package.contains(&format!("[\"{path}\", \"usr/share/"));
        assert!(is_asset(&path) || path.ends_with(".1") && is_asset(&pages), "{path}");
    }
}
