//! The name and connect stages: whether some request could be allowed, as far as it is known.
//!
//! An allow or observe rule opens the way; a deny rule closes it only if it covers all that those rules allow: every
//! path, every one of their methods, and their scheme and port. Law 6: a name that this refuses is never resolved.

use super::ask::{ConnectStage, NameStage, sealed::Decide};
use super::grant::{Decision, NameGrant, Reach};
use super::index::{Bucket, Entry};
use super::own;
use super::{Buckets, buckets};
use crate::model::hosts::Ends;
use crate::model::methods::MethodSet;
use crate::model::{AgentId, Host, Policy, Reason, RuleId};

impl Decide<NameGrant> for NameStage<'_> {
    fn decide(&self, policy: &Policy, agent: AgentId) -> Decision<NameGrant> {
        if let Some(grant) = own::name(self.name) {
            return Decision::Allow(grant);
        }
        let host = Host::Name(self.name.clone());
        if policy.index.logins.has_host(agent, &host) {
            return Decision::Allow(NameGrant::Advertise);
        }
        let found = buckets(policy, &host);
        let denied = match open(policy, &found, agent, |_| true) {
            Way::Open => return Decision::Allow(NameGrant::Advertise),
            Way::Closed(rule) => Some(rule),
            Way::OtherType | Way::None => None,
        };
        match self.forward(policy, &host, &found, agent) {
            Way::Open => Decision::Allow(NameGrant::Forward),
            Way::OtherType => Decision::Allow(NameGrant::Nodata),
            _ if self.has_below(policy, agent) => Decision::Allow(NameGrant::Nodata),
            Way::Closed(rule) => Decision::deny_by(Reason::DeniedByRule, rule),
            Way::None => match denied {
                Some(rule) => Decision::deny_by(Reason::DeniedByRule, rule),
                None => Decision::deny(Reason::NameNotAllowed),
            },
        }
    }
}

impl NameStage<'_> {
    /// Whether the agent has an allowed name below this one. What a deny rule takes out of a `**` stays denied,
    /// although the `**` goes on below it.
    fn has_below(&self, policy: &Policy, agent: AgentId) -> bool {
        own::is_ancestor(self.name)
            || policy.index.ancestors.has(self.name, agent)
            || policy.index.logins.has_below(agent, self.name)
    }

    /// Whether some `dns:` entry lets the agent ask the zone's servers.
    fn forward(&self, policy: &Policy, host: &Host, found: &Buckets<'_>, agent: AgentId) -> Way {
        let (mut name, mut kind) = (false, false);
        policy.index.forwards.find(host, |forwards| {
            for forward in forwards.iter().filter(|forward| forward.agents.contains(agent)) {
                name = true;
                kind |= forward.types.binary_search(&self.kind.into()).is_ok();
            }
        });
        if !name {
            return Way::None;
        }
        match blocked(found, agent, EVERYWHERE, &MethodSet::any()) {
            Some(rule) => Way::Closed(rule),
            None if kind => Way::Open,
            None => Way::OtherType,
        }
    }
}

impl Decide<Reach> for ConnectStage<'_> {
    fn decide(&self, policy: &Policy, agent: AgentId) -> Decision<Reach> {
        let reach = || Reach { agent, authority: self.authority.clone() };
        if own::is_own(self.authority.host()) {
            let ours = own::is_plain(self.authority);
            return if ours { Decision::Allow(reach()) } else { Decision::deny(Reason::ConnectNotAllowed) };
        }
        if policy.index.logins.has_server(agent, self.authority) {
            return Decision::Allow(reach());
        }
        let found = buckets(policy, self.authority.host());
        match open(policy, &found, agent, |ends| ends.cover(self.authority)) {
            Way::Open => Decision::Allow(reach()),
            Way::Closed(rule) => Decision::deny_by(Reason::DeniedByRule, rule),
            Way::OtherType | Way::None => Decision::deny(Reason::ConnectNotAllowed),
        }
    }
}

enum Way {
    Open,
    /// A deny rule covers all that other rules allow.
    Closed(RuleId),
    /// A forwarded name, asked for a type that may not be.
    OtherType,
    None,
}

/// Whether some allow or observe rule with these ends is left after the deny rules.
fn open(policy: &Policy, found: &Buckets<'_>, agent: AgentId, ends: impl Fn(Ends) -> bool) -> Way {
    let mut way = Way::None;
    for bucket in found {
        for entry in bucket.grant.of(agent).filter(|entry| ends(entry.ends)) {
            let methods = &policy.rule(entry.rule).methods;
            match blocked(found, agent, entry.ends, methods) {
                None => return Way::Open,
                Some(rule) => way = Way::Closed(rule),
            }
        }
    }
    way
}

/// The first of the deny rules that together cover these ends and methods on every path, if they do.
/// `None` for the agent asks what holds for every agent.
pub(super) fn blocked(
    found: &[&Bucket],
    agent: impl Into<Option<AgentId>>,
    ends: Ends,
    methods: &MethodSet,
) -> Option<RuleId> {
    let owners = [None, agent.into()];
    let owners = owners.get(..if owners[1].is_some() { 2 } else { 1 }).unwrap_or_default();
    let mut first = None;
    let mut denied = MethodSet::default();
    for bucket in found {
        for owner in owners {
            let Some(first_here) = bucket.closed(*owner, ends).map(|closed| closed.first).min() else {
                continue;
            };
            bucket.closed(*owner, ends).for_each(|closed| denied.join(&closed.methods));
            let first = *first.get_or_insert(first_here);
            if denied.covers(methods) {
                return Some(first);
            }
        }
    }
    None
}

/// The deny rules that count before method and path are known.
pub(super) fn closers<'a>(
    found: &'a [&'a Bucket],
    agent: Option<AgentId>,
    ends: Ends,
) -> impl Iterator<Item = &'a Entry> {
    let blocks = found.iter().filter(|bucket| !bucket.block.is_empty()).flat_map(move |bucket| bucket.block.of(agent));
    blocks.filter(move |entry| entry.ends.cover_all(ends))
}

/// Every scheme and port.
pub(super) const EVERYWHERE: Ends = Ends { scheme: None, port: None };
