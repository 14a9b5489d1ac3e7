//! The checked policy: agents, rules and credentials, immutable, shared by every thread.
//!
//! Law 5: [`Policy::empty`] denies all, and so does an id that belongs to another policy.

use std::net::{IpAddr, Ipv6Addr};
use std::path::Path as FilePath;
use std::sync::Arc;

use super::ids::{AgentId, CredentialId, RuleId};
use super::slot::Slot;

/// A checked policy. Built by compile; asked with [`Policy::decide`].
#[derive(Debug)]
pub struct Policy {
    pub(crate) agents: Box<[Agent]>,
    pub(crate) rules: Box<[Rule]>,
    pub(crate) credentials: Box<[Credential]>,
    pub(crate) sources: Box<[SourceRange]>,
    pub(crate) fingerprint: Box<str>,
    pub(crate) nobody: Agent,
    pub(crate) nothing: Rule,
    pub(crate) worthless: Credential,
}

impl Policy {
    /// Knows no agent and denies all.
    pub fn empty() -> Policy {
        Policy {
            agents: Box::default(),
            rules: Box::default(),
            credentials: Box::default(),
            sources: Box::default(),
            fingerprint: "0000000000000000".into(),
            nobody: Agent {
                name: "".into(),
                quarantined: true,
            },
            nothing: Rule {
                name: "".into(),
                effect: Effect::Deny,
            },
            worthless: Credential {
                name: "".into(),
                stub: "".into(),
                slots: Box::default(),
                source: Source::Env(Box::default()),
            },
        }
    }

    /// The agent at a peer address; IPv4-mapped addresses are unmapped first.
    pub fn identify(&self, peer: IpAddr) -> Option<AgentId> {
        let ip = wide(peer.to_canonical());
        let after = self.sources.partition_point(|range| range.first <= ip);
        let range = self.sources.get(after.checked_sub(1)?)?;
        (ip <= range.last).then_some(range.agent)
    }

    /// An agent of this policy. An id of another policy gives a quarantined agent without a name.
    pub fn agent(&self, id: AgentId) -> &Agent {
        self.agents.get(id.index()).unwrap_or(&self.nobody)
    }

    /// A rule of this policy. An id of another policy gives a deny rule without a name.
    pub fn rule(&self, id: RuleId) -> &Rule {
        self.rules.get(id.index()).unwrap_or(&self.nothing)
    }

    /// A credential of this policy. An id of another policy gives one without a name, stub or slot.
    pub fn credential(&self, id: CredentialId) -> &Credential {
        self.credentials.get(id.index()).unwrap_or(&self.worthless)
    }

    /// All agents, in the order of their ids.
    pub fn agents(&self) -> &[Agent] {
        &self.agents
    }

    /// All rules, in the order of their ids.
    pub fn rules(&self) -> &[Rule] {
        &self.rules
    }

    /// All credentials, in the order of their ids.
    pub fn credentials(&self) -> &[Credential] {
        &self.credentials
    }

    /// The agent of that name.
    pub fn agent_named(&self, name: &str) -> Option<AgentId> {
        let at = self
            .agents
            .binary_search_by(|agent| agent.name().cmp(name))
            .ok()?;
        AgentId::at(at)
    }

    /// The rule of that name.
    pub fn rule_named(&self, name: &str) -> Option<RuleId> {
        let at = self
            .rules
            .binary_search_by(|rule| rule.name().cmp(name))
            .ok()?;
        RuleId::at(at)
    }

    /// The credential of that name.
    pub fn credential_named(&self, name: &str) -> Option<CredentialId> {
        let at = self
            .credentials
            .binary_search_by(|credential| credential.name().cmp(name))
            .ok()?;
        CredentialId::at(at)
    }

    /// Every distinct stub text, for a scanner of whole heads and bodies.
    pub fn stubs(&self) -> impl Iterator<Item = &str> {
        let mut stubs: Vec<&str> = self.credentials.iter().map(Credential::stub).collect();
        stubs.sort_unstable();
        stubs.dedup();
        stubs.into_iter()
    }

    /// 16 hexadecimal digits that change when what the policy says changes. Not for security.
    pub fn fingerprint(&self) -> &str {
        &self.fingerprint
    }
}

/// A workload with an identity.
#[derive(Debug)]
pub struct Agent {
    pub(crate) name: Arc<str>,
    pub(crate) quarantined: bool,
}

impl Agent {
    /// Its name in policy.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Whether all is denied to it at once.
    pub fn quarantined(&self) -> bool {
        self.quarantined
    }
}

/// What a rule does where it matches.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Effect {
    /// Grants.
    Allow,
    /// Refuses, whatever other rules grant.
    Deny,
    /// Grants nothing, but records what it would have granted.
    Observe,
}

/// A named grant or refusal.
#[derive(Debug)]
pub struct Rule {
    pub(crate) name: Arc<str>,
    pub(crate) effect: Effect,
}

impl Rule {
    /// Its name in policy.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What it does.
    pub fn effect(&self) -> Effect {
        self.effect
    }
}

/// What stands behind a stub; the secret itself is never here.
#[derive(Debug)]
pub struct Credential {
    pub(crate) name: Arc<str>,
    pub(crate) stub: Arc<str>,
    pub(crate) slots: Box<[Slot]>,
    pub(crate) source: Source,
}

impl Credential {
    /// Its name in policy.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The placeholder that agents hold.
    pub fn stub(&self) -> &str {
        &self.stub
    }

    /// Where the stub may stand.
    pub fn slots(&self) -> &[Slot] {
        &self.slots
    }

    /// Where the secret is read from.
    pub fn source(&self) -> &Source {
        &self.source
    }
}

/// Where a secret is read from.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Source {
    /// An absolute path.
    File(Box<FilePath>),
    /// A variable of the appliance's own environment.
    Env(Box<str>),
}

/// Addresses of one agent, first and last included; ranges never overlap.
#[derive(Clone, Copy, Debug)]
pub(crate) struct SourceRange {
    pub(crate) first: Ipv6Addr,
    pub(crate) last: Ipv6Addr,
    pub(crate) agent: AgentId,
}

/// Both families on one line: IPv4 as IPv4-mapped, which no IPv6 peer is after `to_canonical`.
pub(crate) fn wide(ip: IpAddr) -> Ipv6Addr {
    match ip {
        IpAddr::V4(ip) => ip.to_ipv6_mapped(),
        IpAddr::V6(ip) => ip,
    }
}
