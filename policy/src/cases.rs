//! Policy tests: what security staff expect of a policy, written beside it and run against it.
//!
//! [`read`] takes `tests/*.yaml` and reports every error with its place; [`run`] explains each case and compares. Nothing
//! is decided here: what comes of a case is its [`Explanation`]. The crate being pure, it does not read heads either:
//! whoever runs the cases brings the code that finds stubs in the heads of real requests.

mod junit;
mod read;
mod run;
mod words;

use std::ops::Range;

pub use junit::junit;
pub use read::read;
pub use run::{Coverage, Failure, Ran, Report, run};
pub use words::{json, render};

use crate::explain::{Explanation, Outcome};
use crate::model::{AgentId, CredentialId, Policy, Reason, Slot};
use crate::question::Question;

/// A policy test.
#[derive(Clone, Debug)]
pub struct Case {
    /// What it is called; unlike any other in its file.
    pub name: String,
    /// Position of its file among those read.
    pub file: usize,
    /// Where its name stands there, in bytes.
    pub span: Range<usize>,
    /// Who asks.
    pub agent: AgentId,
    /// What is asked.
    pub question: Question,
    /// `Name: value` lines of its head.
    pub headers: Vec<String>,
    /// Its body; none is an empty one.
    pub body: Option<Content>,
    /// What must come of it.
    pub expect: Outcome,
    /// The rule that must decide, by name.
    pub rule: Option<String>,
    /// Without headers: whose stubs are presented, each by itself and in each of its slots. With headers: what may be
    /// swapped. Of an allowed request, one of them is.
    pub credentials: Vec<CredentialId>,
    /// Why it must be refused.
    pub reason: Option<Reason>,
}

/// What a case sends behind its head.
#[derive(Clone, Debug)]
pub struct Content {
    /// As it is sent.
    pub text: String,
    /// Its `Content-Type`, unless a header of the case says it.
    pub kind: Option<String>,
}

impl Content {
    /// What is sent where no type is named.
    pub const JSON: &'static str = "application/json";
}

/// A stub that a case presents.
#[derive(Clone, Copy, Debug)]
pub struct Presented<'a> {
    /// Where.
    pub slot: &'a Slot,
    /// Its text.
    pub stub: &'a str,
    /// What it stands for. Where that takes only minted stubs, the text stands for one that was minted for the agent.
    pub credential: CredentialId,
}

/// Takes a question as it would arrive, and explains what comes of it.
pub trait Explain {
    /// A question by an agent, with these headers and body, and this stub in its slot beside them.
    fn explain(
        &self,
        policy: &Policy,
        agent: AgentId,
        question: &Question,
        headers: &[String],
        body: Option<&Content>,
        presented: Option<Presented<'_>>,
    ) -> Explanation;
}
