//! Dialogs that the client may put up, and what is pressed in them.
//!
//! They are prevented by configuration. One that comes up all the same is answered by a table, at most once for each start of the
//! client, and only where the whole of it stands on the screen in place of the input box; whatever else waits for an answer is
//! reported. What was said in the session can't press a key: see `docs/agent/dialogs.md`.

mod matching;
mod table;

use std::path::{Path, PathBuf};

use super::Screen;
use super::layout::View;
use crate::clean;

pub use table::Table;

/// Looks at a dialog that was answered before it is taken for one that did not go away.
const PATIENCE: u32 = 5;
/// Bytes of what is reported at most.
const REPORTED: usize = 4096;

/// Looks at the screen of one client, over its starts.
#[derive(Debug)]
pub struct Guard {
    table: Table,
    /// As the client says it: `2.1.329`.
    version: String,
    /// The workspace, and the folder below it that the client is started in.
    folder: Option<(PathBuf, PathBuf)>,
    /// Whether the input box was seen since the start. After it, no dialog of the table can come up any more.
    is_ready: bool,
    /// Those that keys were pressed in since the start.
    answered: Vec<Answered>,
    /// What the look before found.
    before: Option<Found>,
}

/// What a look found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// A dialog of the table. For each one and each start of the client, first the arrows that highlight the option that is
    /// wanted, unless it is already, and once the screen shows it highlighted, Enter.
    Press {
        /// Its name in the table.
        dialog: String,
        /// What to write to the terminal, in one write: arrows, or Enter, and then the dialog is answered.
        keys: Vec<u8>,
    },
    /// Something waits for an answer that nobody gives. Said as long as it stands.
    Blocked {
        /// What the screen shows of it: clean lines.
        text: String,
    },
}

/// What was pressed in a dialog.
#[derive(Debug)]
struct Answered {
    dialog: String,
    /// Whether Enter was.
    is_entered: bool,
    /// Looks since then that found it waiting all the same.
    looks: u32,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Found {
    /// An entry of the table, the keys to press now, and the rows it was read from.
    Known(String, Vec<u8>, Vec<String>),
    Unknown,
}

impl Guard {
    /// For a client of this version, as `claude --version` says it; for one that is none, no dialog is known.
    pub fn new(table: Table, client_version: &str) -> Self {
        let version = String::new();
        let mut guard = Guard { table, version, folder: None, is_ready: false, answered: Vec::new(), before: None };
        guard.set_version(client_version);
        guard
    }

    /// The client turned out to be of this version.
    pub fn set_version(&mut self, client_version: &str) {
        self.version = client_version.split_whitespace().next().unwrap_or_default().to_owned();
    }

    /// Has dialogs about the client's working folder answered for this one alone, and only if it is the workspace or below it.
    #[must_use]
    pub fn in_folder(mut self, workspace: &Path, cwd: &Path) -> Self {
        self.folder = Some((workspace.to_owned(), cwd.to_owned()));
        self
    }

    /// The client was started again: what was answered may be answered again.
    pub fn restarted(&mut self) {
        self.is_ready = false;
        self.answered.clear();
        self.before = None;
    }

    /// Whether something is up that it wants to look at again soon, be there output until then or not: what is found must stand
    /// for two looks.
    pub fn looks_again(&self) -> bool {
        self.before.is_some()
    }

    /// Looks, when the output has been quiet, and again some 300 ms later as long as [`Guard::looks_again`]. `None` when nothing is
    /// up, or nothing that stood for two looks.
    pub fn look(&mut self, screen: &Screen) -> Option<Verdict> {
        let view = screen.view();
        if view.input_box().is_some() {
            self.is_ready = true;
            self.before = None;
            return None;
        }
        let known = (!self.is_ready).then(|| self.known(screen, &view)).flatten();
        let found = known.or_else(|| view.waits().then_some(Found::Unknown));
        let stands = found.is_some() && self.before == found;
        self.before = found;
        if !stands {
            return None;
        }
        if let Some(Found::Known(dialog, keys, _)) = &self.before {
            let is_enter = keys == matching::ENTER;
            match self.answered.iter_mut().find(|answered| answered.dialog == *dialog) {
                None => self.answered.push(Answered { dialog: dialog.clone(), is_entered: is_enter, looks: 0 }),
                // The arrows took effect. Never both in one write: Enter could still mean the option before.
                Some(answered) if is_enter && !answered.is_entered => (answered.is_entered, answered.looks) = (true, 0),
                Some(answered) if answered.looks < PATIENCE => {
                    answered.looks += 1;
                    return None;
                }
                Some(_) => return Some(blocked(&view)),
            }
            return Some(Verdict::Press { dialog: dialog.clone(), keys: keys.clone() });
        }
        Some(blocked(&view))
    }

    fn known(&self, screen: &Screen, view: &View) -> Option<Found> {
        let version = table::Version::parse(&self.version)?;
        let folder = self.folder.as_ref().filter(|(workspace, cwd)| cwd.starts_with(workspace));
        let folder = folder.and_then(|(_, cwd)| cwd.to_str());
        self.table.for_client(version).find_map(|entry| {
            let keys = matching::keys(entry, screen, view, &self.version, folder)?;
            Some(Found::Known(entry.name.clone(), keys, view.rows.clone()))
        })
    }
}

/// What is shown of a dialog, for people.
fn blocked(view: &View) -> Verdict {
    let start = view.after_rule().unwrap_or(0);
    let lines = view.part(start..view.end()).iter().map(|row| clean::line(row));
    let mut text = lines.filter(|line| !line.is_empty()).collect::<Vec<_>>().join("\n");
    clean::cut(&mut text, REPORTED);
    Verdict::Blocked { text }
}
