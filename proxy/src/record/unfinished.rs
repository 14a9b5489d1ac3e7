//! What a process before this one had begun when it was killed: each `begin` without its `end` is told once, so that the
//! use of a credential whose end nobody saw is not left for somebody to notice.
//!
//! Bounded: the end of the current file and of the one before it are looked at. What was begun earlier than that, and was
//! still open, is not told.

use std::borrow::Cow;
use std::fs::File;
use std::io::{Read as _, Seek as _, SeekFrom};
use std::path::{Path, PathBuf};

use serde::Deserialize;
use stubgate_credentials::Version;

use crate::config::{AuditFile, AuditSink};

/// Of each file, from its end.
const MAXIMUM_BYTES: u64 = 4 * 1024 * 1024;

/// A request or tunnel that was begun.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Unfinished {
    pub(super) id: String,
    pub(super) agent: Option<String>,
    pub(super) credential: Option<String>,
    pub(super) version: Option<Version>,
}

#[derive(Deserialize)]
struct Entry<'a> {
    #[serde(borrow)]
    event: Cow<'a, str>,
    #[serde(borrow)]
    id: Option<Cow<'a, str>>,
    #[serde(borrow)]
    agent: Option<Cow<'a, str>>,
    #[serde(borrow)]
    credential: Option<Cow<'a, str>>,
    #[serde(borrow)]
    credential_version: Option<Cow<'a, str>>,
}

/// What the first file among `destinations` shows, in the order in which it was begun.
pub(super) fn find(destinations: &[AuditFile]) -> Vec<Unfinished> {
    let path = destinations.iter().find_map(|file| match &file.sink {
        AuditSink::File(path) if path.is_file() => Some(path),
        AuditSink::File(_) | AuditSink::Stdout => None,
    });
    let Some(path) = path else { return Vec::new() };
    let mut before = path.clone().into_os_string();
    before.push(".1");
    let mut open = Vec::new();
    for path in [PathBuf::from(before).as_path(), path] {
        follow(&tail(path), &mut open);
    }
    open
}

fn follow(text: &[u8], open: &mut Vec<Unfinished>) {
    for line in text.split(|&byte| byte == b'\n') {
        // A line that was cut by the end of its process, or by where the reading began, is no record.
        let Ok(entry) = serde_json::from_slice::<Entry<'_>>(line) else { continue };
        let owned = |text: Option<Cow<'_, str>>| text.map(Cow::into_owned);
        match (&*entry.event, owned(entry.id)) {
            ("begin", Some(id)) => {
                let version = entry.credential_version.and_then(|text| Version::parse(&text));
                open.push(Unfinished { id, agent: owned(entry.agent), credential: owned(entry.credential), version });
            }
            ("end", Some(id)) => open.retain(|begun| begun.id != id),
            // Its process told what the one before had left, or ended in order.
            ("lifecycle", _) => open.clear(),
            _ => {}
        }
    }
}

/// The last bytes of a file; nothing where there is none that can be read.
fn tail(path: &Path) -> Vec<u8> {
    let read = || -> std::io::Result<Vec<u8>> {
        let mut file = File::open(path)?;
        let length = file.metadata()?.len();
        file.seek(SeekFrom::Start(length.saturating_sub(MAXIMUM_BYTES)))?;
        let mut bytes = Vec::new();
        file.take(MAXIMUM_BYTES).read_to_end(&mut bytes)?;
        Ok(bytes)
    };
    read().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_has_no_end_is_found_with_its_credential() {
        let mut open = Vec::new();
        let text = br#"ut off","event":"begin","id":"z"}
{"event":"begin","id":"of a process before"}
{"event":"lifecycle","outcome":"started"}
{"event":"begin","id":"a","agent":"devbot","credential":"github","credential_version":"00000000000000ff"}
{"event":"begin","id":"b","agent":"dev\"bot"}
{"event":"refused","id":"c"}
{"event":"end","id":"b"}
{"event":"begin","id":"d"}
{"event":"end","id":"#;
        follow(text, &mut open);
        let found: Vec<_> = open.iter().map(|begun| (&*begun.id, begun.credential.as_deref(), begun.version)).collect();
        assert_eq!(found, [("a", Some("github"), Some(0xff.into())), ("d", None, None)]);
    }
}
