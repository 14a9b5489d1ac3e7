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
//! | [`mod@keep`] | started, asked, started again |
//! | [`probe`], [`message`] | what is asked, and what is made of the answer |
//! | [`child`], [`voice`] | a bridge's process, and what it prints |
//! | [`versions`] | installed, switched, rolled back |
//! | [`mod@serve`] | as a workload of its own |
//! | [`new`] | the beginning of one that there is not yet |
//! | [`history`] | what probes found |
//! | [`one`] | a bridge with all that it takes to start and ask it |

pub mod child;
pub mod command;
pub mod file;
pub mod history;
pub mod keep;
pub mod message;
pub mod new;
pub mod one;
pub mod probe;
pub mod serve;
mod servers;
#[cfg(test)]
mod testing;
pub mod versions;
pub mod voice;

use std::time::Duration;

use crate::agent::Agent;
use crate::web;
use crate::yaml::Wrong;

pub use keep::keep;
pub use one::Bridge;
pub use servers::servers;

/// Bytes of an answer that is taken in whole; answers of bridges are not.
const WEB: usize = 64 * 1024;

/// Every bridge of an agent, ready to be started and asked.
///
/// # Errors
///
/// A `bridges.yaml` is wrong.
pub fn all(agent: &Agent) -> Result<Vec<Bridge>, Wrong> {
    let entries = file::read(agent)?;
    // Before setup there are none, and a bridge may work without.
    let variables = crate::setup::environment::read(&agent.place).unwrap_or_default();
    let is_far = entries.values().any(|entry| matches!(entry.kind(), Some(file::Kind::Remote(_))));
    let web = is_far
        .then(|| web::Client::new(Duration::from_secs(20), WEB))
        .and_then(|made| made.inspect_err(|error| tracing::warn!(%error, "bridges elsewhere are not asked")).ok());
    let bridge = |(name, entry): (String, file::Entry)| {
        let hidden = voice::stubs(agent, entry.environment.iter());
        Bridge::new(&name, entry, file::versions(&agent.place, &name), &variables, hidden).with_web(web.clone())
    };
    Ok(entries.into_iter().map(bridge).collect())
}
