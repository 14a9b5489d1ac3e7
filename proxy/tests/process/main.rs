//! The process as the system sees it: locked down, killed, and looked into; and as an operator meets it.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod ca;
mod doctor;
mod health;
mod kill;
mod locked;
mod logins;
mod memory;
mod program;
mod programs;
mod rotation;
mod servers;
mod site;
mod stopping;
