//! The process as the system sees it: locked down, killed, and looked into.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod kill;
mod locked;
mod memory;
mod programs;
mod rotation;
mod site;
