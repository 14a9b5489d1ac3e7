//! The DNS server over real loopback sockets, asked by another implementation.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod answers;
mod budget;
mod dig;
mod forwarding;
mod limits;
mod resolver;
mod setup;
mod tcp;
mod vetting;
