//! What docs/audit.md says of records and metrics is what the code does, in full.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::collections::BTreeSet;
use std::path::Path;

use stubgate_dns::QueryOutcome;
use stubgate_policy::Reason;
use stubgate_proxy::authority::{is_temporary, is_tripwire, status};
use stubgate_proxy::metrics::Metrics;

fn document() -> String {
    std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/audit.md")).unwrap()
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
fn every_metric_is_named_and_no_other() {
    let metrics = Metrics::new();
    // Families appear with their first series.
    metrics.allowed("rule").inc();
    metrics.dns_query(1, "denied").inc();
    metrics.swaps("credential").inc();
    metrics.scrubbed("credential").inc();
    metrics.tripwire(Reason::StubInBody).inc();
    let text = metrics.render();
    let known: BTreeSet<&str> =
        text.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split(' ').next()).collect();
    let rows = rows(&document(), "## Metrics");
    let told: BTreeSet<String> = rows.iter().flat_map(|row| words(&row[0])).collect();
    let told: BTreeSet<&str> = told.iter().map(|word| word.split('{').next().unwrap()).collect();
    assert_eq!(told, known);
}
