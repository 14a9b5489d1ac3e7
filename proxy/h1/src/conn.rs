//! One connection, of either role, as poll functions over any byte stream.
//!
//! A [`Conn`] holds the read buffer, the state of the body being read and what waits to be written, all bounded. Its
//! owner drives it from one task: no lock, channel or task stands between the bytes of a client and those of an
//! origin. [`SharedConn`] lets a request's body be read through its own handle while the owner of the connection
//! writes the response.

mod shared;

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Buf, Bytes, BytesMut};
use http::{HeaderMap, Method, StatusCode};
use http_body::Frame;
use thiserror::Error;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_util::io::poll_read_buf;

use crate::chunked::{self, ChunkError, Decoded};
use crate::framing::Framing;
use crate::head::{self, EndFinder, HeadError, Limits, RequestHead, ResponseHead};

pub use shared::{SharedBody, SharedConn};

/// Bytes asked of the stream at once while a body is read: one TLS record.
const BODY_READ: usize = 16 * 1024;
/// Bytes asked at once while a head is read.
const HEAD_READ: usize = 4 * 1024;
/// Data up to this size is copied behind the head, so that both leave in one record and one write.
const COALESCE: usize = 8 * 1024;
/// What may wait to be written before the writer must drain.
const WRITE_HIGH: usize = 32 * 1024;

