//! What the session's own record says: turns, and lines for the log.
//!
//! The client writes one JSON object a line into `~/.claude/projects/FOLDER/SESSION.jsonl`. The agent can write anything there
//! too: reads are bounded, what is no such object is skipped, and no control character of it reaches the log.

mod read;
mod tail;
#[cfg(test)]
mod tests;

use std::path::{Path, PathBuf};
use std::time::SystemTime;

use read::Reader;
use tail::Tail;

use crate::clean;

/// Follows whatever session of a working folder is the newest.
#[derive(Debug)]
pub struct Follower {
    tail: Tail,
    reader: Reader,
    unreadable: u64,
}

/// One thing that happened. Its texts are clean: one line, no control characters, stubs masked, cut to 2 KiB.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Entry {
    /// The model said this.
    Said {
        /// What it said.
        text: String,
    },
    /// Somebody asked this: a person, a channel, a hook.
    Asked {
        /// What was asked.
        text: String,
    },
    /// The model used a tool.
    Used {
        /// Its name.
        tool: String,
        /// What it was given, shortened.
        input: String,
    },
    /// A request of the client failed for good, and the turn with it. No [`Entry::TurnEnded`] follows.
    Failed {
        /// What the client said.
        text: String,
    },
    /// A turn ended, all of it answered.
    TurnEnded {
        /// When, as the record says; when it was read, if it does not.
        at: SystemTime,
    },
}

impl Follower {
    /// Of this working folder, from now on: what is in its sessions already is not told.
    pub fn new(projects: &Path, cwd: &Path) -> Self {
        Follower { tail: Tail::new(folder(projects, cwd)), reader: Reader::default(), unreadable: 0 }
    }

    /// Masks these values in whatever it tells.
    #[must_use]
    pub fn masking(mut self, stubs: Vec<String>) -> Self {
        self.reader.stubs = stubs;
        self
    }

    /// What was written since the last poll; the rest at the next one, if it is more than 1 MiB.
    pub fn poll(&mut self) -> Vec<Entry> {
        let (reader, unreadable) = (&mut self.reader, &mut self.unreadable);
        let mut entries = Vec::new();
        self.tail.poll(|line| {
            if !reader.read(line, &mut entries) {
                *unreadable += 1;
            }
        });
        entries
    }

    /// Lines so far that were skipped: longer than 1 MiB, or no object of the client's.
    pub fn skipped(&self) -> u64 {
        self.tail.too_long() + self.unreadable
    }
}

impl Entry {
    /// One clean line for the log, of 2 KiB at most; `None` for what is no news there.
    pub fn line(&self) -> Option<String> {
        let text = match self {
            Entry::Said { text } => format!("said: {text}"),
            Entry::Asked { text } => format!("asked: {text}"),
            Entry::Used { tool, input } => format!("used {tool}: {input}"),
            Entry::Failed { text } => format!("failed: {text}"),
            Entry::TurnEnded { .. } => return None,
        };
        Some(clean::line(&text))
    }
}

/// Where the client keeps the sessions of a working folder: every character of it that is no ASCII letter or digit is a `-`.
pub fn folder(projects: &Path, cwd: &Path) -> PathBuf {
    let is_kept = |letter: char| letter.is_ascii_alphanumeric();
    let name =
        cwd.to_string_lossy().chars().map(|letter| if is_kept(letter) { letter } else { '-' }).collect::<String>();
    projects.join(name)
}

/// Whether there is a session that could be continued.
pub fn has_session(projects: &Path, cwd: &Path) -> bool {
    let Ok(entries) = std::fs::read_dir(folder(projects, cwd)) else { return false };
    entries.flatten().any(|entry| {
        let is_record = entry.path().extension().is_some_and(|extension| extension == "jsonl");
        is_record && entry.metadata().is_ok_and(|metadata| metadata.is_file() && metadata.len() > 0)
    })
}
