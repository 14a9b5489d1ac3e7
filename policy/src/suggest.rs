//! From records of what was denied to the narrowest rules that would allow it, as text for a person to review.
//!
//! A rule is suggested only for what was seen: this agent, this host and port, these methods and paths. Segments of paths
//! that varied become `*`, and what they were is said; hosts never become wildcards and nothing becomes `**`. A credential is named only where its
//! stub was presented and may go. From names alone (DNS, CONNECT, TLS) comes an observe rule, never an allow. Tripwires,
//! addresses, deny rules and failures are listed and never suggested, and there is no way to ask for all at once.
//!
//! Law 1: what the policy allows already is asked of [`Policy::decide`]. Law 7: whatever the records hold, what is kept
//! of them is bounded, agent by agent. Records are data of the adversary: nothing of them reaches the text unless it was
//! parsed, or made harmless in a comment.

mod because;
mod paths;
mod record;
mod seen;
mod write;

use std::collections::BTreeMap;

pub use record::Record;

use self::because::{Because, because};
use self::paths::Paths;
use self::record::Asked;
use self::seen::{Left, Sighting, Times};
use crate::decide::consider::{self, Fit};
use crate::decide::{Ask, ConnectStage, Decision, NameStage, RequestStage, SlotRef, Token};
use crate::decide::{BasicField, own};
use crate::model::{AgentId, Authority, CredentialId, Host, Method, Policy, Reason, RuleId, Scheme, Slot, Target};

/// Collects records, one by one.
#[derive(Debug)]
pub struct Suggest<'p> {
    policy: &'p Policy,
    since: Box<str>,
    only: Option<AgentId>,
    requests: BTreeMap<Place, BTreeMap<Method, Paths>>,
    names: BTreeMap<(AgentId, Authority), Sighting>,
    left: Left,
    room: BTreeMap<AgentId, Room>,
    counts: Counts,
    times: Times,
}

/// Where requests went that one rule can stand for.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Place {
    agent: AgentId,
    authority: Authority,
    /// Whose stub was presented.
    credential: Option<CredentialId>,
}

/// How much of an agent's records is kept.
#[derive(Debug, Default)]
struct Room {
    hosts: usize,
    /// Of paths.
    bytes: usize,
}

/// What became of the records.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Records taken, after `since` and the agent were looked at.
    pub records: u64,
    /// Refusals among them.
    pub refusals: u64,
    /// Refusals of what the policy allows, or observes, by now.
    pub allowed_now: u64,
    /// Refusals that a rule is suggested for.
    pub suggested: u64,
    /// Refusals that nothing is suggested for; listed in the text, as far as there is room.
    pub left_out: u64,
}

/// Rules to review.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Suggestion {
    /// A policy file, to be used beside the files of the policy that was asked.
    pub yaml: String,
    /// Allow rules in it.
    pub allows: usize,
    /// Observe rules in it.
    pub observes: usize,
    /// What became of the records.
    pub counts: Counts,
}

impl<'p> Suggest<'p> {
    /// Begins, for what this policy does not allow.
    pub fn new(policy: &'p Policy) -> Self {
        Suggest {
            policy,
            since: Box::default(),
            only: None,
            requests: BTreeMap::new(),
            names: BTreeMap::new(),
            left: Left::default(),
            room: BTreeMap::new(),
            counts: Counts::default(),
            times: Times::default(),
        }
    }

    /// Leaves out records of before this time, in RFC 3339 and UTC as records have it (`2026-11-20T00:00:00`); what is
    /// missing at its end counts as zero.
    #[must_use]
    pub fn since(mut self, time: &str) -> Self {
        self.since = time.trim_end_matches('Z').into();
        self
    }

    /// Leaves out all other agents.
    #[must_use]
    pub fn only(mut self, agent: AgentId) -> Self {
        self.only = Some(agent);
        self
    }

    /// Takes one record.
    pub fn add(&mut self, record: &Record<'_>) {
        let agent = self.policy.agent_named(&record.agent);
        if *record.time < *self.since || self.only.is_some_and(|only| agent != Some(only)) {
            return;
        }
        self.counts.records += 1;
        if record.event == "suppressed" {
            let count = record.count.unwrap_or(0);
            self.counts.refusals = self.counts.refusals.saturating_add(count);
            return self.leave(record, count, Because::COUNTED);
        }
        if record.decision != "deny" && record.decision != "observe" {
            return;
        }
        self.counts.refusals += 1;
        self.times.see(&record.time);
        match self.judge(record, agent) {
            Ok(Kept::Suggested) => self.counts.suggested += 1,
            Ok(Kept::AllowedNow) => self.counts.allowed_now += 1,
            Err(why) => self.leave(record, 1, why),
        }
    }

