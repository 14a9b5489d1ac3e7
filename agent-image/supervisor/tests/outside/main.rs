//! The program against what is outside of its container: a real NATS server behind a front that checks the token, and a double of
//! GitHub's GraphQL interface. Everything on loopback, over TLS, on ports that the system picks.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod authority;
mod docs;
mod events;
mod front;
mod github;
mod home;
mod nats;
mod pr_comments;
