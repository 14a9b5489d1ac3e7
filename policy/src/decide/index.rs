//! Rules by host and agent, so that a decision costs the same with ten rules and with a hundred thousand.
//!
//! A host is looked up by hash: once as itself, once without its first label (`*.x`), and once for each ending that
//! some `**.x` could have. What is found there is split by what it can do (see [`Bucket`]) and, inside, by agent.

use std::collections::{BTreeMap, HashMap};
use std::net::IpAddr;
use std::sync::Arc;

use super::ancestors::Ancestors;
use super::logins::Logins;
use super::table::Table;
use super::tokens;
use crate::model::hash::Folding;
use crate::model::hosts::{Ends, HostPattern, HostRule};
use crate::model::methods::MethodSet;
use crate::model::paths::Paths;
use crate::model::policy::{AgentSet, Parts};
use crate::model::{AgentId, CredentialId, Effect, Host, Method, Name, Rule, RuleId};

/// What [`Policy::decide`](crate::Policy::decide) looks things up in.
#[derive(Debug, Default)]
pub(crate) struct Index {
    pub(super) rules: HostIndex<Bucket>,
    pub(super) bound: HostIndex<Vec<Binding>>,
    pub(super) forwards: HostIndex<Vec<Forwarding>>,
    pub(super) ancestors: Ancestors,
    /// By the hash of the stub; see [`tokens`].
    pub(super) credentials: HashMap<u64, Vec<CredentialId>, Folding>,
    pub(crate) stubs: Box<[Arc<str>]>,
    /// Where stubgate answers for logins in escrow.
    pub(super) logins: Logins,
}

/// The rules of one host pattern.
#[derive(Debug, Default)]
pub(super) struct Bucket {
    /// Deny rules for all paths: these alone count before the path is known.
    pub(super) block: Table,
    /// Deny rules for some paths.
    pub(super) refuse: Table,
    /// Allow and observe rules.
    pub(super) grant: Table,
    /// Whether any rule here, of whatever agent, has paths.
    pub(super) has_paths: bool,
    /// What `block` closes, by whom it concerns and which ends: without it, each grant would be compared with each deny
    /// rule of the host.
    closed: BTreeMap<(Option<AgentId>, Ends), Closed>,
}

/// Deny rules of the same agent, scheme and port, put together.
#[derive(Debug)]
pub(super) struct Closed {
    /// The first of them.
    pub(super) first: RuleId,
    /// The methods of all of them.
    pub(super) methods: MethodSet,
}

/// A rule at a host pattern.
#[derive(Clone, Copy, Debug)]
pub(super) struct Entry {
    pub(super) rule: RuleId,
    pub(super) ends: Ends,
}

/// A credential at a host pattern.
#[derive(Debug)]
pub(super) struct Binding {
    pub(super) credential: CredentialId,
    pub(super) ends: Ends,
}

/// A `dns:` entry at a name pattern.
#[derive(Debug)]
pub(super) struct Forwarding {
    pub(super) agents: AgentSet,
    pub(super) types: Box<[u16]>,
}

impl Index {
    pub(crate) fn new(parts: &Parts) -> Index {
        let mut index = Index::default();
        for (at, rule) in parts.rules.iter().enumerate() {
            if let Some(id) = RuleId::at(at) {
                index.add_rule(id, rule);
            }
        }
        index.rules.each(|bucket| bucket.sort(&parts.rules));
        for (at, credential) in parts.credentials.iter().enumerate() {
            let Some(id) = CredentialId::at(at) else {
                continue;
            };
            for host in &credential.hosts {
                index.bound.at(&host.pattern).push(Binding { credential: id, ends: host.ends });
            }
            index.credentials.entry(tokens::key(credential.stub.as_bytes())).or_default().push(id);
        }
        for forward in &parts.forwards {
            for name in &forward.names {
                let forwarding = Forwarding { agents: forward.agents.clone(), types: forward.types.clone() };
                index.forwards.at(&name.pattern).push(forwarding);
            }
        }
        let refresh = parts.credentials.iter().filter_map(|credential| credential.refresh_stub().map(Arc::from));
        let mut stubs: Vec<Arc<str>> =
            parts.credentials.iter().map(|credential| credential.stub.clone()).chain(refresh).collect();
        stubs.sort_unstable();
        stubs.dedup();
        index.stubs = stubs.into();
        index.logins = Logins::new(parts);
        index.ancestors = Ancestors::new(parts, &index.rules);
        index
    }

    fn add_rule(&mut self, id: RuleId, rule: &Rule) {
        let prefixes = rule.paths.prefixes();
        for HostRule { pattern, ends } in &rule.hosts {
            let bucket = self.rules.at(pattern);
            bucket.has_paths |= rule.paths != Paths::All;
            let table = match rule.effect {
                Effect::Deny if rule.paths == Paths::All => &mut bucket.block,
                Effect::Deny => &mut bucket.refuse,
                Effect::Allow | Effect::Observe => &mut bucket.grant,
            };
            table.add(&rule.agents, &prefixes, Entry { rule: id, ends: *ends });
        }
    }
}

impl Bucket {
    fn sort(&mut self, rules: &[Rule]) {
        self.block.sort();
        for (owner, entry) in self.block.owned() {
            let Some(rule) = rules.get(entry.rule.index()) else { continue };
            let new = || Closed { first: entry.rule, methods: MethodSet::default() };
            self.closed.entry((owner, entry.ends)).or_insert_with(new).methods.join(&rule.methods);
        }
        self.refuse.sort();
        self.grant.sort();
    }
}

