//! The policy crate as its users see it: files in, decisions out.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod agents;
mod bindings;
mod bridges;
mod cases;
mod credentials;
mod diagnostics;
mod diff;
mod docs;
mod explain;
mod files;
mod hosts;
mod import;
mod laws;
mod limits;
mod lints;
mod minted;
mod paths;
mod pods;
mod presets;
mod sources;
mod stages;
mod suggest;
mod support;
mod wire;
