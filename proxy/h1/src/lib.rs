//! HTTP/1.1 on the wire, read strictly.
//!
//! A firewall that reads a message differently from the origin behind it can be talked past. So this crate
//! refuses whatever two parsers could read differently (RFC 9112 section 11.2) instead of repairing it, and what
//! it lets through is written again from the parsed parts, never relayed as it came.
//!
//! - [`head`]: request and response heads, from bytes to parts, and back.
//! - [`framing`]: where a body ends; exactly one answer or an error.
//! - [`chunked`]: the chunked coding, read strictly and written canonically.
//! - [`Conn`]: one connection of either role, as poll functions over any byte stream, with bounded buffers.
//!
//! It knows no policy, no credential, no timer and no socket.
#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing))]

pub mod chunked;
mod conn;
pub mod framing;
pub mod head;

pub use conn::{BodyError, Conn, ReadError, SharedBody, SharedConn};
pub use framing::{Framing, FramingError};
pub use head::{HeadError, Limits, RequestHead, ResponseHead, Version};
