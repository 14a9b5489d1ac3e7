//! Known kinds of credentials, told by their form alone: a beginning that nothing else has, and behind it the right number
//! of the right bytes, with a right checksum where the kind has one.
//!
//! For responses that show a credential which is none of ours: one that was made by the request, or one that somebody
//! left in a file. Nothing is known here of the credentials of policy, so what this does depends on nothing secret.
//! Precision comes first: a text that is shaped a little differently, is part of a longer word, or looks made up
//! (`glpat-xxxxxxxxxxxxxxxxxxxx`) is none. So a response in which nothing is found may hold a credential all the same.
//!
//! What is done about one is policy's decision; [`Gate`] does it to a text that comes in pieces. ADR 0016 says why.

mod form;
mod gate;

use std::fmt;
use std::ops::Range;
use std::sync::LazyLock;

use aho_corasick::{AhoCorasick, MatchKind};

use form::{FORMS, Form, Standing};
pub use gate::Gate;

/// Bytes of the longest credential that is known.
pub const LONGEST: usize = 1024;
/// Bytes of the shortest one.
pub const SHORTEST: usize = 26;
/// Bytes before a text that tell whether it is the middle of a longer word: a JSON escape (`\u000a`) is the longest of those that
/// end in a letter or digit and are none.
const BEFORE: usize = 6;

/// A kind of credential: whose it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Kind {
    /// A token of GitHub's with a checksum: classic, OAuth, of an app's user or installation, for refreshing.
    Github,
    /// A fine-grained token of GitHub's.
    GithubPat,
    /// A key of Anthropic's, or an access or refresh token of Claude's OAuth.
    Anthropic,
    /// A key of an OpenAI project.
    Openai,
    /// A token of npm's, with a checksum.
    Npm,
    /// A token of PyPI's.
    Pypi,
    /// A personal, project or group token of GitLab's.
    Gitlab,
    /// A token of Slack's.
    Slack,
}

impl Kind {
    /// Every kind, in the order of the numbers that they are counted under.
    pub const ALL: [Kind; 8] = [
        Kind::Github,
        Kind::GithubPat,
        Kind::Anthropic,
        Kind::Openai,
        Kind::Npm,
        Kind::Pypi,
        Kind::Gitlab,
        Kind::Slack,
    ];

