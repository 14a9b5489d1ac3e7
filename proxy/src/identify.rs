//! Phase *identify*: from where a connection comes to the agent behind it.
//!
//! Asked for every request, not once a connection, so that a reload that takes an agent away is felt by the next request
//! on a connection that stays open. What the connection was stamped with when it was accepted holds to its end: where its
//! pod is gone it is nobody's, whoever has the address by then.
//!
//! This is the one place that says who somebody is; DNS asks here too.

use std::net::IpAddr;
use std::sync::Arc;

use stubgate_policy::{AgentId, Policy, Reason};

use crate::appliance::Appliance;
use crate::client::{Peer, Stamp};
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

/// Who a peer is.
///
/// # Errors
/// `not_ready` while there is no policy, `unknown_agent` where it is no agent.
pub fn identify(appliance: &Appliance, snapshot: &Snapshot, peer: &Peer) -> Result<(AgentId, Arc<str>), Refusal> {
    if !snapshot.is_ready() {
        return Err(Reason::NotReady.into());
    }
    let agent = agent_of(appliance, &snapshot.policy, peer).ok_or(Reason::UnknownAgent)?;
    Ok((agent, snapshot.agent_name(agent)))
}

/// The agent of a policy that a peer is, if it is one.
pub fn agent_of(appliance: &Appliance, policy: &Policy, peer: &Peer) -> Option<AgentId> {
    match peer.stamp {
        Stamp::Address => policy.identify(peer.ip()),
        Stamp::Listener(index) => policy.agent_named(appliance.stamped.get(usize::from(index))?),
        // Nobody knows pods yet.
        Stamp::Pod(_) => None,
    }
}

/// What a connection from this address is known by from now on, to its end.
pub fn stamp(appliance: &Appliance, address: IpAddr) -> Stamp {
    let _ = (appliance, address);
    Stamp::Address
}
