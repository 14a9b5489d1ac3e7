//! Paths worth asking about: for a set of patterns, at least one path of every kind that they can tell apart.
//!
//! The walk decides nothing (law 1): whoever compares two policies asks `grant` and `refuse` for each path that comes
//! out here. It reads patterns symbol by symbol (a character, an encoded character, `/`) and keeps, for what it has
//! read, the set of places at which each pattern could stand. Two beginnings with the same places, and the same chance
//! of staying canonical, are answered alike whatever follows, so that the shorter one stands for both. Of the symbols
//! that can come next only those are tried that some place waits for, `/`, `%2F`, and one that no pattern writes,
//! which stands for all others. So the walk ends, and misses nothing; where it would take too long it says so.

use std::collections::{BTreeSet, HashMap};

use super::{Path, PathPattern, Segment};

/// A pattern, as a rule reads it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Read<'a> {
    pub(crate) pattern: &'a PathPattern,
    pub(crate) way: Way,
}

/// How a rule reads its patterns.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Way {
    /// As an allow or observe rule.
    Grant { encoded_slash: bool },
    /// As a deny rule.
    Refuse,
}

/// What the walk found.
#[derive(Debug, Default)]
pub(crate) struct Walk {
    /// The shorter ones first, each with the patterns (by their position) that could take it.
    pub(crate) paths: Vec<(Path, Vec<usize>)>,
    /// Whether that is all there is.
    pub(crate) complete: bool,
    /// What it took.
    pub(crate) steps: usize,
}

