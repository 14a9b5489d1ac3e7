//! The alerting rules: sound by Prometheus' own word, tested each, complete in what a person is told, and of metrics that there are.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use crate::expression::Known;
use crate::{promtool, root, yaml};

/// Every alert by its name.
pub(crate) fn alerts() -> BTreeMap<String, Value> {
    let file = yaml("deploy/prometheus/alerts.yaml");
    let groups = file["groups"].as_array().unwrap();
    let rules = groups.iter().flat_map(|group| group["rules"].as_array().unwrap().clone());
    let alerts = rules.filter_map(|rule| Some((rule["alert"].as_str()?.to_owned(), rule)));
    let alerts: Vec<(String, Value)> = alerts.collect();
    let by_name: BTreeMap<String, Value> = alerts.iter().cloned().collect();
    assert_eq!(by_name.len(), alerts.len(), "each name once");
    assert!(by_name.len() >= 20);
    by_name
}

/// The file name of an alert's runbook.
pub(crate) fn runbook(rule: &Value) -> &str {
    rule["annotations"]["runbook_url"].as_str().unwrap_or_default()
}

#[test]
fn prometheus_takes_the_rules_and_they_fire_when_they_should() {
    promtool(&["check", "rules", "deploy/prometheus/alerts.yaml"], "");
    promtool(&["test", "rules", "deploy/prometheus/alerts_test.yaml"], "");
}

#[test]
fn rules_name_metrics_labels_and_words_that_there_are() {
    let known = Known::read();
    for group in yaml("deploy/prometheus/alerts.yaml")["groups"].as_array().unwrap() {
        for recorded in group["rules"].as_array().unwrap().iter().filter(|rule| rule["record"].is_string()) {
            known.check(recorded["expr"].as_str().unwrap());
        }
    }
    for (name, rule) in alerts() {
        let expression = rule["expr"].as_str().unwrap();
        known.check(expression);
        let labels = known.labels(expression);
        for text in ["summary", "description"] {
            let text = rule["annotations"][text].as_str().unwrap();
            for used in text.split("$labels.").skip(1) {
                let end = used.find(|char: char| !char.is_ascii_lowercase() && char != '_').unwrap();
                assert!(labels.contains(&used[..end]), "{name}: no label {}: {labels:?}", &used[..end]);
            }
        }
    }
}

#[test]
fn every_alert_says_how_bad_it_is_what_it_means_and_what_to_do() {
    for (name, rule) in alerts() {
        assert!(name.starts_with("Stubgate"), "{name}");
        let severity = rule["labels"]["severity"].as_str().unwrap_or_default();
        assert!(["critical", "warning", "info"].contains(&severity), "{name}: severity {severity:?}");
        for text in ["summary", "description"] {
            let said = rule["annotations"][text].as_str().unwrap_or_default();
            assert!(said.ends_with('.') && said.len() > 20, "{name}: {text} {said:?}");
        }
        let runbook = runbook(&rule);
        assert!(runbook.starts_with("docs/runbooks/") && runbook.ends_with(".md"), "{name}: {runbook:?}");
        assert!(root().join(runbook).is_file(), "{name}: there is no {runbook}");
    }
}

/// That it fires, and that it does not.
#[test]
fn every_alert_has_both_of_its_tests() {
    let (mut fires, mut rests) = (BTreeSet::new(), BTreeSet::new());
    for test in yaml("deploy/prometheus/alerts_test.yaml")["tests"].as_array().unwrap() {
        for expected in test["alert_rule_test"].as_array().unwrap() {
            let name = expected["alertname"].as_str().unwrap().to_owned();
            let is_empty = expected["exp_alerts"].as_array().unwrap().is_empty();
            if is_empty {
                rests.insert(name)
            } else {
                fires.insert(name)
            };
        }
    }
    let known: BTreeSet<String> = alerts().into_keys().collect();
    assert_eq!(fires, known, "tests in which it fires");
    assert_eq!(rests, known, "tests in which it does not");
}
