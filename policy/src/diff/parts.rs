//! Differences in small pieces, and pieces put together so that a person can read them.
//!
//! Pieces are joined only where they differ in one thing: hosts that have the same methods, paths and agents, and so
//! on. So an entry never says more than what was found.

use std::collections::{BTreeMap, BTreeSet};

use super::places::Kind;
use super::side::Which;
use super::{Aspect, Direction, Witness};
use crate::decide::{RequestStage, Token};
use crate::model::hosts::HostRule;
use crate::model::paths::walk::Way;
use crate::model::paths::{Compared, PathPattern, Paths};
use crate::model::{Authority, Method, RuleId, Slot, Target};

/// What an entry is about. The order is the one in which entries are shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct Key {
    pub(super) direction: Direction,
    pub(super) aspect: Aspect,
    /// Who gives more.
    pub(super) to: Which,
    /// The rule responsible.
    pub(super) blame: Option<(Which, RuleId)>,
    /// The rule that allows.
    pub(super) grants: Option<(Which, RuleId)>,
}

#[derive(Clone, Debug)]
pub(super) struct Piece {
    pub(super) pairs: BTreeSet<usize>,
    /// With the kinds of hosts that are concerned.
    pub(super) hosts: BTreeMap<HostRule, BTreeSet<Kind>>,
    pub(super) methods: MethodsText,
    pub(super) paths: BTreeSet<PathSpot>,
    pub(super) swapped: BTreeSet<Swapped>,
    /// Slots that credentials are looked for in on one side only.
    pub(super) slots: BTreeSet<Slot>,
    /// Types of DNS records.
    pub(super) types: BTreeSet<u16>,
    /// Whether these paths, as they are written, say more than what differs.
    pub(super) in_part: bool,
    pub(super) witness: Option<Witness>,
}

/// A credential in a slot.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Swapped {
    pub(super) credential: String,
    pub(super) stub: String,
    pub(super) slot: Slot,
    /// Where the secret comes from, in words.
    pub(super) source: String,
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum PathSpot {
    /// Every canonical path.
    All,
    /// What a pattern takes, as its rule reads it.
    Pattern { text: String, way: Way },
    /// Paths without a canonical form.
    Odd,
}

/// Methods by name, and perhaps all others than some.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct MethodsText {
    pub(super) named: BTreeSet<String>,
    /// All but these; those that are named above come back in.
    pub(super) all_but: Option<BTreeSet<String>>,
}

impl MethodsText {
    pub(super) fn named(name: &str) -> MethodsText {
        MethodsText { named: [name.to_owned()].into(), all_but: None }
    }

    pub(super) fn others(named: BTreeSet<String>) -> MethodsText {
        MethodsText { named: BTreeSet::new(), all_but: Some(named) }
    }

    pub(super) fn join(&mut self, other: MethodsText) {
        self.named.extend(other.named);
        self.all_but = self.all_but.take().or(other.all_but);
    }

    fn takes(&self, method: &Method) -> bool {
        if method.never_matches() {
            return false;
        }
        let others = self.all_but.as_ref().is_some_and(|but| !but.contains(method.as_str()));
        others || self.named.contains(method.as_str())
    }

    /// What is left out of all methods, if it is all but some.
    pub(super) fn except(&self) -> Option<impl Iterator<Item = &String>> {
        self.all_but.as_ref().map(|but| but.difference(&self.named))
    }
}

impl PathSpot {
    fn takes(&self, target: &Target) -> bool {
        let path = match (self, target) {
            (PathSpot::All, Target::Canonical(_)) | (PathSpot::Odd, Target::Odd { .. }) => return true,
            (PathSpot::Pattern { .. }, Target::Canonical(path)) => path,
            (PathSpot::All | PathSpot::Pattern { .. }, Target::Odd { .. }) | (PathSpot::Odd, Target::Canonical(_)) => {
                return false;
            }
        };
        let PathSpot::Pattern { text, way } = self else { return false };
        let Ok(pattern) = PathPattern::parse(text) else { return false };
        let some = |encoded_slash| Paths::Some { patterns: [pattern].into(), encoded_slash };
        match way {
            Way::Grant { encoded_slash } => some(*encoded_slash).grant(path),
            Way::Refuse => some(false).refuse(path) != Compared::Differs,
        }
    }
}

impl Piece {
    pub(super) fn at(pairs: &[usize], host: Option<HostRule>, kind: Kind, methods: MethodsText) -> Piece {
        Piece {
            pairs: pairs.iter().copied().collect(),
            hosts: host.into_iter().map(|host| (host, [kind].into())).collect(),
            methods,
            ..Piece::nothing()
        }
    }

