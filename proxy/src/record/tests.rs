use std::collections::BTreeSet;
use std::path::Path;
use std::time::Duration;

use stubgate_policy::{Authority, Reason, Scheme};

use super::*;
use crate::config::AuditSink;

fn destination(path: &std::path::Path) -> AuditFile {
    AuditFile { sink: AuditSink::File(path.to_owned()), max_bytes: None, keep: 2, durable: false }
}

fn lines(path: &std::path::Path) -> Vec<serde_json::Value> {
    let text = std::fs::read_to_string(path).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn refused() -> Line<'static> {
    Line { agent: Some("devbot"), reason: Some(Reason::PathNotAllowed), ..Line::new(Event::Refused, Layer::Http) }
}

#[test]
fn decisions_are_written_at_once_and_outcomes_with_the_next_write() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("audit");
    let audit = Audit::open(&[destination(&path)], 10, Metrics::new()).unwrap();
    audit.write(&Line::new(Event::Begin, Layer::Http)).unwrap();
    assert_eq!(lines(&path).len(), 1);
    audit.write_later(&Line::new(Event::End, Layer::Http));
    assert_eq!(lines(&path).len(), 1);
    audit.write(&Line::new(Event::Begin, Layer::Http)).unwrap();
    let events: Vec<_> = lines(&path).iter().map(|l| l["event"].as_str().unwrap().to_owned()).collect();
    assert_eq!(events, ["begin", "end", "begin"]);
    let numbers: Vec<_> = lines(&path).iter().map(|l| l["seq"].as_u64().unwrap()).collect();
    assert_eq!(numbers, [0, 1, 2]);
}

#[test]
fn refusals_above_the_rate_become_one_counted_record() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("audit");
    let audit = Audit::open(&[destination(&path)], 5, Metrics::new()).unwrap();
    for _ in 0..100 {
        audit.refuse(&refused()).unwrap();
    }
    assert_eq!(lines(&path).len(), 5);
    audit.tick(Instant::now() + Duration::from_secs(2));
    let last = lines(&path).pop().unwrap();
    assert_eq!(last["event"], "suppressed");
    assert_eq!(last["count"], 95);
    assert_eq!(last["reason"], "path_not_allowed");
}

#[test]
fn a_full_disk_is_an_error_and_is_told_afterwards() {
    let metrics = Metrics::new();
    let full = destination(std::path::Path::new("/dev/full"));
    let audit = Audit::open(&[full], 10, metrics.clone()).unwrap();
    assert!(audit.write(&Line::new(Event::Begin, Layer::Http)).is_err());
    assert!(audit.write(&Line::new(Event::Begin, Layer::Http)).is_err());
    assert!(metrics.audit_dropped.get() >= 2);
    // The disk has room again: the same log, on a file that works.
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("audit");
    *audit.sink.lock().unwrap() = Sink::open(&[destination(&path)]).unwrap();
    audit.write(&Line::new(Event::Begin, Layer::Http)).unwrap();
    let written = lines(&path);
    assert_eq!(written[0]["event"], "gap");
    assert_eq!(written[0]["count"], 2);
    assert_eq!(written[1]["event"], "begin");
}

#[test]
fn files_are_moved_when_they_are_large_and_reopened_when_asked() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("audit");
    let small = AuditFile { max_bytes: Some(300), ..destination(&path) };
    let audit = Audit::open(&[small], 10, Metrics::new()).unwrap();
    for _ in 0..30 {
        audit.write(&refused()).unwrap();
    }
    assert!(dir.path().join("audit.1").exists() && dir.path().join("audit.2").exists());
    assert!(!dir.path().join("audit.3").exists());
    std::fs::rename(&path, dir.path().join("away")).unwrap();
    audit.reopen().unwrap();
    audit.write(&refused()).unwrap();
    assert_eq!(lines(&path).len(), 1);
}

#[test]
fn every_field_is_in_the_documents() {
    let document = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/audit.md");
    let document = std::fs::read_to_string(document).unwrap();
    let (_, fields) = document.split_once("\n| field | meaning |\n").unwrap();
    let (fields, _) = fields.split_once("\n\n").unwrap();
    let told: BTreeSet<&str> =
        fields.lines().flat_map(|row| row.split('|').nth(1).unwrap().split('`').skip(1).step_by(2)).collect();
    let authority = Authority::parse(Scheme::Https, b"a.test").unwrap();
    let peer = Some("192.0.2.1:1".parse().unwrap());
    let wire = Some(Wire("x"));
    let (text, number, time) = (Some("x"), Some(1), Some(Duration::from_secs(1)));
    let changes = ["x".to_owned()];
    let file =
        PolicyFile { name: "x", sha256: text, modified: Some(std::time::SystemTime::UNIX_EPOCH), owner: Some(1) };
    // No `..`: a field that is added is added here.
    let full = Line {
        event: Event::End,
        layer: Layer::Http,
        id: text,
        agent: text,
        peer,
        original: peer,
        protocol: text,
        authority: Some(&authority),
        name: wire,
        qtype: Some(1),
        method: wire,
        path: wire,
        decision: text,
        rule: text,
        reason: Some(Reason::Internal),
        credential: text,
        credential_version: Some(1.into()),
        stub_of: text,
        stub_agent: text,
        stub_id: Some(1.into()),
        tripwire: true,
        stubs_in_body: 1,
        scrubbed: 1,
        status: Some(200),
        upstream: peer,
        bytes_in: number,
        bytes_out: number,
        first_byte_us: time,
        total_us: time,
        outcome: text,
        count: number,
        generation: number,
        policy: text,
        widens: number,
        narrows: number,
        changes: &changes,
        file: Some(file),
        note: text,
    };
    let mut out = Vec::new();
    full.write_to(&mut out, 0);
    let written: serde_json::Value = serde_json::from_slice(&out).unwrap();
    let written: BTreeSet<&str> = written.as_object().unwrap().keys().map(String::as_str).collect();
    assert_eq!(told, written);
    for (row, words) in
        [("event", Event::ALL.map(Event::as_str).to_vec()), ("layer", Layer::ALL.map(Layer::as_str).to_vec())]
    {
        let row = fields.lines().find(|line| line.starts_with(&format!("| `{row}` |"))).unwrap();
        let told: BTreeSet<&str> = row.split('`').skip(3).step_by(2).collect();
        assert_eq!(told, words.into_iter().collect(), "{row}");
    }
}

