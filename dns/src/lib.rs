//! DNS of stubgate: answers agents by policy, forwards only what policy names, and resolves for the appliance itself.
//!
//! It refuses to do three things. It decides nothing by itself: every question goes to `Policy::decide` (law 1). It sends
//! nothing anywhere for a name that is not granted: an allowed host is answered with the appliance's own address, a denied
//! one with NXDOMAIN, both without a question of our own (law 6). And it answers nothing before its record was taken
//! (law 8).
#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing))]

mod allowance;
mod config;
mod forward;
mod handler;
mod novelty;
mod peer;
mod record;
mod resolver;
mod respond;
mod server;
mod vet;
mod wire;
mod zones;

pub use config::{DnsConfig, ForwardZone};
pub use handler::{Handled, Handler};
pub use novelty::{NameBudget, NameBudgets};
pub use peer::{Peer, Stamp};
pub use record::{QueryOutcome, QueryRecord, Surroundings, Transport};
pub use resolver::{ResolveError, Resolver, ResolverConfig, ResolverError};
pub use server::{BindError, Bound, DnsServer, ServeError};
