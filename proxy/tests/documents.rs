//! What docs/audit.md says of records and metrics is what the code does, in full.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use stubgate_dns::QueryOutcome;
use stubgate_policy::Reason;
use stubgate_proxy::authority::{is_temporary, is_tripwire, status};
use stubgate_proxy::budget::Limit;
use stubgate_proxy::config;
use stubgate_proxy::metrics::Metrics;

fn document() -> String {
    read("docs/audit.md")
}

fn read(path: &str) -> String {
    std::fs::read_to_string(root().join(path)).unwrap()
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// The cells of the rows below a heading's table.
fn rows(text: &str, heading: &str) -> Vec<Vec<String>> {
    let (_, section) = text.split_once(&format!("\n{heading}\n")).unwrap_or_else(|| panic!("no {heading}"));
    let table = section.lines().skip_while(|line| !line.starts_with("|---")).skip(1);
    let rows = table.take_while(|line| line.starts_with('|'));
    rows.map(|row| row.trim_matches('|').split('|').map(|cell| cell.trim().to_owned()).collect()).collect()
}

/// The words in backquotes.
fn words(text: &str) -> BTreeSet<String> {
    text.split('`').skip(1).step_by(2).map(str::to_owned).collect()
}

#[test]
fn every_reason_is_in_its_table_with_status_tripwire_and_retry() {
    let rows = rows(&document(), "### Reasons");
    let told: Vec<String> = rows.iter().map(|row| row[0].trim_matches('`').to_owned()).collect();
    let known: Vec<&str> = Reason::ALL.iter().map(|reason| reason.as_str()).collect();
    assert_eq!(told, known, "the table lists what there is, in the order of the code");
    for (row, &reason) in rows.iter().zip(Reason::ALL) {
        assert_eq!(row[1], reason.sentence(), "{reason}: meaning");
        assert_eq!(row[2], status(reason).as_str(), "{reason}: status");
        assert_eq!(row[3] == "yes", is_tripwire(reason), "{reason}: tripwire");
        assert_eq!(row[4] == "yes", is_temporary(reason), "{reason}: retry");
        assert!(["agent", "policy", "origin", "operator", "stubgate"].contains(&&*row[5]), "{reason}: whose");
        assert_eq!(row[5] == "origin", is_of_the_origin(reason), "{reason}: whose");
    }
}

fn is_of_the_origin(reason: Reason) -> bool {
    reason.as_str().starts_with("upstream_")
        || matches!(reason, Reason::Unresolvable | Reason::UpgradeRefused | Reason::ResponseNotInspectable)
}

#[test]
fn every_outcome_of_a_dns_question_is_named_on_its_side() {
    let rows = rows(&document(), "### Outcomes");
    for (name, granted) in [("layer `dns`, granted", true), ("layer `dns`, not granted", false)] {
        let row = rows.iter().find(|row| row[0] == name).unwrap();
        let known = QueryOutcome::ALL.iter().filter(|outcome| outcome.granted() == granted);
        assert_eq!(words(&row[1]), known.map(|outcome| outcome.as_str().to_owned()).collect(), "{name}");
    }
}

#[test]
fn every_known_check_is_in_its_table() {
    let rows = rows(&read("docs/credentials.md"), "### Try one");
    let told: Vec<[String; 3]> =
        rows.iter().map(|row| [&row[0], &row[1], &row[2]].map(|cell| cell.replace('`', ""))).collect();
    let known: Vec<[String; 3]> = stubgate_policy::KNOWN_CHECKS
        .iter()
        .map(|known| {
            let headers: Vec<String> = known.headers.iter().map(|(name, value)| format!("{name}: {value}")).collect();
            [known.host.to_owned(), known.target.to_owned(), headers.join(", ")]
        })
        .collect();
    assert_eq!(told, known);
}

/// The names of all functions below a folder.
fn functions(folder: &Path, found: &mut BTreeSet<String>) {
    for entry in std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()) {
        if entry.is_dir() {
            functions(&entry, found);
        } else if entry.extension().is_some_and(|ending| ending == "rs") {
            let text = std::fs::read_to_string(&entry).unwrap();
            let names = text.lines().filter_map(|line| line.trim_start().split_once("fn ")?.1.split_once('('));
            found.extend(names.map(|(name, _)| name.to_owned()));
        }
    }
}

#[test]
fn every_bound_has_its_row_with_default_metric_and_test() {
    let text = read("docs/configuration.md");
    let rows = rows(&text, "## Bounds");
    let metrics: BTreeSet<String> = Metrics::new().catalogue().into_iter().map(|entry| entry.name).collect();
    let mut tests = BTreeSet::new();
    for folder in ["proxy/src", "proxy/tests", "dns/src", "dns/tests", "certs/tests"] {
        functions(&root().join(folder), &mut tests);
    }
    let keys: BTreeSet<&str> = config::Limits::KEYS.iter().chain(config::Timeouts::KEYS).copied().collect();
    let mut told = BTreeSet::new();
    for row in &rows {
        let [_, default, key, metric, test] = &row[..] else { panic!("{row:?}") };
        let (metric, test) = (metric.trim_matches('`'), test.trim_matches('`'));
        assert!(metrics.contains(metric), "{metric} is no metric");
        assert!(tests.contains(test), "{test} is no test");
        let name = words(key).pop_first().unwrap_or_default();
        if keys.contains(&*name) {
            assert!(text.contains(&format!("\n| `{name}` | {default} | ")), "{name}: another default than above");
        } else {
            assert!(key.starts_with("policy: ") || key == "fixed", "{key} is no key");
        }
        told.insert(name);
    }
    let missing: Vec<&&str> = keys.iter().filter(|key| !told.contains(**key)).collect();
    assert!(missing.is_empty(), "no row for {missing:?}");
    for limit in Limit::ALL {
        assert!(told.contains(limit.as_str()), "{} can refuse, and has no row", limit.as_str());
    }
}
