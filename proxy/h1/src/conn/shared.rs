//! A connection in two hands: the body of the request that was read is its own value, while the owner of the connection
//! writes the response.

use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use tokio::io::{AsyncRead, AsyncWrite};

use super::{BodyError, Conn};
use crate::framing::Framing;

/// A connection whose current request body has a handle of its own.
///
/// The mutex is never held over a wait.
#[derive(Debug)]
pub struct SharedConn<IO>(Arc<Mutex<Conn<IO>>>);

impl<IO> Clone for SharedConn<IO> {
    fn clone(&self) -> Self {
        SharedConn(Arc::clone(&self.0))
    }
}

impl<IO: AsyncRead + AsyncWrite + Unpin> SharedConn<IO> {
    /// Wraps a connection.
    pub fn new(conn: Conn<IO>) -> Self {
        SharedConn(Arc::new(Mutex::new(conn)))
    }

    /// The connection, for one call.
    pub fn lock(&self) -> MutexGuard<'_, Conn<IO>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A handle on the body that follows the last head.
    pub fn body(&self, framing: Framing) -> SharedBody<IO> {
        self.lock().start_reading(framing);
        let length = match framing {
            Framing::Length(n) => Some(n),
            Framing::Chunked | Framing::Close => None,
        };
        SharedBody { conn: self.clone(), length }
    }

    /// The connection itself, when no other handle is left.
    pub fn into_inner(self) -> Option<Conn<IO>> {
        Some(Arc::into_inner(self.0)?.into_inner().unwrap_or_else(PoisonError::into_inner))
    }
}

/// The body of the request that a [`SharedConn`] read last.
#[derive(Debug)]
pub struct SharedBody<IO> {
    conn: SharedConn<IO>,
    length: Option<u64>,
}

impl<IO: AsyncRead + AsyncWrite + Unpin> SharedBody<IO> {
    /// The connection that it is read from.
    pub fn conn(&self) -> &SharedConn<IO> {
        &self.conn
    }
}

impl<IO: AsyncRead + AsyncWrite + Unpin> Body for SharedBody<IO> {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let frame = ready!(self.conn.lock().poll_frame(cx));
        if let (Some(Ok(frame)), Some(left)) = (&frame, &mut self.get_mut().length) {
            *left = left.saturating_sub(frame.data_ref().map_or(0, |d| d.len() as u64));
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.conn.lock().is_read()
    }

    fn size_hint(&self) -> SizeHint {
        self.length.map_or_else(SizeHint::default, SizeHint::with_exact)
    }
}
