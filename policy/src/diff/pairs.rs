//! Who is compared with whom: agents by what they are on the wire, their source addresses, or their pods.
//!
//! The line of all addresses is cut wherever a range of either policy begins or ends. Each piece belongs to one agent
//! or none in each policy, and so gives a pair. A renamed agent is the same pair everywhere; one that got addresses is
//! a pair of its own for exactly those. An agent in quarantine acts for nobody.
//! Pods are compared as `pods` says. That a pod may also have an address of some agent's sources is not looked at.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;

use super::pods::{self, Who};
use crate::model::policy::{AgentSet, SourceRange, Spot, spot};
use crate::model::{AgentId, Policy};
use crate::pods::PodSelector;

/// Agents of both policies, by address.
#[derive(Debug)]
pub(super) struct Pairs {
    pieces: Vec<Piece>,
    all: Vec<Pair>,
    known: BTreeMap<Who, usize>,
    complete: bool,
}

#[derive(Debug)]
struct Piece {
    first: Spot,
    last: Spot,
    pair: usize,
}

/// Who has an address in the old policy, and who in the new.
#[derive(Debug)]
pub(super) struct Pair {
    /// `None` also in quarantine.
    pub(super) old: Option<AgentId>,
    /// `None` also in quarantine.
    pub(super) new: Option<AgentId>,
    /// Its name in the new policy, else in the old one; with its addresses where the name alone does not tell.
    pub(super) name: Arc<str>,
    /// One of its addresses.
    pub(super) peer: Option<IpAddr>,
    /// One kind of its pods.
    pub(super) pod: Option<PodSelector>,
}

/// Pairs as bits.
pub(super) type Bits = Box<[u64]>;

impl Pairs {
    pub(super) fn new(old: &Policy, new: &Policy) -> Pairs {
        let mut known: BTreeMap<Who, usize> = BTreeMap::new();
        let mut pieces: Vec<Piece> = Vec::new();
        for (first, last) in cuts(old, new) {
            let who = (owner(&old.sources, first), owner(&new.sources, first));
            if who == (None, None) {
                continue;
            }
            let next = known.len();
            let pair = *known.entry(who).or_insert(next);
            pieces.push(Piece { first, last, pair });
        }
        let cells = pods::cells(old, new);
        for who in cells.found.keys() {
            let next = known.len();
            known.entry(*who).or_insert(next);
        }
        let mut order: Vec<_> = known.iter().map(|(who, at)| (*at, *who)).collect();
        order.sort_unstable();
        let names: Vec<Arc<str>> = order.iter().map(|(_, who)| name(old, new, *who)).collect();
        let all = order.iter().zip(&names).map(|((at, (a, b)), name)| {
            let own = || pieces.iter().filter(|piece| piece.pair == *at);
            let kinds = cells.found.get(&(*a, *b)).map(Vec::as_slice).unwrap_or_default();
            let is_shared = names.iter().filter(|other| *other == name).count() > 1;
            Pair {
                old: a.filter(|id| !old.agent(*id).quarantined()),
                new: b.filter(|id| !new.agent(*id).quarantined()),
                name: if is_shared { at_places(name, own(), kinds) } else { name.clone() },
                peer: own().map(|piece| address(piece.first)).next(),
                pod: kinds.first().cloned(),
            }
        });
        let all = all.collect();
        Pairs { pieces, all, known, complete: cells.complete }
    }

    /// Whether every kind of pod was looked at.
    pub(super) fn complete(&self) -> bool {
        self.complete
    }

    /// The pair of whoever is these agents.
    pub(super) fn of(&self, who: Who) -> Option<usize> {
        self.known.get(&who).copied()
    }

    pub(super) fn all(&self) -> &[Pair] {
        &self.all
    }

    /// The pair at an address.
    pub(super) fn at(&self, peer: IpAddr) -> Option<usize> {
        let ip = spot(peer.to_canonical());
        let after = self.pieces.partition_point(|piece| piece.first <= ip);
        let piece = self.pieces.get(after.checked_sub(1)?)?;
        (ip <= piece.last).then_some(piece.pair)
    }

    /// The pairs whose agent on one side is in a set.
    pub(super) fn bits(&self, agents: &AgentSet, side: impl Fn(&Pair) -> Option<AgentId>) -> Bits {
        let mut bits = vec![0_u64; self.all.len().div_ceil(64)];
        for (at, pair) in self.all.iter().enumerate() {
            if let (Some(id), Some(word)) = (side(pair), bits.get_mut(at / 64))
                && agents.contains(id)
            {
                *word |= 1 << (at % 64);
            }
        }
        bits.into()
    }
}

pub(super) fn has(bits: &[u64], pair: usize) -> bool {
    bits.get(pair / 64).is_some_and(|word| word & (1 << (pair % 64)) != 0)
}

fn name(old: &Policy, new: &Policy, who: Who) -> Arc<str> {
    let new = who.1.map(|id| new.agent(id));
    let agent = new.or_else(|| who.0.map(|id| old.agent(id)));
    agent.map_or_else(|| "".into(), |agent| agent.name.clone())
}

/// Pieces of the line, the borders of all ranges between them.
fn cuts(old: &Policy, new: &Policy) -> Vec<(Spot, Spot)> {
    let mut firsts = BTreeSet::new();
    for range in old.sources.iter().chain(&new.sources) {
        firsts.insert(range.first);
        firsts.extend(range.last.1.checked_add(1).map(|after| (range.last.0, after)));
    }
    let mut pieces: Vec<(Spot, Spot)> = Vec::new();
    for first in firsts.into_iter().rev() {
        let last = match pieces.last() {
            Some(((family, after), _)) if *family == first.0 => (first.0, after - 1),
            _ if first.0 => (true, u128::MAX),
            _ => (false, u128::from(u32::MAX)),
        };
        pieces.push((first, last));
    }
    pieces.reverse();
    pieces
}

fn owner(ranges: &[SourceRange], at: Spot) -> Option<AgentId> {
    let after = ranges.partition_point(|range| range.first <= at);
    let range = ranges.get(after.checked_sub(1)?)?;
    (at <= range.last).then_some(range.agent)
}

fn address((is_v6, bits): Spot) -> IpAddr {
    if is_v6 {
        return Ipv6Addr::from_bits(bits).into();
    }
    Ipv4Addr::from_bits(u32::try_from(bits).unwrap_or(u32::MAX)).into()
}

fn at_places<'a>(name: &str, pieces: impl Iterator<Item = &'a Piece>, kinds: &[PodSelector]) -> Arc<str> {
    let mut texts: Vec<String> = pieces
        .map(|piece| match (address(piece.first), address(piece.last)) {
            (first, last) if first == last => first.to_string(),
            (first, last) => format!("{first}-{last}"),
        })
        .collect();
    let more = texts.len().saturating_sub(MOST_RANGES);
    texts.truncate(MOST_RANGES);
    let more = if more > 0 { format!(" and {more} more") } else { String::new() };
    let at = if texts.is_empty() { String::new() } else { format!(" at {}{more}", texts.join(", ")) };
    let pods: Vec<String> = kinds.iter().take(MOST_RANGES).map(|kind| format!("pods of {kind}")).collect();
    let joint = if texts.is_empty() || pods.is_empty() { "" } else { " and" };
    let more = if kinds.len() > MOST_RANGES { " and more" } else { "" };
    let pods = if pods.is_empty() { String::new() } else { format!("{joint} in {}{more}", pods.join(", ")) };
    format!("{name}{at}{pods}").into()
}

/// Most ranges that a name is shown with.
const MOST_RANGES: usize = 3;
