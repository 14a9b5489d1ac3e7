//! Path patterns: `*` within a segment, `**` across segments.
//!
//! In an allow rule a pattern matches as little as its text can mean: `**` stands for one or more segments (the last
//! may be empty, so `/x/**` is `/x/` and below, not `/x`), a segment `*` is never empty, and `%2F` is matched only by
//! a pattern that writes it, or by `**` in a rule that says so. In a deny rule it matches as much as a server could
//! read into it: ASCII case is ignored, `**` between segments may stand for none, a `/` at the end of the path may stand
//! for nothing (`/x` is also `/x/`, though `/x/` is not `/x`), and a path with `%2F` is also compared as if that were a
//! slash.

mod samples;
pub(crate) mod walk;

use std::fmt;

use super::path::{Path, PathError};
use super::prefix::Prefix;

/// The paths of a rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Paths {
    /// All, also those without a canonical form.
    All,
    /// These.
    Some {
        patterns: Box<[PathPattern]>,
        /// Whether `**` takes segments with `%2F`; allow rules only.
        encoded_slash: bool,
    },
}

/// What a deny rule makes of a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Compared {
    Matches,
    Differs,
    /// It could be read as something that matches.
    Unclear,
}

impl Paths {
    /// How the paths begin that could match, each beginning once.
    pub(crate) fn prefixes(&self) -> Vec<Prefix> {
        let Paths::Some { patterns, .. } = self else {
            return vec![Prefix::NONE];
        };
        let mut all: Vec<Prefix> = patterns.iter().map(PathPattern::prefix).collect();
        all.sort_unstable();
        all.dedup();
        all
    }

    /// As an allow rule reads it.
    pub(crate) fn grant(&self, path: &Path) -> bool {
        match self {
            Paths::All => true,
            Paths::Some { patterns, encoded_slash } => {
                let reading = Reading { deny: false, encoded_slash: *encoded_slash };
                patterns.iter().any(|pattern| pattern.matches(path.as_str(), reading))
            }
        }
    }

    /// As a deny rule reads it.
    pub(crate) fn refuse(&self, path: &Path) -> Compared {
        let Paths::Some { patterns, .. } = self else {
            return Compared::Matches;
        };
        let reading = Reading { deny: true, encoded_slash: true };
        let any = |text: &str| patterns.iter().any(|pattern| pattern.matches(text, reading));
        if any(path.as_str()) {
            return Compared::Matches;
        }
        if !path.has_encoded_slash() {
            return Compared::Differs;
        }
        let slashed = path.as_str().replace("%2F", "/");
        if slashed.contains("//") {
            Compared::Unclear
        } else if any(&slashed) {
            Compared::Matches
        } else {
            Compared::Differs
        }
    }

    /// Each pattern, with the same paths as if it stood alone.
    pub(crate) fn each(&self) -> impl Iterator<Item = (&PathPattern, Paths)> {
        let (patterns, encoded_slash) = match self {
            Paths::All => (&[] as &[PathPattern], false),
            Paths::Some { patterns, encoded_slash } => (&**patterns, *encoded_slash),
        };
        patterns.iter().map(move |pattern| (pattern, Paths::Some { patterns: [pattern.clone()].into(), encoded_slash }))
    }
}

/// A pattern, canonical as [`Path`] is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct PathPattern {
    segments: Box<[Segment]>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Segment {
    Literal(Box<str>),
    Glob(Box<str>),
    Deep,
}

/// Why a text is no [`PathPattern`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum PatternError {
    /// No request in canonical form could match it.
    Path(PathError),
    /// `**` as part of a segment.
    Deep,
}

#[derive(Clone, Copy)]
struct Reading {
    deny: bool,
    encoded_slash: bool,
}

impl PathPattern {
    /// Reads a pattern of a policy file.
    pub(crate) fn parse(text: &str) -> Result<PathPattern, PatternError> {
        let path = Path::parse(text.as_bytes()).map_err(PatternError::Path)?;
        let segments: Result<Box<[Segment]>, PatternError> = path.segments().map(Segment::parse).collect();
        Ok(PathPattern { segments: segments? })
    }

    /// Whether it is `/**`, which in a deny rule is every path there is.
    pub(crate) fn is_everything(&self) -> bool {
        matches!(*self.segments, [Segment::Deep])
    }

    /// The literal segments in front.
    fn prefix(&self) -> Prefix {
        let mut prefix = Prefix::NONE;
        for segment in &self.segments {
            match segment {
                Segment::Literal(text) => match prefix.and(text) {
                    Some(longer) => prefix = longer,
                    None => return prefix,
                },
                Segment::Glob(_) | Segment::Deep => return prefix,
            }
        }
        prefix
    }