impl Bucket {
    /// What the deny rules of one owner (`None`: those for every agent) close of all these ends.
    pub(super) fn closed(&self, owner: Option<AgentId>, ends: Ends) -> impl Iterator<Item = &Closed> {
        let schemes = [None, ends.scheme].into_iter().take(if ends.scheme.is_some() { 2 } else { 1 });
        let ports = [None, ends.port].into_iter().take(if ends.port.is_some() { 2 } else { 1 });
        let all = schemes.flat_map(move |scheme| ports.clone().map(move |port| Ends { scheme, port }));
        let some = all.filter(|_| !self.closed.is_empty());
        some.filter_map(move |ends| self.closed.get(&(owner, ends)))
    }

    /// Whether some deny rule for all paths concerns this agent, scheme, port and method.
    pub(super) fn blocks(&self, agent: AgentId, ends: Ends, method: &Method) -> bool {
        let mut owners = [None, Some(agent)].into_iter();
        owners.any(|owner| self.closed(owner, ends).any(|closed| closed.methods.contains(method)))
    }
}

/// Values by host pattern.
#[derive(Debug)]
pub(crate) struct HostIndex<V> {
    exact: HashMap<Name, V, Folding>,
    one: HashMap<Name, V, Folding>,
    deep: HashMap<Name, V, Folding>,
    ip: HashMap<IpAddr, V, Folding>,
    any: Option<V>,
    /// Most labels of a name in `deep`: endings longer than that are not looked up.
    deepest: usize,
}

impl<V> Default for HostIndex<V> {
    fn default() -> Self {
        HostIndex {
            exact: HashMap::default(),
            one: HashMap::default(),
            deep: HashMap::default(),
            ip: HashMap::default(),
            any: None,
            deepest: 0,
        }
    }
}

impl<V> HostIndex<V> {
    /// Calls `visit` with the value of every pattern that covers the host, always in the same order.
    pub(crate) fn find<'a>(&'a self, host: &Host, mut visit: impl FnMut(&'a V)) {
        match host {
            Host::Ip(ip) => {
                self.ip.get(ip).into_iter().for_each(&mut visit);
            }
            Host::Name(name) => self.find_name(name, &mut visit),
        }
        self.any.iter().for_each(visit);
    }

    fn find_name<'a>(&'a self, name: &Name, visit: &mut impl FnMut(&'a V)) {
        self.each_base(name, |_, value| visit(value));
    }

    /// Calls `visit` with the value of every pattern with a name that covers this one, and how many bytes of it that
    /// name takes.
    pub(super) fn each_base<'a>(&'a self, name: &Name, mut visit: impl FnMut(usize, &'a V)) {
        self.exact.get(name.as_str()).into_iter().for_each(|value| visit(name.as_str().len(), value));
        let Some((_, parent)) = name.as_str().split_once('.') else {
            return;
        };
        if !self.one.is_empty() {
            self.one.get(parent).into_iter().for_each(|value| visit(parent.len(), value));
        }
        if self.deep.is_empty() {
            return;
        }
        let mut ending = Some(shorten(parent, self.deepest));
        while let Some(base) = ending {
            self.deep.get(base).into_iter().for_each(|value| visit(base.len(), value));
            ending = base.split_once('.').map(|(_, rest)| rest);
        }
    }

    /// The value of one pattern, made if it is not there.
    pub(crate) fn at(&mut self, pattern: &HostPattern) -> &mut V
    where
        V: Default,
    {
        match pattern {
            HostPattern::Any => self.any.get_or_insert_default(),
            HostPattern::Exact(name) => self.exact.entry(name.clone()).or_default(),
            HostPattern::One(base) => self.one.entry(base.clone()).or_default(),
            HostPattern::Deep(base) => {
                self.deepest = self.deepest.max(base.labels().count());
                self.deep.entry(base.clone()).or_default()
            }
            HostPattern::Ip(ip) => self.ip.entry(*ip).or_default(),
        }
    }

    pub(crate) fn each(&mut self, mut change: impl FnMut(&mut V)) {
        let names = self.exact.values_mut().chain(self.one.values_mut()).chain(self.deep.values_mut());
        names.chain(self.ip.values_mut()).chain(self.any.as_mut()).for_each(&mut change);
    }

    /// Calls `visit` with the value of every pattern that covers all that `pattern` covers.
    pub(super) fn find_covering<'a>(&'a self, pattern: &HostPattern, mut visit: impl FnMut(&'a V)) {
        match pattern {
            HostPattern::Exact(name) => self.find(&Host::Name(name.clone()), visit),
            HostPattern::Ip(ip) => self.find(&Host::Ip(*ip), visit),
            HostPattern::Any => self.any.iter().for_each(visit),
            HostPattern::One(base) | HostPattern::Deep(base) => {
                if matches!(pattern, HostPattern::One(_)) {
                    self.one.get(base.as_str()).into_iter().for_each(&mut visit);
                }
                let mut ending = Some(shorten(base.as_str(), self.deepest));
                while let Some(base) = ending {
                    self.deep.get(base).into_iter().for_each(&mut visit);
                    ending = base.split_once('.').map(|(_, rest)| rest);
                }
                self.any.iter().for_each(visit);
            }
        }
    }
}

/// The ending of a name that has at most so many labels.
fn shorten(name: &str, labels: usize) -> &str {
    let Some(skip) = labels.checked_sub(1) else {
        return "";
    };
    name.rmatch_indices('.').nth(skip).map_or(name, |(at, _)| name.get(at + 1..).unwrap_or(name))
}
