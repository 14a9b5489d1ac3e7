//! What setup wrote the last time into files that the client writes too: only so much may be taken out of them again.

use std::io;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::agent::Place;
use crate::files;

/// Bytes of it at most.
const LARGEST: u64 = 4 * 1024 * 1024;

/// What was written.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
#[serde(default)]
pub(crate) struct Record {
    /// Into the client's settings.
    pub(crate) settings: Map<String, Value>,
    /// MCP servers, by name.
    pub(crate) servers: Vec<String>,
    /// Files of subagents.
    pub(crate) subagents: Vec<String>,
}

impl Record {
    /// The one of the last run. One that can't be read is as none: nothing is taken out then.
    pub(crate) fn read(place: &Place) -> Record {
        files::read_bounded(&path(place), LARGEST)
            .ok()
            .and_then(|bytes| serde_json::from_slice(&bytes).ok())
            .unwrap_or_default()
    }

    /// Changes the one of the last run.
    ///
    /// # Errors
    ///
    /// As of [`files::replace`].
    pub(crate) fn change(place: &Place, change: impl FnOnce(&mut Record)) -> io::Result<()> {
        let mut record = Record::read(place);
        change(&mut record);
        let text = serde_json::to_vec(&record)?;
        files::replace(&path(place), &text, 0o600).map(|_| ())
    }
}

fn path(place: &Place) -> PathBuf {
    place.kept().join("setup.json")
}
