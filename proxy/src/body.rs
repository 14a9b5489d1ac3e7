//! Bodies on their way through.
//!
//! They stream: no body is held, but those that policy looks into before they go ([`Whole`]). A request's body is counted and searched for stubs as it passes; what policy wants done
//! about one (`stub_in_body`) is done before the piece that completes it is sent. No real value is ever put into a body
//! (law 3).

use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use futures_util::task::AtomicWaker;
use http::{HeaderMap, StatusCode};
use http_body::{Body, Frame, SizeHint};
use stubgate_h1::{BodyError, SharedBody, SharedConn};

use crate::budget::Charge;
use crate::inspect::Room;
use crate::snapshot::StubScanner;
use crate::stream::Stream;
use crate::stubs::StubWatch;

/// The body of a request, from either version of HTTP.
pub enum RequestBody {
    /// None.
    Empty,
    /// From an HTTP/1.1 connection.
    H1(SharedBody<Stream>),
    /// From an HTTP/2 stream.
    H2(hyper::body::Incoming),
    /// Read already.
    Whole(Whole),
}

/// A body that was looked at, and what it takes of the memory for such.
pub struct Whole {
    bytes: Bytes,
    room: Option<Room>,
}

impl Whole {
    /// All of a body.
    pub fn new(bytes: Bytes, room: Room) -> Self {
        Whole { bytes, room: Some(room) }
    }

    /// In pieces, so that whoever sends it sees its progress.
    fn next(&mut self) -> Option<Bytes> {
        if self.bytes.is_empty() {
            self.room = None;
            return None;
        }
        Some(self.bytes.split_to(self.bytes.len().min(PIECE)))
    }
}

/// Bytes of a piece of what was read already.
const PIECE: usize = 64 << 10;