/// Walks. With `everything` some rule takes all paths; else only beginnings count that some allow rule can go on with.
/// Never more steps than `most` are taken.
pub(crate) fn walk(reads: &[Read<'_>], everything: bool, most: usize) -> Walk {
    let net = Net::new(reads);
    let fresh = net.fresh(unusual());
    net.walk(fresh.as_deref(), everything, most)
}

impl Net {
    /// Without a fresh symbol nothing stands for what no pattern writes: what is found then is not all.
    fn walk(&self, fresh: Option<&str>, everything: bool, most: usize) -> Walk {
        let net = self;
        let start = Spot { places: net.start.clone(), ..Spot::default() };
        let mut walk = Walk { paths: Vec::new(), complete: fresh.is_some(), steps: 0 };
        let mut known: HashMap<Spot, ()> = HashMap::from([(start.clone(), ())]);
        let mut level = vec![(start, "/".to_owned())];
        while !level.is_empty() {
            let mut next = Vec::new();
            for (spot, text) in level {
                if let Some(path) = spot.ends().then(|| Path::parse(text.as_bytes()).ok()).flatten() {
                    walk.paths.push((path, net.live(&spot)));
                }
                for symbol in net.awaited(&spot, fresh) {
                    walk.steps = walk.steps.saturating_add(1 + spot.places.len());
                    if walk.steps > most {
                        walk.complete = false;
                        return walk;
                    }
                    let Some(after) = net.step(&spot, &symbol) else { continue };
                    let hopeful = everything || after.places.iter().any(|place| net.grants(*place));
                    if hopeful && known.insert(after.clone(), ()).is_none() {
                        next.push((after, format!("{text}{symbol}")));
                    }
                }
            }
            level = next;
        }
        walk
    }
}

/// All places of all patterns.
#[derive(Default)]
struct Net {
    places: Vec<Place>,
    /// Where patterns begin.
    start: Vec<usize>,
}

/// A place in a pattern, between two symbols.
struct Place {
    read: usize,
    grants: bool,
    /// Whether `%2F` counts as `/`.
    slashed: bool,
    step: Step,
}

enum Step {
    /// Waits for this symbol.
    Symbol { wanted: Box<str>, fold: bool, next: Vec<usize> },
    /// `*`: takes any symbol of the segment and stays.
    Star { encoded_slash: bool, next: Vec<usize> },
    /// `**`: takes any symbol of the segment and stays.
    Deep { encoded_slash: bool, next: Vec<usize> },
    /// A segment of the pattern is taken whole.
    Whole { not_empty: bool, next: Vec<usize> },
}

/// What matters of what was read so far.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
struct Spot {
    /// Sorted.
    places: Vec<usize>,
    segment: Started,
    dots: Dots,
    /// Digits behind a `%25`, plus one.
    percent: u8,
    /// Whether a `%2F` was read, and whether it was the last symbol.
    encoded_slash: bool,
    after_encoded_slash: bool,
    /// With `%2F` read as a slash there would be an empty segment.
    unclear: bool,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
enum Started {
    #[default]
    No,
    Yes,
}

/// Whether the part since the last `/` or `%2F` is a dot segment so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
enum Dots {
    #[default]
    Empty,
    One,
    Two,
    Other,
}

impl Spot {
    fn ends(&self) -> bool {
        !matches!(self.dots, Dots::One | Dots::Two)
    }

    /// Where a symbol leads, patterns apart; `None` if no canonical path goes on so.
    fn after(&self, symbol: &str) -> Option<Spot> {
        let slash = symbol == "/";
        let encoded = symbol == ENCODED_SLASH;
        if (slash || encoded || symbol == "%3B") && !self.ends() {
            return None;
        }
        if slash && self.segment == Started::No {
            return None;
        }
        let hex = symbol.bytes().all(|byte| byte.is_ascii_hexdigit());
        let percent = match (symbol, self.percent) {
            ("%25", _) => 1,
            (_, 1) if hex => 2,
            (_, 2) if hex => return None,
            _ => 0,
        };
        let dots = match (symbol, self.dots) {
            ("/" | ENCODED_SLASH, _) => Dots::Empty,
            (".", Dots::Empty) => Dots::One,
            (".", Dots::One) => Dots::Two,
            _ => Dots::Other,
        };
        let doubled = (slash && self.after_encoded_slash) || (encoded && self.dots == Dots::Empty);
        Some(Spot {
            places: Vec::new(),
            segment: if slash { Started::No } else { Started::Yes },
            dots,
            percent,
            encoded_slash: self.encoded_slash || encoded,
            after_encoded_slash: encoded,
            unclear: self.unclear || doubled,
        })
    }
}

impl Net {
    fn new(reads: &[Read<'_>]) -> Net {
        let mut net = Net::default();
        for (at, read) in reads.iter().enumerate() {
            net.add(at, read, false);
            if read.way == Way::Refuse {
                net.add(at, read, true);
            }
        }
        net
    }

    /// Puts a pattern down from its end to its beginning, so that each place knows the next.
    fn add(&mut self, read: usize, of: &Read<'_>, slashed: bool) {
        let (deny, encoded_slash) = match of.way {
            Way::Grant { encoded_slash } => (false, encoded_slash),
            Way::Refuse => (true, true),
        };
        let mut put = |step: Step| {
            self.places.push(Place { read, grants: !deny, slashed, step });
            self.places.len() - 1
        };
        // A deny rule goes on over a `/` at the end of the path; `**` at its own end does so anyway.
        let ends_deep = matches!(of.pattern.segments.last(), Some(Segment::Deep));
        let ended = (deny && !ends_deep).then(|| put(Step::Whole { not_empty: false, next: Vec::new() }));
        let mut next: Vec<usize> = ended.into_iter().collect();
        let mut is_last = true;
        for segment in of.pattern.segments.iter().rev() {
            next = match segment {
                Segment::Literal(text) => {
                    let mut here = vec![put(Step::Whole { not_empty: false, next })];
                    for wanted in symbols(text).into_iter().rev() {
                        here = vec![put(Step::Symbol { wanted: wanted.into(), fold: deny, next: here })];
                    }
                    here
                }
                Segment::Glob(text) => {
                    let mut here = vec![put(Step::Whole { not_empty: !deny, next })];
                    for wanted in symbols(text).into_iter().rev() {
                        if wanted == "*" {
                            let star = put(Step::Star { encoded_slash: deny, next: here.clone() });
                            here.push(star);
                        } else {
                            here = vec![put(Step::Symbol { wanted: wanted.into(), fold: deny, next: here })];
                        }
                    }
                    here
                }
                Segment::Deep => {
                    let place = put(Step::Deep { encoded_slash, next: next.clone() });
                    let mut here = if deny && !is_last { next } else { Vec::new() };
                    here.push(place);
                    here
                }
            };
            is_last = false;
        }
        self.start.extend(next);
    }

    fn grants(&self, place: usize) -> bool {
        self.places.get(place).is_some_and(|place| place.grants)
    }

    /// The patterns that could answer otherwise than that the path differs.
    fn live(&self, spot: &Spot) -> Vec<usize> {
        let mut live: Vec<usize> =
            spot.places.iter().filter_map(|place| self.places.get(*place)).map(|place| place.read).collect();
        if spot.unclear {
            live.extend(self.places.iter().filter(|place| place.slashed).map(|place| place.read));
        }
        live.sort_unstable();
        live.dedup();
        live
    }

    fn step(&self, spot: &Spot, symbol: &str) -> Option<Spot> {
        let mut after = spot.after(symbol)?;
        let (slash, encoded) = (symbol == "/", symbol == ENCODED_SLASH);
        let empty = spot.segment == Started::No;
        for at in &spot.places {
            let Some(place) = self.places.get(*at) else { continue };
            if place.slashed && after.unclear {
                continue;
            }
            let closes = slash || (encoded && place.slashed);
            let next = match &place.step {
                Step::Symbol { wanted, fold, next } => {
                    let same = **wanted == *symbol || (*fold && wanted.eq_ignore_ascii_case(symbol));
                    if closes || !same { &[] } else { next.as_slice() }
                }
                Step::Whole { not_empty, next } if closes && !(*not_empty && empty) => next,
                Step::Whole { .. } => &[],
                Step::Star { .. } if closes => &[],
                Step::Star { encoded_slash, .. } | Step::Deep { encoded_slash, .. } if encoded && !encoded_slash => &[],
                Step::Deep { .. } if !closes => {
                    after.places.push(*at);
                    &[]
                }
                Step::Star { next, .. } | Step::Deep { next, .. } => {
                    after.places.push(*at);
                    next
                }
            };
            after.places.extend_from_slice(next);
        }
        after.places.sort_unstable();
        after.places.dedup();
        Some(after)
    }

    /// The symbols that could make a difference next, those first that make the plainer path.
    fn awaited(&self, spot: &Spot, fresh: Option<&str>) -> Vec<String> {
        let mut written = BTreeSet::new();
        let mut folded = BTreeSet::new();
        for place in spot.places.iter().filter_map(|at| self.places.get(*at)) {
            let Step::Symbol { wanted, fold, .. } = &place.step else { continue };
            written.insert(wanted.to_string());
            if *fold && wanted.len() == 1 {
                folded.insert(wanted.to_ascii_lowercase());
                folded.insert(wanted.to_ascii_uppercase());
            }
        }
        let last: BTreeSet<String> = ["/", ENCODED_SLASH].map(str::to_owned).into();
        let mut all: Vec<String> = fresh.map(str::to_owned).into_iter().collect();
        all.extend(written.difference(&last).cloned());
        all.extend(folded.difference(&written).cloned());
        all.extend(last);
        all
    }

    /// A symbol that stands in no pattern, in neither case, if there is any among the plain ones and these. It is none
    /// of those that have a meaning of their own.
    fn fresh(&self, others: impl Iterator<Item = String>) -> Option<String> {
        let written: BTreeSet<String> = self
            .places
            .iter()
            .filter_map(|place| match &place.step {
                Step::Symbol { wanted, .. } => Some(wanted.to_ascii_lowercase()),
                Step::Star { .. } | Step::Deep { .. } | Step::Whole { .. } => None,
            })
            .collect();
        let letters = "xzqwyvkjuhgmnlpstorix-_~!$".chars().map(String::from);
        letters.chain(others).find(|symbol| !written.contains(&symbol.to_ascii_lowercase()))
    }
}

/// Encoded characters from U+0100 on, in two, three and four bytes: more than eight hundred thousand.
fn unusual() -> impl Iterator<Item = String> {
    let tails = |before: String| (0x80_u8..=0xbf).map(move |tail| format!("{before}%{tail:02X}"));
    let two = (0xc4_u8..=0xdf).map(|lead| format!("%{lead:02X}")).flat_map(tails);
    let three = (0xe1_u8..=0xec).map(|lead| format!("%{lead:02X}")).flat_map(tails).flat_map(tails);
    let four = (0xf1_u8..=0xf3).map(|lead| format!("%{lead:02X}")).flat_map(tails).flat_map(tails).flat_map(tails);
    two.chain(three).chain(four)
}

/// Characters of a canonical text; an encoded one with all its bytes. UTF-8 tells where a character begins, so that a
/// `*`, which takes bytes, never leaves half of one to what follows it in the pattern.
fn symbols(text: &str) -> Vec<&str> {
    let mut all = Vec::new();
    let mut rest = text;
    while !rest.is_empty() {
        let length = match rest.strip_prefix('%').and_then(|digits| u8::from_str_radix(digits.get(..2)?, 16).ok()) {
            None => 1,
            Some(0..0xc0) => 3,
            Some(0xc0..0xe0) => 6,
            Some(0xe0..0xf0) => 9,
            Some(0xf0..) => 12,
        };
        let (symbol, after) = rest.split_at_checked(length).unwrap_or((rest, ""));
        all.push(symbol);
        rest = after;
    }
    all
}

const ENCODED_SLASH: &str = "%2F";

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;
    use crate::model::paths::{Compared, Paths};

    const PATTERNS: &[&str] = &[
        "/",
        "/a",
        "/A/b",
        "/a/*",
        "/a/**",
        "/**",
        "/a%2Fb",
        "/*%2F*",
        "/**/z",
        "/*",
        "/x*y/**",
        "/*.git/**/a",
        "/%25a*",
        "/.a",
        "/a/",
        "/**/a%2FB/*",
        "/%C3%A9*",
        "/..*",
        "/%3B",
    ];

    fn patterns() -> impl Strategy<Value = Vec<(PathPattern, Way)>> {
        let way = prop_oneof![
            Just(Way::Refuse),
            Just(Way::Grant { encoded_slash: false }),
            Just(Way::Grant { encoded_slash: true })
        ];
        let one =
            (prop::sample::select(PATTERNS), way).prop_map(|(text, way)| (PathPattern::parse(text).unwrap(), way));
        prop::collection::vec(one, 1..4)
    }

    fn answers(patterns: &[(PathPattern, Way)], path: &Path) -> Vec<Compared> {
        patterns
            .iter()
            .map(|(pattern, way)| {
                let some = |encoded_slash| Paths::Some { patterns: [pattern.clone()].into(), encoded_slash };
                match way {
                    Way::Refuse => some(false).refuse(path),
                    Way::Grant { encoded_slash } if some(*encoded_slash).grant(path) => Compared::Matches,
                    Way::Grant { .. } => Compared::Differs,
                }
            })
            .collect()
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2000))]

        #[test]
        fn every_kind_of_answer_that_a_path_can_get_is_walked_to(
            patterns in patterns(),
            paths in prop::collection::vec("(/(a|A|b|B|z|x|y|\\.|%2F|%25|%C3%A9|%3B|git|q){0,5}){1,4}", 40),
        ) {
            let reads: Vec<Read<'_>> = patterns.iter().map(|(pattern, way)| Read { pattern, way: *way }).collect();
            let walk = walk(&reads, true, 10_000_000);
            prop_assert!(walk.complete);
            let known: BTreeSet<String> =
                walk.paths.iter().map(|(path, _)| format!("{:?}", answers(&patterns, path))).collect();
            for path in paths.iter().filter_map(|path| Path::parse(path.as_bytes()).ok()) {
                prop_assert!(known.contains(&format!("{:?}", answers(&patterns, &path))), "{path}");
            }
            for (path, live) in &walk.paths {
                for (at, answer) in answers(&patterns, path).iter().enumerate() {
                    prop_assert!(*answer == Compared::Differs || live.contains(&at), "{path}");
                }
            }
        }
    }

    #[test]
    fn patterns_that_write_every_plain_and_every_short_symbol_hide_nothing() {
        let plain = "abcdefghijklmnopqrstuvwxyz0123456789-_~!$".chars().map(String::from);
        let short =
            (0xc3_u8..=0xdf).flat_map(|lead| (0x80_u8..=0xbf).map(move |tail| format!("%{lead:02X}%{tail:02X}")));
        let written: Vec<PathPattern> =
            plain.chain(short).filter_map(|symbol| PathPattern::parse(&format!("/{symbol}*")).ok()).collect();
        assert!(written.len() > 1500);
        let all = PathPattern::parse("/*").unwrap();
        let mut reads: Vec<Read<'_>> = written.iter().map(|pattern| Read { pattern, way: Way::Refuse }).collect();
        reads.push(Read { pattern: &all, way: Way::Grant { encoded_slash: false } });
        let found = walk(&reads, false, 100_000_000);
        assert!(found.complete);
        let is_granted = |path: &Path| {
            path.as_str().starts_with("/%E1")
                && all.grants(path, false)
                && written.iter().all(|pattern| {
                    let deny = Paths::Some { patterns: [pattern.clone()].into(), encoded_slash: false };
                    deny.refuse(path) == Compared::Differs
                })
        };
        assert!(found.paths.iter().any(|(path, _)| is_granted(path)));
    }

    #[test]
    fn a_walk_that_would_be_too_long_says_so() {
        let patterns: Vec<PathPattern> =
            ["/**/a*b*c/**/d", "/**/*a/*b/*c/**", "/*a*/**/b*"].map(|text| PathPattern::parse(text).unwrap()).into();
        let reads: Vec<Read<'_>> = patterns.iter().map(|pattern| Read { pattern, way: Way::Refuse }).collect();
        assert!(!walk(&reads, true, 100).complete);
    }

    #[test]
    fn a_walk_without_a_fresh_symbol_says_that_it_is_not_all() {
        let pattern = PathPattern::parse("/xzqwyvkjuhgmnlpstorix-_~!$*").unwrap();
        let net = Net::new(&[Read { pattern: &pattern, way: Way::Refuse }]);
        assert_eq!(net.fresh(std::iter::empty()), None);
        assert!(!net.walk(None, true, 1_000_000).complete);
        assert!(net.walk(Some("%C4%80"), true, 1_000_000).complete);
    }

    #[test]
    fn every_symbol_that_may_be_fresh_can_stand_in_a_path() {
        for symbol in unusual().step_by(97) {
            assert_eq!(symbols(&symbol), [symbol.as_str()]);
            assert!(Path::parse(format!("/{symbol}").as_bytes()).is_ok(), "{symbol}");
        }
    }

    #[test]
    fn without_hope_of_an_allow_nothing_is_walked() {
        let pattern = PathPattern::parse("/a/b").unwrap();
        let way = Way::Grant { encoded_slash: false };
        let found = walk(&[Read { pattern: &pattern, way }], false, 1000);
        let texts: Vec<&str> = found.paths.iter().map(|(path, _)| path.as_str()).collect();
        assert_eq!(texts, ["/", "/a", "/a/", "/a/b"]);
    }
}
