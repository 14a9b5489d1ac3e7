//! The appliance: the phases that a request goes through, the listeners before them, and the command line.
//!
//! ```text
//! listen ─▶ identify ─▶ authority ─▶ decide ─▶ swap ─▶ forward ─▶ respond
//!                                                │         │
//!                                                └─ record ┘
//! ```
//!
//! Each phase is a module of that name and takes the output of the one before; [`service`] is the order they come in.
#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing))]

pub mod admin;
pub mod appliance;
pub mod attack;
pub mod authority;
pub mod body;
pub mod budget;
pub mod ca;
pub mod cli;
pub mod client;
pub mod config;
pub mod deadline;
pub mod decide;
pub mod demo;
pub mod doctor;
pub mod forward;
pub mod gateways;
pub mod guard;
pub mod headers;
pub mod health;
pub mod identify;
pub mod inspect;
pub mod keeping;
pub mod listen;
pub mod live;
pub mod lockdown;
pub mod logins;
pub mod manager;
pub mod metrics;
pub mod nft;
pub mod pods;
pub mod programs;
pub mod quarantine;
pub mod readiness;
pub mod record;
mod rejected;
pub mod reload;
pub mod request;
pub mod respond;
pub mod sandbox;
pub mod scrub;
pub mod secrets_client;
pub mod service;
pub mod snapshot;
pub mod start;
pub mod stream;
pub mod stubs;
pub mod support;
pub mod swap;
#[expect(unsafe_code, reason = "wiped memory and descriptors that others opened are had in no other way")]
pub mod sys;
pub mod tokens;
mod transaction;
