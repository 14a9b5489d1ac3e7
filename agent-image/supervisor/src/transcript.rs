//! What the session's own record says: turns, and lines for the log.
//!
//! The client writes one JSON object a line into `~/.claude/projects/FOLDER/SESSION.jsonl`. The agent can write anything there
//! too: reads are bounded, what is no such object is skipped, and no control character of it reaches the log.

pub mod clean;

use std::path::{Path, PathBuf};
use std::time::SystemTime;

/// Follows whatever session of a working folder is the newest.
#[derive(Debug)]
pub struct Follower {
    _folder: PathBuf,
    stubs: Vec<String>,
}

/// One thing that happened.
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
    /// A request of the client failed, or the client said so.
    Failed {
        /// What it said.
        text: String,
    },
    /// A turn ended.
    TurnEnded {
        /// When, as the record says; when it was read, if it does not.
        at: SystemTime,
    },
}

impl Follower {
    /// Of this working folder, from now on: what is in its sessions already is not told.
    pub fn new(projects: &Path, cwd: &Path) -> Self {
        Follower { _folder: folder(projects, cwd), stubs: Vec::new() }
    }

    /// Masks these values in whatever it tells.
    #[must_use]
    pub fn masking(mut self, stubs: Vec<String>) -> Self {
        self.stubs = stubs;
        self
    }

    /// What was written since the last poll.
    pub fn poll(&mut self) -> Vec<Entry> {
        Vec::new()
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

/// Where the client keeps the sessions of a working folder: every byte of it that is no letter or digit is a `-`.
pub fn folder(projects: &Path, cwd: &Path) -> PathBuf {
    let name: String =
        cwd.to_string_lossy().chars().map(|letter| if letter.is_ascii_alphanumeric() { letter } else { '-' }).collect();
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
