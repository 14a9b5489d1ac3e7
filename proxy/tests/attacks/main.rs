//! The appliance under attack: real sockets on loopback, origins that keep every byte they get, and clients that send
//! what they like.
//!
//! After every attack: no origin saw what it must not see, there is one record of the refusal with its reason, and an
//! honest request is still served.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod client;
mod lab;
mod origin;

mod authority;
mod bodies;
mod bounds;
mod corpus;
mod credentials;
mod frames;
mod goaway;
mod guesses;
mod handshakes;
mod leaving;
mod limits;
mod logins;
mod messages;
mod minted;
mod observe;
mod origins;
mod paths;
mod records;
mod reload;
mod scrub;
mod seams;
mod servers;
mod shown;
mod socks;
mod streams;
mod transparent;
mod underway;
mod uploads;
mod versions;
mod websocket;