/// Why a request's body ended early. The agent is at fault, or left.
#[derive(Debug, thiserror::Error)]
pub enum RequestBodyError {
    /// HTTP/1.1.
    #[error("{0}")]
    H1(#[from] BodyError),
    /// HTTP/2.
    #[error("the stream failed")]
    H2(#[from] hyper::Error),
    /// The exchange is over.
    #[error("the exchange is over")]
    Over,
    /// It holds a stub where that is denied.
    #[error("a stub in the body")]
    Stub,
    /// The agent's budget of bytes is spent.
    #[error("a limit of the agent is reached")]
    Limit,
}

impl RequestBody {
    /// The HTTP/1.1 connection that it comes from.
    pub fn conn(&self) -> Option<SharedConn<Stream>> {
        match self {
            RequestBody::H1(body) => Some(body.conn().clone()),
            RequestBody::Empty | RequestBody::H2(_) | RequestBody::Whole(_) => None,
        }
    }

    /// Sends `100 Continue` to a client of HTTP/1.1 that waits for it.
    pub fn tell_to_continue(&self, cx: &mut Context<'_>) {
        if let Some(conn) = self.conn() {
            let mut conn = conn.lock();
            conn.queue_interim(StatusCode::CONTINUE, &HeaderMap::new());
            // What is left of it goes with the response.
            let _ = conn.poll_flush(cx);
        }
    }
}

impl Body for RequestBody {
    type Data = Bytes;
    type Error = RequestBodyError;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, RequestBodyError>>> {
        Poll::Ready(match self.get_mut() {
            RequestBody::Empty => None,
            RequestBody::H1(body) => ready!(Pin::new(body).poll_frame(cx)).map(|f| f.map_err(RequestBodyError::H1)),
            RequestBody::H2(body) => ready!(Pin::new(body).poll_frame(cx)).map(|f| f.map_err(RequestBodyError::H2)),
            RequestBody::Whole(whole) => whole.next().map(|piece| Ok(Frame::data(piece))),
        })
    }

    fn is_end_stream(&self) -> bool {
        match self {
            RequestBody::Empty => true,
            RequestBody::H1(body) => body.is_end_stream(),
            RequestBody::H2(body) => body.is_end_stream(),
            RequestBody::Whole(whole) => whole.bytes.is_empty(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            RequestBody::Empty => SizeHint::with_exact(0),
            RequestBody::H1(body) => body.size_hint(),
            RequestBody::H2(body) => body.size_hint(),
            RequestBody::Whole(whole) => SizeHint::with_exact(whole.bytes.len() as u64),
        }
    }
}

/// A body on its way: the body itself until the exchange is over, and what passed, read by the record at the end.
pub struct Passed {
    /// Taken away at the end of the exchange, whoever reads it: hyper sends a body in a task of its own, which may outlive
    /// the response and wait for an origin that does not read.
    body: Mutex<Option<RequestBody>>,
    /// Bytes of the request's body.
    pub bytes: AtomicU64,
    /// Stubs seen in it.
    pub stubs: AtomicU64,
    /// Whether it was stopped for one.
    pub stopped: AtomicBool,
    whole: AtomicBool,
    /// Whether whoever sent the body has let it go.
    released: AtomicBool,
    waker: AtomicWaker,
}

impl Passed {
    fn new(body: RequestBody) -> Self {
        Passed {
            whole: AtomicBool::new(body.is_end_stream()),
            body: Mutex::new(Some(body)),
            bytes: AtomicU64::default(),
            stubs: AtomicU64::default(),
            stopped: AtomicBool::default(),
            released: AtomicBool::default(),
            waker: AtomicWaker::new(),
        }
    }

    /// The exchange is over: nothing more of the body goes out, and its connection is let go.
    pub fn end(&self) {
        let body = self.body().take();
        if body.as_ref().is_some_and(Body::is_end_stream) {
            self.whole.store(true, Ordering::Release);
        }
        drop(body);
        self.waker.wake();
    }

    /// Whether the body was read to its end. Whoever sends a body of a known length does not ask once more for that end.
    pub fn is_whole(&self) -> bool {
        self.whole.load(Ordering::Acquire) || self.body().as_ref().is_some_and(Body::is_end_stream)
    }

    /// Whether whoever sends the body has let it go; hyper does not while it waits for an origin that does not read.
    pub fn is_released(&self) -> bool {
        self.released.load(Ordering::Acquire)
    }

    fn body(&self) -> MutexGuard<'_, Option<RequestBody>> {
        self.body.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn poll_frame(&self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, RequestBodyError>>> {
        self.waker.register(cx.waker());
        let polled = match &mut *self.body() {
            Some(body) => Pin::new(body).poll_frame(cx),
            None => Poll::Ready(Some(Err(RequestBodyError::Over))),
        };
        if matches!(polled, Poll::Ready(None)) {
            self.whole.store(true, Ordering::Release);
        }
        polled
    }
}

/// A request's body, watched. Trailers end here: an origin that merges them would take them for headers.
pub struct Watched {
    stubs: StubWatch,
    deny_stubs: bool,
    passed: Arc<Passed>,
    continue_first: bool,
    charge: Option<Charge>,
}

impl Watched {
    /// Watches `body`.
    pub fn new(body: RequestBody, stubs: StubScanner, deny_stubs: bool) -> Self {
        Watched {
            stubs: StubWatch::new(stubs),
            deny_stubs,
            passed: Arc::new(Passed::new(body)),
            continue_first: false,
            charge: None,
        }
    }

    /// None.
    pub fn empty() -> Self {
        Watched::new(RequestBody::Empty, StubScanner::none(), false)
    }

    /// What passed so far.
    pub fn passed(&self) -> Arc<Passed> {
        Arc::clone(&self.passed)
    }

    /// Counts what passes against a budget, and stops before the piece that it does not cover.
    pub fn charge(&mut self, charge: Option<Charge>) {
        self.charge = charge;
    }

    /// Has `100 Continue` sent when the body is first asked for.
    pub fn continue_first(&mut self) {
        self.continue_first = true;
    }

    /// Whether nothing was taken from it yet, so that the request can be sent again.
    pub fn is_untouched(&self) -> bool {
        self.passed.bytes.load(Ordering::Relaxed) == 0
    }

    fn look(&mut self, data: &[u8]) -> Result<(), RequestBodyError> {
        if let Some(charge) = &self.charge {
            charge.spend(data.len() as u64).map_err(|_| RequestBodyError::Limit)?;
        }
        self.passed.bytes.fetch_add(data.len() as u64, Ordering::Relaxed);
        let seen = self.stubs.look(data);
        if seen > 0 {
            self.passed.stubs.fetch_add(seen, Ordering::Relaxed);
            if self.deny_stubs {
                self.passed.stopped.store(true, Ordering::Relaxed);
                return Err(RequestBodyError::Stub);
            }
        }
        Ok(())
    }
}

impl Drop for Watched {
    fn drop(&mut self) {
        // Others still hold what passed, for the record; the body itself goes.
        self.passed.end();
        self.passed.released.store(true, Ordering::Release);
    }
}

impl Body for Watched {
    type Data = Bytes;
    type Error = RequestBodyError;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, RequestBodyError>>> {
        let this = self.get_mut();
        if this.continue_first {
            this.continue_first = false;
            if let Some(body) = this.passed.body().as_ref() {
                body.tell_to_continue(cx);
            }
        }
        loop {
            return Poll::Ready(match ready!(this.passed.poll_frame(cx)) {
                Some(Ok(frame)) => {
                    let Some(data) = frame.data_ref() else { continue };
                    let data = data.clone();
                    Some(this.look(&data).map(|()| frame))
                }
                other => other,
            });
        }
    }

    fn is_end_stream(&self) -> bool {
        // A body that was taken away is cut, not complete: whoever sends it must not end it as if it were.
        self.passed.is_whole()
    }

    fn size_hint(&self) -> SizeHint {
        self.passed.body().as_ref().map_or_else(SizeHint::default, Body::size_hint)
    }
}

#[cfg(test)]
mod tests;