    /// The word in metrics and the log.
    pub const fn as_str(self) -> &'static str {
        match self {
            Kind::Github => "github",
            Kind::GithubPat => "github_pat",
            Kind::Anthropic => "anthropic",
            Kind::Openai => "openai",
            Kind::Npm => "npm",
            Kind::Pypi => "pypi",
            Kind::Gitlab => "gitlab",
            Kind::Slack => "slack",
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A credential in a text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sight {
    /// Whose it is.
    pub kind: Kind,
    /// Where it stands.
    pub span: Range<usize>,
    /// Bytes of its beginning that say no more than its kind.
    pub prefix: usize,
}

/// How many credentials of each kind were seen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sights([u64; Kind::ALL.len()]);

impl Sights {
    /// Whether there was none.
    pub fn is_empty(&self) -> bool {
        self.total() == 0
    }

    /// How many there were.
    pub fn total(&self) -> u64 {
        self.0.iter().sum()
    }

    /// Counts one.
    pub fn count(&mut self, kind: Kind) {
        if let Some(count) = self.0.get_mut(kind as usize) {
            *count += 1;
        }
    }

    /// Adds what another counted.
    pub fn add(&mut self, other: &Sights) {
        self.0.iter_mut().zip(other.0).for_each(|(own, other)| *own += other);
    }

    /// The kinds that were seen, with their counts.
    pub fn iter(&self) -> impl Iterator<Item = (Kind, u64)> {
        Kind::ALL.into_iter().zip(self.0).filter(|(_, count)| *count > 0)
    }
}

/// Every credential in a whole text but `ours`.
pub fn sights(whole: &[u8], ours: impl Fn(&[u8]) -> bool) -> Vec<Sight> {
    if whole.len() < SHORTEST {
        return Vec::new();
    }
    search(&[], whole, true, &ours).sights
}

/// Makes of a credential one that is none, of the same length: what its kind begins with, and then asterisks.
pub fn mask(text: &mut [u8], sight: &Sight) {
    if let Some(secret) = text.get_mut(sight.span.start + sight.prefix..sight.span.end) {
        secret.fill(b'*');
    }
}

/// What was seen in a piece of text.
struct Seen {
    sights: Vec<Sight>,
    /// From where on it must be seen again, together with what follows.
    settled: usize,
}

/// Looks through `text`, which follows `before`. It goes on unless it `is_ended`.
fn search(before: &[u8], text: &[u8], is_ended: bool, ours: &impl Fn(&[u8]) -> bool) -> Seen {
    let mut sights = Vec::new();
    let mut from = 0;
    for hit in beginnings().into_iter().flat_map(|automaton| automaton.find_iter(text)) {
        let start = hit.start();
        let Some(form) = FORMS.get(hit.pattern().as_usize()) else { continue };
        if start < from || is_inside_word(before, text, start) {
            continue;
        }
        match form.stands(text, start, is_ended) {
            Standing::None => {}
            Standing::Open => return Seen { sights, settled: start },
            Standing::Whole(end) => {
                from = end;
                let span = start..end;
                if !text.get(span.clone()).is_some_and(ours) {
                    sights.push(Sight { kind: form.kind, span, prefix: form.prefix.len() });
                }
            }
        }
    }
    Seen { sights, settled: if is_ended { text.len() } else { tail(before, text, from) } }
}

/// Where the end of `text` begins that may become the beginning of a credential.
fn tail(before: &[u8], text: &[u8], from: usize) -> usize {
    let first = from.max(text.len().saturating_sub(form::LONGEST_PREFIX - 1));
    let may_begin = |start: &usize| {
        let rest = text.get(*start..).unwrap_or_default();
        FORMS.iter().any(|form| form.prefix.as_bytes().starts_with(rest)) && !is_inside_word(before, text, *start)
    };
    (first..text.len()).find(may_begin).unwrap_or(text.len())
}

/// Whether what begins at `start` is the middle of a longer word. A letter that ends an escape (`\n`, `%3D`, `\u0022`) is none.
fn is_inside_word(before: &[u8], text: &[u8], start: usize) -> bool {
    let mut last = [0; BEFORE];
    let earlier = before.iter().chain(text.get(..start).unwrap_or_default()).rev();
    last.iter_mut().rev().zip(earlier).for_each(|(place, byte)| *place = *byte);
    let escaped = match last {
        [b'\\', b'u', digits @ ..] => number(&digits),
        _ => None,
    };
    let byte = escaped.unwrap_or(match last {
        [.., b'%', high, low] => number(&[high, low]).unwrap_or(low),
        [.., b'\\', b'n' | b'r' | b't' | b'b' | b'f'] => b'\\',
        [.., byte] => byte,
    });
    byte.is_ascii_alphanumeric() || byte == b'_'
}

/// What hexadecimal digits stand for; 0 for what is no byte.
fn number(digits: &[u8]) -> Option<u8> {
    let number = digits.iter().try_fold(0, |number, digit| Some(number * 16 + char::from(*digit).to_digit(16)?));
    number.map(|number: u32| u8::try_from(number).unwrap_or(0))
}

/// Finds how credentials begin; [`Form`]s in their order.
fn beginnings() -> Option<&'static AhoCorasick> {
    // A dozen short words: no table is too large. With this kind of match the vectors of the processor are used, which is
    // twenty times as fast; no prefix meets another, so that no match is lost.
    static BEGINNINGS: LazyLock<Option<AhoCorasick>> = LazyLock::new(|| {
        let prefixes = FORMS.iter().map(|form: &Form| form.prefix);
        AhoCorasick::builder().match_kind(MatchKind::LeftmostFirst).build(prefixes).ok()
    });
    BEGINNINGS.as_ref()
}

#[cfg(test)]
mod tests;
