//! The lab: a pod that knows only stubs, the appliance, and an internet of real origins, each in
//! network namespaces of its own, made by the test run and gone with it.
//!
//! ```text
//!  pod ──── link ──── appliance ──── wan ──── internet
//!  10.99.0.2  10.99.0.1     20.0.255.2  20.0.255.1    20.0.0.x: origins on 443, 20.0.0.53: DNS
//! ```
//!
//! The pod's resolver and its only route are the appliance, which does not forward IP. Origins have
//! certificates from a root that only the appliance trusts, demand the real credentials, and
//! remember every byte that reached them; so do the DNS server and a capture on either link. What a
//! suite asserts is asserted there, at the far side, and not from what the appliance says of itself.
//!
//! This crate drives the binary and depends on none of the others: it refuses to know how the
//! appliance works. It sends nothing to any network but its own namespaces.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "all of this is test code: what it did not foresee must fail the test loudly"
)]

pub mod agent;
pub mod appliance;
pub mod builder;
pub mod capture;
pub mod chores;
pub mod client;
pub mod container;
pub mod coredns;
pub mod database;
pub mod dns;
pub mod escrowed;
pub mod fleet;
pub mod harness;
pub mod lab;
pub mod leak;
pub mod memory;
pub mod metrics;
pub mod node;
pub mod origin;
pub mod pki;
pub mod process;
pub mod program;
pub mod toolbox;
pub mod wire;
pub mod world;

pub use builder::Builder;
pub use harness::Shared;
pub use lab::{Lab, Way};
pub use world::World;
