//! How what the sources say, what setup wrote the last time and what stands in a file of the client's become one. Pure. The client
//! writes its files too, so a file is never simply replaced: what the client put there stays, what the sources no longer say goes.

use serde_json::{Map, Value};

/// A later source over an earlier one: objects key by key, lists joined without repeats (as the client joins its own), of anything
/// else the later.
pub(crate) fn over(earlier: Value, later: Value) -> Value {
    match (earlier, later) {
        (Value::Object(mut earlier), Value::Object(later)) => {
            for (key, value) in later {
                let value = match earlier.remove(&key) {
                    Some(before) => over(before, value),
                    None => value,
                };
                earlier.insert(key, value);
            }
            Value::Object(earlier)
        }
        (Value::Array(mut earlier), Value::Array(later)) => {
            for item in later {
                if !earlier.contains(&item) {
                    earlier.push(item);
                }
            }
            Value::Array(earlier)
        }
        (_, later) => later,
    }
}

/// What a file should hold: all that the sources say, and of what it holds now that which setup did not put there.
pub(crate) fn applied(now: Value, last: &Value, sources: &Value) -> Value {
    match (now, sources) {
        (Value::Object(now), Value::Object(sources)) => {
            let mut all = remaining_members(now, last, sources);
            for (key, value) in sources {
                let value = match all.remove(key) {
                    Some(before) => applied(before, last.get(key).unwrap_or(&Value::Null), value),
                    None => value.clone(),
                };
                all.insert(key.clone(), value);
            }
            Value::Object(all)
        }
        (Value::Array(now), Value::Array(sources)) => {
            let mut all = sources.clone();
            let was_ours = |item: &Value| last.as_array().is_some_and(|last| last.contains(item));
            for item in now {
                if !all.contains(&item) && !was_ours(&item) {
                    all.push(item);
                }
            }
            Value::Array(all)
        }
        (_, sources) => sources.clone(),
    }
}

/// The members without those that setup wrote and the sources no longer have.
fn remaining_members(now: Map<String, Value>, last: &Value, sources: &Map<String, Value>) -> Map<String, Value> {
    now.into_iter()
        .filter_map(|(key, value)| match last.get(&key) {
            Some(last) if !sources.contains_key(&key) => Some((key, remaining(value, last)?)),
            _ => Some((key, value)),
        })
        .collect()
}

/// What is left of a value that the sources no longer have.
fn remaining(now: Value, last: &Value) -> Option<Value> {
    match (now, last) {
        (Value::Object(now), Value::Object(_)) => {
            let left = remaining_members(now, last, &Map::new());
            (!left.is_empty()).then_some(Value::Object(left))
        }
        (Value::Array(now), Value::Array(last)) => {
            let left: Vec<Value> = now.into_iter().filter(|item| !last.contains(item)).collect();
            (!left.is_empty()).then_some(Value::Array(left))
        }
        (now, last) => (now != *last).then_some(now),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    #[test]
    fn a_later_source_wins_and_lists_are_joined() {
        let shared = json!({ "model": "a", "permissions": { "deny": ["x"], "defaultMode": "auto" }, "only": 1 });
        let own = json!({ "model": "b", "permissions": { "deny": ["x", "y"] } });
        let joined = json!({ "model": "b", "permissions": { "deny": ["x", "y"], "defaultMode": "auto" }, "only": 1 });
        assert_eq!(over(shared, own), joined);
    }

    #[test]
    fn what_the_client_wrote_stays_where_the_sources_are_silent() {
        let now = json!({ "enabledPlugins": { "chan@market": true, "own@market": false }, "theme": "dark" });
        let sources = json!({ "enabledPlugins": { "own@market": true } });
        let all = json!({ "enabledPlugins": { "chan@market": true, "own@market": true }, "theme": "dark" });
        assert_eq!(applied(now, &json!({}), &sources), all);
    }

    #[test]
    fn what_the_sources_no_longer_say_goes() {
        let last = json!({ "hooks": { "Stop": ["ours"] }, "model": "a", "gone": 1, "list": ["ours"] });
        let now = json!({ "hooks": { "Stop": ["ours"], "Start": ["its"] }, "model": "a", "gone": 2, "list": ["ours", "its"] });
        let all = json!({ "hooks": { "Start": ["its"] }, "gone": 2, "list": ["its", "new"] });
        let sources = json!({ "list": ["new"] });
        let got = applied(now, &last, &sources);
        assert_eq!(got["hooks"], all["hooks"]);
        assert_eq!(got.get("model"), None);
        assert_eq!(got["gone"], 2, "the client changed it, so it is the client's");
        assert_eq!(got["list"], json!(["new", "its"]));
    }

    fn value() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![Just(Value::Null), (0..3).prop_map(|n| json!(n))];
        leaf.prop_recursive(3, 12, 3, |inner| {
            prop_oneof![
                proptest::collection::vec(inner.clone(), 0..3).prop_map(Value::Array),
                proptest::collection::btree_map("[abc]", inner, 0..3)
                    .prop_map(|members| Value::Object(members.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn a_second_run_changes_nothing(now in value(), last in value(), sources in value()) {
            let once = applied(now, &last, &sources);
            prop_assert_eq!(applied(once.clone(), &sources, &sources), once);
        }

        #[test]
        fn the_sources_are_in_a_fresh_file_as_they_are(sources in value()) {
            prop_assert_eq!(applied(Value::Null, &Value::Null, &sources), sources);
        }
    }
}