    /// Whether an allow rule with this pattern alone takes the path.
    pub(crate) fn grants(&self, path: &Path, encoded_slash: bool) -> bool {
        self.matches(path.as_str(), Reading { deny: false, encoded_slash })
    }

    fn matches(&self, path: &str, reading: Reading) -> bool {
        let path = path.strip_prefix('/').unwrap_or(path);
        segments_match(&self.segments, Some(path), reading)
    }
}

impl fmt::Display for PathPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.segments.iter().try_for_each(|segment| match segment {
            Segment::Literal(text) | Segment::Glob(text) => write!(f, "/{text}"),
            Segment::Deep => f.write_str("/**"),
        })
    }
}

impl Segment {
    fn parse(text: &str) -> Result<Segment, PatternError> {
        match text {
            "**" => Ok(Segment::Deep),
            text if text.contains("**") => Err(PatternError::Deep),
            text if text.contains('*') => Ok(Segment::Glob(text.into())),
            text => Ok(Segment::Literal(text.into())),
        }
    }

    fn matches(&self, segment: &str, reading: Reading) -> bool {
        match self {
            Segment::Literal(text) if reading.deny => text.eq_ignore_ascii_case(segment),
            Segment::Literal(text) => **text == *segment,
            Segment::Glob(_) if segment.is_empty() && !reading.deny => false,
            Segment::Glob(text) => glob(text, segment, reading.deny),
            Segment::Deep => reading.encoded_slash || !segment.contains("%2F"),
        }
    }
}

/// Matches segment by segment, going back to the last `**` only: what an earlier one could take in addition, the last
/// can take as well. `None` is the end of the path.
fn segments_match(pattern: &[Segment], path: Option<&str>, reading: Reading) -> bool {
    let (mut pattern, mut path) = (pattern, path);
    let mut back: Option<(&[Segment], &str)> = None;
    loop {
        match (pattern, path) {
            ([Segment::Deep, after @ ..], Some(rest)) => {
                let none = reading.deny && !after.is_empty();
                if none {
                    back = Some((after, rest));
                    pattern = after;
                    continue;
                }
                let (segment, next) = cut(rest);
                if Segment::Deep.matches(segment, reading) {
                    back = next.map(|next| (after, next));
                    (pattern, path) = (after, next);
                    continue;
                }
            }
            ([first, after @ ..], Some(rest)) => {
                let (segment, next) = cut(rest);
                if first.matches(segment, reading) {
                    (pattern, path) = (after, next);
                    continue;
                }
            }
            ([], None) => return true,
            // All that is left is a `/` at the end, which many servers take off.
            ([], Some("")) if reading.deny => return true,
            ([], Some(_)) | ([_, ..], None) => {}
        }
        let Some((after, rest)) = back else {
            return false;
        };
        let (segment, next) = cut(rest);
        if !Segment::Deep.matches(segment, reading) {
            return false;
        }
        back = next.map(|next| (after, next));
        (pattern, path) = (after, next);
    }
}

fn cut(path: &str) -> (&str, Option<&str>) {
    path.split_once('/').map_or((path, None), |(segment, rest)| (segment, Some(rest)))
}

/// `*` within one segment. It never takes part of an encoded byte, and takes `%2F` in deny rules only.
fn glob(pattern: &str, text: &str, fold: bool) -> bool {
    let same = |a: &str, b: &str| a == b || (fold && a.eq_ignore_ascii_case(b));
    let (mut pattern, mut text) = (pattern, text);
    let mut back: Option<(&str, &str)> = None;
    loop {
        if let Some(after) = pattern.strip_prefix('*') {
            back = Some((after, text));
            pattern = after;
            continue;
        }
        let (wanted, after) = unit(pattern);
        let (found, rest) = unit(text);
        if same(wanted, found) {
            if found.is_empty() {
                return true;
            }
            (pattern, text) = (after, rest);
            continue;
        }
        let Some((after, from)) = back else {
            return false;
        };
        let (taken, rest) = unit(from);
        if taken.is_empty() || (taken == "%2F" && !fold) {
            return false;
        }
        back = Some((after, rest));
        (pattern, text) = (after, rest);
    }
}

/// One character, or one encoded byte.
fn unit(text: &str) -> (&str, &str) {
    let length = if text.starts_with('%') { 3 } else { 1 };
    text.split_at_checked(length).unwrap_or((text, ""))
}
