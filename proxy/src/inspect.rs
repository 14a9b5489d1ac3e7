//! Between *decide* and *forward*: looks into the bodies of requests that policy allows for some bodies only.
//!
//! Policy judges (law 1); this module brings it the bytes, and then forwards exactly those. A body is held whole, at most
//! as long as the rules that look let it be, within a deadline and a [`Budget`] of memory that no agent can use up for
//! another (law 7). What is too long or can't be read is refused, never cut (law 9).

mod budget;

use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::{HeaderMap, StatusCode, header};
use http_body::Body as _;
use stubgate_policy::{Body, Fault, Reason};

pub use budget::{Budget, Room};

use crate::appliance::Appliance;
use crate::authority;
use crate::body::{RequestBody, Whole};
use crate::budget::Reached;
use crate::deadline::Deadline;
use crate::decide::{Looking, Permitted};
use crate::request::Refusal;

/// Bodies above this are read beside the threads that serve connections.
const SMALL: usize = 64 << 10;
/// Bytes that are made room for at first.
const FIRST: usize = 8 << 10;

/// Why a request goes no further, and what about its body is to blame.
pub struct Refused {
    /// For records.
    pub refusal: Refusal,
    /// Told to the agent: it is about its own body.
    pub fault: Option<Fault>,
    /// The bound on what is held that is reached.
    pub reached: Option<Reached>,
}

impl Refused {
    /// For nothing that the body itself is to blame for.
    pub fn of(refusal: Refusal) -> Self {
        Refused { refusal, fault: None, reached: None }
    }

    /// What the agent is answered.
    pub fn status(&self) -> StatusCode {
        match &self.fault {
            Some(fault) if fault.is_too_large => StatusCode::PAYLOAD_TOO_LARGE,
            Some(_) | None => authority::status(self.refusal.reason),
        }
    }

    /// What the agent is told.
    pub fn hint(&self) -> String {
        self.fault.as_ref().map_or_else(|| self.refusal.reason.hint().to_owned(), Fault::hint)
    }
}

impl From<Reason> for Refused {
    fn from(reason: Reason) -> Self {
        Refused::of(reason.into())
    }
}

/// A body beside what its head says about it, as policy asks for it.
pub fn body<'a>(headers: &'a HeaderMap, query: Option<&'a [u8]>, bytes: &'a [u8]) -> Body<'a> {
    let all = |name| headers.get_all(name).iter().map(http::HeaderValue::as_bytes).collect();
    Body { content_types: all(header::CONTENT_TYPE), content_encodings: all(header::CONTENT_ENCODING), query, bytes }
}

/// Takes the body in, and asks policy again.
///
/// # Errors
/// What policy refuses; a body that is too long, too slow, or broken; no room for it.
pub async fn inspect(appliance: &Arc<Appliance>, mut looking: Box<Looking>) -> Result<Box<Permitted>, Refused> {
    let body = std::mem::replace(&mut looking.identified.arrived.body, RequestBody::Empty);
    let room = appliance.held.enter(&looking.identified.agent_name, looking.identified.snapshot.policy.agents().len());
    let (most, is_expected) = (looking.max_bytes, looking.identified.arrived.headers.contains_key(header::EXPECT));
    let (bytes, room) = take(appliance, body, room, most, is_expected).await.map_err(|untaken| match untaken {
        Untaken::TooLarge => looking.fault(Fault::too_large(most)),
        Untaken::Refused(refused) => *refused,
    })?;
    // It was answered here, where there was one; the origin must not wait for it again.
    looking.identified.arrived.headers.remove(header::EXPECT);
    let (mut permitted, room) = if bytes.len() > SMALL {
        let seen = bytes.clone();
        let (judged, room) = room.work(move || looking.decide(&seen)).await.map_err(|_| Reason::Internal)?;
        (judged?, room)
    } else {
        (looking.decide(&bytes)?, room)
    };
    permitted.identified.arrived.body = RequestBody::Whole(Whole::new(bytes, room));
    Ok(permitted)
}

/// Why a body is not there as a whole.
pub(crate) enum Untaken {
    /// It is longer than it may be.
    TooLarge,
    /// Too slow, broken, or no room for it.
    Refused(Box<Refused>),
}

impl From<Refused> for Untaken {
    fn from(refused: Refused) -> Self {
        Untaken::Refused(Box::new(refused))
    }
}

impl From<Reason> for Untaken {
    fn from(reason: Reason) -> Self {
        Refused::from(reason).into()
    }
}

/// All of a body of at most so many bytes, or why not. `is_expected` where its agent waits to be told to send it.
pub(crate) async fn take(
    appliance: &Arc<Appliance>,
    body: RequestBody,
    room: Room,
    most: usize,
    is_expected: bool,
) -> Result<(Bytes, Room), Untaken> {
    let taking = gather(appliance, body, room, most, is_expected);
    let (bytes, room) =
        tokio::time::timeout(appliance.timeouts.inspect, taking).await.map_err(|_| Reason::BadRequest)??;
    Ok((bytes.freeze(), room))
}

async fn gather(
    appliance: &Arc<Appliance>,
    mut body: RequestBody,
    mut room: Room,
    most: usize,
    is_expected: bool,
) -> Result<(BytesMut, Room), Untaken> {
    let announced = body.size_hint().lower();
    if announced > most as u64 {
        return Err(Untaken::TooLarge);
    }
    if is_expected {
        poll_fn(|cx| {
            body.tell_to_continue(cx);
            Poll::Ready(())
        })
        .await;
    }
    let mut deadline = Deadline::new(appliance.timeouts.body_idle);
    let mut bytes = BytesMut::new();
    let mut body = Pin::new(&mut body);
    loop {
        let frame = poll_fn(|cx| match body.as_mut().poll_frame(cx) {
            Poll::Pending => deadline.poll(cx).map(|()| Some(Err(Reason::BadRequest))),
            Poll::Ready(frame) => Poll::Ready(frame.map(|frame| frame.map_err(|_| Reason::BadRequest))),
        })
        .await;
        deadline.touch();
        let Some(frame) = frame.transpose()? else { return Ok((bytes, room)) };
        // Trailers end here, as they do for every request.
        let Some(data) = frame.data_ref() else { continue };
        let wanted = bytes.len().saturating_add(data.len());
        if wanted > most {
            return Err(Untaken::TooLarge);
        }
        if wanted > bytes.capacity() {
            // A power of two, so that what it grows from is never more than half of what the next one could be.
            let capacity = wanted.max(FIRST).checked_next_power_of_two().map_or(wanted, |next| next.min(most));
            // Both are there while one is copied into the other.
            let both = bytes.capacity().saturating_add(capacity);
            if !room.hold(both) {
                let reached = appliance.budgets.reached(room.bound(both), Duration::from_secs(1));
                return Err(Refused { reached: Some(reached), ..Reason::LimitReached.into() }.into());
            }
            let mut larger = BytesMut::with_capacity(capacity);
            larger.extend_from_slice(&bytes);
            bytes = larger;
            // Less always fits.
            room.hold(capacity);
        }
        bytes.extend_from_slice(data);
    }
}
