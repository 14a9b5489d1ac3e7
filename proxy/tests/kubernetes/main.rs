//! Agents that are known by their pods: a double of the API server over TLS, what it may do on a bad day, and a model of a
//! cluster that checks each decision about who somebody is, through the phase *identify* itself.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod cluster;
mod double;
mod identity;
mod locked;
mod many;
mod model;
mod real;
mod site;
mod underway;
mod watching;
