//! The checked policy: agents, rules and credentials, immutable, shared by every thread.
//!
//! Law 5: [`Policy::empty`] denies all, and so does an id that belongs to another policy.

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::authority::Authority;
use super::body::BodyRule;
use super::check::Check;
use super::hosts::HostRule;
use super::ids::{AgentId, CredentialId, RuleId};
use super::limits::AgentLimits;
use super::methods::MethodSet;
use super::on_credential::OnCredential;
use super::paths::Paths;
use super::secret_source::{Reading, Source};
use super::slot::Slot;
use crate::decide::Index;
use crate::pods::Pods;

/// A checked policy. Built by compile; asked with [`Policy::decide`].
#[derive(Debug)]
pub struct Policy {
    pub(crate) agents: Box<[Agent]>,
    pub(crate) rules: Box<[Rule]>,
    pub(crate) credentials: Box<[Credential]>,
    pub(crate) sources: Box<[SourceRange]>,
    pub(crate) pods: Pods,
    pub(crate) forwards: Box<[Forward]>,
    pub(crate) fingerprint: Box<str>,
    pub(crate) index: Index,
    nobody: Agent,
    nothing: Rule,
    worthless: Credential,
}

/// What compile hands over: all of it checked, each list sorted by name.
#[derive(Debug, Default)]
pub(crate) struct Parts {
    pub(crate) agents: Vec<Agent>,
    pub(crate) rules: Vec<Rule>,
    pub(crate) credentials: Vec<Credential>,
    pub(crate) sources: Vec<SourceRange>,
    pub(crate) pods: Pods,
    pub(crate) forwards: Vec<Forward>,
    pub(crate) fingerprint: u64,
}

impl Policy {
    /// Knows no agent and denies all.
    pub fn empty() -> Policy {
        Policy::new(Parts::default())
    }

    pub(crate) fn new(parts: Parts) -> Policy {
        let index = Index::new(&parts);
        Policy {
            agents: parts.agents.into(),
            rules: parts.rules.into(),
            credentials: parts.credentials.into(),
            sources: parts.sources.into(),
            pods: parts.pods,
            forwards: parts.forwards.into(),
            fingerprint: format!("{:016x}", parts.fingerprint).into(),
            index,
            nobody: Agent::new("", true, AgentLimits::default()),
            nothing: Rule::nothing(),
            worthless: Credential {
                name: "".into(),
                stub: "".into(),
                minted_only: true,
                slots: Box::default(),
                hosts: Box::default(),
                reading: Source::Env(Box::default()).into(),
                check: None,
            },
        }
    }

    /// Whether any agent is known by its address.
    pub fn has_sources(&self) -> bool {
        !self.sources.is_empty()
    }

    /// The agent at a peer address; IPv4-mapped addresses are unmapped first.
    pub fn identify(&self, peer: IpAddr) -> Option<AgentId> {
        let ip = spot(peer.to_canonical());
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
        let at = self.agents.binary_search_by(|agent| agent.name().cmp(name)).ok()?;
        AgentId::at(at)
    }

    /// Denies all to an agent from now on, as `quarantined: true` would, in this value of the policy. It is the one thing
    /// about a policy that can change after compile, it changes in one direction, and every decision sees it at once:
    /// no stage can miss it (law 1). What a person wrote ([`Agent::quarantined`], `policy diff`) stays as it is.
    pub fn hold(&self, agent: AgentId) {
        if let Some(agent) = self.agents.get(agent.index()) {
            agent.held.store(true, Ordering::Release);
        }
    }

    /// The rule of that name.
    pub fn rule_named(&self, name: &str) -> Option<RuleId> {
        let at = self.rules.binary_search_by(|rule| rule.name().cmp(name)).ok()?;
        RuleId::at(at)
    }

    /// The credential of that name.
    pub fn credential_named(&self, name: &str) -> Option<CredentialId> {
        let at = self.credentials.binary_search_by(|credential| credential.name().cmp(name)).ok()?;
        CredentialId::at(at)
    }

    /// Every authority that some allow rule names without a wildcard, sorted.
    pub fn origins(&self) -> Vec<Authority> {
        let allowing = self.rules.iter().filter(|rule| rule.effect == Effect::Allow);
        let mut origins: Vec<Authority> =
            allowing.flat_map(|rule| &rule.hosts).filter_map(HostRule::authority).collect();
        origins.sort_by_key(ToString::to_string);
        origins.dedup();
        origins
    }

    /// The rules that grant something to an agent.
    pub fn granted(&self, agent: AgentId) -> impl Iterator<Item = &Rule> {
        self.rules.iter().filter(move |rule| rule.effect == Effect::Allow && rule.agents.contains(agent))
    }

    /// Every distinct stub text, refresh stubs among them, sorted, for a scanner of whole heads and bodies.
    pub fn stubs(&self) -> impl Iterator<Item = &str> {
        self.index.stubs.iter().map(|stub| &**stub)
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
    limits: AgentLimits,
    /// Whether all is denied to it although no file says so; see [`Policy::hold`].
    held: AtomicBool,
}

impl Agent {
    pub(crate) fn new(name: &str, quarantined: bool, limits: AgentLimits) -> Agent {
        Agent { name: name.into(), quarantined, limits, held: AtomicBool::new(false) }
    }

    /// How much it may do.
    pub fn limits(&self) -> &AgentLimits {
        &self.limits
    }

    /// Whether all is denied to it now: as policy says, or because it was held.
    pub fn is_shut(&self) -> bool {
        self.quarantined || self.held.load(Ordering::Acquire)
    }

