//! docs/metrics.md says what the code does.

use std::collections::{BTreeMap, BTreeSet};
use std::time::UNIX_EPOCH;

use stubgate_certs::Phase;
use stubgate_credentials::kinds::Kind;
use stubgate_dns::QueryOutcome;
use stubgate_policy::{OnCredential, Reason};
use stubgate_proxy::authority::is_tripwire;
use stubgate_proxy::metrics::catalogue::{Values, tables};
use stubgate_proxy::metrics::{Listener, Metrics};

use crate::{promtool, read, root};

/// Write it anew: `STUBGATE_WRITE=1 cargo test -p stubgate-proxy --test monitoring metrics`
#[test]
fn every_metric_is_in_the_document_with_type_labels_values_and_meaning() {
    let text = read("docs/metrics.md");
    let (before, rest) = text.split_once("<!-- begin: stubgate -->\n\n").unwrap();
    let (told, after) = rest.split_once("\n<!-- end: stubgate -->").unwrap();
    let tables = tables(&Metrics::new().catalogue());
    if std::env::var_os("STUBGATE_WRITE").is_some() {
        let fresh = format!("{before}<!-- begin: stubgate -->\n\n{tables}\n<!-- end: stubgate -->{after}");
        std::fs::write(root().join("docs/metrics.md"), fresh).unwrap();
        return;
    }
    assert!(told == tables, "run: STUBGATE_WRITE=1 cargo test -p stubgate-proxy --test monitoring metrics");
}

#[test]
fn of_every_label_it_is_known_what_it_may_say() {
    for entry in Metrics::new().catalogue() {
        assert!(entry.help.ends_with('.') && entry.help.len() > 12, "{}: {:?}", entry.name, entry.help);
        assert_eq!(entry.kind == "counter", entry.name.ends_with("_total"), "{}", entry.name);
        for (label, values) in entry.labels {
            assert_ne!(values, Values::Unknown, "{}: add `{label}` to metrics/catalogue.rs", entry.name);
        }
    }
}

/// Moves every counter in every way that its call sites can, and looks at what came out.
#[test]
fn what_labels_say_is_what_their_lists_have() {
    let metrics = Metrics::new();
    metrics.allowed("a-rule");
    metrics.answered();
    for &reason in Reason::ALL {
        metrics.refused(reason, "");
        if is_tripwire(reason) {
            metrics.tripwire(reason);
        }
    }
    for qtype in 0..=300 {
        for outcome in QueryOutcome::ALL {
            metrics.dns_query(qtype, outcome.as_str());
        }
    }
    for listener in Listener::ALL {
        metrics.connections(listener);
    }
    for kind in Kind::ALL {
        for done in [OnCredential::Allow, OnCredential::Replace, OnCredential::Deny] {
            metrics.shown(kind, done);
        }
    }
    metrics.ca.set(Phase::Trailing, |_| Some(UNIX_EPOCH), None, 0);
    let failures = failures();
    for kind in &failures {
        metrics.credential_failures("a-credential", kind);
    }
    let mut told: BTreeMap<(String, String), BTreeSet<String>> = BTreeMap::new();
    for line in metrics.render().lines().filter(|line| !line.starts_with('#')) {
        let Some((name, rest)) = line.split_once('{') else { continue };
        for pair in rest.split_once('}').unwrap().0.split(',') {
            let (label, value) = pair.split_once('=').unwrap();
            let values = told.entry((name.to_owned(), label.to_owned())).or_default();
            values.insert(value.trim_matches('"').to_owned());
        }
    }
    let mut compared = 0;
    for entry in metrics.catalogue() {
        for (label, values) in &entry.labels {
            let Values::Words(words) = values else { continue };
            let known: BTreeSet<String> = words.iter().map(|word| (*word).to_owned()).collect();
            let told = told.get(&(entry.name.clone(), label.clone())).cloned().unwrap_or_default();
            // An allowed or answered request has no reason.
            assert_eq!(told, known, "{} {label}", entry.name);
            compared += 1;
        }
    }
    assert!(compared >= 12, "{compared}");
}

/// How sources fail, as the code that names it says.
fn failures() -> Vec<&'static str> {
    let mut found = BTreeSet::new();
    for file in ["sources.rs", "sources/server.rs"] {
        let text = read(&format!("proxy/credentials/src/{file}"));
        let (_, rest) = text.split_once("fn kind(&self) -> &'static str {").unwrap();
        let (body, _) = rest.split_once("\n    }\n").unwrap();
        found.extend(body.split('"').skip(1).step_by(2).map(str::to_owned));
    }
    let task = read("proxy/credentials/src/keeper/task.rs");
    let own = task.split("failed(").skip(1).filter_map(|call| {
        let second = call.split(", ").nth(1)?;
        Some(second.strip_prefix('"')?.strip_suffix('"')?.to_owned())
    });
    found.extend(own);
    assert!(found.contains("internal") && found.contains("unreachable") && found.contains("timeout"), "{found:?}");
    found.into_iter().map(|word| &*word.leak()).collect()
}

#[test]
fn what_alerts_look_at_is_there_before_anything_happens() {
    let text = Metrics::new().render();
    for &reason in Reason::ALL.iter().filter(|reason| is_tripwire(**reason)) {
        let series = format!("stubgate_tripwires_total{{reason=\"{reason}\"}} 0");
        assert!(text.lines().any(|line| line == series), "{series}: growth from nothing to one is not seen");
    }
    for series in ["stubgate_audit_dropped_total 0", "stubgate_accept_errors_total 0", "stubgate_ready 0"] {
        assert!(text.lines().any(|line| line == series), "{series}");
    }
}

#[test]
fn prometheus_takes_the_metrics() {
    let metrics = Metrics::new();
    metrics.allowed("rule").inc();
    metrics.dns_query(1, "denied").inc();
    metrics.swaps("credential").inc();
    metrics.credential_failures("credential", "timeout").inc();
    metrics.set_credential_success("credential", UNIX_EPOCH);
    metrics.request_seconds.observe(0.1);
    promtool(&["check", "metrics"], &metrics.render());
}
