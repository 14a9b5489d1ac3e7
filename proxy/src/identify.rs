//! Phase *identify*: from where a connection comes to the agent behind it.
//!
//! Asked for every request, not once a connection, so that a reload that takes an agent away is felt by the next request
//! on a connection that stays open. What the connection was stamped with when it was accepted holds to its end: where its
//! pod is gone it is nobody's, whoever has the address by then.
//!
//! This is the one place that says who somebody is; DNS asks here too. What is doubtful is nobody (law 5): an address that
//! two pods have, or that pods give to one agent and `sources` to another.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Instant;

use stubgate_kubernetes::{At, PodEntry};
use stubgate_policy::pods::Pod;
use stubgate_policy::{AgentId, Policy, Reason};

use crate::appliance::Appliance;
use crate::client::{Peer, Stamp};
use crate::pods::Pods;
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

/// Why a peer is no agent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Nobody {
    /// Nothing names it.
    Unknown,
    /// The pod that opened the connection has gone, or has another address now.
    Gone,
    /// What is known of pods is too old.
    Stale,
    /// Two pods claim its address.
    Contested,
    /// Selectors of two agents fit its pod.
    Ambiguous,
    /// `sources` of one agent and a pod of another claim its address.
    Claimed,
}

impl Nobody {
    /// All but the one that says nothing.
    pub const ALL: &[Nobody] = &[Nobody::Gone, Nobody::Stale, Nobody::Contested, Nobody::Ambiguous, Nobody::Claimed];

    /// The word in metrics and the log.
    pub const fn as_str(self) -> &'static str {
        match self {
            Nobody::Unknown => "unknown",
            Nobody::Gone => "gone",
            Nobody::Stale => "stale",
            Nobody::Contested => "contested",
            Nobody::Ambiguous => "ambiguous",
            Nobody::Claimed => "claimed",
        }
    }
}

/// Who a peer is.
///
/// # Errors
/// `not_ready` while there is no policy, `unknown_agent` where it is no agent.
pub fn identify(appliance: &Appliance, snapshot: &Snapshot, peer: &Peer) -> Result<(AgentId, Arc<str>), Refusal> {
    if !snapshot.is_ready() {
        return Err(Reason::NotReady.into());
    }
    let agent = asked(appliance, &snapshot.policy, peer).ok_or(Reason::UnknownAgent)?;
    Ok((agent, snapshot.agent_name(agent)))
}

/// The same for one who asks for something: what is odd about a peer is counted, and told at most once a second.
pub fn asked(appliance: &Appliance, policy: &Policy, peer: &Peer) -> Option<AgentId> {
    match who(appliance, policy, peer) {
        Ok(agent) => Some(agent),
        Err(Nobody::Unknown) => None,
        Err(why) => {
            appliance.metrics.kubernetes.refused(why).inc();
            if appliance.nobody_alarm.is_due() {
                tracing::warn!(peer = %peer.ip(), why = why.as_str(), "a peer is nobody, though its address is named");
            }
            None
        }
    }
}

/// The agent that a peer is in a policy, where that is still the one of this name.
pub fn still(appliance: &Appliance, policy: &Policy, peer: &Peer, name: &str) -> Option<AgentId> {
    agent_of(appliance, policy, peer).filter(|agent| policy.agent(*agent).name() == name)
}

/// The agent of a policy that a peer is, if it is one.
pub fn agent_of(appliance: &Appliance, policy: &Policy, peer: &Peer) -> Option<AgentId> {
    who(appliance, policy, peer).ok()
}

