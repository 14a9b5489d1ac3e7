//! WebSocket frames on the wire (RFC 6455), read strictly, for whoever stands between two endpoints.
//!
//! [`Parser`] takes the bytes of one direction as they come, in any pieces, and says what stands at their front: a header,
//! payload, a whole control frame. It works in place: payload is unmasked where it lies, can be changed there as long as its
//! length stays, and is masked again with [`Mask::apply`]; headers never need to be written anew. No message is ever held.
//!
//! What an endpoint would have to fail the connection for is a [`Violation`], with the status code to close with. No
//! extension is known: reserved bits and opcodes are refused, so whoever uses this must not let extensions be agreed on.
//!
//! It knows no socket, no clock, no policy and no credential. The layer above keeps law 7 for what takes time (idle
//! deadlines) and passes it in where a rate is limited ([`ControlRate`]).
#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing))]

mod close;
mod header;
mod mask;
mod parser;
mod rate;
mod utf8;
mod violation;

pub use close::{LONGEST_REASON, close_frame, is_valid_code};
pub use header::{Header, LONGEST_CONTROL, LONGEST_HEADER, Opcode, Sender};
pub use mask::Mask;
pub use parser::{Limits, Parser, Piece};
pub use rate::ControlRate;
pub use utf8::Utf8;
pub use violation::Violation;
