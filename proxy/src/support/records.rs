//! The last audit records, field by field. What agents chose is left out or hashed, with a key of this bundle alone: the
//! same path is the same hash within it, and nobody can try what it was.

use std::collections::VecDeque;
use std::fs::File;
use std::hash::{BuildHasher as _, RandomState};
use std::io::{BufRead as _, BufReader, Read as _, Seek as _, SeekFrom};
use std::path::Path;

use serde_json::{Map, Value};
use sha2::{Digest as _, Sha256};
use stubgate_policy::Policy;

use super::{RECORDS, Wanted};
use crate::config::{AuditSink, Config};

/// Bytes of the end of a file that are read.
const TAIL: u64 = 4 << 20;
/// The longest line that is looked at.
const LONGEST: usize = 64 << 10;

/// Our own words, of a closed list each.
const WORDS: &[&str] = &["event", "layer", "protocol", "decision", "reason", "outcome"];
const NUMBERS: &[&str] = &[
    "seq",
    "qtype",
    "stubs_in_body",
    "scrubbed",
    "credentials_shown",
    "status",
    "bytes_in",
    "bytes_out",
    "first_byte_us",
    "total_us",
    "count",
    "generation",
    "widens",
    "narrows",
];
/// Names that policy gives; others are not ours.
const NAMES: &[&str] = &["agent", "rule", "credential", "stub_of", "stub_agent"];
/// What agents chose.
const CHOSEN: &[&str] = &["authority", "name", "method", "path"];

/// The last records of the first audit file that can be read.
pub(super) fn last(config: &Config, policy: Option<&Policy>, wanted: Wanted) -> Option<Vec<u8>> {
    let files = config.audit.iter().filter_map(|file| match &file.sink {
        AuditSink::File(path) => Some(path),
        AuditSink::Stdout => None,
    });
    let lines = files.filter_map(|path| tail(path).ok()).next()?;
    let allowed = Allowed { names: policy.map(names).unwrap_or_default(), key: wanted.hashes.then(key) };
    let mut content = Vec::new();
    for line in lines {
        let Ok(Value::Object(record)) = serde_json::from_slice(&line) else { continue };
        content.extend(Value::Object(allowed.fields(&record)).to_string().into_bytes());
        content.push(b'\n');
    }
    Some(content)
}

fn tail(path: &Path) -> std::io::Result<VecDeque<Vec<u8>>> {
    let mut file = File::open(path)?;
    let metadata = file.metadata()?;
    if !metadata.is_file() {
        return Err(std::io::ErrorKind::Unsupported.into());
    }
    let from = metadata.len().saturating_sub(TAIL);
    file.seek(SeekFrom::Start(from))?;
    let mut lines = VecDeque::new();
    let mut is_first = from > 0;
    for line in BufReader::new(file.take(TAIL)).split(b'\n') {
        let line = line?;
        // It began before what is read.
        if std::mem::take(&mut is_first) || line.len() > LONGEST {
            continue;
        }
        if lines.len() == RECORDS {
            lines.pop_front();
        }
        lines.push_back(line);
    }
    Ok(lines)
}

fn names(policy: &Policy) -> Vec<String> {
    let agents = policy.agents().iter().map(|one| one.name().to_owned());
    let rules = policy.rules().iter().map(|one| one.name().to_owned());
    agents.chain(rules).chain(policy.credentials().iter().map(|one| one.name().to_owned())).collect()
}

/// Thrown away with the process.
fn key() -> [u8; 32] {
    let mut hash = Sha256::new();
    for number in 0..8_u8 {
        hash.update(RandomState::new().hash_one(number).to_ne_bytes());
    }
    hash.finalize().into()
}

struct Allowed {
    names: Vec<String>,
    key: Option<[u8; 32]>,
}

impl Allowed {
    fn fields(&self, record: &Map<String, Value>) -> Map<String, Value> {
        let kept = record.iter().filter_map(|(field, value)| Some((field.clone(), self.value(field, value)?)));
        kept.collect()
    }

    fn value(&self, field: &str, value: &Value) -> Option<Value> {
        let text = value.as_str();
        match field {
            "time" => text.filter(|time| time.len() < 40 && time.bytes().all(is_of_a_time)).map(Value::from),
            "tripwire" => value.as_bool().map(Value::from),
            _ if NUMBERS.contains(&field) => value.as_u64().map(Value::from),
            _ if WORDS.contains(&field) => text.filter(|word| is_word(word)).map(Value::from),
            _ if NAMES.contains(&field) => {
                text.filter(|name| self.names.iter().any(|known| known == name)).map(Value::from)
            }
            _ if CHOSEN.contains(&field) => Some(self.hash(text?)?.into()),
            // What is new to us is not told.
            _ => None,
        }
    }

    fn hash(&self, text: &str) -> Option<String> {
        let mut hash = Sha256::new();
        hash.update(self.key?);
        hash.update(text);
        Some(hash.finalize().iter().take(8).map(|byte| format!("{byte:02x}")).collect())
    }
}

fn is_of_a_time(byte: u8) -> bool {
    byte.is_ascii_digit() || b"-:.TZ+".contains(&byte)
}

fn is_word(word: &str) -> bool {
    word.len() <= 40
        && word.bytes().filter(u8::is_ascii_digit).count() <= 2
        && word.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"_ ".contains(&byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_a_record_only_what_is_listed_is_kept_and_what_agents_chose_is_hashed() {
        let record = serde_json::json!({
            "time": "2026-01-02T03:04:05.678Z", "seq": 7, "event": "refused", "layer": "http", "agent": "devbot",
            "rule": "not-of-the-policy", "authority": "https://x.example", "path": "/secret-in-a-path", "method": "GET",
            "protocol": "h2", "status": 403, "reason": "path_not_allowed", "note": "free text", "peer": "192.0.2.1:1",
            "new_field": "x", "outcome": "ghp0123456789", "tripwire": true, "stub_id": "x",
        });
        let Value::Object(record) = record else { panic!() };
        let allowed = |key| Allowed { names: vec!["devbot".into()], key };
        let kept = allowed(None).fields(&record);
        let fields: Vec<&str> = kept.keys().map(String::as_str).collect();
        let expected = ["agent", "event", "layer", "protocol", "reason", "seq", "status", "time", "tripwire"];
        let mut sorted = fields.clone();
        sorted.sort_unstable();
        assert_eq!(sorted, expected);
        let hashed = allowed(Some([1; 32])).fields(&record);
        assert_eq!(hashed["path"].as_str().unwrap().len(), 16);
        assert_eq!(hashed["path"], allowed(Some([1; 32])).fields(&record)["path"], "comparable within a bundle");
        assert_ne!(hashed["path"], allowed(Some([2; 32])).fields(&record)["path"], "and in no other");
        assert!(!format!("{hashed:?}").contains("secret-in-a-path"));
        assert_ne!(key(), key());
    }
}
