//! Policy of stubgate: what security staff wrote, checked, and asked.
//!
//! The folders are the dataflow: `source` (text to spans) → `raw` (to serde structs) → `compile` (to a checked
//! [`Policy`]) → `model` → `decide` (to a [`Decision`]); `diagnostic` says what is wrong with a file.
//!
//! Law 1: DNS, TLS, CONNECT, HTTP and the command line all ask [`Policy::decide`]; no second matcher exists.
//! This crate is pure. It opens no file or socket, reads no clock, draws no randomness and holds no secret.
#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing))]

pub mod body;
pub mod cases;
mod compile;
pub mod decide;
pub mod diagnostic;
pub mod diff;
pub mod explain;
pub mod import;
mod lint;
pub mod model;
pub mod pods;
pub mod preset;
pub mod question;
mod raw;
pub mod schema;
pub mod source;
pub mod suggest;

pub use body::{Body, Fault, Seen};
pub use compile::{Compiled, built_in_provider, compile};

pub use decide::{
    Answer, Ask, BasicField, ConnectStage, Decision, Denial, Meaning, MintedStub, NameGrant, NameStage, Permit,
    QueryKind, Reach, RequestStage, SlotRef, Stage, Standing, Swap, ToLook, Token,
};
pub use diagnostic::{Diagnostic, Label, Severity, json, render, sarif};
pub use explain::Explanation;
pub use model::{
    Agent, AgentId, AgentLimits, Authority, AuthorityError, BodyRule, Check, Credential, CredentialId, Effect, Host,
    HostRule, KNOWN_CHECKS, KnownCheck, Method, MethodError, Name, NameError, OnCredential, Path, PathError, Policy,
    Reading, Reason, Rule, RuleId, Scheme, Slot, Source, Target, secret_source,
};
pub use question::{Question, QuestionError};
pub use source::SourceFile;
