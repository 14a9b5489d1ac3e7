//! YAML of people: strict, bounded, and with the place of what is wrong. The only file that names the library.

use std::fs;
use std::path::{Path, PathBuf};

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
    serde_saphyr::from_str(text).map_err(|error| Wrong::Text { path: path.into(), why: error.to_string() })
}

/// Reads files of one shape, of which a later one wins key by key. Each must be right by itself; one with nothing in it says
/// nothing.
///
/// # Errors
///
/// As of [`read`].
pub fn merged<T: DeserializeOwned + Default>(paths: &[&Path]) -> Result<T, Wrong> {
    let mut all = Value::Object(serde_json::Map::new());
    for path in paths {
        // By its type first, for an error that knows its place.
        let Some(_): Option<T> = read(path)? else { continue };
        merge(&mut all, read(path)?);
    }
    serde_json::from_value(all).map_err(|error| Wrong::Text {
        path: paths.last().map(PathBuf::from).unwrap_or_default(),
        why: error.to_string(),
    })
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
