//! Paths that were seen, and the patterns that stand for them.
//!
//! Whole segments become `*`, never more, and one at a time: where all the rest is the same and ids were seen that differ
//! (numbers, hashes, UUIDs), or [`MANY`] values of any kind. Who asks chooses what is seen, so that a pattern that has
//! a `*` already takes [`MORE`] ids for the next, the first segment stays as it was, and plain words do where a
//! credential would be used to change something. What every `*` was is kept, to be shown.
//!
//! Law 7: work grows with the bytes that are kept, and these are bounded.

use std::collections::hash_map::RandomState;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::hash::BuildHasher;

use super::because::Because;
use super::seen::Sighting;

/// The paths of one method at one place.
#[derive(Clone, Debug)]
pub(super) struct Paths {
    seen: BTreeMap<Box<str>, Seen>,
    /// What they cost.
    bytes: usize,
    /// Whether words that are no ids may become `*`.
    words: bool,
    /// Even as patterns there were too many.
    full: bool,
}

/// What stands behind a path or pattern.
#[derive(Clone, Debug, Default)]
pub(super) struct Seen {
    pub(super) sighting: Sighting,
    /// What each `*` was, by the number of its segment.
    pub(super) stars: BTreeMap<usize, Values>,
}

/// Some of the values of a segment.
#[derive(Clone, Debug, Default)]
pub(super) struct Values {
    pub(super) some: BTreeSet<Box<str>>,
    /// There were others.
    pub(super) more: bool,
}

impl Paths {
    /// None yet. `words`: whether segments that are no ids may become `*` too.
    pub(super) fn new(words: bool) -> Self {
        Paths { seen: BTreeMap::new(), bytes: 0, words, full: false }
    }

    /// Notes a canonical path without `*`. `kept` is how many bytes of the agent are kept.
    pub(super) fn add(&mut self, path: &str, time: &str, kept: &mut usize) -> Result<(), Because> {
        if let Some(seen) = self.seen.get_mut(path) {
            seen.sighting.see(time);
            return Ok(());
        }
        if path.len() > LONGEST || path.bytes().filter(|byte| *byte == b'/').count() > MOST_SEGMENTS {
            return Err(Because::LONG_PATH);
        }
        let mut seen = Seen::default();
        seen.sighting.see(time);
        let cost = seen.cost(path);
        if !self.full && (self.seen.len() >= MOST || self.bytes + cost > MOST_BYTES) {
            let before = self.bytes;
            self.seen = self.patterns();
            self.bytes = self.seen.iter().map(|(path, seen)| seen.cost(path)).sum();
            *kept = kept.saturating_sub(before).saturating_add(self.bytes);
            self.full = self.seen.len() > MOST / 2 || self.bytes > MOST_BYTES / 2;
        }
        if self.full || *kept + cost > MOST_OF_AGENT {
            return Err(Because::NO_ROOM);
        }
        *kept += cost;
        self.bytes += cost;
        self.seen.insert(path.into(), seen);
        Ok(())
    }

    /// The patterns, each of them canonical; a path that does not vary is its own.
    pub(super) fn patterns(&self) -> BTreeMap<Box<str>, Seen> {
        let mut table = Table::new(&self.seen);
        for _ in 0..MOST_ROUNDS {
            let before = table.rows.len();
            for at in (1..table.longest()).rev() {
                table.join(at, self.words);
            }
            if table.rows.len() == before {
                break;
            }
        }
        table.paths()
    }
}

impl Seen {
    pub(super) fn join(&mut self, other: Seen) {
        self.sighting.join(&other.sighting);
        for (at, values) in other.stars {
            let own = self.stars.entry(at).or_default();
            own.more |= values.more;
            values.some.into_iter().for_each(|value| own.add(value));
        }
    }

    /// Bytes that it takes with its path, about.
    fn cost(&self, path: &str) -> usize {
        let values = self.stars.values().flat_map(|values| &values.some);
        path.len() + OVERHEAD + values.map(|value| value.len() + OVERHEAD).sum::<usize>()
    }
}

impl Values {
    fn add(&mut self, value: Box<str>) {
        if self.some.len() < EXAMPLES || self.some.contains(&value) {
            self.some.insert(value);
        } else {
            self.more = true;
        }
    }
}

/// Paths as numbers of their segments, so that those that differ in one segment are found without comparing all.
struct Table<'a> {
    words: Vec<&'a str>,
    hasher: RandomState,
    rows: Vec<Row>,
}

struct Row {
    segments: Vec<usize>,
    /// The sum of the hashes of all segments: without one of them it is the hash of the rest.
    hash: u64,
    seen: Seen,
}

impl<'a> Table<'a> {
    fn new(paths: &'a BTreeMap<Box<str>, Seen>) -> Self {
        let mut table = Table { words: vec![STAR], hasher: RandomState::new(), rows: Vec::new() };
        let mut numbers = HashMap::from([(STAR, IS_STAR)]);
        for (path, seen) in paths {
            let mut row = Row { segments: Vec::new(), hash: 0, seen: seen.clone() };
            for (at, word) in path.split('/').skip(1).enumerate() {
                let number = *numbers.entry(word).or_insert_with(|| {
                    table.words.push(word);
                    table.words.len() - 1
                });
                row.segments.push(number);
                row.hash = row.hash.wrapping_add(table.hash(at, number));
            }
            table.rows.push(row);
        }
        table
    }

    fn longest(&self) -> usize {
        self.rows.iter().map(|row| row.segments.len()).max().unwrap_or(0)
    }

