//! What is wrong with a file: a stable code, one sentence, the place, and what to write instead.
//!
//! Diagnostics are values; [`render`] draws them. They quote the files of security staff and nothing from a wire.

pub mod codes;
pub mod explained;
mod json;
mod place;
mod render;
mod sarif;

use std::ops::Range;

pub use json::json;
pub use render::render;
pub use sarif::sarif;

/// A finding.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Diagnostic {
    /// Stable code, never used for something else again; this crate's are listed in [`codes`].
    pub code: &'static str,
    /// Whether the file can be used all the same.
    pub severity: Severity,
    /// One sentence, without a full stop.
    pub message: String,
    /// Where; the first is what it is about. Empty where no place can be named.
    pub labels: Vec<Label>,
    /// What to write instead.
    pub help: Option<String>,
}

/// How bad it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Severity {
    /// The file is refused.
    Error,
    /// The file is used; a person should look.
    Warning,
}

/// A place in a file, and what to say there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Label {
    /// Position in the slice of files that was read.
    pub file: usize,
    /// Bytes of that file.
    pub span: Range<usize>,
    /// Said beside the underline; may be empty.
    pub text: String,
}

impl Diagnostic {
    /// An error without a place yet.
    pub fn error(code: &'static str, message: impl Into<String>) -> Self {
        Diagnostic { code, severity: Severity::Error, message: message.into(), labels: Vec::new(), help: None }
    }

    /// A warning without a place yet.
    pub fn warning(code: &'static str, message: impl Into<String>) -> Self {
        Diagnostic { severity: Severity::Warning, ..Diagnostic::error(code, message) }
    }

    /// Adds a place; the first added is the main one.
    #[must_use]
    pub fn at(mut self, file: usize, span: Range<usize>, text: impl Into<String>) -> Self {
        self.labels.push(Label { file, span, text: text.into() });
        self
    }

    /// Says what to write instead.
    #[must_use]
    pub fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }

    /// Whether the file is refused.
    pub fn is_error(&self) -> bool {
        self.severity == Severity::Error
    }
}

/// The nearest of `known` to what was written, if one is near: for "did you mean".
pub fn nearest<'a>(written: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let limit = (written.chars().count() / 3).clamp(1, 3);
    known
        .into_iter()
        .filter(|candidate| candidate.len().abs_diff(written.len()) <= limit)
        .map(|candidate| (distance(written, candidate), candidate))
        .filter(|(distance, candidate)| *distance <= limit && *distance < candidate.chars().count())
        .min()
        .map(|(_, candidate)| candidate)
}

/// Edits between two words, a swap of neighbours counting as one (optimal string alignment), case aside.
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.to_lowercase().chars().collect();
    let mut before: Vec<usize> = Vec::new();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    let mut previous = None;
    for (at, a) in a.to_lowercase().chars().enumerate() {
        let mut next = vec![at + 1];
        for (column, with) in b.iter().enumerate() {
            let cell = |row: &[usize], at: usize| row.get(at).copied().unwrap_or(usize::MAX - 1);
            let replace = cell(&row, column) + usize::from(a != *with);
            let mut best = replace.min(cell(&row, column + 1) + 1).min(cell(&next, column) + 1);
            let swapped = column > 0 && previous == Some(*with) && b.get(column - 1) == Some(&a);
            if swapped {
                best = best.min(cell(&before, column - 1) + 1);
            }
            next.push(best);
        }
        before = std::mem::replace(&mut row, next);
        previous = Some(a);
    }
    row.last().copied().unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests {
    use super::nearest;

    #[test]
    fn nearest_finds_a_slip_and_leaves_strangers_alone() {
        let known = ["methods", "hosts", "paths", "agents"];
        for (written, found) in [
            ("method", Some("methods")),
            ("mehtods", Some("methods")),
            ("Hosts", Some("hosts")),
            ("path", Some("paths")),
            ("agnets", Some("agents")),
            ("timeout", None),
            ("x", None),
        ] {
            assert_eq!(nearest(written, known), found, "{written}");
        }
    }
}
