//! One search over a piece of text: candidates from the quick look, and what stands there.
//!
//! The first needle counts; of several that begin at one place the longest, and of those in several readings or of several
//! owners the one that was given first. What was found is not looked into again.
//!
//! Where a needle may begin is told by three things that together are complete:
//! - the [`Filter`], for needles whose first `window` bytes are not escaped;
//! - each escape, for needles that have their first escape there: they begin less than `window` bytes before it;
//! - for a text that goes on, each of its last places, where a needle could have begun of which too little is seen.

use std::sync::Arc;

use memchr::memchr2;
use zeroize::Zeroizing;

use crate::escape::{self, Escape};
use crate::filter::{Filter, Hits};
use crate::tail::Shape;
use crate::trie::{Arena, Match, Place, Standing, Trie, bytes_of};

/// Needles, replacements and tables; never changes.
pub(crate) struct Engine {
    pub(crate) arena: Arena,
    pub(crate) places: Vec<Place>,
    /// Of the same places as the arena.
    pub(crate) replacements: Vec<u8>,
    /// One for each needle.
    pub(crate) owners: Vec<Arc<str>>,
    pub(crate) exact: Trie,
    pub(crate) folded: Trie,
    /// Whether a needle stands in the second tree.
    pub(crate) is_folded: Vec<bool>,
    pub(crate) filter: Filter,
    pub(crate) shape: Shape,
}

/// What is known of how a text goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mode {
    /// It does, now or later: a needle of which a longer one could become does not count yet.
    Flowing,
    /// It does not.
    Ended,
}

/// What a search found.
pub(crate) struct Found {
    pub(crate) found: Vec<Match>,
    /// From where on the text must be seen again, together with what follows.
    pub(crate) settled: usize,
}

impl Found {
    /// Leaves what begins from `tail` on for the next search, and never a part of a match.
    fn up_to(mut self, tail: usize) -> Self {
        debug_assert!(tail <= self.settled, "what may go on has the shape of a needle");
        self.found.retain(|found| found.start < tail);
        self.settled = self.found.last().map_or(0, |last| last.end).max(tail.min(self.settled));
        self
    }
}

impl Engine {
    pub(crate) fn needles(&self) -> usize {
        self.places.len()
    }

    /// Searches `text`; with `any_case`, letters match in either case.
    pub(crate) fn search(&self, text: &[u8], mode: Mode, any_case: bool) -> Found {
        // From here on a needle might begin, of which the window is not there yet, or an escape in it is cut.
        let tail = match mode {
            Mode::Flowing => text.len().saturating_sub(self.filter.window() + escape::LONGEST - 1),
            Mode::Ended => text.len(),
        };
        let mut found = Vec::new();
        let mut plain = Plain { hits: Hits::default(), next: None };
        let mut escaped = Escaped::default();
        let mut from = 0;
        while from < text.len() {
            let start = if from < tail {
                let plain = plain.next(&self.filter, text, from);
                let escaped = escaped.next(&self.filter, text, from);
                plain.unwrap_or(tail).min(escaped.unwrap_or(tail)).min(tail)
            } else {
                from
            };
            if start >= text.len() {
                break;
            }
            from = start + 1;
            if !self.filter.may_start(text.get(start..).unwrap_or_default()) {
                continue;
            }
            let mut standing = Standing::default();
            self.exact.at(&self.arena, text, start, any_case, &mut standing);
            self.folded.at(&self.arena, text, start, true, &mut standing);
            if mode == Mode::Flowing && standing.may_go_on {
                return Found { found, settled: start };
            }
            if let Some(longest) = standing.longest {
                from = longest.end;
                found.push(longest);
            }
        }
        Found { found, settled: text.len() }
    }

    /// Searches a text that goes on. Where it is settled depends on the shape of its end, and not on how a needle begins.
    pub(crate) fn search_flowing(&self, text: &[u8]) -> Found {
        self.search(text, Mode::Flowing, false).up_to(self.shape.tail(text))
    }

    /// Searches a text that is over.
    pub(crate) fn search_whole(&self, text: &[u8]) -> Found {
        self.search(text, Mode::Ended, false)
    }

    pub(crate) fn needle(&self, needle: u32) -> &[u8] {
        bytes_of(&self.arena, &self.places, needle)
    }

    pub(crate) fn replacement(&self, needle: u32) -> &[u8] {
        bytes_of(&self.replacements, &self.places, needle)
    }
}

/// Beginnings without an escape in their window, remembered until they are passed.
struct Plain {
    hits: Hits,
    next: Option<Option<usize>>,
}

impl Plain {
    fn next(&mut self, filter: &Filter, text: &[u8], from: usize) -> Option<usize> {
        match self.next {
            Some(None) => None,
            Some(Some(next)) if next >= from => Some(next),
            Some(Some(_)) | None => {
                let next = filter.next_start(text, from, &mut self.hits);
                self.next = Some(next);
                next
            }
        }
    }
}

/// Beginnings with an escape in their window.
#[derive(Default)]
struct Escaped {
    /// Where to look for the next escape.
    next: usize,
    /// The last escape, and the distances before it at which a needle may begin.
    at: usize,
    distances: u16,
}

impl Escaped {
    fn next(&mut self, filter: &Filter, text: &[u8], from: usize) -> Option<usize> {
        loop {
            while self.distances != 0 {
                let distance = self.distances.ilog2();
                match self.at.checked_sub(distance as usize) {
                    Some(start) if start >= from => return Some(start),
                    _ => self.distances &= !(1 << distance),
                }
            }
            // An escape before `from` may be in the window of no needle from there on.
            self.next = self.next.max(from);
            self.at = self.next + memchr2(b'%', b'\\', text.get(self.next..)?)?;
            self.next = self.at + 1;
            let text = text.get(self.at..).unwrap_or_default();
            if let Escape::Whole(byte, _) = escape::read(text) {
                // A needle may have the byte itself here, and an escape further on.
                self.distances = filter.early(byte) | text.first().map_or(0, |raw| filter.early(*raw));
            }
        }
    }
}

/// For the builder.
pub(crate) fn wiped(bytes: usize) -> Arena {
    Zeroizing::new(Vec::with_capacity(bytes))
}
