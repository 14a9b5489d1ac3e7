//! All needles as one tree: which of them stands at a place of a text, asked once for all.
//!
//! The bytes of all needles stand one after the other in one wiped piece of memory; the tree has only places in it. A
//! text is followed through the tree by every reading of its escapes, so the longest needle in any reading is found, in
//! time that depends on its length alone.

use std::collections::HashSet;

use zeroize::Zeroizing;

use crate::escape::{self, Escape};

const NONE: u32 = u32::MAX;

/// A tree of needles.
pub(crate) struct Trie {
    nodes: Vec<Node>,
    /// Which node a needle that begins with this byte begins in. Says no more than that.
    roots: Zeroizing<Vec<u32>>,
}

/// Some bytes that follow each other without a branch.
struct Node {
    /// Where they stand.
    start: u32,
    length: u32,
    /// The first of the nodes that may follow, and the next one that may stand here instead.
    child: u32,
    sibling: u32,
    /// The needle that ends with these bytes.
    needle: u32,
}

/// A needle at a place of a text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Match {
    /// Its first byte.
    pub(crate) start: usize,
    /// Behind its last.
    pub(crate) end: usize,
    /// Which one.
    pub(crate) needle: u32,
}

/// What stands at a place.
#[derive(Default)]
pub(crate) struct Standing {
    /// The longest needle; of those, the first.
    pub(crate) longest: Option<Match>,
    /// Whether the text ends inside of a needle that may go on.
    pub(crate) may_go_on: bool,
}

/// Where a needle stands in the arena.
#[derive(Clone, Copy)]
pub(crate) struct Place {
    pub(crate) start: u32,
    pub(crate) length: u32,
}

#[derive(Clone, Copy, PartialEq, Eq, Hash)]
struct Reading {
    node: u32,
    /// Bytes of the node that were read.
    read: u32,
    at: usize,
}

impl Trie {
    /// A tree of those needles of `places` that are named. Of equal ones, the first is kept.
    pub(crate) fn new(arena: &[u8], places: &[Place], mut named: Vec<u32>) -> Self {
        let bytes = |needle: &u32| bytes_of(arena, places, *needle);
        named.sort_by(|one, two| bytes(one).cmp(bytes(two)).then(one.cmp(two)));
        named.dedup_by(|later, earlier| bytes(later) == bytes(earlier));
        let mut trie = Trie { nodes: Vec::new(), roots: Zeroizing::new(vec![NONE; 256]) };
        for group in named.chunk_by(|one, two| bytes(one).first() == bytes(two).first()) {
            let node = trie.grow(arena, places, group, 0);
            let first = group.first().and_then(|needle| bytes(needle).first().copied()).unwrap_or_default();
            if let Some(root) = trie.roots.get_mut(usize::from(first)) {
                *root = node;
            }
        }
        trie
    }

    /// The node for sorted needles that agree up to and including the byte at `depth`.
    fn grow(&mut self, arena: &[u8], places: &[Place], group: &[u32], depth: usize) -> u32 {
        let bytes = |needle: &u32| bytes_of(arena, places, *needle).get(depth..).unwrap_or_default();
        let (Some(first), Some(last)) = (group.first(), group.last()) else { return NONE };
        // Sorted: what the first and the last have in common, all have.
        let common = bytes(first).iter().zip(bytes(last)).take_while(|(one, two)| one == two).count();
        let index = u32::try_from(self.nodes.len()).unwrap_or(NONE);
        let start = places.get(*first as usize).map_or(0, |place| place.start + small(depth));
        self.nodes.push(Node { start, length: small(common), child: NONE, sibling: NONE, needle: NONE });
        let ends_here = bytes(first).len() == common;
        let further = if ends_here { group.get(1..).unwrap_or_default() } else { group };
        let mut child = NONE;
        for group in further.chunk_by(|one, two| bytes(one).get(common) == bytes(two).get(common)).rev() {
            let node = self.grow(arena, places, group, depth + common);
            if let Some(node) = self.nodes.get_mut(node as usize) {
                node.sibling = child;
            }
            child = node;
        }
        if let Some(node) = self.nodes.get_mut(index as usize) {
            node.child = child;
            node.needle = if ends_here { *first } else { NONE };
        }
        index
    }

    /// What stands at `start`; with `any_case`, whatever the case of letters.
    pub(crate) fn at(&self, arena: &[u8], text: &[u8], start: usize, any_case: bool, standing: &mut Standing) {
        let mut walk = Walk { trie: self, arena, text, any_case, start, standing, others: Vec::new(), seen: None };
        let mut next = walk.begin();
        while let Some(reading) = next {
            walk.follow(reading);
            next = walk.others.pop();
        }
    }
}

struct Walk<'t> {
    trie: &'t Trie,
    arena: &'t [u8],
    text: &'t [u8],
    any_case: bool,
    start: usize,
    standing: &'t mut Standing,
    /// Readings to be followed yet. More than one is rare: the needle itself must hold `%` or `\`.
    others: Vec<Reading>,
    seen: Option<HashSet<Reading>>,
}