    pub(super) fn nothing() -> Piece {
        Piece {
            pairs: BTreeSet::new(),
            hosts: BTreeMap::new(),
            methods: MethodsText::default(),
            paths: BTreeSet::new(),
            swapped: BTreeSet::new(),
            slots: BTreeSet::new(),
            types: BTreeSet::new(),
            in_part: false,
            witness: None,
        }
    }

    /// Takes in a piece of the same request: other paths, other credentials.
    pub(super) fn join(&mut self, other: Piece) {
        self.pairs.extend(other.pairs);
        for (host, kinds) in other.hosts {
            self.hosts.entry(host).or_default().extend(kinds);
        }
        self.methods.join(other.methods);
        self.paths.extend(other.paths);
        self.swapped.extend(other.swapped);
        self.slots.extend(other.slots);
        self.types.extend(other.types);
        self.in_part |= other.in_part;
        self.witness = match (self.witness.take(), other.witness) {
            (Some(known), Some(other)) => Some(if other.oddness() < known.oddness() { other } else { known }),
            (known, other) => known.or(other),
        };
    }

    pub(super) fn takes(&self, target: &Target) -> bool {
        self.paths.iter().any(|path| path.takes(target))
    }

    /// Whether a request that differs between the policies may do so because of this.
    pub(super) fn covers(&self, aspect: Aspect, pair: usize, kind: Kind, request: &RequestStage<'_>) -> bool {
        let place = self.covers_place(pair, kind, request.authority);
        place
            && self.methods.takes(request.method)
            && self.takes(request.target)
            && self.is_held(aspect, request.tokens)
    }

    pub(super) fn covers_place(&self, pair: usize, kind: Kind, authority: &Authority) -> bool {
        self.pairs.contains(&pair)
            && self.hosts.iter().any(|(host, kinds)| host.ends.cover(authority) && kinds.contains(&kind))
    }

    /// Whether a request holds what it must hold to be concerned.
    fn is_held(&self, aspect: Aspect, tokens: &[Token<'_>]) -> bool {
        match aspect {
            Aspect::Credential | Aspect::Ranges => tokens.iter().any(|token| {
                self.swapped
                    .iter()
                    .any(|swapped| swapped.stub.as_bytes() == token.text && swapped.slot.holds(token.slot))
            }),
            Aspect::ForeignCredential => !tokens.is_empty(),
            Aspect::ForeignPlace => tokens.iter().any(|token| self.slots.iter().any(|slot| slot.holds(token.slot))),
            Aspect::Reach
            | Aspect::WithoutCredential
            | Aspect::StubInBody
            | Aspect::CredentialInResponse
            | Aspect::Body
            | Aspect::Unclear => true,
            Aspect::Stub | Aspect::NoStub => {
                tokens.iter().any(|token| self.swapped.iter().any(|swapped| swapped.stub.as_bytes() == token.text))
            }
            Aspect::Observed | Aspect::NotObserved | Aspect::Connect | Aspect::NoConnect | Aspect::Dns => false,
            // Of no single request can it be said.
            Aspect::Limits => false,
        }
    }
}

/// Joins what can be joined without saying more, and sorts.
pub(super) fn join(found: Vec<(Key, Piece)>) -> Vec<(Key, Piece)> {
    let mut by_key: BTreeMap<Key, Vec<Piece>> = BTreeMap::new();
    for (key, piece) in found {
        by_key.entry(key).or_default().push(piece);
    }
    let mut all = Vec::new();
    for (key, pieces) in by_key {
        let what =
            |piece: &Piece| (piece.paths.clone(), piece.swapped.clone(), piece.slots.clone(), piece.types.clone());
        let hosts = |piece: &Piece| piece.hosts.keys().cloned().collect::<Vec<_>>();
        let pieces = join_by(pieces, |piece| (piece.pairs.clone(), hosts(piece), piece.methods.clone(), what(piece)));
        let pieces = join_by(pieces, |piece| (piece.pairs.clone(), piece.hosts.clone(), what(piece)));
        let pieces = join_by(pieces, |piece| (piece.pairs.clone(), piece.methods.clone(), what(piece)));
        let pieces = join_by(pieces, |piece| (piece.hosts.clone(), piece.methods.clone(), what(piece)));
        all.extend(pieces.into_iter().map(|piece| (key, piece)));
    }
    all
}

fn join_by<K: Ord>(pieces: Vec<Piece>, key: impl Fn(&Piece) -> K) -> Vec<Piece> {
    let mut joined: BTreeMap<K, Piece> = BTreeMap::new();
    for piece in pieces {
        match joined.entry(key(&piece)) {
            std::collections::btree_map::Entry::Occupied(mut known) => known.get_mut().join(piece),
            std::collections::btree_map::Entry::Vacant(place) => drop(place.insert(piece)),
        }
    }
    joined.into_values().collect()
}
