//! `stubgate audit query` as people and scripts run it: files, streams, status.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::fs;
use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Output, Stdio};

const STUBGATE: &str = env!("CARGO_BIN_EXE_stubgate");

fn line(hour: u32, event: &str, id: &str, more: &str) -> String {
    format!(
        "{{\"time\":\"2026-11-21T{hour:02}:00:00.000001Z\",\"seq\":1,\"event\":\"{event}\",\"layer\":\"http\",\"id\":\"{id}\",\
         \"agent\":\"devbot\",\"authority\":\"https://api.github.com:443\",\"method\":\"GET\",\"path\":\"/{id}\",\
         \"credential\":\"github\",\"credential_version\":\"00000000000000ff\"{more}}}\n"
    )
}

fn both(hour: u32, id: &str) -> String {
    line(hour, "begin", id, "") + &line(hour, "end", id, ",\"status\":200,\"outcome\":\"complete\"")
}

/// An appliance's configuration, and records of three hours in as many files; the last line is being written.
fn site() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let cut = line(12, "begin", "cut", "");
    let now = both(11, "new") + &line(11, "begin", "open", "") + &cut[..cut.len() / 2];
    for (name, text) in
        [("audit.jsonl.2", both(9, "oldest")), ("audit.jsonl.1", both(10, "older")), ("audit.jsonl", now)]
    {
        fs::write(folder.path().join(name), text).unwrap();
    }
    let config = "listen: { proxy: [\"127.0.0.1:0\"] }\npolicy: [policy]\nstate_dir: state\naudit:\n  files:\n    \
                  - { path: \"-\" }\n    - { path: audit.jsonl, max_bytes: 65536 }\n";
    fs::write(folder.path().join("stubgate.yaml"), config).unwrap();
    folder
}

fn query(folder: &Path, arguments: &[&str]) -> Output {
    Command::new(STUBGATE).args(["audit", "query"]).args(arguments).current_dir(folder).output().unwrap()
}

fn out(output: &Output) -> &str {
    std::str::from_utf8(&output.stdout).unwrap()
}

fn err(output: &Output) -> &str {
    std::str::from_utf8(&output.stderr).unwrap()
}

fn paths(output: &Output) -> Vec<&str> {
    out(output).lines().skip(1).map(|line| line.rsplit('/').next().unwrap()).collect()
}

#[test]
fn the_files_of_a_configuration_are_read_with_what_was_rotated_beside_them() {
    let site = site();
    let output = query(site.path(), &["--config", "stubgate.yaml", "--credential", "github", "--agent", "devbot"]);
    assert_eq!(output.status.code(), Some(0), "{}", err(&output));
    assert_eq!(
        out(&output),
        "\
TIME                  AGENT         CREDENTIAL    VERSION           STATUS  ENDED       ACTION
2026-11-21T09:00:00Z  devbot        github        00000000000000ff  200     complete    GET https://api.github.com/oldest
2026-11-21T10:00:00Z  devbot        github        00000000000000ff  200     complete    GET https://api.github.com/older
2026-11-21T11:00:00Z  devbot        github        00000000000000ff  200     complete    GET https://api.github.com/new
2026-11-21T11:00:00Z  devbot        github        00000000000000ff  -       begun       GET https://api.github.com/open
"
    );
    let said = "found 4 in 7 records\nleft out 1 line that can't be read as records, first ";
    assert!(err(&output).starts_with(said), "{}", err(&output));
    assert!(err(&output).ends_with("audit.jsonl:4\n"), "{}", err(&output));
}

#[test]
fn times_are_bounds_and_nothing_found_is_no_error() {
    let site = site();
    let with = |more: &[&str]| query(site.path(), &[&["--config", "stubgate.yaml"], more].concat());
    let between = with(&["--since", "2026-11-21T10:00:00Z", "--until", "2026-11-21T11:00:00Z"]);
    assert_eq!(paths(&between), ["older"]);
    assert_eq!(paths(&with(&["--outcome", "begun"])), ["open"]);
    assert_eq!(paths(&with(&["--id", "oldest", "--credential-version", "00000000000000ff"])), ["oldest"]);
    let none = with(&["--credential", "gitlab"]);
    assert_eq!((none.status.code(), out(&none)), (Some(0), ""));
    assert!(err(&none).starts_with("found 0 in 7 records\n"), "{}", err(&none));
}

#[test]
fn records_are_printed_as_they_are_where_that_is_asked_for() {
    let site = site();
    let output = query(site.path(), &["audit.jsonl.1", "audit.jsonl", "--json", "--outcome", "complete"]);
    let end = |hour, id| line(hour, "end", id, ",\"status\":200,\"outcome\":\"complete\"");
    assert_eq!(out(&output), end(10, "older") + &end(11, "new"));
}

#[test]
fn standard_input_is_read_as_files_are() {
    let mut child = Command::new(STUBGATE)
        .args(["audit", "query", "-"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(both(9, "x").as_bytes()).unwrap();
    assert_eq!(paths(&child.wait_with_output().unwrap()), ["x"]);
}

#[test]
fn what_can_not_be_read_is_status_2_and_what_has_no_records_is_1() {
    let site = site();
    let folder = site.path();
    fs::write(folder.join("text"), "no record\n").unwrap();
    fs::write(folder.join("empty"), "").unwrap();
    fs::write(folder.join("stdout.yaml"), "listen: { proxy: [\"127.0.0.1:0\"] }\npolicy: [policy]\nstate_dir: state\n")
        .unwrap();
    fs::write(folder.join("bad.yaml"), "listen: 5\n").unwrap();
    for (arguments, status, said) in [
        (&[][..], 2, "--config"),
        (&["--config", "stubgate.yaml", "audit.jsonl"], 2, "cannot be used with"),
        (&["missing"], 2, "missing: "),
        (&["."], 2, ".: "),
        (&["--config", "missing.yaml"], 2, "missing.yaml"),
        (&["--config", "stdout.yaml"], 2, "standard output alone"),
        (&["--config", "bad.yaml"], 1, "error"),
        (&["audit.jsonl", "--since", "yesterday"], 2, "is no time"),
        (&["text"], 1, "no record at all"),
        (&["empty"], 0, "found 0 in 0 records"),
    ] {
        let output = query(folder, arguments);
        assert_eq!(output.status.code(), Some(status), "{arguments:?}: {}", err(&output));
        assert!(err(&output).contains(said), "{arguments:?}: {}", err(&output));
    }
}

#[test]
fn a_reader_that_has_enough_ends_it_quietly() {
    let site = site();
    let many: String = (0..20_000).map(|number| both(9, &number.to_string())).collect();
    fs::write(site.path().join("many"), many).unwrap();
    let mut child = Command::new(STUBGATE)
        .args(["audit", "query", "many"])
        .current_dir(site.path())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    let output = child.wait_with_output().unwrap();
    assert_eq!((output.status.code(), err(&output)), (Some(0), ""));
}
