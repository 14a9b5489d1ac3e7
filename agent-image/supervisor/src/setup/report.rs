//! How a step went, on one line.

use std::fmt;

/// How a step went.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// Something was changed, and what.
    Done(String),
    /// All was as it should be.
    Unchanged(String),
    /// There is nothing to do, and why.
    Skipped(String),
    /// It did not work, why, and what mends it.
    Failed(String),
}

impl Outcome {
    /// Done or unchanged.
    pub(crate) fn of(changed: bool, what: impl Into<String>) -> Outcome {
        if changed { Outcome::Done(what.into()) } else { Outcome::Unchanged(what.into()) }
    }

    /// The word for it.
    pub(crate) fn word(&self) -> &'static str {
        match self {
            Outcome::Done(_) => "done",
            Outcome::Unchanged(_) => "unchanged",
            Outcome::Skipped(_) => "skipped",
            Outcome::Failed(_) => "failed",
        }
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (Outcome::Done(text) | Outcome::Unchanged(text) | Outcome::Skipped(text) | Outcome::Failed(text)) = self;
        write!(to, "{}", self.word())?;
        if !text.is_empty() {
            write!(to, ": {}", one_line(text))?;
        }
        Ok(())
    }
}

/// A step of several things, of which one may fail without the others.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    changed: bool,
    failed: bool,
    words: Vec<String>,
}

impl Tally {
    /// Something was changed.
    pub(crate) fn done(&mut self, what: impl Into<String>) {
        self.changed = true;
        self.words.push(what.into());
    }

    /// Something was as it should be.
    pub(crate) fn unchanged(&mut self, what: impl Into<String>) {
        self.words.push(what.into());
    }

    /// Something did not work.
    pub(crate) fn failed(&mut self, what: impl Into<String>) {
        self.failed = true;
        self.words.push(what.into());
    }

    /// All of it.
    pub(crate) fn outcome(self) -> Outcome {
        let words = self.words.join("; ");
        if self.failed { Outcome::Failed(words) } else { Outcome::of(self.changed, words) }
    }
}

/// What others said may have line ends and escape codes; a log has neither.
fn one_line(text: &str) -> String {
    let text: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_is_one_line_without_escape_codes() {
        let text = Outcome::Failed("fatal:\n \u{1b}[31mno\r\n such host".into()).to_string();
        assert_eq!(text, "failed: fatal: [31mno such host");
    }

    #[test]
    fn one_failure_makes_the_step_a_failure_and_tells_of_the_rest() {
        let mut tally = Tally::default();
        tally.done("a cloned");
        tally.failed("b: no such repository");
        assert_eq!(tally.outcome(), Outcome::Failed("a cloned; b: no such repository".into()));
    }
}
