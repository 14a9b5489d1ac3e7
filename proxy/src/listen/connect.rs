//! The `proxy` port: CONNECT, and absolute-form for plain HTTP. What begins as SOCKS goes to [`socks`].
//!
//! A CONNECT is decided at the *connect* stage. Behind it only a TLS ClientHello is accepted, whose name must be the
//! target's, and what is inside is decided request by request like any other.

use std::future::poll_fn;
use std::sync::Arc;

use bytes::BytesMut;
use http::StatusCode;
use stubgate_h1::{Conn, Framing, ReadError, RequestHead};
use stubgate_policy::{Authority, Reason, Scheme};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::tunnel::Refused;
use super::{h1, socks, tls, tunnel};
use crate::appliance::Appliance;
use crate::authority;
use crate::budget::Limit;
use crate::client::{Entry, Whence};
use crate::request::Refusal;
use crate::respond::{self, ResponseBody, Shape};
use crate::stream::{Socket, Stream};

/// The word in records.
const WORD: &str = "CONNECT";
const ESTABLISHED: &[u8] = b"HTTP/1.1 200 Connection Established\r\n\r\n";

/// Serves a connection to the proxy port.
pub(super) async fn serve(appliance: &Arc<Appliance>, tcp: TcpStream, whence: Whence) {
    let mut conn = Conn::new(Stream::Plain(Socket::new(tcp)), BytesMut::new(), appliance.h1_limits());
    // Only as far as the first word: anything but CONNECT is read again by the HTTP/1.1 server.
    let is_connect = timeout(appliance.timeouts.header, poll_fn(|cx| conn.poll_starts_with(b"CONNECT ", cx))).await;
    match is_connect {
        Ok(Ok(true)) => {}
        Ok(Ok(false)) => {
            return match conn.into_parts() {
                (Stream::Plain(socket), read) if read.first().is_some_and(|&first| socks::is_socks(first)) => {
                    socks::serve(appliance, socket.into_parts().0, read, whence).await;
                }
                (io, read) => h1::serve(appliance, io, read, whence.client(Entry::Proxy)).await,
            };
        }
        Ok(Err(_)) => return,
        Err(_) => return appliance.metrics.limit_reached(Limit::Header).inc(),
    }
    let head = match timeout(appliance.timeouts.header, poll_fn(|cx| conn.poll_request(cx))).await {
        Ok(Ok(Some(head))) => head,
        Ok(Ok(None) | Err(ReadError::Io(_))) => return,
        Ok(Err(ReadError::Head(error))) => return refuse_head(appliance, conn, whence, error.status()).await,
        Err(_) => {
            appliance.metrics.limit_reached(Limit::Header).inc();
            return refuse_head(appliance, conn, whence, StatusCode::REQUEST_TIMEOUT).await;
        }
    };
    let target = match target(&head) {
        Ok(target) => target,
        Err(refusal) => return refuse(appliance, conn, whence, None, refusal.into()).await,
    };
    let paid = match tunnel::decide(appliance, &whence, WORD, std::slice::from_ref(&target)) {
        Ok(paid) => paid,
        Err(refused) => return refuse(appliance, conn, whence, Some(&target), refused).await,
    };
    let (io, read) = conn.into_parts();
    let Stream::Plain(socket) = io else { return };
    let (mut tcp, _) = socket.into_parts();
    if tcp.write_all(ESTABLISHED).await.is_err() {
        return;
    }
    tls::serve(appliance, Socket::rewound(tcp, read), Whence { paid, ..whence }, Some(target)).await;
}

/// The target of a CONNECT: an authority with its port, the same as in Host, and no body.
fn target(head: &RequestHead) -> Result<Authority, Refusal> {
    let bad = |_| Refusal::from(Reason::BadAuthority);
    let is_port = |p: &[u8]| p.len() < head.target.len() && p.iter().all(u8::is_ascii_digit);
    if !head.target.rsplit(|&b| b == b':').next().is_some_and(is_port) {
        return Err(Reason::BadAuthority.into());
    }
    let target = Authority::parse(Scheme::Https, &head.target).map_err(bad)?;
    let mut hosts = head.headers.get_all(http::header::HOST).iter();
    if let Some(host) = hosts.next() {
        // Some clients leave the port out of Host; one that is there must be the target's.
        let has_port = host.as_bytes().rsplit(|&b| b == b':').next().is_some_and(|p| p.iter().all(u8::is_ascii_digit));
        let host = Authority::parse(Scheme::Https, host.as_bytes()).map_err(bad)?;
        if hosts.next().is_some() {
            return Err(Reason::BadAuthority.into());
        }
        if host.host() != target.host() || has_port && host.port() != target.port() {
            return Err(Reason::AuthorityMismatch.into());
        }
    }
    match stubgate_h1::framing::of_request(head.version, &head.headers) {
        Ok(Framing::Length(0)) => Ok(target),
        Ok(_) | Err(_) => Err(Reason::BadRequest.into()),
    }
}

async fn refuse(
    appliance: &Appliance,
    conn: Conn<Stream>,
    whence: Whence,
    target: Option<&Authority>,
    refused: Refused,
) {
    let status = authority::status(refused.refusal.reason);
    respond(appliance, conn, whence, target, refused, status).await;
}

/// A head that could not be read, or not in time.
async fn refuse_head(appliance: &Appliance, conn: Conn<Stream>, whence: Whence, status: StatusCode) {
    respond(appliance, conn, whence, None, Refusal::from(Reason::BadRequest).into(), status).await;
}

async fn respond(
    appliance: &Appliance,
    mut conn: Conn<Stream>,
    whence: Whence,
    target: Option<&Authority>,
    refused: Refused,
    status: StatusCode,
) {
    let id = appliance.ids.next();
    let Refused { refusal, reached } = refused;
    tunnel::refuse_with(appliance, &whence, WORD, target, &refusal, Some((&id, status.as_u16())));
    let response = match reached {
        Some(reached) => respond::limited(reached, &id, Shape::Json),
        None => respond::refusal(refusal.reason, status, &id, Shape::Json),
    };
    let (parts, body) = response.into_parts();
    let ResponseBody::Whole(body) = body else { return };
    let framing = Framing::Length(body.len() as u64);
    conn.queue_response(status, &parts.headers, framing, Some(framing), true);
    let sent = async {
        if conn.queue_data(body).is_ok() && conn.finish(None).is_ok() {
            let _ = poll_fn(|cx| conn.poll_shutdown(cx)).await;
        }
    };
    let _ = timeout(appliance.timeouts.header, sent).await;
}
