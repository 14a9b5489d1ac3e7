//! What a parameter's value may be. A value that passes here fits its place and nothing else: no `/`, `*`, `%`, `{` or
//! `:` ever comes from one into a path.

use thiserror::Error;

use crate::model::hosts::{HostPattern, HostRule, HostRuleError, Place};
use crate::model::path;

/// Longest path segment in bytes.
const MAX_SEGMENT: usize = 128;

/// What a parameter's value is read as.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// One host, as in a rule, without wildcard.
    Host,
    /// A list of hosts, as in a rule, without wildcards.
    Hosts,
    /// A list of texts, each one segment of a path.
    Segments,
    /// A list of repositories, each OWNER/NAME: two segments of a path.
    Repositories,
}

impl Kind {
    /// Every kind.
    pub const ALL: [Kind; 4] = [Kind::Host, Kind::Hosts, Kind::Segments, Kind::Repositories];

    /// As a preset's file writes it.
    pub fn as_str(self) -> &'static str {
        match self {
            Kind::Host => "host",
            Kind::Hosts => "hosts",
            Kind::Segments => "segments",
            Kind::Repositories => "repositories",
        }
    }

    /// An example of a value, as YAML.
    pub fn example(self) -> &'static str {
        match self {
            Kind::Host => "server.example.com",
            Kind::Hosts => "[mirror.example.com]",
            Kind::Segments => "[node1]",
            Kind::Repositories => "[acme/site]",
        }
    }

    /// Whether the value is a list.
    pub fn is_list(self) -> bool {
        match self {
            Kind::Host => false,
            Kind::Hosts | Kind::Segments | Kind::Repositories => true,
        }
    }

    /// Whether it stands in `hosts`; else it stands in `paths`.
    pub(crate) fn is_host(self) -> bool {
        match self {
            Kind::Host | Kind::Hosts => true,
            Kind::Segments | Kind::Repositories => false,
        }
    }
}

/// Why a text does not fit.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub(crate) enum ValueError {
    #[error("it is not a host")]
    Host(HostRuleError),
    #[error("a wildcard may not stand here")]
    Wildcard,
    #[error("it is not one segment of a path")]
    Segment,
    #[error("it is not OWNER/NAME")]
    Repository,
    #[error("a repository is named without `.git`")]
    Git,
}

/// Reads one text of a value.
pub(crate) fn check(kind: Kind, text: &str) -> Result<(), ValueError> {
    match kind {
        Kind::Host | Kind::Hosts => match HostRule::parse(text, Place::Grant).map_err(ValueError::Host)?.pattern {
            HostPattern::Exact(_) | HostPattern::Ip(_) => Ok(()),
            HostPattern::One(_) | HostPattern::Deep(_) | HostPattern::Any => Err(ValueError::Wildcard),
        },
        Kind::Segments if is_segment(text) => Ok(()),
        Kind::Segments => Err(ValueError::Segment),
        Kind::Repositories => match text.split_once('/') {
            Some((owner, name)) if is_segment(owner) && is_segment(name) => {
                let suffix = name.len().checked_sub(4).and_then(|at| name.get(at..));
                if suffix.is_some_and(|suffix| suffix.eq_ignore_ascii_case(".git")) {
                    return Err(ValueError::Git);
                }
                Ok(())
            }
            Some(_) | None => Err(ValueError::Repository),
        },
    }
}

/// Bytes that stand for themselves in a path, and no dot segment.
fn is_segment(text: &str) -> bool {
    !matches!(text, "" | "." | "..") && text.len() <= MAX_SEGMENT && text.bytes().all(path::is_unreserved)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::model::paths::PathPattern;

    #[test]
    fn a_value_is_what_its_kind_says_and_no_more() {
        for (kind, text, good) in [
            (Kind::Segments, "node1", true),
            (Kind::Segments, "a.b-c_d~e", true),
            (Kind::Segments, "", false),
            (Kind::Segments, "..", false),
            (Kind::Segments, "*", false),
            (Kind::Segments, "a/b", false),
            (Kind::Segments, "%2F", false),
            (Kind::Segments, "{repositories}", false),
            (Kind::Repositories, "acme/site", true),
            (Kind::Repositories, "acme/site.wiki", true),
            (Kind::Repositories, "acme", false),
            (Kind::Repositories, "acme/", false),
            (Kind::Repositories, "acme/site/hooks", false),
            (Kind::Repositories, "acme/*", false),
            (Kind::Repositories, "acme/..", false),
            (Kind::Repositories, "acme/site.git", false),
            (Kind::Repositories, "acme/site.GIT", false),
            (Kind::Host, "server.example.com:8006", true),
            (Kind::Host, "http://server.example.com", true),
            (Kind::Host, "10.0.0.5:8006", true),
            (Kind::Host, "*.example.com", false),
            (Kind::Host, "any", false),
            (Kind::Hosts, "server.example.com/x", false),
            (Kind::Hosts, "user@server.example.com", false),
        ] {
            assert_eq!(check(kind, text).is_ok(), good, "{kind:?} {text}");
        }
    }

    proptest! {
        #[test]
        fn no_value_changes_the_number_of_segments_or_is_a_wildcard(text in "\\PC{0,12}|[a./*%{}~-]{1,6}") {
            for (kind, segments) in [(Kind::Segments, 1), (Kind::Repositories, 2)] {
                if check(kind, &text).is_ok() {
                    let path = format!("/before/{text}/after");
                    let pattern = PathPattern::parse(&path).unwrap();
                    prop_assert_eq!(pattern.to_string(), path.clone());
                    prop_assert!(!text.contains('*'));
                    prop_assert_eq!(path.split('/').count(), segments + 3);
                }
            }
        }
    }
}
