//! What a reload changed: what the new policy allows more and less than the one before it, and which files it came from.
//!
//! Told after the new policy is in force and everything under way was decided again, so that telling delays neither.
//! Bounded: a comparison that would take too long says so, as something that may widen, and lists are cut.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::time::SystemTime;

use sha2::{Digest as _, Sha256};
use stubgate_policy::diff::{Diff, Direction};
use stubgate_policy::{Policy, SourceFile};

use crate::record::{Audit, Event, Layer, Line, PolicyFile};

/// What the comparison may spend; a second or two.
const EFFORT: usize = 5_000_000;
/// Most changes that are told in words.
const MOST_CHANGES: usize = 8;
/// Longest text of one, in bytes.
const CHANGE_BYTES: usize = 600;
/// Most files that are told one by one.
const MOST_FILES: usize = 256;

/// SHA-256 of each file by its name.
#[derive(Debug, Default)]
pub(super) struct Files(BTreeMap<String, String>);

impl Files {
    pub(super) fn of(files: &[SourceFile]) -> Files {
        let hash = |file: &SourceFile| (file.name.clone(), hex(&Sha256::digest(file.text.as_bytes())));
        Files(files.iter().map(hash).collect())
    }
}

/// Logs and records how `after` differs from `before`.
pub(super) fn tell_policy(audit: &Audit, before: &Policy, after: &Policy) {
    let diff = Diff::within(before, after, EFFORT);
    let (widens, narrows) = (diff.count(Direction::Widens), diff.count(Direction::Narrows));
    let changes: Vec<String> =
        diff.changes().iter().take(MOST_CHANGES).map(|change| cut(&change.to_string())).collect();
    if widens > 0 {
        tracing::warn!(widens, narrows, changes = changes.join("\n"), "the new policy allows more");
    } else {
        tracing::info!(widens, narrows, changes = changes.join("\n"), "the new policy allows no more than before");
    }
    let line = Line {
        policy: Some(after.fingerprint()),
        widens: u64::try_from(widens).ok(),
        narrows: u64::try_from(narrows).ok(),
        changes: &changes,
        ..Line::new(Event::PolicyChanged, Layer::Policy)
    };
    // Nobody waits for the record; a lost one is counted.
    let _ = audit.write(&line);
}

/// Records the files that are new, gone, or not what they were.
pub(super) fn tell_files(audit: &Audit, before: &Files, after: &Files, fingerprint: &str) {
    let gone =
        before.0.iter().filter(|(name, _)| !after.0.contains_key(*name)).map(|(name, _)| (name, "removed", None));
    let here = after.0.iter().filter_map(|(name, hash)| match before.0.get(name) {
        Some(known) if known == hash => None,
        Some(_) => Some((name, "changed", Some(hash))),
        None => Some((name, "added", Some(hash))),
    });
    for (name, change, hash) in here.chain(gone).take(MOST_FILES) {
        let metadata = hash.and_then(|_| fs::metadata(name).ok());
        let file = PolicyFile {
            name,
            sha256: hash.map(String::as_str),
            modified: metadata.as_ref().and_then(|metadata| metadata.modified().ok()),
            owner: metadata.as_ref().map(|metadata| metadata.uid()),
        };
        tracing::info!(
            file = name,
            change,
            sha256 = file.sha256,
            owner = file.owner,
            modified = seconds(file.modified),
            "policy file"
        );
        let line = Line {
            outcome: Some(change),
            policy: Some(fingerprint),
            file: Some(file),
            ..Line::new(Event::PolicyFile, Layer::Policy)
        };
        let _ = audit.write(&line);
    }
}

fn seconds(time: Option<SystemTime>) -> Option<u64> {
    time?.duration_since(SystemTime::UNIX_EPOCH).ok().map(|since| since.as_secs())
}

fn cut(text: &str) -> String {
    match text.char_indices().map(|(at, _)| at).find(|at| *at >= CHANGE_BYTES) {
        Some(at) => format!("{}[cut]", text.get(..at).unwrap_or_default()),
        None => text.to_owned(),
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
