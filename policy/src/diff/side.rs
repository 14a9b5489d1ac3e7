//! One of the two policies, with what it says in numbers that mean the same in both.
//!
//! Rules that say the same get the same number, whatever their name and wherever they stand, and so do the rules of a
//! host pattern together. What has the same numbers on both sides needs no second look. Numbers are given by whole
//! texts, never by hashes alone: nobody can make two rules look alike.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::fmt::Write as _;
use std::rc::Rc;

use smallvec::SmallVec;

use super::pairs::{Bits, Pair, Pairs, has};
use super::words;
use crate::decide::HostIndex;
use crate::model::hosts::{Ends, HostRule};
use crate::model::paths::Paths;
use crate::model::policy::AgentSet;
use crate::model::{AgentId, Authority, CredentialId, Effect, Host, Policy, Rule, RuleId, Slot};

/// Which of the two.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) enum Which {
    Old,
    New,
}

impl Which {
    pub(super) fn agent(self, pair: &Pair) -> Option<AgentId> {
        match self {
            Which::Old => pair.old,
            Which::New => pair.new,
        }
    }
}

pub(super) struct Side<'a> {
    pub(super) which: Which,
    pub(super) policy: &'a Policy,
    rules: Vec<Said>,
    hosts: HostIndex<Here>,
    bound: HostIndex<Vec<BoundEnds<'a>>>,
    forwards: HostIndex<Vec<Forwarded>>,
    has_forwards: bool,
    agents: Vec<Bits>,
    /// Where each credential comes from, in words.
    sources: Vec<String>,
}

/// Schemes and ports that a credential is bound to, with each of its slots; `None` for the binding itself.
type BoundEnds<'a> = (Ends, Option<&'a Slot>);

/// A number for agents, and types of records.
pub(super) type Forwarded = (u32, Box<[u16]>);

/// What a rule says, hosts apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Said {
    agents: u32,
    body: u32,
}

/// A rule at a host, with the schemes and ports that it is for there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct Entry {
    pub(super) rule: RuleId,
    pub(super) ends: Ends,
}

/// The rules of one host pattern.
#[derive(Debug, Default)]
struct Here {
    entries: Vec<Entry>,
    /// Where they allow or observe.
    grants: Vec<Ends>,
    has_paths: bool,
    number: u32,
    /// Entries for few pairs, by pair, and those for many.
    narrow: HashMap<usize, Vec<Entry>>,
    wide: Vec<Entry>,
}

/// Numbers for what is said, the same for both sides.
#[derive(Default)]
pub(super) struct Numbers {
    agents: HashMap<Bits, u32>,
    bodies: HashMap<String, u32>,
    heres: HashMap<Vec<(u32, u32, Ends)>, u32>,
    every: HashMap<bool, u32>,
}

