//! The files that people wrote for an agent: the shared ones, then its own. A mounted ConfigMap is a folder of links into
//! `..data`, and its keys can't hold a `/`; both are read as plain folders are.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use serde_json::{Map, Value};

use super::merge;
use crate::agent::Agent;
use crate::files;

/// Bytes of a file at most: what a ConfigMap holds.
const LARGEST: u64 = 1024 * 1024;

/// A text of the shared folder, then of the agent's own: what is there of it.
pub(crate) fn texts(agent: &Agent, name: &str) -> Result<Vec<String>, String> {
    let mut texts = Vec::new();
    for path in both(agent, name) {
        texts.push(text(&path)?);
    }
    Ok(texts)
}

/// A JSON object, the agent's own over the shared one.
pub(crate) fn object(agent: &Agent, name: &str) -> Result<Map<String, Value>, String> {
    let mut all = Value::Object(Map::new());
    for found in objects(agent, name)? {
        all = merge::over(all, Value::Object(found));
    }
    match all {
        Value::Object(all) => Ok(all),
        _ => Ok(Map::new()),
    }
}

/// JSON objects: the shared one, then the agent's own.
pub(crate) fn objects(agent: &Agent, name: &str) -> Result<Vec<Map<String, Value>>, String> {
    let mut all = Vec::new();
    for path in both(agent, name) {
        let wrong = |why: String| format!("{}: {why}", path.display());
        match serde_json::from_str(&text(&path)?) {
            Ok(Value::Object(found)) => all.push(found),
            Ok(_) => return Err(wrong("it is no JSON object".into())),
            Err(error) => return Err(wrong(error.to_string())),
        }
    }
    Ok(all)
}

/// Files of a folder, or with the folder's name before theirs (`subagents/a.md`, `subagents.a.md`); of one name the agent's own.
pub(crate) fn folder(agent: &Agent, folder: &str, end: &str) -> Result<BTreeMap<String, String>, String> {
    let [own, shared] = agent.sources();
    let mut all = BTreeMap::new();
    for source in [shared, own] {
        let flat = format!("{folder}.");
        for path in names(&source)? {
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            if let Some(name) = name.strip_prefix(&flat)
                && is_name(name, end)
                && path.is_file()
            {
                all.insert(name.to_owned(), text(&path)?);
            }
        }
        for path in names(&source.join(folder))? {
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            if is_name(&name, end) && path.is_file() {
                all.insert(name, text(&path)?);
            }
        }
    }
    Ok(all)
}

fn is_name(name: &str, end: &str) -> bool {
    name.len() > end.len() && name.ends_with(end) && !name.starts_with('.')
}

/// What stands in a folder, without `..data` and its like; nothing if there is none.
fn names(folder: &Path) -> Result<Vec<PathBuf>, String> {
    let wrong = |error: io::Error| format!("{}: {error}", folder.display());
    let entries = match fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
            return Ok(Vec::new());
        }
        Err(error) => return Err(wrong(error)),
    };
    let mut all = Vec::new();
    for entry in entries {
        let path = entry.map_err(wrong)?.path();
        if !path.file_name().unwrap_or_default().to_string_lossy().starts_with('.') {
            all.push(path);
        }
    }
    all.sort();
    Ok(all)
}

fn both(agent: &Agent, name: &str) -> impl Iterator<Item = PathBuf> {
    let [own, shared] = agent.sources();
    [shared.join(name), own.join(name)].into_iter().filter(|path| path.exists())
}

fn text(path: &Path) -> Result<String, String> {
    let wrong = |why: String| format!("{}: {why}", path.display());
    let bytes = files::read_bounded(path, LARGEST).map_err(|error| wrong(error.to_string()))?;
    String::from_utf8(bytes).map_err(|_| wrong("it is not UTF-8".into()))
}
