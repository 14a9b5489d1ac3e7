//! `stubgate-agent setup` as a program: in folders of its own, with real git, Java, Node and Python, and the real client where
//! they are on the machine. What can't be tried is said on standard error.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod client;
mod docs;
mod git;
mod interrupted;
mod matrix;
mod plugins;
mod reference;
mod required;
mod runtimes;
mod server;
mod sources;
mod trust;
mod world;
