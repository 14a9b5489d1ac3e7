//! MCP servers: started, probed, upgraded, served.
//!
//! `bridges.yaml` says which there are. A bridge inside the container speaks HTTP, through the firewall, and holds nothing but
//! stubs; one to a system that does not speak HTTP is a workload elsewhere ([`serve`]) and is reached like any other origin.
//! What a bridge answers may be the work of whoever talked it into it: all that is read of it is bounded in bytes and time, and
//! what goes to the log is cleaned.
//!
//! | module | story |
//! |---|---|
//! | [`file`] | what `bridges.yaml` says, checked |
//! | [`servers`] | how the client is told of them |

pub mod command;
pub mod file;
mod servers;

pub use file::{Entry, Kind};
pub use servers::servers;