    fn leave(&mut self, record: &Record<'_>, count: u64, why: Because) {
        self.counts.left_out = self.counts.left_out.saturating_add(count);
        self.left.add(record, count, why);
    }

    fn judge(&mut self, record: &Record<'_>, agent: Option<AgentId>) -> Result<Kept, Because> {
        let agent = agent.ok_or(Because::NO_AGENT)?;
        because(record.reason().ok_or(Because::NO_REASON)?)?;
        match record.asked()? {
            Asked::Name { name, kind } => {
                if own::is_own(&Host::Name(name.clone())) {
                    return Err(Because::OWN);
                }
                let decision = self.policy.decide(&Ask::new(agent, NameStage { name: &name, kind }));
                let authority = Authority::new(Scheme::Https, Host::Name(name), Scheme::Https.default_port());
                self.name(record, agent, authority, decision.granted().is_some(), decision.denial().map(|d| d.reason))
            }
            Asked::Connect { authority } => {
                check_host(&authority)?;
                let decision = self.policy.decide(&Ask::new(agent, ConnectStage { authority: &authority }));
                let granted = decision.granted().is_some();
                self.name(record, agent, authority, granted, decision.denial().map(|d| d.reason))
            }
            Asked::Request { authority, method, target } => {
                check_host(&authority)?;
                self.request(record, agent, authority, method, &target)
            }
        }
    }

    fn name(
        &mut self,
        record: &Record<'_>,
        agent: AgentId,
        authority: Authority,
        granted: bool,
        denied: Option<Reason>,
    ) -> Result<Kept, Because> {
        if granted {
            return Ok(Kept::AllowedNow);
        }
        because(denied.unwrap_or(Reason::Internal))?;
        let key = (agent, authority);
        if !self.names.contains_key(&key) {
            self.room.entry(agent).or_default().host()?;
        }
        self.names.entry(key).or_default().see(&record.time);
        Ok(Kept::Suggested)
    }

    fn request(
        &mut self,
        record: &Record<'_>,
        agent: AgentId,
        authority: Authority,
        method: Method,
        target: &Target,
    ) -> Result<Kept, Because> {
        let Target::Canonical(path) = target else {
            return Err(Because::ODD_PATH);
        };
        let credential = self.credential(record, agent, &authority)?;
        let token = credential.and_then(|id| stub_token(self.policy, agent, id));
        let tokens = token.as_slice();
        let at = RequestStage { authority: &authority, method: &method, target, tokens };
        match self.policy.decide(&Ask::new(agent, at)) {
            Decision::Allow(permit) if permit.to_look().is_some() => return Err(Because::LOOKED),
            Decision::Allow(_) | Decision::Answer(_) => return Ok(Kept::AllowedNow),
            Decision::Deny(denial) => because(denial.reason)?,
        }
        let looks = |(id, fit): &(RuleId, Fit)| matches!(fit, Fit::Fits(_)) && self.policy.rule(*id).body().is_some();
        if consider::request(self.policy, agent, &at).iter().any(looks) {
            // A rule beside it would let pass what it refuses.
            return Err(Because::LOOKED);
        }
        if path.as_str().contains('*') {
            return Err(Because::STAR);
        }
        let place = Place { agent, authority, credential };
        let room = self.room.entry(agent).or_default();
        if !self.requests.contains_key(&place) {
            room.host()?;
        }
        // With a credential to change something: no star for words that only happened to be many.
        let words = credential.is_none() || matches!(method.as_str(), "GET" | "HEAD");
        let methods = self.requests.entry(place).or_default();
        let paths = methods.entry(method).or_insert_with(|| Paths::new(words));
        paths.add(path.as_str(), &record.time, &mut room.bytes)?;
        Ok(Kept::Suggested)
    }