impl Walk<'_> {
    /// The first byte: by one table instead of the many children that a root would have.
    fn begin(&mut self) -> Option<Reading> {
        let byte = *self.text.get(self.start)?;
        let mut first = None;
        self.enter(byte, 1, &mut first);
        if escape::may_begin(byte) {
            match escape::read(self.text.get(self.start..).unwrap_or_default()) {
                Escape::Whole(byte, length) => self.enter(byte, length, &mut first),
                Escape::Cut(high) => {
                    self.standing.may_go_on |= (0..=u8::MAX)
                        .any(|byte| is_of(high, byte) && self.roots(byte).into_iter().flatten().count() > 0);
                }
                Escape::None => {}
            }
        }
        first
    }

    fn enter(&mut self, byte: u8, length: usize, first: &mut Option<Reading>) {
        for node in self.roots(byte).into_iter().flatten() {
            let reading = Reading { node, read: 1, at: self.start + length };
            if let Some(other) = first.replace(reading) {
                self.note(other);
            }
        }
    }

    fn roots(&self, byte: u8) -> [Option<u32>; 2] {
        let root = |byte: u8| self.trie.roots.get(usize::from(byte)).copied().filter(|root| *root != NONE);
        if self.any_case && byte.is_ascii_alphabetic() {
            [root(byte.to_ascii_lowercase()), root(byte.to_ascii_uppercase())]
        } else {
            [root(byte), None]
        }
    }

    /// Follows one reading to its end; where it branches, the other branches are noted.
    fn follow(&mut self, mut reading: Reading) {
        while let Some(node) = self.trie.nodes.get(reading.node as usize) {
            let label = self.arena.get(node.start as usize..(node.start + node.length) as usize).unwrap_or_default();
            let next = match label.get(reading.read as usize) {
                Some(&expected) => {
                    let [raw, escaped] = self.lengths(expected, reading.at);
                    let read = reading.read + 1;
                    let onward = |length| Reading { read, at: reading.at + length, ..reading };
                    match (raw, escaped) {
                        (Some(raw), None) => Some(onward(raw)),
                        (None, Some(escaped)) => Some(onward(escaped)),
                        (Some(raw), Some(escaped)) => {
                            self.note(onward(escaped));
                            Some(onward(raw))
                        }
                        (None, None) => None,
                    }
                }
                None => {
                    if node.needle != NONE {
                        self.stands(Match { start: self.start, end: reading.at, needle: node.needle });
                    }
                    self.branch(node.child, reading.at)
                }
            };
            match next {
                Some(next) => reading = next,
                None => return,
            }
        }
    }

    /// Into which of the children the text goes on.
    fn branch(&mut self, first: u32, at: usize) -> Option<Reading> {
        let mut next = None;
        let mut child = first;
        while let Some(node) = self.trie.nodes.get(child as usize) {
            let expected = self.arena.get(node.start as usize).copied().unwrap_or_default();
            for length in self.lengths(expected, at).into_iter().flatten() {
                let reading = Reading { node: child, read: 1, at: at + length };
                if let Some(other) = next.replace(reading) {
                    self.note(other);
                }
            }
            child = node.sibling;
        }
        next
    }

    /// The lengths of text that may be read as `expected`: a byte, an escape.
    fn lengths(&mut self, expected: u8, at: usize) -> [Option<usize>; 2] {
        let Some(&byte) = self.text.get(at) else {
            self.standing.may_go_on = true;
            return [None, None];
        };
        let raw = self.is(expected, byte).then_some(1);
        if !escape::may_begin(byte) {
            return [raw, None];
        }
        let escaped = match escape::read(self.text.get(at..).unwrap_or_default()) {
            Escape::Whole(byte, length) if self.is(expected, byte) => Some(length),
            Escape::Cut(high) => {
                let cases = if self.any_case {
                    [expected.to_ascii_lowercase(), expected.to_ascii_uppercase()]
                } else {
                    [expected; 2]
                };
                self.standing.may_go_on |= cases.into_iter().any(|expected| is_of(high, expected));
                None
            }
            Escape::Whole(..) | Escape::None => None,
        };
        [raw, escaped]
    }

    fn is(&self, expected: u8, byte: u8) -> bool {
        expected == byte || self.any_case && expected.eq_ignore_ascii_case(&byte)
    }

    fn stands(&mut self, found: Match) {
        let longest = &mut self.standing.longest;
        if longest.is_none_or(|known| (found.end, known.needle) > (known.end, found.needle)) {
            *longest = Some(found);
        }
    }

    /// Readings that met again are followed once, so that their number stays small however they branch.
    fn note(&mut self, reading: Reading) {
        if self.seen.get_or_insert_default().insert(reading) {
            self.others.push(reading);
        }
    }
}

fn is_of(high: Option<u8>, byte: u8) -> bool {
    high.is_none_or(|high| byte >> 4 == high)
}

pub(crate) fn bytes_of<'a>(arena: &'a [u8], places: &[Place], needle: u32) -> &'a [u8] {
    places
        .get(needle as usize)
        .and_then(|place| arena.get(place.start as usize..(place.start + place.length) as usize))
        .unwrap_or_default()
}

fn small(number: usize) -> u32 {
    // The arena is bounded by the builder.
    u32::try_from(number).unwrap_or(NONE)
}

/// The bytes of all needles.
pub(crate) type Arena = Zeroizing<Vec<u8>>;
