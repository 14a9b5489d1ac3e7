//! What the server asks of its surroundings, and what it tells them: the policy in force, and one record for every
//! decision before its answer is sent (law 8). The crate itself keeps no log of decisions and no metrics.

use std::{net::SocketAddr, sync::Arc};

use stubgate_policy::{AgentId, Name, Policy, Reason, RuleId};

use crate::peer::{Peer, Stamp};

/// What the server needs around it.
pub trait Surroundings: Send + Sync + 'static {
    /// The policy in force now. Asked once a batch; a batch is decided by one policy.
    fn policy(&self) -> Arc<Policy>;

    /// What tells who is at an address from now on: asked for each connection when it is accepted, and for each datagram.
    fn stamp(&self, address: SocketAddr) -> Stamp {
        let _ = address;
        Stamp::Address
    }

    /// The agent of `policy` that a peer is. Asked for every question, also on connections that stay open.
    fn identify(&self, policy: &Policy, peer: &Peer) -> Option<AgentId> {
        match peer.stamp {
            Stamp::Address => policy.identify(peer.ip()),
            // For surroundings that know such stamps.
            Stamp::Pod(_) | Stamp::Listener(_) => None,
        }
    }

    /// Takes the records of a batch, in the order of the questions, before any of its answers is sent. `false` says that
    /// they could not be kept: then none of the batch's answers goes out. `policy` is the one that decided the batch, which
    /// the ids in it belong to.
    fn record(&self, policy: &Policy, queries: &[QueryRecord<'_>]) -> bool;

    /// Whether an agent may use one more name that policy allows to it: what it says in names under wildcards is bounded
    /// (see [`NameBudgets`](crate::NameBudgets)), for questions and requests together. Asked for granted names only.
    fn admits(&self, policy: &Policy, agent: AgentId, name: &Name) -> bool;
}

/// One decision on one question.
#[derive(Clone, Copy, Debug)]
pub struct QueryRecord<'a> {
    /// Who asked, by the policy of its batch; `None` for an unknown source.
    pub agent: Option<AgentId>,
    /// The address that the question came from.
    pub peer: SocketAddr,
    /// How it came.
    pub transport: Transport,
    /// The name as asked, in presentation form: printable ASCII, no trailing dot save for the root; `None` if no question
    /// could be read.
    pub name: Option<&'a str>,
    /// The type asked for, 0 if no question could be read.
    pub qtype: u16,
    /// What came of it.
    pub outcome: QueryOutcome,
    /// The rule that denied it, by the policy of its batch; for records, never for the agent.
    pub rule: Option<RuleId>,
    /// Why it was not granted, where there is a reason.
    pub reason: Option<Reason>,
    /// Microseconds from the arrival of the batch to this record; for a forwarded question from its own arrival.
    pub micros: u32,
}

/// How a question came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transport {
    /// In a datagram.
    Udp,
    /// On a connection.
    Tcp,
}

impl Transport {
    /// `udp` or `tcp`.
    pub fn as_str(self) -> &'static str {
        match self {
            Transport::Udp => "udp",
            Transport::Tcp => "tcp",
        }
    }
}

/// What came of a question. A closed set, fit for metric labels.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum QueryOutcome {
    /// Answered with our addresses.
    Advertised,
    /// The name is there, but has no such record: every type but A and AAAA, and ancestors of allowed names.
    Nodata,
    /// ANY, answered with the stand-in of RFC 8482.
    Minimal,
    /// NXDOMAIN: policy does not allow the name.
    Denied,
    /// A server of the zone answered; its answer was passed on.
    Forwarded,
    /// Granted, but no server of the zone answered, or too many questions were under way: SERVFAIL.
    ForwardFailed,
    /// REFUSED (unknown source, another class than IN, zone transfer), or a version of EDNS that nobody speaks.
    Refused,
    /// NOTIMP: another opcode than QUERY.
    NotImplemented,
    /// FORMERR, or dropped if it must not be answered.
    Malformed,
    /// Above the agent's share of questions or connections: dropped over UDP, REFUSED or closed over TCP.
    RateLimited,
    /// Allowed, but one new name under a wildcard too many for the agent's budget: REFUSED.
    OverBudget,
}

impl QueryOutcome {
    /// Every outcome, for registering metrics.
    pub const ALL: [QueryOutcome; 11] = [
        QueryOutcome::Advertised,
        QueryOutcome::Nodata,
        QueryOutcome::Minimal,
        QueryOutcome::Denied,
        QueryOutcome::Forwarded,
        QueryOutcome::ForwardFailed,
        QueryOutcome::Refused,
        QueryOutcome::NotImplemented,
        QueryOutcome::Malformed,
        QueryOutcome::RateLimited,
        QueryOutcome::OverBudget,
    ];

    /// The name in records and metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            QueryOutcome::Advertised => "advertised",
            QueryOutcome::Nodata => "nodata",
            QueryOutcome::Minimal => "minimal",
            QueryOutcome::Denied => "denied",
            QueryOutcome::Forwarded => "forwarded",
            QueryOutcome::ForwardFailed => "forward_failed",
            QueryOutcome::Refused => "refused",
            QueryOutcome::NotImplemented => "not_implemented",
            QueryOutcome::Malformed => "malformed",
            QueryOutcome::RateLimited => "rate_limited",
            QueryOutcome::OverBudget => "over_budget",
        }
    }

    /// Whether policy granted what was asked.
    pub fn granted(self) -> bool {
        match self {
            QueryOutcome::Advertised
            | QueryOutcome::Nodata
            | QueryOutcome::Minimal
            | QueryOutcome::Forwarded
            | QueryOutcome::ForwardFailed => true,
            QueryOutcome::Denied
            | QueryOutcome::Refused
            | QueryOutcome::NotImplemented
            | QueryOutcome::Malformed
            | QueryOutcome::RateLimited
            | QueryOutcome::OverBudget => false,
        }
    }
}