    /// The credential to grant: the one whose stub was presented, if it may go there at all.
    fn credential(
        &self,
        record: &Record<'_>,
        agent: AgentId,
        authority: &Authority,
    ) -> Result<Option<CredentialId>, Because> {
        if record.stub_of.is_empty() {
            let unnamed = record.reason() == Some(Reason::StubNotGranted);
            return if unnamed { Err(Because::UNNAMED) } else { Ok(None) };
        }
        let id = self.policy.credential_named(&record.stub_of).ok_or(Because::NO_CREDENTIAL)?;
        let credential = self.policy.credential(id);
        if authority.scheme() != Scheme::Https {
            return Err(Because::PLAIN_STUB);
        }
        if !credential.hosts.iter().any(|host| host.covers(authority)) {
            return Err(Because::NOT_BOUND);
        }
        let mut granted = self.policy.rules().iter().filter(|rule| rule.agents.contains(agent));
        let twin = |other: &CredentialId| *other != id && self.policy.credential(*other).stub == credential.stub;
        if granted.any(|rule| rule.credentials.iter().any(twin)) {
            return Err(Because::TWIN);
        }
        Ok(Some(id))
    }

    /// The rules.
    pub fn finish(mut self) -> Suggestion {
        self.drop_floods();
        write::suggestion(self)
    }

    /// Names below which there are so many others that data may be leaving in them are not suggested, and neither are
    /// names of hosts whose requests were seen.
    fn drop_floods(&mut self) {
        let mut below: BTreeMap<(AgentId, Box<str>), usize> = BTreeMap::new();
        let parent = |authority: &Authority| Some(authority.host().name()?.parent()?.as_str().into());
        for (agent, authority) in self.names.keys() {
            if let Some(parent) = parent(authority) {
                *below.entry((*agent, parent)).or_default() += 1;
            }
        }
        let policy = self.policy;
        let requests = &self.requests;
        let mut left = std::mem::take(&mut self.left);
        let mut moved = 0_u64;
        self.names.retain(|(agent, authority), seen| {
            let flood = parent(authority)
                .filter(|parent| below.get(&(*agent, parent.clone())).is_some_and(|names| *names > MOST_NAMES_BELOW));
            if let Some(parent) = flood {
                let place = format!("names below {parent}");
                left.add_text(policy.agent(*agent).name(), &place, Reason::NameNotAllowed, seen, Because::FLOOD);
                moved = moved.saturating_add(seen.count);
                return false;
            }
            !requests.keys().any(|place| place.agent == *agent && place.authority.host() == authority.host())
        });
        self.left = left;
        self.counts.suggested = self.counts.suggested.saturating_sub(moved);
        self.counts.left_out = self.counts.left_out.saturating_add(moved);
    }
}

enum Kept {
    Suggested,
    AllowedNow,
}

impl Room {
    fn host(&mut self) -> Result<(), Because> {
        if self.hosts >= MOST_HOSTS {
            return Err(Because::NO_ROOM);
        }
        self.hosts += 1;
        Ok(())
    }
}

/// Hosts that no rule may name, or that are never dialled whatever the rules say.
fn check_host(authority: &Authority) -> Result<(), Because> {
    let never = match authority.host() {
        host if own::is_own(host) => return Err(Because::OWN),
        Host::Name(_) => false,
        Host::Ip(std::net::IpAddr::V4(ip)) => {
            ip.is_loopback() || ip.is_link_local() || ip.is_unspecified() || ip.is_multicast() || ip.is_broadcast()
        }
        Host::Ip(std::net::IpAddr::V6(ip)) => {
            ip.is_loopback() || ip.is_unicast_link_local() || ip.is_unspecified() || ip.is_multicast()
        }
    };
    if never { Err(Because::NEVER_DIALLED) } else { Ok(()) }
}

/// The stub in its first slot, as a client sends it.
fn stub_token(policy: &Policy, agent: AgentId, id: CredentialId) -> Option<Token<'_>> {
    let credential = policy.credential(id);
    let slot = match credential.slots.first()? {
        Slot::Bearer => SlotRef::Bearer,
        Slot::Basic => SlotRef::Basic(BasicField::Password),
        Slot::Bare => SlotRef::Bare,
        Slot::Header(name) => SlotRef::Header(name),
        Slot::Query(name) => SlotRef::Query(name),
    };
    Some(policy.rightful(agent, id, slot))
}

/// Hosts that are kept of one agent.
const MOST_HOSTS: usize = 2_000;
/// Names directly below one name that still look like names.
const MOST_NAMES_BELOW: usize = 16;
