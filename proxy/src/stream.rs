//! The byte streams beneath a connection: a socket, plain or inside TLS of either role.
//!
//! [`Socket`] gives back first what was read before (the bytes behind a CONNECT head), and reads ahead once a peer
//! fills whole reads, so that a bulk transfer costs one system call where it would cost eight. Memory for that is
//! held only while a transfer is at full speed.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Buf, BytesMut};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio_rustls::TlsStream;
use tokio_util::io::poll_read_buf;

/// Bytes read ahead at full speed.
const AHEAD: usize = 32 * 1024;
/// A reader that asks for so much and gets all of it is at full speed.
const FULL_READ: usize = 4 * 1024;

/// A TCP connection that can be given bytes back.
#[derive(Debug)]
pub struct Socket {
    tcp: TcpStream,
    before: BytesMut,
    fast: bool,
}

impl Socket {
    /// A fresh connection.
    pub fn new(tcp: TcpStream) -> Self {
        Socket::rewound(tcp, BytesMut::new())
    }

    /// A connection of which `before` was read already.
    pub fn rewound(tcp: TcpStream, before: BytesMut) -> Self {
        Socket { tcp, before, fast: false }
    }

    /// The socket and what is to be read before it.
    pub fn into_parts(self) -> (TcpStream, BytesMut) {
        (self.tcp, self.before)
    }
}

impl AsyncRead for Socket {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if this.before.is_empty() {
            if !this.fast {
                let want = buf.remaining();
                ready!(Pin::new(&mut this.tcp).poll_read(cx, buf))?;
                this.fast = buf.remaining() == 0 && want >= FULL_READ;
                return Poll::Ready(Ok(()));
            }
            this.before.reserve(AHEAD);
            let read = poll_read_buf(Pin::new(&mut this.tcp), cx, &mut this.before);
            this.fast = matches!(&read, Poll::Ready(Ok(n)) if *n >= FULL_READ);
            if !this.fast && this.before.is_empty() {
                this.before = BytesMut::new();
            }
            ready!(read)?;
        }
        let n = this.before.len().min(buf.remaining());
        buf.put_slice(this.before.get(..n).unwrap_or_default());
        this.before.advance(n);
        if this.before.is_empty() && !this.fast {
            this.before = BytesMut::new();
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Socket {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().tcp).poll_write(cx, buf)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let tcp = Pin::new(&mut self.get_mut().tcp);
        match bufs {
            // What rustls mostly has is one record, and `send` is cheaper than `writev`.
            [one] => tcp.poll_write(cx, one),
            _ => tcp.poll_write_vectored(cx, bufs),
        }
    }

    fn is_write_vectored(&self) -> bool {
        self.tcp.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().tcp).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().tcp).poll_shutdown(cx)
    }
}

/// A connection of either side of the appliance.
#[derive(Debug)]
pub enum Stream {
    /// Plain TCP.
    Plain(Socket),
    /// Inside TLS: we are the server towards agents and the client towards origins.
    Tls(Box<TlsStream<Socket>>),
}

/// Forwards a poll to whichever stream there is.
macro_rules! either {
    ($self:ident, $io:ident => $call:expr) => {
        match $self.get_mut() {
            Stream::Plain(io) => {
                let $io = Pin::new(io);
                $call
            }
            Stream::Tls(io) => {
                let $io = Pin::new(io.as_mut());
                $call
            }
        }
    };
}

impl AsyncRead for Stream {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        either!(self, io => io.poll_read(cx, buf))
    }
}

impl AsyncWrite for Stream {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        either!(self, io => io.poll_write(cx, buf))
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        either!(self, io => io.poll_write_vectored(cx, bufs))
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        either!(self, io => io.poll_flush(cx))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        either!(self, io => io.poll_shutdown(cx))
    }
}
