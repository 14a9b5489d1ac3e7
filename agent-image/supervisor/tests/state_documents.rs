//! What docs/agent/state.md and the alerting rules say of reasons, metrics and keys is what the code does, in full.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::collections::BTreeSet;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::UNIX_EPOCH;

use serde_json::Value;
use stubgate_agent::state::mask::Mask;
use stubgate_agent::state::metrics::{self, PREFIX};
use stubgate_agent::state::readiness::Reason;
use stubgate_agent::state::report::Report;
use stubgate_agent::state::{Bridge, Client, Facts};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn read(path: &str) -> String {
    std::fs::read_to_string(root().join(path)).unwrap()
}

/// The cells of the rows below a heading's table.
fn rows(heading: &str) -> Vec<Vec<String>> {
    let text = read("docs/agent/state.md");
    let (_, section) = text.split_once(&format!("\n{heading}\n")).unwrap_or_else(|| panic!("no {heading}"));
    let table = section.lines().skip_while(|line| !line.starts_with("|---")).skip(1);
    let rows = table.take_while(|line| line.starts_with('|'));
    rows.map(|row| row.trim_matches('|').split('|').map(|cell| cell.trim().replace('`', "")).collect()).collect()
}

/// Facts of which everything can be told.
fn facts() -> Facts {
    let bridge = Bridge { last_good: Some(UNIX_EPOCH), ..Bridge::default() };
    Facts {
        client: Client::Up { pid: 7, since: UNIX_EPOCH, restarts: 1 },
        last_turn: Some(UNIX_EPOCH),
        bridges: [("NAME".into(), bridge)].into(),
        ..Facts::default()
    }
}

#[test]
fn every_reason_is_in_its_table_in_the_order_of_the_code() {
    let told: Vec<String> = rows("## Reasons").iter().map(|row| row[0].clone()).collect();
    let known: Vec<&str> = Reason::ALL.iter().map(|reason| reason.as_str()).collect();
    assert_eq!(told, known);
}

/// Write it anew: `STUBGATE_WRITE=1 cargo test -p stubgate-agent --test state_documents metrics`
#[test]
fn every_metric_is_in_the_document_with_type_label_values_and_meaning() {
    let path = root().join("docs/metrics.md");
    let text = read("docs/metrics.md");
    let (before, rest) = text.split_once("<!-- begin: stubgate_agent -->\n\n").unwrap();
    let (told, after) = rest.split_once("\n<!-- end: stubgate_agent -->").unwrap();
    let tables = metrics::tables();
    for metric in metrics::ALL.iter().filter(|metric| !metric.label.is_empty()) {
        assert!(!metrics::values(metric).is_empty(), "{}: what may its label say?", metric.name);
    }
    if std::env::var_os("STUBGATE_WRITE").is_some() {
        let fresh = format!("{before}<!-- begin: stubgate_agent -->\n\n{tables}\n<!-- end: stubgate_agent -->{after}");
        std::fs::write(path, fresh).unwrap();
        return;
    }
    assert!(told == tables, "run: STUBGATE_WRITE=1 cargo test -p stubgate-agent --test state_documents metrics");
}

/// Of labels with a closed list, the list in the document is what is told, and nothing else can be.
#[test]
fn labels_say_what_the_document_lists() {
    let text = metrics::render(&facts(), UNIX_EPOCH, UNIX_EPOCH);
    for metric in metrics::ALL {
        let listed = metrics::values(metric);
        if !listed.starts_with('`') {
            continue;
        }
        let series = format!("{PREFIX}{}{{{}=\"", metric.name, metric.label);
        let told = text.lines().filter_map(|line| Some(line.strip_prefix(&series)?.split_once('"')?.0));
        let told: Vec<String> = told.map(|word| format!("`{word}`")).collect();
        assert_eq!(told.join(", "), listed, "{}", metric.name);
    }
}

#[test]
fn every_key_of_the_report_is_in_its_table_and_no_other() {
    let report = Report::new("devbot", &facts(), &Mask::default(), UNIX_EPOCH, UNIX_EPOCH);
    let mut known = BTreeSet::new();
    keys(&serde_json::to_value(report).unwrap(), "", &mut known);
    let told: BTreeSet<String> = rows("## Status").into_iter().map(|row| row[0].clone()).collect();
    assert_eq!(told, known);
}

/// The paths of all values that are neither object nor list.
fn keys(value: &Value, path: &str, found: &mut BTreeSet<String>) {
    match value {
        Value::Object(object) => {
            let dot = if path.is_empty() { "" } else { "." };
            object.iter().for_each(|(key, value)| keys(value, &format!("{path}{dot}{key}"), found));
        }
        Value::Array(list) => list.iter().for_each(|value| keys(value, &format!("{path}[]"), found)),
        _ => drop(found.insert(path.to_owned())),
    }
}

/// Runs Prometheus' own tool and says what it said, if it is not content.
fn promtool(arguments: &[&str], input: &str) {
    let mut child = Command::new("promtool")
        .args(arguments)
        .current_dir(root())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("promtool is installed (tests/setup)");
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    let said = [output.stdout, output.stderr].concat();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&said));
}

#[test]
fn prometheus_takes_the_metrics() {
    promtool(&["check", "metrics"], &metrics::render(&facts(), UNIX_EPOCH, UNIX_EPOCH));
}

#[test]
fn every_check_of_the_doctor_is_in_its_table_and_no_other() {
    let mut known = BTreeSet::new();
    let mut left = vec![root().join("agent-image/supervisor/src/doctor")];
    while let Some(path) = left.pop() {
        if path.is_dir() {
            left.extend(std::fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().path()));
        } else if !path.ends_with("tests.rs") {
            let text = std::fs::read_to_string(&path).unwrap();
            let (code, _) = text.split_once("#[cfg(test)]").unwrap_or((&text, ""));
            let quoted = code.split('"').skip(1).step_by(2);
            let groups = ["trust.", "names.", "egress.", "credentials.", "confinement."];
            known.extend(quoted.filter(|word| groups.iter().any(|group| word.starts_with(group))).map(str::to_owned));
        }
    }
    let text = read("docs/agent/doctor.md");
    let cells = text.lines().filter_map(|line| line.strip_prefix("| `")?.split(" |").next());
    let told: BTreeSet<String> = cells.flat_map(|cell| cell.split(", ")).map(|word| word.replace('`', "")).collect();
    let told: BTreeSet<String> = told.into_iter().filter(|word| word != "agent" && word != "live.…").collect();
    assert_eq!(told, known);
    assert!(known.len() > 25);
}
