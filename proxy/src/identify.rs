//! Phase *identify*: from the address of a connection to the agent behind it.
//!
//! Asked for every request, not once a connection, so that a reload that takes an agent away is felt by the next request
//! on a connection that stays open.

use std::sync::Arc;

use stubgate_policy::{AgentId, Reason};

use crate::request::{Arrived, Refusal};
use crate::snapshot::Snapshot;

/// A request of a known agent.
pub struct Identified {
    /// As it came.
    pub arrived: Arrived,
    /// The policy that decides it, from here to its end.
    pub snapshot: Arc<Snapshot>,
    /// Who asks, in that policy.
    pub agent: AgentId,
    /// The agent's name, which outlives the policy.
    pub agent_name: Arc<str>,
}

/// Who is behind an address.
///
/// # Errors
/// `not_ready` while there is no policy, `unknown_agent` where the address is no agent's.
pub fn identify(snapshot: &Snapshot, peer: std::net::IpAddr) -> Result<(AgentId, Arc<str>), Refusal> {
    if !snapshot.is_ready() {
        return Err(Reason::NotReady.into());
    }
    let agent = snapshot.policy.identify(peer).ok_or(Reason::UnknownAgent)?;
    Ok((agent, snapshot.agent_name(agent)))
}
