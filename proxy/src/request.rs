//! A request on its way through the phases.
//!
//! One value, which each phase takes and gives back enriched: [`Arrived`] → [`Identified`](crate::identify) →
//! [`Addressed`](crate::authority) → [`Permitted`](crate::decide) → forwarded. A phase can't be skipped, because the
//! next one takes its output.

use std::fmt::Write;
use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use bytes::Bytes;
use http::{HeaderMap, Method};
use stubgate_credentials::minted::StubId;
use stubgate_h1::SharedConn;
use stubgate_policy::{AgentId, Authority, CredentialId, Reason, RuleId};

use crate::body::RequestBody;
use crate::client::Client;
use crate::stream::Stream;

/// A head that was read, from either version of HTTP, and its body still to come.
pub struct Arrived {
    /// The connection.
    pub client: Arc<Client>,
    /// Exactly as sent.
    pub method: Method,
    /// What the request itself names as its authority, in the order found: absolute-form or `:authority`, then Host.
    pub claims: Vec<Bytes>,
    /// Raw path, from its `/`.
    pub path: Bytes,
    /// Raw query, without its `?`.
    pub query: Option<Bytes>,
    /// All but Host and framing.
    pub headers: HeaderMap,
    /// Whether `Upgrade` asks for a WebSocket, correctly.
    pub websocket: bool,
    /// The body.
    pub body: RequestBody,
    /// An HTTP/1.1 client, who can be sent interim responses.
    pub interim: Option<SharedConn<Stream>>,
    /// When the head was complete.
    pub at: Instant,
}

/// What is known of a request so far, for its records and its refusal.
#[derive(Debug)]
pub struct Known {
    /// Of the request, told to the agent.
    pub id: Box<str>,
    /// Name of the agent.
    pub agent: Option<Arc<str>>,
    /// Where it goes, once it was parsed.
    pub authority: Option<Authority>,
    /// What the connection is for, where the request is for something else.
    pub connection: Option<Box<str>>,
    /// As sent.
    pub method: Method,
    /// Path without query, as sent and later as it is sent on.
    pub path: Box<str>,
    /// `h1` or `h2`.
    pub protocol: &'static str,
    /// When the head was complete.
    pub at: Instant,
}

/// Why a request goes no further.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// For records, metrics and the agent.
    pub reason: Reason,
    /// The rule that denied it; never told to the agent.
    pub rule: Option<RuleId>,
    /// The stub that was presented; for records.
    pub stub_of: Option<Presented>,
}

/// Whose stub was presented, in the policy that refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Presented {
    /// What it stands for.
    pub credential: CredentialId,
    /// Whom it was minted for, and which one it is; a literal one was not.
    pub minted: Option<(AgentId, StubId)>,
}

impl From<Reason> for Refusal {
    fn from(reason: Reason) -> Self {
        Refusal { reason, rule: None, stub_of: None }
    }
}

/// Names requests: unique within a process, and not to be mixed up with those of the one before.
#[derive(Debug)]
pub struct Ids {
    process: u32,
    next: AtomicU64,
}

impl Ids {
    /// Draws the part that all ids of this process share.
    #[expect(clippy::cast_possible_truncation, reason = "32 bits of a hash are meant")]
    pub fn new() -> Self {
        Ids { process: RandomState::new().hash_one(std::process::id()) as u32, next: AtomicU64::new(0) }
    }

    /// The next one.
    pub fn next(&self) -> Box<str> {
        let mut id = String::with_capacity(20);
        // Writing to a String can't fail.
        let _ = write!(id, "{:08x}-{:x}", self.process, self.next.fetch_add(1, Ordering::Relaxed));
        id.into()
    }
}

impl Default for Ids {
    fn default() -> Self {
        Ids::new()
    }
}
