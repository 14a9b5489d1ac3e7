//! The supervisor of an agent's container.
//!
//! `setup` prepares the home, `run` keeps Claude Code and its bridges alive and tells how they are. Each module is one story:
//!
//! | module | story |
//! |---|---|
//! | [`cli`] | the command line, defined once |
//! | [`agent`] | which agent this is: its folder of files, the environment, and where things are |
//! | [`setup`] | everything that is put in place before the client starts |
//! | [`run`] | the client as a child on a terminal of its own, started again when it ends |
//! | [`screen`] | what the terminal shows, and the dialogs that are known |
//! | [`transcript`] | what the session's own record says: turns, and lines for the log |
//! | [`bridge`] | MCP servers: started, probed, upgraded, served |
//! | [`event`] | events published to the others, and kept while nobody takes them |
//! | [`hook`] | what the client calls at its own events |
//! | [`quiet`] | when the agent is not to be disturbed |
//! | [`state`] | how it all is: `/healthz`, `/readyz`, `/metrics`, `status` |
//! | [`doctor`] | what a person asks first when something does not work |
//! | [`clean`] | text of others, made fit for a log |
//!
//! It shares the agent's user and is no boundary: nothing that it reports is trusted by the firewall, and it refuses to hold
//! anything real. It depends on no other crate of ours.

#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing))]

/// A line on standard output. Whoever reads may stop early, as `head` does: that is no error, and nothing to panic for.
macro_rules! say {
    ($($what:tt)*) => {{
        use std::io::Write as _;
        let _ = writeln!(std::io::stdout(), $($what)*);
    }};
}

pub mod agent;
mod backoff;
pub mod bridge;
pub mod clean;
pub mod cli;
pub mod doctor;
pub mod event;
pub mod files;
pub mod hook;
mod program;
pub mod quiet;
pub mod run;
pub mod screen;
pub mod setup;
pub mod state;
pub mod transcript;
pub mod web;
pub mod yaml;
