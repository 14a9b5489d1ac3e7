//! YAML of people: strict, bounded, and with the place of what is wrong. The only file that names the library.

use std::fs;
use std::path::{Path, PathBuf};

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use thiserror::Error;

/// Bytes of a file at most: what a ConfigMap holds.
const LARGEST: u64 = 1024 * 1024;

/// A file that can't be used, and where in it.
#[derive(Debug, Error)]
pub enum Wrong {
    /// It can't be read.
    #[error("{}: {source}", path.display())]
    Unreadable {
        /// Which file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// Its text is wrong.
    #[error("{}: {why}", path.display())]
    Text {
        /// Which file.
        path: PathBuf,
        /// What, with line and column.
        why: String,
    },
}

/// Reads one file.
///
/// # Errors
///
/// It can't be read, is larger than 1 MiB, or its text is wrong.
pub fn read<T: DeserializeOwned>(path: &Path) -> Result<T, Wrong> {
    let unreadable = |source| Wrong::Unreadable { path: path.into(), source };
    let length = fs::metadata(path).map_err(unreadable)?.len();
    if length > LARGEST {
        return Err(Wrong::Text { path: path.into(), why: format!("{length} bytes; {LARGEST} at most") });
    }
    let text = fs::read_to_string(path).map_err(unreadable)?;
    parse(path, &text)
}

/// Reads a text as if it stood in that file.
///
/// # Errors
///
/// Its text is wrong.
pub fn parse<T: DeserializeOwned>(path: &Path, text: &str) -> Result<T, Wrong> {
    serde_saphyr::from_str(text).map_err(|error| Wrong::Text { path: path.into(), why: one_line(&error.to_string()) })
}

/// `line 1 column 9: …`, without the picture of the place that the library draws below: logs are lines.
fn one_line(error: &str) -> String {
    let first = error.lines().next().unwrap_or_default();
    let first = first.strip_prefix("error: ").unwrap_or(first);
    ["u64", "u32", "u16", "usize"].iter().fold(first.to_owned(), |text, kind| {
        text.replace(&format!("invalid {kind}"), "this must be a whole number that is not negative, and not too large")
    })
}

/// Reads files of one shape, of which a later one wins key by key. Each must be right by itself; one with nothing in it says
/// nothing.
///
/// # Errors
///
/// As of [`read`].
pub fn merged<T: DeserializeOwned + Serialize + Default>(paths: &[&Path]) -> Result<T, Wrong> {
    let mut all = Value::Object(serde_json::Map::new());
    for path in paths {
        // By its type first, for an error that knows its place.
        let Some(typed): Option<T> = read(path)? else { continue };
        let typed = serde_json::to_value(typed)
            .map_err(|error| Wrong::Text { path: path.to_path_buf(), why: error.to_string() })?;
        merge(&mut all, written(read(path)?, &typed));
    }
    serde_json::from_value(all).map_err(|error| Wrong::Text {
        path: paths.last().map(PathBuf::from).unwrap_or_default(),
        why: error.to_string(),
    })
}

/// What a file says, and nothing of what is only a default, as the types have it: a text that looks like a number is a text.
fn written(raw: Value, typed: &Value) -> Value {
    match (raw, typed) {
        (Value::Object(raw), Value::Object(typed)) => {
            let said = |(key, value)| {
                let value = match typed.get(&key) {
                    Some(typed) => written(value, typed),
                    None => value,
                };
                (key, value)
            };
            Value::Object(raw.into_iter().map(said).collect())
        }
        (_, typed) => typed.clone(),
    }
}

fn merge(into: &mut Value, from: Value) {
    match (into, from) {
        (Value::Object(into), Value::Object(from)) => {
            for (key, value) in from {
                merge(into.entry(key).or_insert(Value::Null), value);
            }
        }
        (into, from) => *into = from,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::agent::AgentFile;

    fn agent(shared: &str, own: &str) -> Result<AgentFile, Wrong> {
        let folder = tempfile::tempdir().unwrap();
        let paths = ["shared.yaml", "own.yaml"].map(|name| folder.path().join(name));
        fs::write(&paths[0], shared).unwrap();
        fs::write(&paths[1], own).unwrap();
        merged(&[&paths[0], &paths[1]])
    }

    #[test]
    fn a_text_that_looks_like_a_number_is_a_text() {
        let file = agent("", "client: { environment: { LEVEL: 1 } }\nevents: { server: s, stub: 12345 }\n").unwrap();
        assert_eq!(file.client.environment["LEVEL"], "1");
        assert_eq!(file.events.unwrap().stub, "12345");
    }

    #[test]
    fn the_later_file_wins_key_by_key_and_a_default_wins_over_nothing() {
        let file = agent("client: { program: a, remote_control: true }", "client: { permission_mode: plan }").unwrap();
        assert_eq!(file.client.program, "a");
        assert!(file.client.remote_control);
        assert_eq!(file.client.permission_mode, "plan");
    }

    #[test]
    fn an_error_is_one_line_with_the_file_the_line_and_what_may_stand_there() {
        let wrong = agent("", "log: none\nclient: { chanels: [] }\n").unwrap_err().to_string();
        assert!(wrong.contains("own.yaml: line 2 column 11: unknown field `chanels`"), "{wrong}");
        assert!(wrong.contains("channels") && !wrong.contains('\n'), "{wrong}");
        let wrong = agent("start_delay_seconds: soon", "").unwrap_err().to_string();
        assert!(wrong.contains("shared.yaml: line 1 column 22: this must be a whole number"), "{wrong}");
    }
}