/// Why a head could not be had.
#[derive(Debug, Error)]
pub enum ReadError {
    /// The stream failed, or ended inside a head.
    #[error("{0}")]
    Io(#[from] io::Error),
    /// The peer sent what is refused.
    #[error("{0}")]
    Head(#[from] HeadError),
}

/// Why a body ended early.
#[derive(Debug, Error)]
pub enum BodyError {
    /// The stream failed.
    #[error("{0}")]
    Io(#[from] io::Error),
    /// The stream ended before the body did.
    #[error("body cut short")]
    Short,
    /// Malformed chunked coding.
    #[error("{0}")]
    Chunk(#[from] ChunkError),
    /// More data than the declared length.
    #[error("body longer than declared")]
    Long,
}

#[derive(Debug)]
enum Decoder {
    Done,
    Length(u64),
    Chunked(chunked::Decoder),
    UntilClose,
}

#[derive(Debug)]
enum Encoder {
    Done,
    Length(u64),
    Chunked,
    UntilClose,
}

/// One HTTP/1.1 connection over `IO`.
#[derive(Debug)]
pub struct Conn<IO> {
    io: IO,
    limits: Limits,
    read: BytesMut,
    end: EndFinder,
    decoder: Decoder,
    eof: bool,
    encoder: Encoder,
    head: BytesMut,
    data: Bytes,
    tail: &'static [u8],
    is_answered: bool,
}

impl<IO: AsyncRead + AsyncWrite + Unpin> Conn<IO> {
    /// A fresh connection; `already_read` is what the stream gave before.
    pub fn new(io: IO, already_read: BytesMut, limits: Limits) -> Self {
        Conn {
            io,
            limits,
            read: already_read,
            end: EndFinder::default(),
            decoder: Decoder::Done,
            eof: false,
            encoder: Encoder::Done,
            head: BytesMut::new(),
            data: Bytes::new(),
            tail: b"",
            is_answered: false,
        }
    }

    /// The stream and what was read from it beyond the last message.
    pub fn into_parts(self) -> (IO, BytesMut) {
        (self.io, self.read)
    }

    /// Whether bytes beyond the last message were read.
    pub fn has_unread(&self) -> bool {
        !self.read.is_empty()
    }

    /// The next request head; `None` when the peer closed between messages. Any body goes on at
    /// [`Conn::start_reading`].
    pub fn poll_request(&mut self, cx: &mut Context<'_>) -> Poll<Result<Option<RequestHead>, ReadError>> {
        let Some(bytes) = ready!(self.poll_head(cx))? else { return Poll::Ready(Ok(None)) };
        self.is_answered = false;
        Poll::Ready(Ok(Some(RequestHead::parse(&bytes, &self.limits)?)))
    }

    /// The next response head; the peer closing first is an error of kind `UnexpectedEof`.
    pub fn poll_response(&mut self, cx: &mut Context<'_>) -> Poll<Result<ResponseHead, ReadError>> {
        match ready!(self.poll_head(cx))? {
            Some(bytes) => Poll::Ready(Ok(ResponseHead::parse(&bytes, &self.limits)?)),
            None => Poll::Ready(Err(ReadError::Io(io::ErrorKind::UnexpectedEof.into()))),
        }
    }

    fn poll_head(&mut self, cx: &mut Context<'_>) -> Poll<Result<Option<Bytes>, ReadError>> {
        loop {
            if let Some(length) = self.end.find(&self.read)? {
                self.end = EndFinder::default();
                if length > self.limits.head_bytes {
                    return Poll::Ready(Err(HeadError::TooLarge.into()));
                }
                // Copied, so that header values do not keep the read buffer alive.
                let bytes = Bytes::copy_from_slice(self.read.get(..length).unwrap_or_default());
                self.read.advance(length);
                return Poll::Ready(Ok(Some(bytes)));
            }
            if self.read.len() > self.limits.head_bytes {
                return Poll::Ready(Err(HeadError::TooLarge.into()));
            }
            let n = match self.poll_fill(cx, HEAD_READ) {
                Poll::Ready(result) => result?,
                Poll::Pending => {
                    if self.read.is_empty() {
                        // An idle connection holds no buffer.
                        self.read = BytesMut::new();
                    }
                    return Poll::Pending;
                }
            };
            if n == 0 {
                return Poll::Ready(if self.read.is_empty() {
                    Ok(None)
                } else {
                    Err(io::Error::from(io::ErrorKind::UnexpectedEof).into())
                });
            }
        }
    }

    /// Whether a first byte of the next message is there, or the peer has closed.
    pub fn poll_readable(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<bool>> {
        if !self.read.is_empty() {
            return Poll::Ready(Ok(true));
        }
        match self.poll_fill(cx, HEAD_READ) {
            Poll::Ready(Ok(n)) => Poll::Ready(Ok(n > 0)),
            Poll::Ready(Err(e)) => Poll::Ready(Err(e)),
            Poll::Pending => {
                self.read = BytesMut::new();
                Poll::Pending
            }
        }
    }

    /// Ready once the peer has closed, also behind messages that it sent ahead; reads no more of these than a head's
    /// worth, so behind more it is not noticed.
    pub fn poll_closed(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        while self.read.len() < HEAD_READ {
            match self.poll_fill(cx, HEAD_READ) {
                Poll::Ready(Ok(n)) if n > 0 => {}
                Poll::Ready(_) => return Poll::Ready(()),
                Poll::Pending => break,
            }
        }
        if self.read.is_empty() {
            self.read = BytesMut::new();
        }
        Poll::Pending
    }

    /// Whether the next message begins with `prefix`; reads only as much as it takes to tell, and takes nothing.
    pub fn poll_starts_with(&mut self, prefix: &[u8], cx: &mut Context<'_>) -> Poll<io::Result<bool>> {
        loop {
            let known = self.read.len().min(prefix.len());
            let same = self.read.get(..known) == prefix.get(..known);
            if !same || known == prefix.len() {
                return Poll::Ready(Ok(same));
            }
            if ready!(self.poll_fill(cx, HEAD_READ))? == 0 {
                return Poll::Ready(Err(io::ErrorKind::UnexpectedEof.into()));
            }
        }
    }

    /// Sets how the body that follows the last head ends.
    pub fn start_reading(&mut self, framing: Framing) {
        self.decoder = match framing {
            Framing::Length(0) => Decoder::Done,
            Framing::Length(n) => Decoder::Length(n),
            Framing::Chunked => Decoder::Chunked(chunked::Decoder::default()),
            Framing::Close => Decoder::UntilClose,
        };
    }

    /// Whether the body was read to its end.
    pub fn is_read(&self) -> bool {
        matches!(self.decoder, Decoder::Done)
    }

    /// The next frame of the body: data, then trailers if there are any.
    pub fn poll_frame(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        loop {
            match &mut self.decoder {
                Decoder::Done => return Poll::Ready(None),
                Decoder::Length(left) if !self.read.is_empty() => {
                    let take = usize::try_from(*left).unwrap_or(usize::MAX).min(self.read.len());
                    *left -= take as u64;
                    if *left == 0 {
                        self.decoder = Decoder::Done;
                    }
                    return Poll::Ready(Some(Ok(Frame::data(self.read.split_to(take).freeze()))));
                }
                Decoder::UntilClose if !self.read.is_empty() => {
                    return Poll::Ready(Some(Ok(Frame::data(self.read.split().freeze()))));
                }
                Decoder::Chunked(decoder) => match decoder.decode(&mut self.read, &self.limits) {
                    Ok(Decoded::Data(data)) => return Poll::Ready(Some(Ok(Frame::data(data)))),
                    Ok(Decoded::End(trailers)) => {
                        self.decoder = Decoder::Done;
                        return Poll::Ready(trailers.map(|t| Ok(Frame::trailers(t))));
                    }
                    Ok(Decoded::More) => {}
                    Err(e) => return Poll::Ready(Some(Err(e.into()))),
                },
                Decoder::Length(_) | Decoder::UntilClose => {}
            }
            if ready!(self.poll_fill(cx, BODY_READ)).map_err(BodyError::Io)? == 0 {
                return Poll::Ready(match self.decoder {
                    Decoder::UntilClose => {
                        self.decoder = Decoder::Done;
                        None
                    }
                    _ => Some(Err(BodyError::Short)),
                });
            }
        }
    }

    fn poll_fill(&mut self, cx: &mut Context<'_>, want: usize) -> Poll<io::Result<usize>> {
        if self.eof {
            return Poll::Ready(Ok(0));
        }
        if self.read.capacity() - self.read.len() < want {
            self.read.reserve(want);
        }
        let n = ready!(poll_read_buf(Pin::new(&mut self.io), cx, &mut self.read))?;
        self.eof = n == 0;
        Poll::Ready(Ok(n))
    }

    /// Queues a request head; its body follows through [`Conn::queue_data`] and [`Conn::finish`].
    pub fn queue_request(&mut self, method: &Method, target: &str, host: &str, headers: &HeaderMap, framing: Framing) {
        head::write_request(&mut self.head, method, target, host, headers, framing);
        self.start_writing(framing);
    }

    /// Queues a final response head. `framing` is what follows on the wire; `declare` is what the head says, which
    /// differs for HEAD and 304 (a length is declared, nothing follows).
    pub fn queue_response(
        &mut self,
        status: StatusCode,
        headers: &HeaderMap,
        framing: Framing,
        declare: Option<Framing>,
        close: bool,
    ) {
        head::write_response(&mut self.head, status, headers, declare, close);
        self.is_answered = true;
        self.start_writing(framing);
    }

    /// Queues an interim (1xx) response; does nothing once the final one was queued, whose body it would be taken for.
    pub fn queue_interim(&mut self, status: StatusCode, headers: &HeaderMap) {
        if self.is_answered {
            return;
        }
        head::write_response(&mut self.head, status, headers, None, false);
    }

    fn start_writing(&mut self, framing: Framing) {
        self.encoder = match framing {
            Framing::Length(0) => Encoder::Done,
            Framing::Length(n) => Encoder::Length(n),
            Framing::Chunked => Encoder::Chunked,
            Framing::Close => Encoder::UntilClose,
        };
    }

    /// Whether more data may be queued; drains what waits if not.
    pub fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.data.is_empty() && self.head.len() < WRITE_HIGH { Poll::Ready(Ok(())) } else { self.poll_drain(cx) }
    }

    /// Queues a piece of the body. Call it only after [`Conn::poll_ready`].
    pub fn queue_data(&mut self, data: Bytes) -> Result<(), BodyError> {
        if data.is_empty() {
            return Ok(());
        }
        let mut tail: &'static [u8] = b"";
        match &mut self.encoder {
            Encoder::Length(left) => {
                *left = left.checked_sub(data.len() as u64).ok_or(BodyError::Long)?;
                if *left == 0 {
                    self.encoder = Encoder::Done;
                }
            }
            Encoder::Chunked => {
                chunked::write_size_line(&mut self.head, data.len());
                tail = b"\r\n";
            }
            Encoder::UntilClose => {}
            Encoder::Done => return Err(BodyError::Long),
        }
        if data.len() <= COALESCE {
            self.head.extend_from_slice(&data);
            self.head.extend_from_slice(tail);
        } else {
            self.data = data;
            self.tail = tail;
        }
        Ok(())
    }

    /// Queues the end of the body; trailers only travel in chunked coding. An error when the body is shorter than
    /// declared.
    pub fn finish(&mut self, trailers: Option<&HeaderMap>) -> Result<(), BodyError> {
        match std::mem::replace(&mut self.encoder, Encoder::Done) {
            Encoder::Length(_) => Err(BodyError::Short),
            Encoder::Chunked => {
                let end = &mut self.head;
                // What waits in `data` goes before the end; `head` is written first, so move it behind.
                if !self.data.is_empty() {
                    end.extend_from_slice(&self.data);
                    end.extend_from_slice(self.tail);
                    self.data = Bytes::new();
                    self.tail = b"";
                }
                end.extend_from_slice(b"0\r\n");
                for (name, value) in trailers.into_iter().flatten() {
                    end.extend_from_slice(name.as_str().as_bytes());
                    end.extend_from_slice(b": ");
                    end.extend_from_slice(value.as_bytes());
                    end.extend_from_slice(b"\r\n");
                }
                end.extend_from_slice(b"\r\n");
                Ok(())
            }
            Encoder::Done | Encoder::UntilClose => Ok(()),
        }
    }

    /// Whether everything queued for this message has been queued whole.
    pub fn is_written(&self) -> bool {
        matches!(self.encoder, Encoder::Done)
    }

    /// Hands everything queued to the stream.
    pub fn poll_drain(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while !self.head.is_empty() || !self.data.is_empty() || !self.tail.is_empty() {
            let io = Pin::new(&mut self.io);
            let n = if self.data.is_empty() && self.tail.is_empty() {
                ready!(io.poll_write(cx, &self.head))?
            } else {
                let slices = [IoSlice::new(&self.head), IoSlice::new(&self.data), IoSlice::new(self.tail)];
                ready!(io.poll_write_vectored(cx, &slices))?
            };
            if n == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.written(n);
        }
        if self.head.capacity() > COALESCE * 2 {
            self.head = BytesMut::new();
        }
        Poll::Ready(Ok(()))
    }

    fn written(&mut self, n: usize) {
        let head = n.min(self.head.len());
        self.head.advance(head);
        let data = (n - head).min(self.data.len());
        self.data.advance(data);
        if self.data.is_empty() {
            self.data = Bytes::new();
        }
        self.tail = self.tail.get(n - head - data..).unwrap_or_default();
    }

    /// Drains, then flushes the stream.
    pub fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_drain(cx))?;
        Pin::new(&mut self.io).poll_flush(cx)
    }

    /// Drains, then closes the writing side.
    pub fn poll_shutdown(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_drain(cx))?;
        Pin::new(&mut self.io).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests;
