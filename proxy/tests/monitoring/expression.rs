//! What docs/metrics.md lists (both programs' tests hold it to their code), and whether an expression keeps to it.

use std::collections::{BTreeMap, BTreeSet};

use crate::{read, yaml};

/// Labels that Prometheus adds when it scrapes.
const SCRAPED: [&str; 4] = ["instance", "job", "namespace", "pod"];

/// What there is: for each metric its labels, and the words of those that are closed.
pub(crate) struct Known(BTreeMap<String, BTreeMap<String, Option<BTreeSet<String>>>>);

impl Known {
    /// As the document says.
    pub(crate) fn read() -> Known {
        let text = read("docs/metrics.md");
        let mut known = BTreeMap::new();
        for line in text.lines().filter(|line| line.starts_with("| `stubgate_")) {
            let cells: Vec<&str> = line.trim_matches('|').split('|').map(str::trim).collect();
            let name = cells[0].trim_matches('`').to_owned();
            let labels: &mut BTreeMap<_, _> = known.entry(name.clone()).or_default();
            // A row of the first table has a type, of the second a label, in its second cell.
            if let [_, label, values] = cells[..] {
                let closed = values.starts_with('`') || values.starts_with("empty");
                let words = values.split(", ").map(|word| match word {
                    "empty" => String::new(),
                    word => word.trim_matches('`').to_owned(),
                });
                labels.insert(label.trim_matches('`').to_owned(), closed.then(|| words.collect()));
            } else if cells[1] == "histogram" {
                for series in ["bucket", "sum", "count"] {
                    let le = (series == "bucket").then(|| ("le".to_owned(), None));
                    known.insert(format!("{name}_{series}"), le.into_iter().collect());
                }
            }
        }
        // What the rules record is what they sum it by.
        for group in yaml("deploy/prometheus/alerts.yaml")["groups"].as_array().unwrap() {
            for rule in group["rules"].as_array().unwrap().iter().filter(|rule| rule["record"].is_string()) {
                let by = rule["expr"].as_str().unwrap().split_once("by (").expect("a sum").1.split_once(')').unwrap().0;
                let labels = by.split(", ").map(|label| (label.to_owned(), None)).collect();
                known.insert(rule["record"].as_str().unwrap().to_owned(), labels);
            }
        }
        // Of Prometheus' own, and not a metric of ours.
        known.insert("up".to_owned(), BTreeMap::new());
        assert!(known.len() > 50, "{}", known.len());
        Known(known)
    }

    /// The metrics that an expression names. Every metric, label and word in it must be there.
    pub(crate) fn check(&self, expression: &str) -> BTreeSet<String> {
        let mut named = BTreeSet::new();
        let mut labels: BTreeSet<&str> = SCRAPED.into();
        let words = |text: &str, at: usize| -> usize {
            text[at..]
                .find(|char: char| !char.is_ascii_alphanumeric() && !"_:".contains(char))
                .map_or(text.len(), |end| at + end)
        };
        let starts = expression.match_indices(|char: char| char.is_ascii_alphabetic()).filter(|(at, _)| {
            !expression[..*at].ends_with(|char: char| char.is_ascii_alphanumeric() || "_:".contains(char))
        });
        for (at, _) in starts {
            let end = words(expression, at);
            let name = &expression[at..end];
            let Some(of) = self.0.get(name) else {
                assert!(!name.contains("stubgate_"), "no such metric: {name} in {expression}");
                continue;
            };
            if name == "up" && !expression[end..].starts_with('{') {
                continue;
            }
            named.insert(name.to_owned());
            labels.extend(of.keys().map(String::as_str));
            let Some(selector) = expression[end..].strip_prefix('{') else { continue };
            for matcher in selector.split_once('}').expect("a closed selector").0.split(',') {
                let (label, rest) =
                    matcher.split_at(words(matcher.trim_start(), 0) + matcher.len() - matcher.trim_start().len());
                let (label, rest) = (label.trim(), rest.trim());
                assert!(SCRAPED.contains(&label) || of.contains_key(label), "{name} has no `{label}`: {expression}");
                let quoted = rest.split('"').nth(1).expect("a quoted value");
                if quoted.starts_with('$') {
                    continue;
                }
                let Some(Some(closed)) = of.get(label) else { continue };
                for word in quoted.split('|') {
                    let is_known = match word.strip_suffix(".*") {
                        Some(start) => closed.iter().any(|known| known.starts_with(start)),
                        None => closed.contains(word),
                    };
                    assert!(is_known, "{name}'s `{label}` never says {word:?}: {expression}");
                }
            }
        }
        assert!(!named.is_empty(), "names no metric: {expression}");
        for grouping in ["by (", "by(", "without (", "without(", "on (", "on(", "ignoring (", "ignoring("] {
            for list in expression.split(grouping).skip(1) {
                for label in list.split_once(')').unwrap().0.split(',').map(str::trim) {
                    assert!(labels.contains(label), "no metric here has `{label}`: {expression}");
                }
            }
        }
        named
    }

    /// The labels of what an expression gives, as far as templates may ask for them.
    pub(crate) fn labels(&self, expression: &str) -> BTreeSet<String> {
        if let Some((_, list)) = expression.split_once("by (") {
            return list.split_once(')').unwrap().0.split(',').map(|label| label.trim().to_owned()).collect();
        }
        let named = self.check(expression);
        let own = named.iter().flat_map(|name| self.0[name].keys().cloned());
        own.chain(SCRAPED.map(str::to_owned)).collect()
    }

    /// Names of all metrics, with the series of histograms.
    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        self.0.keys().map(String::as_str)
    }
}

#[test]
fn what_is_not_there_is_found() {
    let known = Known::read();
    for good in [
        "stubgate_ready == 0",
        "sum by (reason) (rate(stubgate_requests_total{decision=\"deny\", reason!~\"upstream_.*|unresolvable\"}[5m])) > 1",
        "up{job=\"stubgate\"} == 0",
        "histogram_quantile(0.9, sum by (le) (rate(stubgate_request_duration_seconds_bucket[5m])))",
    ] {
        known.check(good);
    }
    for bad in [
        "stubgate_redy == 0",
        "stubgate_ready{reason=\"x\"} == 0",
        "rate(stubgate_requests_total{decision=\"denied\"}[5m])",
        "sum by (reason) (stubgate_ready)",
        "rate(stubgate_request_duration_seconds[5m]{le=\"1\"})+stubgate_nothing",
        "vector(1)",
    ] {
        assert!(std::panic::catch_unwind(|| Known::read().check(bad)).is_err(), "{bad}");
    }
}
