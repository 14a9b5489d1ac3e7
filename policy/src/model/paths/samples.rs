//! Paths that stand for all that a pattern can match, so that rules are compared by asking the one matcher.
//!
//! Law 1: nothing here compares two patterns. A pattern is turned into paths in which each wildcard is written as a
//! `*`, which is a character of a path like others, and which no literal segment of a pattern holds: only a wildcard
//! takes it. Rules that match all these paths match all that the pattern does.

use super::{Path, PathPattern, Paths, Segment};

/// Most paths that stand for one rule; a rule that needs more is not compared.
const MOST: usize = 96;

impl Paths {
    /// The paths that stand for these, as an allow rule reads them or as a deny rule does. `None` for all paths, and
    /// where there would be too many.
    pub(crate) fn samples(&self, deny: bool) -> Option<Vec<Path>> {
        let Paths::Some { patterns, encoded_slash } = self else {
            return None;
        };
        let mut all = Vec::new();
        for pattern in patterns {
            pattern.samples(deny, *encoded_slash, &mut all)?;
        }
        Some(all)
    }
}

impl PathPattern {
    fn samples(&self, deny: bool, encoded_slash: bool, into: &mut Vec<Path>) -> Option<()> {
        let mut heads = vec![String::new()];
        let last = self.segments.len().saturating_sub(1);
        for (at, segment) in self.segments.iter().enumerate() {
            let ways: Vec<&str> = match segment {
                Segment::Literal(text) | Segment::Glob(text) => {
                    heads.iter_mut().for_each(|head| head.extend(["/", text]));
                    continue;
                }
                Segment::Deep => {
                    // As few segments as it takes, some, and more than a pattern without `**` has.
                    let few = if at == last { "/" } else { "" };
                    let mut ways = vec!["/*", "/*/*", "/*/*/*", MANY];
                    ways.extend((deny || at == last).then_some(few));
                    ways.extend(encoded_slash.then_some("/*%2F*"));
                    ways
                }
            };
            heads = heads.iter().flat_map(|head| ways.iter().map(move |way| format!("{head}{way}"))).collect();
            if heads.len() + into.len() > MOST {
                return None;
            }
        }
        into.extend(heads.iter().filter_map(|text| Path::parse(text.as_bytes()).ok()));
        Some(())
    }
}

const MANY: &str = "/*/*/*/*/*/*/*/*/*/*/*/*";

#[cfg(test)]
mod tests {
    use super::super::{Compared, PathPattern, Paths};

    fn paths(text: &str) -> Paths {
        let patterns = text.split(' ').map(|text| PathPattern::parse(text).unwrap()).collect();
        Paths::Some { patterns, encoded_slash: false }
    }

    #[test]
    fn samples_are_taken_only_by_what_takes_the_whole_pattern() {
        for (wide, narrow, covered) in [
            ("/**", "/x/**", true),
            ("/x/**", "/x/**", true),
            ("/x/**", "/x", false),
            ("/x/**", "/x/y/*/z", true),
            ("/x/*", "/x/**", false),
            ("/x/* /x/*/* /x/*/*/* /x/", "/x/**", false),
            ("/x/*/**", "/x/**", false),
            ("/x/*", "/x/a*b", true),
            ("/x/a*", "/x/a*b", true),
            ("/x/a*b", "/x/a*", false),
            ("/x/a*", "/x/*", false),
            ("/*/y", "/x/y", true),
            ("/**/y", "/x/*/y", true),
            ("/**/y", "/**/z/y", true),
            ("/**/z/y", "/**/y", false),
            ("/*/b/**", "/**/b/**", false),
            ("/x/a /x/b", "/x/b", true),
        ] {
            let asked = paths(narrow).samples(false).unwrap();
            assert!(!asked.is_empty());
            assert_eq!(asked.iter().all(|path| paths(wide).grant(path)), covered, "{wide} {narrow}");
        }
    }

    #[test]
    fn a_deny_rule_is_sampled_as_it_reads() {
        let asked = paths("/a/**/b").samples(true).unwrap();
        let all = |deny: &str| asked.iter().all(|path| paths(deny).refuse(path) == Compared::Matches);
        assert!(all("/A/**"));
        assert!(all("/a/**/b"));
        assert!(!all("/a/*/**/b"));
    }

    #[test]
    fn too_many_samples_are_none() {
        assert_eq!(paths("/**/a/**/b/**/c/**").samples(false), None);
        assert_eq!(Paths::All.samples(false), None);
    }
}
