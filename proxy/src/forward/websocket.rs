//! WebSocket (RFC 6455): a tunnel, and only after a correct 101.
//!
//! The origin must switch to `websocket` and prove that it read this handshake's key. Anything else is an ordinary
//! response, after which the connection ends, so that nothing an agent sent behind its handshake reaches anyone.

use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::{Buf, BytesMut};
use http::header::{self, HeaderMap, HeaderValue};
use http::{Response, StatusCode};
use sha1::{Digest, Sha1};
use stubgate_h1::ResponseHead;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::pool::UpstreamH1;
use crate::budget::{Charge, Limit};
use crate::deadline::Deadline;
use crate::headers;
use crate::live::Underway;
use crate::respond::ResponseBody;
use crate::stream::Stream;
use crate::transaction::{Outcome, Transaction};

/// RFC 6455 section 1.3.
const GUID: &[u8] = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11";
/// Bytes that one direction of a tunnel may hold.
const BUFFER: usize = 16 * 1024;

/// Whether a request asks for a WebSocket as it must be asked: GET without a body, version 13, a key of 16 bytes.
pub(crate) fn is_handshake(method: &http::Method, headers: &HeaderMap) -> bool {
    let one = |name: header::HeaderName| {
        let mut values = headers.get_all(name).iter();
        values.next().filter(|_| values.next().is_none()).map(HeaderValue::as_bytes)
    };
    *method == http::Method::GET
        && headers::connection_has(headers, "upgrade")
        && one(header::UPGRADE).is_some_and(|v| v.eq_ignore_ascii_case(b"websocket"))
        && one(header::SEC_WEBSOCKET_VERSION) == Some(b"13")
        && one(header::SEC_WEBSOCKET_KEY).is_some_and(|v| STANDARD.decode(v).is_ok_and(|key| key.len() == 16))
}

/// Puts the hop-by-hop part of the handshake back in, which never travels by itself.
pub(super) fn declare(headers: &mut HeaderMap) {
    headers.insert(header::CONNECTION, HeaderValue::from_static("Upgrade"));
    headers.insert(header::UPGRADE, HeaderValue::from_static("websocket"));
}

/// Whether a 101 answers the handshake of `key`.
pub(super) fn is_accepted(key: &[u8], answer: &HeaderMap) -> bool {
    let mut hash = Sha1::new();
    hash.update(key);
    hash.update(GUID);
    let expected = STANDARD.encode(hash.finalize());
    let is = |name: header::HeaderName, value: &[u8]| {
        let mut values = answer.get_all(name).iter();
        values.next().is_some_and(|v| v.as_bytes().eq_ignore_ascii_case(value)) && values.next().is_none()
    };
    let proof = answer.get(header::SEC_WEBSOCKET_ACCEPT).map(HeaderValue::as_bytes);
    headers::connection_has(answer, "upgrade")
        && is(header::UPGRADE, b"websocket")
        && proof == Some(expected.as_bytes())
}

/// What follows a 101: bytes both ways until one side ends, nothing moves for too long, or policy changes.
pub struct Tunnel {
    io: Stream,
    read: BytesMut,
    underway: Underway,
    transaction: Transaction,
}

/// Hands the tunnel to whoever writes the 101; cloned by nobody in fact, as an extension must be.
#[derive(Clone)]
pub(crate) struct TunnelSlot(pub(crate) Arc<std::sync::Mutex<Option<Tunnel>>>);

impl Tunnel {
    pub(super) fn response(
        head: ResponseHead,
        upstream: UpstreamH1,
        underway: Underway,
        mut transaction: Transaction,
    ) -> Response<ResponseBody> {
        transaction.answered(StatusCode::SWITCHING_PROTOCOLS);
        let (io, read) = upstream.conn.into_parts();
        let tunnel = Tunnel { io, read, underway, transaction };
        let mut fields = head.headers;
        headers::strip_response(&mut fields);
        fields.remove(header::CONTENT_LENGTH);
        declare(&mut fields);
        let mut response = Response::new(ResponseBody::Empty);
        *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
        *response.headers_mut() = fields;
        response.extensions_mut().insert(TunnelSlot(Arc::new(std::sync::Mutex::new(Some(tunnel)))));
        response
    }