/// All that one side says about a host.
pub(super) struct Found<'a> {
    heres: SmallVec<[&'a Here; 6]>,
    bound: SmallVec<[BoundEnds<'a>; 4]>,
    pub(super) forwards: SmallVec<[&'a Forwarded; 2]>,
}

impl<'a> Side<'a> {
    pub(super) fn new(which: Which, policy: &'a Policy, pairs: &Pairs, numbers: &mut Numbers) -> Side<'a> {
        let mut side = Side {
            which,
            policy,
            rules: Vec::with_capacity(policy.rules.len()),
            hosts: HostIndex::default(),
            bound: HostIndex::default(),
            forwards: HostIndex::default(),
            has_forwards: !policy.forwards.is_empty(),
            agents: Vec::new(),
            sources: policy.credentials.iter().map(|credential| words::reading(credential.reading())).collect(),
        };
        let credentials: Vec<String> = policy
            .credentials
            .iter()
            .map(|credential| {
                let mut slots: Vec<String> = credential.slots.iter().map(Slot::to_string).collect();
                slots.sort_unstable();
                slots.dedup();
                let mut hosts = credential.hosts.to_vec();
                hosts.sort_unstable();
                let minted = if credential.minted_only { credential.name() } else { "" };
                format!("{:?} {} {minted} {slots:?} {hosts:?}", credential.reading(), credential.stub)
            })
            .collect();
        for (at, rule) in policy.rules.iter().enumerate() {
            let said =
                Said { agents: numbers.agents(&rule.agents, pairs, which), body: numbers.body(rule, &credentials) };
            side.rules.push(said);
            let Some(id) = RuleId::at(at) else { continue };
            for HostRule { pattern, ends } in &rule.hosts {
                let here = side.hosts.at(pattern);
                here.entries.push(Entry { rule: id, ends: *ends });
                if rule.effect != Effect::Deny {
                    here.grants.push(*ends);
                }
                here.has_paths |= rule.paths != Paths::All;
            }
        }
        let rules = &side.rules;
        side.hosts.each(|here| {
            here.entries.sort_unstable();
            here.grants.sort_unstable();
            here.grants.dedup();
            let mut all: Vec<_> = here
                .entries
                .iter()
                .filter_map(|entry| {
                    let said = rules.get(entry.rule.index())?;
                    Some((said.agents, said.body, entry.ends))
                })
                .collect();
            all.sort_unstable();
            let next = numbers.heres.len();
            here.number = *numbers.heres.entry(all).or_insert_with(|| u32::try_from(next).unwrap_or(u32::MAX));
        });
        for credential in &policy.credentials {
            for host in &credential.hosts {
                let bound = side.bound.at(&host.pattern);
                bound.push((host.ends, None));
                bound.extend(credential.slots.iter().map(|slot| (host.ends, Some(slot))));
            }
        }
        for forward in &policy.forwards {
            let agents = numbers.agents(&forward.agents, pairs, which);
            for name in &forward.names {
                side.forwards.at(&name.pattern).push((agents, forward.types.clone()));
            }
        }
        side
    }

    /// To be called on both sides after the second was made: what pairs the numbers of agents stand for.
    pub(super) fn learn(&mut self, numbers: &Numbers) {
        let mut agents: Vec<Bits> = vec![Bits::default(); numbers.agents.len()];
        for (bits, at) in &numbers.agents {
            if let Some(to) = agents.get_mut(*at as usize) {
                to.clone_from(bits);
            }
        }
        self.agents = agents;
        let (rules, agents) = (&self.rules, &self.agents);
        self.hosts.each(|here| {
            for entry in &here.entries {
                let bits = rules.get(entry.rule.index()).and_then(|said| agents.get(said.agents as usize));
                let pairs: SmallVec<[usize; MOST_NARROW + 1]> =
                    bits.into_iter().flat_map(|bits| ones(bits)).take(MOST_NARROW + 1).collect();
                if pairs.len() > MOST_NARROW {
                    here.wide.push(*entry);
                } else {
                    pairs.into_iter().for_each(|pair| here.narrow.entry(pair).or_default().push(*entry));
                }
            }
        });
    }

    pub(super) fn find(&self, host: &Host) -> Found<'_> {
        let mut found = Found { heres: SmallVec::new(), bound: SmallVec::new(), forwards: SmallVec::new() };
        self.hosts.find(host, |here| found.heres.push(here));
        self.bound.find(host, |bound| found.bound.extend_from_slice(bound));
        found.bound.sort_unstable();
        found.bound.dedup();
        if self.has_forwards {
            self.forwards.find(host, |forwards| found.forwards.extend(forwards));
            found.forwards.sort_unstable();
        }
        found
    }

    /// Whether a rule is about a pair.
    pub(super) fn concerns(&self, rule: RuleId, pair: usize) -> bool {
        let said = self.rules.get(rule.index());
        said.and_then(|said| self.agents.get(said.agents as usize)).is_some_and(|bits| has(bits, pair))
    }

    /// A number for what a rule says, agents and hosts apart.
    /// Where a credential comes from, in words.
    pub(super) fn source(&self, id: CredentialId) -> &str {
        self.sources.get(id.index()).map_or("", String::as_str)
    }

    pub(super) fn body(&self, rule: RuleId) -> u32 {
        self.rules.get(rule.index()).map_or(u32::MAX, |said| said.body)
    }

    /// The rules for a pair at an authority, sorted.
    pub(super) fn rules_of(&self, found: &Found<'_>, pair: usize, authority: &Authority) -> Vec<RuleId> {
        let mut rules: Vec<RuleId> = Vec::new();
        for here in &found.heres {
            let narrow = here.narrow.get(&pair).into_iter().flatten();
            let wide = here.wide.iter().filter(|entry| self.concerns(entry.rule, pair));
            rules.extend(narrow.chain(wide).filter(|entry| entry.ends.cover(authority)).map(|entry| entry.rule));
        }
        rules.sort_unstable();
        rules.dedup();
        rules
    }

    /// Numbers for all that is said here.
    fn said(&self, heres: &[&Here]) -> HashSet<(u32, u32, Ends)> {
        let entries = heres.iter().flat_map(|here| &here.entries);
        let all = entries.filter_map(|entry| {
            let said = self.rules.get(entry.rule.index())?;
            Some((said.agents, said.body, entry.ends))
        });
        all.collect()
    }
}

impl Found<'_> {
    /// Where some rule here could allow or observe something.
    pub(super) fn grants(&self) -> impl Iterator<Item = Ends> {
        self.heres.iter().flat_map(|here| here.grants.iter().copied())
    }

    /// Whether any rule of this host, of whatever agent, has paths.
    pub(super) fn has_paths(&self) -> bool {
        self.heres.iter().any(|here| here.has_paths)
    }
}

/// Which pairs are concerned by what one side says and the other does not, as far as it was asked before.
#[derive(Default)]
pub(super) struct Concerned(HashMap<(Numbered, Numbered), Rc<[usize]>>);

type Numbered = SmallVec<[u32; 6]>;

impl Concerned {
    pub(super) fn pairs(&mut self, old: (&Side<'_>, &Found<'_>), new: (&Side<'_>, &Found<'_>)) -> Rc<[usize]> {
        let (before, after) = (left(old.1, new.1), left(new.1, old.1));
        let numbers = |heres: &[&Here]| heres.iter().map(|here| here.number).collect::<Numbered>();
        let key = (numbers(&before), numbers(&after));
        let differing = || {
            let (before, after) = (old.0.said(&before), new.0.said(&after));
            let numbers: HashSet<u32> = before.symmetric_difference(&after).map(|(agents, _, _)| *agents).collect();
            let bits = numbers.iter().filter_map(|number| old.0.agents.get(*number as usize));
            let pairs: BTreeSet<usize> = bits.flat_map(|bits| ones(bits)).collect();
            pairs.into_iter().collect()
        };
        Rc::clone(self.0.entry(key).or_insert_with(differing))
    }
}

/// The patterns whose rules the other side doesn't have together at any pattern here.
fn left<'f>(found: &Found<'f>, other: &Found<'_>) -> SmallVec<[&'f Here; 6]> {
    let is_there = |here: &&&Here| other.heres.iter().any(|there| there.number == here.number);
    found.heres.iter().filter(|here| !is_there(here)).copied().collect()
}