/// Whether somebody at this address may still be this agent: all but what surely is somebody else's, or nobody's. What is not
/// known well enough now to be told may be so.
pub fn may_come(appliance: &Appliance, policy: &Policy, name: &str, address: IpAddr) -> bool {
    let Some(agent) = policy.agent_named(name) else { return false };
    let is_stamped = appliance.stamped.iter().any(|stamped| **stamped == *name);
    let are_known = appliance.pods.as_ref().is_none_or(|pods| pods.directory.is_fresh());
    let peer = Peer { address: (address, 0).into(), stamp: stamp(appliance, address) };
    is_stamped
        || match who(appliance, policy, &peer) {
            Ok(now) => now == agent,
            Err(Nobody::Unknown | Nobody::Gone) => !are_known,
            Err(Nobody::Stale | Nobody::Contested | Nobody::Ambiguous | Nobody::Claimed) => true,
        }
}

/// What a connection from this address is known by from now on, to its end.
pub fn stamp(appliance: &Appliance, address: IpAddr) -> Stamp {
    let Some(pods) = &appliance.pods else { return Stamp::Address };
    match pods.directory.at(address) {
        At::Pod(entry) | At::Stale(entry) => Stamp::Pod(entry.number),
        At::Nobody | At::Contested => Stamp::Address,
    }
}

/// Counts a connection that was accepted, where its address says something of the way that it came.
pub fn arrived(appliance: &Appliance, peer: &Peer) {
    let is_node = appliance.pods.as_ref().is_some_and(|pods| pods.directory.is_node(peer.ip()));
    if appliance.gateways.saw(peer.ip(), is_node, Instant::now()) {
        appliance.metrics.kubernetes.from_gateways.inc();
    }
}

fn who(appliance: &Appliance, policy: &Policy, peer: &Peer) -> Result<AgentId, Nobody> {
    // What pods are tells nothing where policy knows nobody by them.
    if !policy.has_pods() && !matches!(peer.stamp, Stamp::Listener(_)) {
        return policy.identify(peer.ip()).ok_or(Nobody::Unknown);
    }
    let known = || {
        let Some(Pods { directory, .. }) = &appliance.pods else { return At::Nobody };
        match directory.at(peer.ip()) {
            // By a label that is not known yet it may be another agent's too.
            At::Pod(entry) if !directory.knows_labels(policy.label_keys()) => At::Stale(entry),
            at => at,
        }
    };
    match peer.stamp {
        Stamp::Listener(index) => {
            let name = appliance.stamped.get(usize::from(index)).ok_or(Nobody::Unknown)?;
            policy.agent_named(name).ok_or(Nobody::Unknown)
        }
        Stamp::Pod(number) => match known() {
            At::Pod(entry) if entry.number == number => either(policy, peer, &entry, Ok(())),
            At::Stale(entry) if entry.number == number => either(policy, peer, &entry, Err(Nobody::Stale)),
            At::Contested => Err(Nobody::Contested),
            At::Pod(_) | At::Stale(_) | At::Nobody => Err(Nobody::Gone),
        },
        Stamp::Address => match known() {
            At::Nobody => policy.identify(peer.ip()).ok_or(Nobody::Unknown),
            // It was opened before this pod was known to have the address: who it was then, nobody knows.
            At::Pod(entry) | At::Stale(entry) => either(policy, peer, &entry, Err(Nobody::Gone)),
            At::Contested => Err(Nobody::Contested),
        },
    }
}

/// By `sources` or by the pod at the address, where these don't say two different things. `pod_counts` says why the pod
/// alone is not enough, if it is not.
fn either(policy: &Policy, peer: &Peer, entry: &PodEntry, pod_counts: Result<(), Nobody>) -> Result<AgentId, Nobody> {
    let PodEntry { namespace, service_account, labels, .. } = entry;
    let by_pod = policy.agent_of_pod(&Pod { namespace, service_account, labels }).map_err(|_| Nobody::Ambiguous)?;
    match (policy.identify(peer.ip()), by_pod) {
        (Some(one), Some(other)) if one != other => Err(Nobody::Claimed),
        (Some(agent), _) => Ok(agent),
        (None, Some(agent)) => pod_counts.map(|()| agent),
        (None, None) => Err(Nobody::Unknown),
    }
}
