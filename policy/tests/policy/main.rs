//! The policy crate as its users see it: files in, decisions out.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod agents;
mod bindings;
mod credentials;
mod diagnostics;
mod diff;
mod files;
mod hosts;
mod laws;
mod paths;
mod stages;
mod support;
mod wire;
