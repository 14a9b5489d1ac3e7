//! Paths that were seen, and the patterns that stand for them.
//!
//! Whole segments become `*`, never more: where ids were seen that differ (numbers, hashes, UUIDs), or [`MANY`] values
//! of any kind, while all other segments of the path stayed the same. What was seen once stays as it was.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

use super::because::Because;
use super::seen::Sighting;

/// The paths of one method at one place.
#[derive(Clone, Debug, Default)]
pub(super) struct Paths {
    seen: BTreeMap<Box<str>, Seen>,
    /// Even as patterns there were too many.
    full: bool,
}

/// What stands behind a path or pattern.
#[derive(Clone, Debug, Default)]
pub(super) struct Seen {
    pub(super) sighting: Sighting,
    /// Some of the paths, if it is a pattern.
    pub(super) examples: Vec<Box<str>>,
}

impl Paths {
    /// Notes a canonical path without `*`. `kept` is how many paths of the agent are kept.
    pub(super) fn add(&mut self, path: &str, time: &str, kept: &mut usize) -> Result<(), Because> {
        if let Some(seen) = self.seen.get_mut(path) {
            seen.sighting.see(time);
            return Ok(());
        }
        if self.full || *kept >= MOST_OF_AGENT {
            return Err(Because::NO_ROOM);
        }
        if self.seen.len() >= MOST {
            let before = self.seen.len();
            self.seen = self.patterns();
            *kept = kept.saturating_sub(before - self.seen.len());
            self.full = self.seen.len() > MOST / 2;
        }
        *kept += 1;
        let mut seen = Seen::default();
        seen.sighting.see(time);
        self.seen.insert(path.into(), seen);
        Ok(())
    }

    /// The patterns, each of them canonical; a path that does not vary is its own.
    pub(super) fn patterns(&self) -> BTreeMap<Box<str>, Seen> {
        let mut all: BTreeMap<Segments, Seen> = BTreeMap::new();
        for (path, seen) in &self.seen {
            let segments = path.split('/').skip(1).map(Box::from).collect();
            let mut seen = seen.clone();
            if seen.examples.is_empty() {
                seen.examples.push(path.clone());
            }
            all.insert(segments, seen);
        }
        let mut all = join_ids(all);
        loop {
            let before = all.len();
            let longest = all.keys().map(Vec::len).max().unwrap_or(0);
            for at in (0..longest).rev() {
                all = join_many(all, at);
            }
            if all.len() == before {
                break;
            }
        }
        all.into_iter().map(|(segments, seen)| (format!("/{}", segments.join("/")).into(), seen)).collect()
    }
}

type Segments = Vec<Box<str>>;

impl Seen {
    pub(super) fn join(&mut self, other: Seen) {
        self.sighting.join(&other.sighting);
        let room = EXAMPLES.saturating_sub(self.examples.len());
        self.examples.extend(other.examples.into_iter().take(room));
    }
}

/// Joins paths that differ in ids only.
fn join_ids(all: BTreeMap<Segments, Seen>) -> BTreeMap<Segments, Seen> {
    let mut alike: BTreeMap<Segments, Vec<(Segments, Seen)>> = BTreeMap::new();
    for (segments, seen) in all {
        let shape = segments.iter().map(|text| if **text == *STAR || is_id(text) { STAR.into() } else { text.clone() });
        alike.entry(shape.collect()).or_default().push((segments, seen));
    }
    let mut joined = BTreeMap::new();
    for (_, group) in alike {
        insert(&mut joined, group);
    }
    joined
}

/// Joins paths that differ at one place only, if many do, or if one of them is a pattern there already.
fn join_many(all: BTreeMap<Segments, Seen>, at: usize) -> BTreeMap<Segments, Seen> {
    let mut alike: BTreeMap<Segments, Vec<(Segments, Seen)>> = BTreeMap::new();
    let mut joined = BTreeMap::new();
    for (segments, seen) in all {
        match segments.get(at) {
            Some(text) if can_vary(text) => {
                let mut rest = segments.clone();
                if let Some(hole) = rest.get_mut(at) {
                    *hole = Box::default();
                }
                alike.entry(rest).or_default().push((segments, seen));
            }
            _ => {
                joined.insert(segments, seen);
            }
        }
    }
    for (_, group) in alike {
        let starred = group.iter().any(|(segments, _)| segments.get(at).is_some_and(|text| **text == *STAR));
        if group.len() >= MANY || starred {
            insert(&mut joined, group);
        } else {
            joined.extend(group);
        }
    }
    joined
}

