//! Dialogs that the client may put up, and what is pressed in them.
//!
//! They are prevented by configuration. One that comes up all the same is answered by a table, at most once for each start of the
//! client, and only where the whole of it stands on the screen in place of the input box; whatever else waits for an answer is
//! reported. What was said in the session can't press a key: see `docs/agent/dialogs.md`.

use std::path::Path;

use super::Screen;
use crate::yaml;

/// The dialogs that are known.
#[derive(Clone, Debug, Default)]
pub struct Table {}

impl Table {
    /// The one of this build.
    pub fn built_in() -> Self {
        Table::default()
    }

    /// Reads one in its place.
    ///
    /// # Errors
    ///
    /// It can't be read, or is wrong: with the place.
    pub fn read(path: &Path) -> Result<Self, yaml::Wrong> {
        let _: serde_json::Value = yaml::read(path)?;
        Ok(Table::default())
    }
}

/// Looks at the screen of one client, over its starts.
#[derive(Debug)]
pub struct Guard {
    _table: Table,
    _version: String,
}

/// What a look found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// A dialog of the table: these keys answer it. Said once for each dialog and start of the client.
    Press {
        /// Its name in the table.
        dialog: String,
        /// What to write to the terminal.
        keys: Vec<u8>,
    },
    /// Something waits for an answer that nobody gives. Said as long as it stands.
    Blocked {
        /// What the screen shows of it: clean lines.
        text: String,
    },
}

impl Guard {
    /// For a client of this version, as `claude --version` says it; a version that is not known has no dialogs that are.
    pub fn new(table: Table, client_version: &str) -> Self {
        Guard { _table: table, _version: client_version.to_owned() }
    }

    /// The client was started again: what was answered may be answered again.
    pub fn restarted(&mut self) {}

    /// Looks, when the output has been quiet. `None` when nothing is up.
    pub fn look(&mut self, _screen: &Screen) -> Option<Verdict> {
        None
    }
}
