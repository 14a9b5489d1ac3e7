//! `stubgate.yaml`: what the platform operator decides.
//!
//! Text becomes a tree of nodes with places, and that a checked [`Config`] in which nothing is left to
//! doubt: addresses are addresses, numbers are in range, grants lie in private ranges. Every error of a file is reported
//! in one run, with line, column, code and fix. Compiling is pure; only [`Config::read`] and [`policy_files`] touch the
//! disk. It says nothing about who may do what: that is policy's, and no setting here can widen it (law 1).

mod audit;
mod ca;
pub mod codes;
mod compile;
mod escrow;
mod files;
mod kubernetes;
mod listen;
mod numbers;
mod paths;
mod permissions;
mod process;
mod reader;
mod schema;
mod stubs;
mod upstream;
mod warnings;

use std::path::PathBuf;

use stubgate_policy::Name;
use stubgate_policy::diagnostic::Diagnostic;
use stubgate_policy::source::SourceFile;

pub use audit::{AuditFile, AuditSink};
pub use ca::{Ca, CaFiles};
pub use compile::compile;
pub use escrow::{Escrow, EscrowStore};
pub use files::{policy_files, policy_files_and_others};
pub use listen::{Advertise, Listen};
pub use numbers::{Limits, Timeouts};
pub use paths::Use;
pub(crate) use paths::given_to;
pub use permissions::open_to_all;
pub use process::{Process, User};
pub use schema::schema;
pub use stubs::Stubs;
pub use upstream::Upstream;

/// The checked configuration of one appliance.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// Where to accept connections and queries.
    pub listen: Listen,
    /// What DNS answers with for an allowed name.
    pub advertise: Advertise,
    /// Policy files, and folders of them; see [`policy_files`].
    pub policy: Vec<PathBuf>,
    /// What must survive a restart lies here. Default `/var/lib/stubgate`.
    pub state_dir: PathBuf,
    /// Whose leaves agents are shown.
    pub ca: Ca,
    /// Zones whose questions go to other servers.
    pub forward: Vec<Forward>,
    /// How much of everything.
    pub limits: Limits,
    /// How long for everything.
    pub timeouts: Timeouts,
    /// How origins are found, reached and trusted.
    pub upstream: Upstream,
    /// Where records go; never empty.
    pub audit: Vec<AuditFile>,
    /// What minted stubs need.
    pub stubs: Stubs,
    /// What the process is after the start.
    pub process: Process,
    /// Where OAuth logins are kept. None: in `state_dir`, where a policy names one at the start.
    pub escrow: Option<Escrow>,
    /// The cluster whose pods agents are known by. None: agents are known by their addresses alone.
    pub kubernetes: Option<stubgate_kubernetes::Settings>,
}

/// Zones and the servers that know them. Who may ask for what in them stands in policy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Forward {
    /// The zones, none of them in two entries.
    pub zones: Vec<Name>,
    /// Servers, asked in this order.
    pub to: Vec<std::net::SocketAddr>,
}

/// A configuration that can be used, and what a person should look at in it.
#[derive(Clone, Debug)]
pub struct Checked {
    /// What the file says.
    pub config: Config,
    /// Warnings, in the order of the file.
    pub warnings: Vec<Diagnostic>,
    /// What the warnings' labels point into.
    pub files: Vec<SourceFile>,
}

/// Why there is no configuration: everything that is wrong with it, and the file to show it in.
#[derive(Clone, Debug)]
pub struct ConfigProblem {
    /// What is wrong, in the order of the file.
    pub diagnostics: Vec<Diagnostic>,
    /// What the diagnostics' labels point into.
    pub files: Vec<SourceFile>,
}

impl ConfigProblem {
    /// Whether the file could not be read at all.
    pub fn is_unreadable(&self) -> bool {
        self.files.is_empty()
    }
}

impl std::fmt::Display for ConfigProblem {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&stubgate_policy::diagnostic::render(&self.diagnostics, &self.files, false))
    }
}

impl std::error::Error for ConfigProblem {}

#[cfg(test)]
mod tests;
