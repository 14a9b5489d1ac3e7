//! From the configuration of another proxy to a policy and a `stubgate.yaml`, as texts for a person to review.
//!
//! What has no equivalent is a [`Note`] with the line that it is about, and is left out. Nothing becomes wider in silence:
//! where the original was stricter in a way that no rule can say, the note's kind is [`Kind::Wider`].

mod iron_proxy;
mod tree;

pub use iron_proxy::iron_proxy;

/// What was made of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Import {
    /// A policy file.
    pub policy: String,
    /// A `stubgate.yaml` that names the policy as `policy.yaml` beside it.
    pub config: String,
    /// What a person must know, in the order of lines.
    pub notes: Vec<Note>,
}

/// Something that is not as it was.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Note {
    /// Line of the original, from 1; 0 is the whole of it.
    pub line: usize,
    /// What became of it.
    pub kind: Kind,
    /// In words.
    pub text: String,
}

/// What became of something.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// The original refused something here that is allowed now.
    Wider,
    /// It is allowed less, or not at all.
    Narrower,
    /// It has no equivalent and is left out.
    Missing,
    /// It is written in another way, or wants something done.
    Changed,
}

impl Kind {
    /// The word in reports.
    pub const fn as_str(self) -> &'static str {
        match self {
            Kind::Wider => "wider",
            Kind::Narrower => "narrower",
            Kind::Missing => "missing",
            Kind::Changed => "changed",
        }
    }
}

/// Collects notes.
#[derive(Debug)]
struct Notes<'a> {
    text: &'a str,
    all: Vec<Note>,
}

impl Notes<'_> {
    fn add(&mut self, kind: Kind, at: &std::ops::Range<usize>, text: impl Into<String>) {
        let before = self.text.get(..at.start).unwrap_or_default();
        let line = before.bytes().filter(|byte| *byte == b'\n').count() + 1;
        self.insert(kind, line, text.into());
    }

    /// About the whole file.
    fn general(&mut self, kind: Kind, text: impl Into<String>) {
        self.insert(kind, 0, text.into());
    }

    fn insert(&mut self, kind: Kind, line: usize, text: String) {
        let note = Note { line, kind, text: one_line(&text) };
        if !self.all.contains(&note) {
            self.all.push(note);
        }
    }
}

/// Text of the original, fit for a comment and a terminal.
fn one_line(text: &str) -> String {
    text.chars().map(|char| if char.is_control() || crate::source::is_hidden(char) { '?' } else { char }).collect()
}
