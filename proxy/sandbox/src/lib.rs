//! A sandbox for any command: namespaces of its own whose only way out is stubgate, which runs in a process outside of them.
//!
//! ```text
//!  outside                                       inside (user, network, mount, pid, ipc, uts, cgroup namespaces)
//!  ┌──────────────────────────┐   listeners     ┌──────────────────────────────────┐
//!  │ stubgate, locked down    │◀──(SCM_RIGHTS)──│ watcher: network, mounts, filter │
//!  │ the user's terminal      │◀──its front ────│ the command and what it starts   │
//!  └──────────────────────────┘                 └──────────────────────────────────┘
//! ```
//!
//! The namespace has no interface but loopback. On an address there ([`ADDRESS`]) a process inside opens the listeners and hands
//! them out, so that stubgate accepts from this namespace, and from nowhere else: who connects is known by where it connects,
//! whatever address it has.
//!
//! What it refuses to do: to weaken itself where a kernel does not let it be made. Each part is there, or nothing is run.
#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing))]

mod connect;
pub mod environment;
mod filter;
mod inside;
mod launch;
mod mounts;
pub mod refused;
mod standard;
#[expect(
    unsafe_code,
    reason = "processes, filters of system calls and a few calls that no library wraps are had in no other way"
)]
mod sys;
mod terminal;
mod trust;
mod wire;

use std::ffi::OsString;
use std::net::Ipv4Addr;
use std::path::PathBuf;

pub use launch::{Error, Listeners, Ready, run};
pub use terminal::terminals;

/// The address of stubgate inside. Of the range for benchmarks (RFC 2544), which no network of anybody uses.
pub const ADDRESS: Ipv4Addr = Ipv4Addr::new(198, 18, 0, 1);
/// The port of its proxy there.
pub const PROXY_PORT: u16 = 3128;

/// What is to be run, and what it gets to see.
#[derive(Clone, Debug, Default)]
pub struct Plan {
    /// The program and its arguments.
    pub command: Vec<OsString>,
    /// All variables that it has; see [`environment`].
    pub environment: Vec<(OsString, OsString)>,
    /// The folder that it starts in.
    pub folder: PathBuf,
    /// Files and folders that it does not get to see. Canonical.
    pub hidden: Vec<PathBuf>,
    /// Files and folders that it can't change. Canonical.
    pub read_only: Vec<PathBuf>,
    /// Folders that can't be renamed, because something of the above is in them; outer ones first. Canonical.
    pub fixed: Vec<PathBuf>,
    /// Where files are everybody's own because the user is root: the folders that can be written.
    pub system_is_read_only_but: Option<Vec<PathBuf>>,
    /// Which of standard input, output and error are terminals: see [`terminals`].
    pub terminals: [bool; 3],
}

impl Plan {
    fn has_terminal(&self) -> bool {
        self.terminals.contains(&true)
    }
}