/// One pattern for a group: `*` where its paths differ.
fn insert(into: &mut BTreeMap<Segments, Seen>, group: Vec<(Segments, Seen)>) {
    let mut group = group.into_iter();
    let Some((mut pattern, mut seen)) = group.next() else { return };
    for (segments, more) in group {
        for (own, other) in pattern.iter_mut().zip(segments) {
            if *own != other {
                *own = STAR.into();
            }
        }
        seen.join(more);
    }
    match into.entry(pattern) {
        Entry::Vacant(entry) => {
            entry.insert(seen);
        }
        Entry::Occupied(mut entry) => entry.get_mut().join(seen),
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
/// Different values at one place that make it a place where values vary.
pub(super) const MANY: usize = 8;
/// Paths of one method at one place that are kept before they are joined.
const MOST: usize = 4_000;
/// Paths of one agent that are kept.
const MOST_OF_AGENT: usize = 20_000;
/// Paths that are kept to show what a pattern stands for.
const EXAMPLES: usize = 3;

#[cfg(test)]
mod tests {
    use super::*;

    fn patterns(paths: &[&str]) -> Vec<String> {
        let mut all = Paths::default();
        for path in paths {
            all.add(path, "2026-11-20T00:00:00.000000Z", &mut 0).unwrap();
        }
        all.patterns().keys().map(ToString::to_string).collect()
    }

    #[test]
    fn segments_that_vary_become_stars_and_nothing_else_does() {
        let uuid = ["/u/0e2b7c1a-0c58-4a71-9d3e-0123456789ab", "/u/1e2b7c1a-0c58-4a71-9d3e-0123456789ab"];
        for (paths, expected) in [
            (&["/a"][..], &["/a"][..]),
            (&["/repos/acme/site/issues/7"], &["/repos/acme/site/issues/7"]),
            (&["/repos/acme/site/issues/7", "/repos/acme/site/issues/8"], &["/repos/acme/site/issues/*"]),
            (&["/o/1/i/10", "/o/2/i/11"], &["/o/*/i/*"]),
            (&["/o/1/i/10", "/o/1/i/11"], &["/o/1/i/*"]),
            (&["/o/1/x", "/o/2/y"], &["/o/1/x", "/o/2/y"]),
            (&["/c/3f2a91b", "/c/0a1b2c3d4e"], &["/c/*"]),
            (&uuid, &["/u/*"]),
            (&["/i/1", "/i/2", "/i/new"], &["/i/*"]),
            (&["/i/1", "/i/2", "/i/"], &["/i/", "/i/*"]),
            (&["/i/1", "/i/2", "/i/a%2Fb"], &["/i/*", "/i/a%2Fb"]),
            (&["/d/a", "/d/b", "/d/c"], &["/d/a", "/d/b", "/d/c"]),
            (&["/d/a", "/d/b", "/d/c", "/d/d", "/d/e", "/d/f", "/d/g", "/d/h"], &["/d/*"]),
            (
                &["/d/a", "/d/b", "/d/c", "/d/d", "/d/e", "/d/f", "/d/g", "/d/h/x"],
                &["/d/a", "/d/b", "/d/c", "/d/d", "/d/e", "/d/f", "/d/g", "/d/h/x"],
            ),
        ] {
            assert_eq!(patterns(paths), expected, "{paths:?}");
        }
    }

    #[test]
    fn what_looks_like_an_id() {
        for id in ["7", "123456", "3f2a91b", "0e2b7c1a-0c58-4a71-9d3e-0123456789ab", "msg01AbCdEf9876543210"] {
            assert!(is_id(id), "{id}");
        }
        for word in ["", "v1", "issues", "deadbeef", "1.2.3", "my-great-project-of-2024", "0e2b7c1a-0c58"] {
            assert!(!is_id(word), "{word}");
        }
    }

    #[test]
    fn a_flood_of_paths_stays_bounded() {
        let mut all = Paths::default();
        let mut kept = 0;
        for number in 0..3 * MOST {
            let _ = all.add(&format!("/x/{number}"), "2026-11-20T00:00:00Z", &mut kept);
        }
        assert!(all.seen.len() <= MOST && kept <= MOST, "{kept}");
        let patterns = all.patterns();
        let (pattern, seen) = patterns.first_key_value().unwrap();
        assert_eq!((&**pattern, seen.sighting.count), ("/x/*", 3 * MOST as u64));
        assert_eq!(seen.examples.len(), EXAMPLES);
        let mut all = Paths::default();
        let refused = (0..3 * MOST)
            .filter(|n| all.add(&format!("/{}", "x/".repeat(*n % 5 + n / 5 % 900)), "", &mut kept).is_err());
        let _ = refused.count();
        assert!(all.seen.len() <= MOST);
    }
}
