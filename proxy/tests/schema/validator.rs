//! As much of JSON Schema draft-07 as our schemas use; a keyword that it does not know is an error.

use regex::Regex;
use serde_json::{Map, Value};

/// What is wrong with a value, with its place.
pub(crate) fn errors(schema: &Value, value: &Value) -> Vec<String> {
    let mut found = Vec::new();
    check(schema, value, "", &mut found);
    found
}

fn check(schema: &Value, value: &Value, at: &str, found: &mut Vec<String>) {
    let schema = schema.as_object().unwrap_or_else(|| panic!("{at}: a schema is an object"));
    for (keyword, wanted) in schema {
        let good = match keyword.as_str() {
            "$schema" | "title" | "description" | "default" => true,
            "type" if wanted.is_array() => wanted.as_array().unwrap().contains(&kind(value).into()),
            "type" => kind(value) == wanted || (wanted == "integer" && value.is_u64()),
            "const" => value == wanted,
            "enum" => wanted.as_array().unwrap().contains(value),
            "minimum" => value.as_u64().is_none_or(|value| value >= wanted.as_u64().unwrap()),
            "maximum" => value.as_u64().is_none_or(|value| value <= wanted.as_u64().unwrap()),
            "minLength" => value.as_str().is_none_or(|value| value.chars().count() as u64 >= wanted.as_u64().unwrap()),
            "pattern" => value.as_str().is_none_or(|value| matches(wanted, value)),
            "minItems" => value.as_array().is_none_or(|value| value.len() as u64 >= wanted.as_u64().unwrap()),
            "uniqueItems" => {
                value.as_array().is_none_or(|all| all.iter().enumerate().all(|(at, one)| !all[at + 1..].contains(one)))
            }
            "items" => {
                for (index, item) in value.as_array().into_iter().flatten().enumerate() {
                    check(wanted, item, &format!("{at}/{index}"), found);
                }
                true
            }
            "minProperties" => value.as_object().is_none_or(|value| value.len() as u64 >= wanted.as_u64().unwrap()),
            "maxProperties" => value.as_object().is_none_or(|value| value.len() as u64 <= wanted.as_u64().unwrap()),
            "required" => value
                .as_object()
                .is_none_or(|map| wanted.as_array().unwrap().iter().all(|key| map.contains_key(key.as_str().unwrap()))),
            "propertyNames" => {
                value.as_object().is_none_or(|map| map.keys().all(|key| matches(&wanted["pattern"], key)))
            }
            "properties" | "additionalProperties" => true,
            "anyOf" => wanted.as_array().unwrap().iter().any(|one| errors(one, value).is_empty()),
            // Of ours each is a list of keys that must stand.
            "oneOf" => value.as_object().is_none_or(|map| {
                let stands = |one: &&Value| {
                    assert_eq!(one.as_object().unwrap().len(), 1, "{at}");
                    one["required"].as_array().unwrap().iter().all(|key| map.contains_key(key.as_str().unwrap()))
                };
                wanted.as_array().unwrap().iter().filter(stands).count() == 1
            }),
            other => panic!("{at}: the keyword {other} is not known here"),
        };
        if !good {
            found.push(format!("{at}: {keyword} {wanted}, found {value}"));
        }
    }
    if let Some(map) = value.as_object() {
        properties(schema, map, at, found);
    }
}

fn properties(schema: &Map<String, Value>, map: &Map<String, Value>, at: &str, found: &mut Vec<String>) {
    for (key, value) in map {
        let at = format!("{at}/{key}");
        match (schema.get("properties").and_then(|known| known.get(key)), schema.get("additionalProperties")) {
            (Some(schema), _) => check(schema, value, &at, found),
            (None, Some(Value::Bool(false))) => found.push(format!("{at}: unknown key")),
            (None, Some(schema @ Value::Object(_))) => check(schema, value, &at, found),
            // Texts alone, of which a map is refused by its type, and choices that say it each by itself.
            (None, None) if schema.get("type").is_some_and(|kind| kind == "string") || schema.contains_key("anyOf") => {
            }
            // A choice between keys that must stand, beside what says which keys there are.
            (None, None) if schema.keys().all(|keyword| keyword == "required") => {}
            (None, other) => panic!("{at}: says nothing about other keys: {other:?}"),
        }
    }
}

fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(_) => "number",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    }
}

fn matches(pattern: &Value, text: &str) -> bool {
    Regex::new(pattern.as_str().unwrap()).unwrap().is_match(text)
}
