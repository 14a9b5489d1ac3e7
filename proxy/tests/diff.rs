//! `stubgate policy diff` as CI calls it: exit statuses and forms.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::path::{Path, PathBuf};
use std::process::Command;

fn pair(name: &str, side: &str) -> PathBuf {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../policy/tests/policy/diff");
    folder.join(name).join(format!("{side}.yaml"))
}

/// Exit status and standard output.
fn diff(args: &[&str], paths: &[PathBuf]) -> (i32, String) {
    let program = env!("CARGO_BIN_EXE_stubgate");
    let output = Command::new(program).args(["policy", "diff"]).args(args).args(paths).output().unwrap();
    (output.status.code().unwrap(), String::from_utf8(output.stdout).unwrap())
}

fn both(name: &str) -> [PathBuf; 2] {
    [pair(name, "old"), pair(name, "new")]
}

#[test]
fn the_exit_status_says_whether_anything_widens() {
    for (name, status) in [
        ("01-rule-renamed", 0),
        ("08-deny-added", 0),
        ("35-observe-added", 0),
        ("09-deny-removed", 3),
        ("17-path-case", 3),
        ("36-dns-added", 3),
    ] {
        assert_eq!(diff(&[], &both(name)).0, status, "{name}");
    }
}

#[test]
fn wrong_and_unreadable_policies_have_their_own_status() {
    let folder = tempfile::tempdir().unwrap();
    let wrong = folder.path().join("wrong.yaml");
    std::fs::write(&wrong, "version: 2\n").unwrap();
    let good = pair("01-rule-renamed", "old");
    assert_eq!(diff(&[], &[good.clone(), wrong.clone()]).0, 1);
    assert_eq!(diff(&[], &[folder.path().join("missing"), wrong]).0, 2);
    assert_eq!(diff(&[], &[good]).0, 2, "two policies are needed");
}

#[test]
fn a_policy_may_stand_in_several_places() {
    let folder = pair("05-file-moved", "x");
    let [old, new, rules] = ["old.yaml", "new.yaml", "new-rules.yaml"].map(|name| folder.with_file_name(name));
    let (status, text) = diff(&["--new", rules.to_str().unwrap()], &[old, new]);
    assert_eq!((status, text.trim()), (0, "old and new allow the same"));
}

#[test]
fn json_and_markdown_say_the_same() {
    let (status, text) = diff(&["--format", "json"], &both("11-method-added"));
    let report: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert_eq!((status, &report["widens"], &report["narrows"], &report["notes"]), (3, &1.into(), &0.into(), &0.into()));
    let change = &report["changes"][0];
    assert_eq!(change["direction"], "widens");
    assert_eq!(change["aspect"], "reach");
    assert_eq!(change["rule"]["name"], "github-read");
    assert_eq!(change["agents"], serde_json::json!(["devbot", "infrabot"]));
    assert_eq!(change["methods"], serde_json::json!(["POST"]));
    assert_eq!(change["credentials"], serde_json::json!(["github"]));
    assert_eq!(change["witness"]["request"], "POST https://api.github.com/");
    let (status, text) = diff(&["--format", "markdown"], &both("11-method-added"));
    assert_eq!(status, 3);
    assert!(text.starts_with("**Policy: 1 change widens**\n"), "{text}");
    assert!(
        text.contains("- **widens**: the rule `github-read` allows what was denied\n  - agents: `devbot`"),
        "{text}"
    );
}

#[test]
fn nothing_is_coloured_that_no_terminal_shows() {
    assert!(!diff(&[], &both("09-deny-removed")).1.contains('\u{1b}'));
}