    /// Copies both ways. `from_client` is what the client sent behind its handshake.
    pub async fn run(self, mut client: Stream, from_client: BytesMut, idle: Duration) {
        let Tunnel { mut io, read, underway, mut transaction } = self;
        let mut up = Half::new(from_client, transaction.spending.charge().cloned());
        let mut down = Half::new(read, None);
        let mut deadline = Deadline::new(idle);
        let outcome = poll_fn(|cx| {
            if underway.poll_cut(cx).is_ready() {
                return Poll::Ready(Outcome::Cut);
            }
            let before = up.moved + down.moved;
            let sent = up.poll(&mut client, &mut io, cx);
            let received = down.poll(&mut io, &mut client, cx);
            if up.moved + down.moved != before {
                deadline.touch();
            }
            match (sent, received) {
                (Poll::Ready(Err(_)), _) | (_, Poll::Ready(Err(_))) => Poll::Ready(Outcome::Aborted),
                (Poll::Ready(Ok(())), Poll::Ready(Ok(()))) => Poll::Ready(Outcome::Complete),
                _ => deadline.poll(cx).map(|()| {
                    transaction.timed_out(Limit::TunnelIdle);
                    Outcome::Aborted
                }),
            }
        })
        .await;
        transaction.bytes_out = down.moved;
        transaction.sent(up.moved);
        transaction.end(outcome);
    }
}

/// One direction of a tunnel.
struct Half {
    buffer: BytesMut,
    is_ended: bool,
    is_shut: bool,
    moved: u64,
    /// Where what was read is counted before it goes on.
    charge: Option<Charge>,
    uncounted: usize,
}

impl Half {
    fn new(buffer: BytesMut, charge: Option<Charge>) -> Self {
        Half { uncounted: buffer.len(), buffer, is_ended: false, is_shut: false, moved: 0, charge }
    }

    /// Counts what was read and is to be sent. The transaction knows the limit if that fails.
    fn count(&mut self) -> std::io::Result<()> {
        let bytes = std::mem::take(&mut self.uncounted);
        match &self.charge {
            Some(charge) if bytes > 0 => {
                charge.spend(bytes as u64).map_err(|_| std::io::ErrorKind::QuotaExceeded.into())
            }
            _ => Ok(()),
        }
    }

    fn poll(&mut self, from: &mut Stream, to: &mut Stream, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        while !self.is_shut {
            self.count()?;
            while !self.buffer.is_empty() {
                let n = ready!(Pin::new(&mut *to).poll_write(cx, &self.buffer))?;
                if n == 0 {
                    return Poll::Ready(Err(std::io::ErrorKind::WriteZero.into()));
                }
                self.moved += n as u64;
                self.buffer.advance(n);
            }
            if self.is_ended {
                ready!(Pin::new(&mut *to).poll_shutdown(cx))?;
                self.is_shut = true;
                break;
            }
            let mut space = [std::mem::MaybeUninit::uninit(); BUFFER];
            let mut read = ReadBuf::uninit(&mut space);
            match Pin::new(&mut *from).poll_read(cx, &mut read) {
                // Many peers end TLS without saying so, once the WebSocket itself was closed.
                Poll::Ready(Err(error)) if error.kind() == std::io::ErrorKind::UnexpectedEof => self.is_ended = true,
                Poll::Ready(result) => {
                    result?;
                    self.is_ended = read.filled().is_empty();
                    self.buffer.extend_from_slice(read.filled());
                    self.uncounted = read.filled().len();
                }
                Poll::Pending => {
                    ready!(Pin::new(&mut *to).poll_flush(cx))?;
                    return Poll::Pending;
                }
            }
        }
        Poll::Ready(Ok(()))
    }
}
