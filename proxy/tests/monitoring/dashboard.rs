//! The Grafana dashboard: it can be imported anywhere, and every query is sound and of metrics that there are.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::expression::Known;
use crate::{promtool, read};

fn dashboard() -> Value {
    serde_json::from_str(&read("deploy/grafana/stubgate.json")).expect("JSON")
}

/// Every panel, those in rows too.
fn panels(dashboard: &Value) -> Vec<Value> {
    let outer = dashboard["panels"].as_array().unwrap().iter();
    outer
        .flat_map(|panel| {
            std::iter::once(panel.clone()).chain(panel["panels"].as_array().into_iter().flatten().cloned())
        })
        .collect()
}

/// Every query, of panels and of variables.
fn expressions(dashboard: &Value) -> Vec<String> {
    let panels = panels(dashboard);
    let targets = panels.iter().flat_map(|panel| panel["targets"].as_array().cloned().unwrap_or_default());
    targets.map(|target| target["expr"].as_str().expect("a query").to_owned()).collect()
}

/// With what Grafana would put in place of its variables.
fn filled(expression: &str) -> String {
    expression.replace("$__rate_interval", "5m").replace("$__range", "1h").replace("$__interval", "1m")
}

#[test]
fn it_can_be_imported_anywhere_and_stays_the_same_dashboard() {
    let dashboard = dashboard();
    assert_eq!(dashboard["uid"], "stubgate");
    assert!(dashboard["id"].is_null(), "an id is a database's own");
    assert_eq!(dashboard["title"], "stubgate");
    let variables = dashboard["templating"]["list"].as_array().unwrap();
    assert_eq!(
        (&variables[0]["name"], &variables[0]["type"], &variables[0]["query"]),
        (&"datasource".into(), &"datasource".into(), &"prometheus".into())
    );
    // Whatever asks a data source asks the one that was chosen.
    fn walk(value: &Value, found: &mut Vec<Value>) {
        match value {
            Value::Object(object) => object.iter().for_each(|(key, value)| {
                if key == "datasource" {
                    found.push(value.clone());
                }
                walk(value, found);
            }),
            Value::Array(list) => list.iter().for_each(|value| walk(value, found)),
            _ => {}
        }
    }
    let mut sources = Vec::new();
    walk(&dashboard, &mut sources);
    let chosen = serde_json::json!({ "type": "prometheus", "uid": "${datasource}" });
    assert!(sources.len() > 10 && sources.iter().all(|source| *source == chosen), "{sources:?}");
    let panels = panels(&dashboard);
    let ids: BTreeSet<u64> = panels.iter().map(|panel| panel["id"].as_u64().unwrap()).collect();
    assert_eq!(ids.len(), panels.len(), "each panel has a number of its own");
    for panel in panels.iter().filter(|panel| panel["type"] != "row") {
        let (title, about) = (&panel["title"], panel["description"].as_str().unwrap_or_default());
        assert!(about.ends_with('.'), "{title}: says what it shows");
        assert!(!panel["targets"].as_array().unwrap().is_empty(), "{title}");
    }
}

#[test]
fn no_panel_lies_on_another() {
    let place = |panel: &Value| ["x", "y", "w", "h"].map(|key| panel["gridPos"][key].as_u64().unwrap());
    let places: Vec<[u64; 4]> = panels(&dashboard()).iter().map(place).collect();
    for (at, [x, y, width, height]) in places.iter().copied().enumerate() {
        assert!(width > 0 && height > 0 && x + width <= 24, "{x} {y}");
        for [left, top, wide, high] in places[at + 1..].iter().copied() {
            let apart = x + width <= left || left + wide <= x || y + height <= top || top + high <= y;
            assert!(apart, "{x},{y} and {left},{top}");
        }
    }
}

#[test]
fn every_query_passes_promtool_and_names_what_there_is() {
    let dashboard = dashboard();
    let known = Known::read();
    let expressions = expressions(&dashboard);
    assert!(expressions.len() >= 20, "{}", expressions.len());
    let mut rules = "groups:\n- name: dashboard\n  rules:\n".to_owned();
    let mut named = BTreeSet::new();
    for (number, expression) in expressions.iter().enumerate() {
        assert!(expression.contains("=~\"$"), "goes by no variable: {expression}");
        named.extend(known.check(expression));
        rules.push_str(&format!("  - record: dashboard:query:{number}\n    expr: {:?}\n", filled(expression)));
    }
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), rules).unwrap();
    promtool(&["check", "rules", file.path().to_str().unwrap()], "");
    for variable in dashboard["templating"]["list"].as_array().unwrap() {
        let Some(query) = variable["query"]["query"].as_str() else { continue };
        let inner = query.strip_prefix("label_values(").and_then(|rest| rest.strip_suffix(')')).expect("label_values");
        known.check(inner.rsplit_once(", ").unwrap().0);
    }
    for metric in ["stubgate_tripwires_total", "stubgate_requests_total", "stubgate_agent_ready", "stubgate_ready"] {
        assert!(named.contains(metric), "nothing shows {metric}");
    }
    assert!(known.names().count() > named.len() / 2);
}