#[test]
fn the_folder_of_an_audit_file_is_made_and_is_private() {
    use std::os::unix::fs::PermissionsExt as _;
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("deep/log/audit");
    Audit::open(&[destination(&path)], 10, Metrics::new()).unwrap();
    for (made, mode) in [(path.parent().unwrap(), 0o700), (&path, 0o600)] {
        assert_eq!(std::fs::metadata(made).unwrap().permissions().mode() & 0o777, mode, "{}", made.display());
    }
    let beneath = destination(&path.join("no-folder"));
    let error = Audit::open(&[beneath], 10, Metrics::new()).err().unwrap();
    assert!(error.to_string().contains("no-folder"), "{error}");
}

#[test]
fn a_pipe_that_nobody_reads_is_an_error_in_bounded_time() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("fifo");
    assert!(std::process::Command::new("mkfifo").arg(&path).status().unwrap().success());
    let held = std::fs::OpenOptions::new().read(true).write(true).open(&path).unwrap();
    let audit = Audit::open(&[destination(&path)], 10, Metrics::new()).unwrap();
    let long = "x".repeat(1000);
    let line = Line { note: Some(&long), ..refused() };
    let outcome = (0..1000).map(|_| audit.write(&line)).find(Result::is_err);
    assert!(outcome.is_some());
    drop(held);
}

#[test]
fn a_line_that_was_cut_by_the_end_of_its_process_does_not_swallow_the_next() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("audit");
    for (left, expected) in [("", 1), ("{\"event\":\"end\"}\n", 2), ("{\"event\":\"end\"}\n{\"event\":\"beg", 3)] {
        std::fs::write(&path, left).unwrap();
        let audit = Audit::open(&[destination(&path)], 10, Metrics::new()).unwrap();
        assert_eq!(std::fs::read_to_string(&path).unwrap(), left, "nothing is written before there is a record");
        audit.write(&Line::new(Event::Lifecycle, Layer::Audit)).unwrap();
        let text = std::fs::read_to_string(&path).unwrap();
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines.len(), expected, "{text}");
        let last: serde_json::Value = serde_json::from_str(lines[expected - 1]).unwrap();
        assert_eq!(last["event"], "lifecycle");
        audit.reopen().unwrap();
        audit.write(&Line::new(Event::Lifecycle, Layer::Audit)).unwrap();
        assert_eq!(std::fs::read_to_string(&path).unwrap().lines().count(), expected + 1);
    }
}

#[test]
fn what_a_killed_process_had_begun_is_told_once() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("audit");
    let small = AuditFile { max_bytes: Some(200), ..destination(&path) };
    let (credential, credential_version) = (Some("github"), Some(0xff.into()));
    let begin = |id| Line { id: Some(id), credential, credential_version, ..Line::new(Event::Begin, Layer::Http) };
    let audit = Audit::open(std::slice::from_ref(&small), 10, Metrics::new()).unwrap();
    audit.write(&begin("in the file before")).unwrap();
    audit.write(&begin("ended")).unwrap();
    audit.write(&Line { id: Some("ended"), ..Line::new(Event::End, Layer::Http) }).unwrap();
    audit.write(&begin("open")).unwrap();
    drop(audit);
    let told = |path: &Path| -> Vec<String> {
        let unknown = lines(path).into_iter().filter(|line| line["outcome"] == "unknown");
        unknown.map(|line| line["id"].as_str().unwrap().to_owned()).collect()
    };
    let whole = destination(&path);
    let audit = Audit::open(std::slice::from_ref(&whole), 10, Metrics::new()).unwrap();
    assert_eq!(told(&path), ["in the file before", "open"]);
    let last = lines(&path).pop().unwrap();
    assert_eq!((&last["credential"], &last["credential_version"]), (&"github".into(), &"00000000000000ff".into()));
    audit.write(&Line::new(Event::Lifecycle, Layer::Audit)).unwrap();
    drop(audit);
    Audit::open(&[whole], 10, Metrics::new()).unwrap();
    assert_eq!(told(&path).len(), 2, "not again");
}
