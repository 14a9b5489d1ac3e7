//! Places at which a test ends the process, as a kill would, to see what is left behind.
//!
//! `STUBGATE_FAILPOINT` names one; it is looked at in debug builds alone, and a release build has no trace of it.

/// A moment of a refresh at which the process may die.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// The lock is held, and nothing is written yet.
    Leading,
    /// The attempt is durable, and nothing is sent.
    Attempted,
    /// The request was sent and its answer was read; nothing of it is written.
    Answered,
    /// The answer's pair is durable, and nobody uses it yet.
    Stored,
    /// The lock is given back.
    Released,
}

impl Step {
    /// In their order.
    pub const ALL: [Step; 5] = [Step::Leading, Step::Attempted, Step::Answered, Step::Stored, Step::Released];

    /// What the variable calls it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Step::Leading => "leading",
            Step::Attempted => "attempted",
            Step::Answered => "answered",
            Step::Stored => "stored",
            Step::Released => "released",
        }
    }
}

/// The end of the process, where a test wants it here.
#[cfg(debug_assertions)]
pub(crate) fn pass(step: Step) {
    if std::env::var_os("STUBGATE_FAILPOINT").is_some_and(|named| named == step.as_str()) {
        std::process::abort();
    }
}

/// Nothing.
#[cfg(not(debug_assertions))]
pub(crate) const fn pass(_: Step) {}