    fn word(&self, number: usize) -> &'a str {
        self.words.get(number).copied().unwrap_or_default()
    }

    fn hash(&self, at: usize, number: usize) -> u64 {
        self.hasher.hash_one((at, number))
    }

    /// Joins paths that differ in this segment only, if it may vary or is a `*` in one of them already.
    fn join(&mut self, at: usize, words: bool) {
        let mut alike: HashMap<(usize, u64), Vec<usize>> = HashMap::new();
        for (row_at, row) in self.rows.iter().enumerate() {
            if let Some(number) = row.segments.get(at)
                && can_vary(self.word(*number))
            {
                let rest = row.hash.wrapping_sub(self.hash(at, *number));
                alike.entry((row.segments.len(), rest)).or_default().push(row_at);
            }
        }
        let mut into: Vec<Option<usize>> = vec![None; self.rows.len()];
        for group in alike.into_values().filter(|group| group.len() > 1) {
            let group = self.with_the_same_rest(group, at);
            if !self.may_join(&group, at, words) {
                continue;
            }
            let first = group.first().copied();
            for row in group {
                if let Some(into) = into.get_mut(row) {
                    *into = first;
                }
            }
        }
        // A group's first row is the first in the order of rows.
        let mut kept: Vec<Row> = Vec::new();
        let mut places: HashMap<usize, usize> = HashMap::new();
        for (row_at, mut row) in std::mem::take(&mut self.rows).into_iter().enumerate() {
            let Some(first) = into.get(row_at).copied().flatten() else {
                kept.push(row);
                continue;
            };
            self.star(&mut row, at);
            match places.get(&first).and_then(|place| kept.get_mut(*place)) {
                Some(own) => own.seen.join(row.seen),
                None => {
                    places.insert(first, kept.len());
                    kept.push(row);
                }
            }
        }
        self.rows = kept;
    }

    /// Hashes may collide: what is not the same as the first in all the rest is left alone.
    fn with_the_same_rest(&self, mut group: Vec<usize>, at: usize) -> Vec<usize> {
        let rest = |row: usize| {
            let segments = self.rows.get(row).map(|row| row.segments.as_slice()).unwrap_or_default();
            segments.iter().enumerate().filter(move |(place, _)| *place != at)
        };
        if let Some(first) = group.first().copied() {
            group.retain(|row| rest(*row).eq(rest(first)));
        }
        group
    }

    fn may_join(&self, group: &[usize], at: usize, words: bool) -> bool {
        let rows = || group.iter().filter_map(|row| self.rows.get(*row));
        let here = || rows().filter_map(|row| row.segments.get(at).copied());
        if here().any(|number| number == IS_STAR) {
            return true;
        }
        let is_pattern = rows().next().is_some_and(|row| row.segments.contains(&IS_STAR));
        let ids = here().filter(|number| is_id(self.word(*number))).count();
        ids >= if is_pattern { MORE } else { 2 } || (words && group.len() >= MANY)
    }

    fn star(&self, row: &mut Row, at: usize) {
        let Some(own) = row.segments.get_mut(at).filter(|own| **own != IS_STAR) else { return };
        let number = std::mem::replace(own, IS_STAR);
        row.hash = row.hash.wrapping_sub(self.hash(at, number)).wrapping_add(self.hash(at, IS_STAR));
        row.seen.stars.entry(at).or_default().add(self.word(number).into());
    }

    fn paths(self) -> BTreeMap<Box<str>, Seen> {
        let mut paths = BTreeMap::new();
        for row in self.rows {
            let words: Vec<&str> =
                row.segments.iter().map(|number| self.words.get(*number).copied().unwrap_or_default()).collect();
            paths.insert(format!("/{}", words.join("/")).into(), row.seen);
        }
        paths
    }
}

/// `*` is never empty and takes no `%2F`.
fn can_vary(segment: &str) -> bool {
    !segment.is_empty() && !segment.contains("%2F")
}

/// Whether a segment looks like the name of one thing among many: a number, a UUID, a hash, a long random word.
fn is_id(segment: &str) -> bool {
    let bytes = segment.as_bytes();
    let digits = bytes.iter().filter(|byte| byte.is_ascii_digit()).count();
    let hex = bytes.iter().all(u8::is_ascii_hexdigit);
    let is_uuid = || {
        let lengths: Vec<usize> = segment.split('-').map(str::len).collect();
        lengths == [8, 4, 4, 4, 12] && bytes.iter().all(|byte| byte.is_ascii_hexdigit() || *byte == b'-')
    };
    let is_word = || bytes.len() >= 20 && digits >= 3 && bytes.iter().all(u8::is_ascii_alphanumeric);
    (digits > 0 && digits == bytes.len()) || (hex && digits > 0 && bytes.len() >= 7) || is_uuid() || is_word()
}

const STAR: &str = "*";
/// The number of `*` among the words of a table.
const IS_STAR: usize = 0;
/// Different values at one place that make it a place where values vary.
pub(super) const MANY: usize = 8;
/// Different ids at one place of a pattern that make it another.
const MORE: usize = 3;
/// Bytes of a path.
const LONGEST: usize = 2_048;
/// Segments of a path.
const MOST_SEGMENTS: usize = 64;
/// Paths of one method at one place that are kept before they are joined.
const MOST: usize = 4_000;
/// And bytes of them.
const MOST_BYTES: usize = 1 << 20;
/// Bytes of one agent that are kept.
const MOST_OF_AGENT: usize = 4 << 20;
/// Bytes that every text costs beside its own.
const OVERHEAD: usize = 64;
/// Times that all segments are looked at; what could be joined after that stays as it is.
const MOST_ROUNDS: usize = 8;
/// Values that are kept to show what a `*` stands for.
const EXAMPLES: usize = 8;

#[cfg(test)]
mod tests;