    /// Its name in policy.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Whether policy itself says that all is denied to it.
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
    pub(crate) agents: AgentSet,
    pub(crate) hosts: Box<[HostRule]>,
    pub(crate) methods: MethodSet,
    pub(crate) paths: Paths,
    pub(crate) credentials: Box<[CredentialId]>,
    pub(crate) options: Options,
    pub(crate) body: Option<Arc<BodyRule>>,
}

/// What a rule demands or relaxes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Options {
    /// No request without a swap.
    pub(crate) credential_required: bool,
    /// Credentials that are no stubs may pass to bound hosts.
    pub(crate) foreign_credentials: bool,
    /// A stub in a body stops the request.
    pub(crate) deny_stub_in_body: bool,
    /// What is done about a known kind of credential in the response, if this says so.
    pub(crate) credential_in_response: Option<OnCredential>,
    /// `Range` stays in requests that swap.
    pub(crate) ranges: bool,
}

/// Agents of a rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum AgentSet {
    /// `"*"`: every agent that is defined.
    Every,
    /// These, sorted.
    Some(Box<[AgentId]>),
}

impl AgentSet {
    /// Whether every agent of `other` is in this set.
    pub(crate) fn covers(&self, other: &AgentSet) -> bool {
        match (self, other) {
            (AgentSet::Every, _) => true,
            (AgentSet::Some(_), AgentSet::Every) => false,
            (AgentSet::Some(_), AgentSet::Some(ids)) => ids.iter().all(|id| self.contains(*id)),
        }
    }

    /// Whether some agent is in both.
    pub(crate) fn meets(&self, other: &AgentSet) -> bool {
        match (self, other) {
            (AgentSet::Every, _) | (_, AgentSet::Every) => true,
            (AgentSet::Some(_), AgentSet::Some(ids)) => ids.iter().any(|id| self.contains(*id)),
        }
    }

    pub(crate) fn contains(&self, agent: AgentId) -> bool {
        match self {
            AgentSet::Every => true,
            AgentSet::Some(ids) => ids.binary_search(&agent).is_ok(),
        }
    }
}

/// Who may ask which forwarded names.
#[derive(Clone, Debug)]
pub(crate) struct Forward {
    pub(crate) agents: AgentSet,
    pub(crate) names: Box<[HostRule]>,
    /// Record types, sorted.
    pub(crate) types: Box<[u16]>,
}

impl Rule {
    /// Its name in policy.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The preset that it comes from, if it was included: `github-read@1`. A name that a person wrote holds no `/`.
    pub fn preset(&self) -> Option<&str> {
        self.name.split_once('/').map(|(preset, _)| preset)
    }

    /// What it does.
    pub fn effect(&self) -> Effect {
        self.effect
    }

    /// Where it applies.
    pub fn hosts(&self) -> &[HostRule] {
        &self.hosts
    }

    /// The credentials that it grants.
    pub fn credentials(&self) -> &[CredentialId] {
        &self.credentials
    }

    /// What it demands of bodies, if it looks into them.
    pub fn body(&self) -> Option<&BodyRule> {
        self.body.as_deref()
    }

    fn nothing() -> Rule {
        Rule {
            name: "".into(),
            effect: Effect::Deny,
            agents: AgentSet::Some(Box::default()),
            hosts: Box::default(),
            methods: MethodSet::default(),
            paths: Paths::All,
            credentials: Box::default(),
            options: Options::default(),
            body: None,
        }
    }
}

/// What stands behind a stub; the secret itself is never here.
#[derive(Debug)]
pub struct Credential {
    pub(crate) name: Arc<str>,
    pub(crate) stub: Arc<str>,
    pub(crate) minted_only: bool,
    pub(crate) slots: Box<[Slot]>,
    pub(crate) hosts: Box<[HostRule]>,
    pub(crate) reading: Reading,
    pub(crate) check: Option<Check>,
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

    /// Whether only stubs stand for it that were minted for the agent that presents them.
    pub fn minted_only(&self) -> bool {
        self.minted_only
    }

    /// The placeholder that agents hold instead of the refresh token, where there is one. It stands in no slot: nothing is
    /// ever put in its place.
    pub fn refresh_stub(&self) -> Option<&str> {
        self.reading.source.refresh_stub()
    }

    /// Where the stub may stand.
    pub fn slots(&self) -> &[Slot] {
        &self.slots
    }

    /// The only places that it may ever go.
    pub fn hosts(&self) -> &[HostRule] {
        &self.hosts
    }

    /// Where the secret is read from.
    pub fn source(&self) -> &Source {
        &self.reading.source
    }

    /// The same, with what is taken of it.
    pub fn reading(&self) -> &Reading {
        &self.reading
    }

    /// The request with which a person tries it: the one that policy writes, or one to a known service that it is bound to.
    pub fn check(&self) -> Option<Check> {
        self.check.clone().or_else(|| Check::known(&self.hosts))
    }
}

/// Addresses of one agent, first and last included; ranges never overlap.
#[derive(Clone, Copy, Debug)]
pub(crate) struct SourceRange {
    pub(crate) first: Spot,
    pub(crate) last: Spot,
    pub(crate) agent: AgentId,
}

/// A place on one line of all addresses: IPv4 first, then IPv6.
pub(crate) type Spot = (bool, u128);

pub(crate) fn spot(ip: IpAddr) -> Spot {
    match ip {
        IpAddr::V4(ip) => (false, u128::from(ip.to_bits())),
        IpAddr::V6(ip) => (true, ip.to_bits()),
    }
}
