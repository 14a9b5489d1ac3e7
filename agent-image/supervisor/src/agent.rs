//! Which agent this is. Its files are mounted (`agents/_shared` and `agents/NAME`), the environment wins over them, and where
//! things stand is decided here and nowhere else.

pub mod file;
mod place;

pub use file::AgentFile;
pub use place::{Place, Unreadable};

use std::path::PathBuf;

/// An agent as `setup`, `run` and the hooks see it.
#[derive(Clone, Debug)]
pub struct Agent {
    /// Its name: letters, digits, `-` and `_`; it names a session of tmux, a user of git, a subject of NATS.
    pub name: String,
    /// What its files say, the agent's over the shared ones, and the environment over both.
    pub file: AgentFile,
    /// Where things are.
    pub place: Place,
}

impl Agent {
    /// The folders that files of this agent are taken from, the most specific one first.
    pub fn sources(&self) -> [PathBuf; 2] {
        [self.place.agents.join(&self.name), self.place.agents.join("_shared")]
    }

    /// The first of the sources that has a file of this name. A name that begins with `..` (as in a mounted ConfigMap) is
    /// none.
    pub fn source(&self, name: &str) -> Option<PathBuf> {
        self.sources().into_iter().map(|folder| folder.join(name)).find(|path| path.is_file())
    }
}