fn ones(bits: &[u64]) -> impl Iterator<Item = usize> {
    bits.iter()
        .enumerate()
        .flat_map(|(at, word)| (0..64).filter(move |bit| word & (1 << bit) != 0).map(move |bit| at * 64 + bit))
}

pub(super) fn same_bound<'a>(old: &Found<'a>, new: &Found<'a>) -> bool {
    old.bound == new.bound
}

pub(super) fn same_forwards(old: &Found<'_>, new: &Found<'_>) -> bool {
    old.forwards == new.forwards
}

impl Numbers {
    fn agents(&mut self, agents: &AgentSet, pairs: &Pairs, which: Which) -> u32 {
        if let (AgentSet::Every, Some(known)) = (agents, self.every.get(&(which == Which::Old))) {
            return *known;
        }
        let bits = pairs.bits(agents, |pair| which.agent(pair));
        let next = u32::try_from(self.agents.len()).unwrap_or(u32::MAX);
        let number = *self.agents.entry(bits).or_insert(next);
        if *agents == AgentSet::Every {
            self.every.insert(which == Which::Old, number);
        }
        number
    }

    fn body(&mut self, rule: &Rule, credentials: &[String]) -> u32 {
        let mut text = format!("{:?} {:?} {:?} ", rule.effect, rule.options, rule.body);
        let mut methods = rule.methods.names();
        if let Some(names) = &mut methods {
            names.sort_unstable();
        }
        // Writing to memory can't fail.
        let _ = write!(text, "{methods:?} ");
        if let Paths::Some { patterns, encoded_slash } = &rule.paths {
            let mut patterns: Vec<String> = patterns.iter().map(ToString::to_string).collect();
            patterns.sort_unstable();
            patterns.dedup();
            let _ = write!(text, "{encoded_slash} {patterns:?}");
        }
        let mut granted: Vec<&str> =
            rule.credentials.iter().filter_map(|id| credentials.get(id.index())).map(String::as_str).collect();
        granted.sort_unstable();
        let _ = write!(text, " {granted:?}");
        let next = u32::try_from(self.bodies.len()).unwrap_or(u32::MAX);
        *self.bodies.entry(text).or_insert(next)
    }
}

/// What could be swapped: a stub in a slot, for what comes from a source. The name means nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Swappable<'a> {
    pub(super) name: &'a str,
    pub(super) stub: &'a str,
    pub(super) slot: &'a Slot,
    /// Where the secret comes from, in words.
    pub(super) source: &'a str,
}

/// Stands for the stubs of a credential that takes minted ones only.
pub(super) const MINTED: &str = "a-minted-stub";

impl Swappable<'_> {
    /// Whether what the other swaps, this swaps too. A literal stub stands beside minted ones of its credential.
    pub(super) fn is(&self, other: &Swappable<'_>) -> bool {
        let stands = match (self.stub, other.stub) {
            (MINTED, MINTED) | (_, MINTED) => self.name == other.name,
            (mine, others) => mine == others,
        };
        stands && self.slot == other.slot && self.source == other.source
    }
}

/// Most pairs of an entry that is found by pair; rules for more are looked at for every pair.
const MOST_NARROW: usize = 8;
