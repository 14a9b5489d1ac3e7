//! Every metric with its type, labels, their closed values and its meaning: what docs/metrics.md is written from, and what alerts
//! and dashboards are held to.
//!
//! Name, type, labels and meaning are those that each metric was registered with. What a label may say stands here once more,
//! as lists that come from the enums which the values are made from; a label without its list fails a test (law 7).

use std::fmt::Write as _;
use std::time::UNIX_EPOCH;

use prometheus::Registry;
use prometheus::core::{Collector, Desc};
use prometheus::proto::MetricType;
use stubgate_certs::{Phase, Role};
use stubgate_credentials::kinds::Kind;
use stubgate_dns::QueryOutcome;
use stubgate_policy::{OnCredential, Reason};

use super::{DECISIONS, Listener, QTYPES, Reload};
use crate::authority::is_tripwire;
use crate::budget::Limit;
use crate::identify::Nobody;
use crate::lockdown::Part;

/// A metric as it was registered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Its name, whole.
    pub name: String,
    /// `counter`, `gauge` or `histogram`.
    pub kind: &'static str,
    /// Its labels, with what each may say, in alphabetical order.
    pub labels: Vec<(String, Values)>,
    /// What it means, in a sentence or two.
    pub help: String,
}

/// What a label may say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Values {
    /// One of these words; the empty one where nothing is to be said.
    Words(Vec<&'static str>),
    /// Names that policy, configuration or the build gives: which ones, in words.
    Names(&'static str),
    /// Nobody has said.
    Unknown,
}

/// A registry that remembers what was registered with it.
#[derive(Clone, Default)]
pub(super) struct Catalogue {
    pub(super) registry: Registry,
    entries: Vec<Entry>,
}

impl Catalogue {
    /// Notes a metric.
    pub(super) fn note(&mut self, metric: &impl Collector) {
        let kind = match metric.collect().first().map(prometheus::proto::MetricFamily::get_field_type) {
            Some(MetricType::COUNTER) => "counter",
            Some(MetricType::HISTOGRAM) => "histogram",
            _ => "gauge",
        };
        self.entries.extend(metric.desc().into_iter().map(|desc| entry(desc, kind)));
    }

    /// All of them, by name.
    pub(super) fn entries(&self) -> Vec<Entry> {
        let mut entries = self.entries.clone();
        entries.sort_by(|a, b| a.name.cmp(&b.name));
        entries
    }
}

fn entry(desc: &Desc, kind: &'static str) -> Entry {
    let labels = desc.variable_labels.iter().map(|label| (label.clone(), values(&desc.fq_name, label)));
    let mut labels: Vec<_> = labels.collect();
    labels.sort_by(|a, b| a.0.cmp(&b.0));
    Entry { name: desc.fq_name.clone(), kind, labels, help: desc.help.clone() }
}

/// What a label of a metric may say.
fn values(metric: &str, label: &str) -> Values {
    let words = |words: &mut dyn Iterator<Item = &'static str>| Values::Words(words.collect());
    match (metric, label) {
        (_, "credential") => Values::Names("a credential of the policy"),
        (_, "version") => Values::Names("the version of the program"),
        ("stubgate_requests_total", "rule") => Values::Names("a rule of the policy, or empty where none decided"),
        ("stubgate_requests_total", "decision") => words(&mut DECISIONS.into_iter()),
        ("stubgate_requests_total", "reason") => {
            words(&mut std::iter::once("").chain(Reason::ALL.iter().map(|reason| reason.as_str())))
        }
        ("stubgate_tripwires_total", "reason") => {
            words(&mut Reason::ALL.iter().filter(|reason| is_tripwire(**reason)).map(|reason| reason.as_str()))
        }
        ("stubgate_dns_queries_total", "qtype") => {
            words(&mut QTYPES.into_iter().map(|(_, word)| word).chain(["other"]))
        }
        ("stubgate_dns_queries_total", "outcome") => {
            words(&mut QueryOutcome::ALL.into_iter().map(QueryOutcome::as_str))
        }
        ("stubgate_connections_open", "listener") => words(&mut Listener::ALL.into_iter().map(Listener::as_str)),
        ("stubgate_credentials_shown_total", "kind") => words(&mut Kind::ALL.into_iter().map(Kind::as_str)),
        ("stubgate_credentials_shown_total", "done") => {
            let acts = [OnCredential::Allow, OnCredential::Replace, OnCredential::Deny];
            words(&mut acts.into_iter().map(OnCredential::as_str))
        }
        ("stubgate_credential_failures_total", "kind") => words(&mut FAILURES.into_iter()),
        ("stubgate_policy_reloads_total", "outcome") => words(&mut Reload::ALL.into_iter().map(Reload::as_str)),
        ("stubgate_lockdown", "part") => words(&mut Part::ALL.into_iter().map(Part::as_str)),
        ("stubgate_limits_reached_total", "limit") => words(&mut Limit::ALL.iter().map(|limit| limit.as_str())),
        ("stubgate_kubernetes_nobody_total", "why") => words(&mut Nobody::ALL.iter().map(|why| why.as_str())),
        ("stubgate_ca_phase", "phase") => words(&mut Phase::ALL.into_iter().map(Phase::as_str)),
        ("stubgate_ca_expiry_timestamp_seconds", "role") => {
            words(&mut [Role::Signing, Role::Next, Role::Past(UNIX_EPOCH)].into_iter().map(Role::as_str))
        }
        _ => Values::Unknown,
    }
}

/// How a source fails, in one word: those of `SourceError::kind`, and `internal` for an error of the keeper's own.
const FAILURES: [&str; 12] = [
    "ended",
    "internal",
    "login",
    "malformed",
    "missing",
    "pending",
    "refused",
    "server",
    "source",
    "timeout",
    "unreachable",
    "unreadable",
];

/// The tables of docs/metrics.md.
pub fn tables(entries: &[Entry]) -> String {
    let mut text = "| metric | type | labels | meaning |\n|---|---|---|---|\n".to_owned();
    for Entry { name, kind, labels, help } in entries {
        let labels: Vec<String> = labels.iter().map(|(label, _)| format!("`{label}`")).collect();
        // Writing to a String can't fail.
        let _ = writeln!(text, "| `{name}` | {kind} | {} | {help} |", labels.join(", "));
    }
    text.push_str("\n| metric | label | values |\n|---|---|---|\n");
    for Entry { name, labels, .. } in entries {
        for (label, values) in labels {
            let said = match values {
                Values::Words(words) => {
                    let words =
                        words.iter().map(|word| if word.is_empty() { "empty".into() } else { format!("`{word}`") });
                    words.collect::<Vec<_>>().join(", ")
                }
                Values::Names(which) => (*which).to_owned(),
                Values::Unknown => "?".to_owned(),
            };
            let _ = writeln!(text, "| `{name}` | `{label}` | {said} |");
        }
    }
    text
}
