//! The `proxy` port: CONNECT, and absolute-form for plain HTTP.
//!
//! A CONNECT is decided at the *connect* stage. Behind it only a TLS ClientHello is accepted, whose name must be the
//! target's, and what is inside is decided request by request like any other.

use std::future::poll_fn;
use std::net::SocketAddr;
use std::sync::Arc;

use bytes::BytesMut;
use http::StatusCode;
use stubgate_h1::{Conn, Framing, ReadError, RequestHead};
use stubgate_policy::{Ask, Authority, ConnectStage, Decision, Reason, Scheme};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::{h1, tls};
use crate::appliance::Appliance;
use crate::authority;
use crate::budget::Limit;
use crate::client::{Client, Entry};
use crate::identify::identify;
use crate::metrics::Listener;
use crate::record::{Event, Layer, Line, Wire};
use crate::request::Refusal;
use crate::respond::{self, ResponseBody, Shape};
use crate::stream::{Socket, Stream};

const ESTABLISHED: &[u8] = b"HTTP/1.1 200 Connection Established\r\n\r\n";

/// Serves a connection to the proxy port.
pub(super) async fn serve(appliance: &Arc<Appliance>, tcp: TcpStream, peer: SocketAddr) {
    let client = Client { peer, listener: Listener::Proxy, entry: Entry::Proxy };
    let mut conn = Conn::new(Stream::Plain(Socket::new(tcp)), BytesMut::new(), appliance.h1_limits());
    // Only as far as the first word: anything but CONNECT is read again by the HTTP/1.1 server.
    let is_connect = timeout(appliance.timeouts.header, poll_fn(|cx| conn.poll_starts_with(b"CONNECT ", cx))).await;
    match is_connect {
        Ok(Ok(true)) => {}
        Ok(Ok(false)) => {
            let (io, read) = conn.into_parts();
            return h1::serve(appliance, io, read, client).await;
        }
        Ok(Err(_)) => return,
        Err(_) => return appliance.metrics.limit_reached(Limit::Header).inc(),
    }
    let head = match timeout(appliance.timeouts.header, poll_fn(|cx| conn.poll_request(cx))).await {
        Ok(Ok(Some(head))) => head,
        Ok(Ok(None) | Err(ReadError::Io(_))) => return,
        Ok(Err(ReadError::Head(error))) => return refuse_head(appliance, conn, peer, error.status()).await,
        Err(_) => {
            appliance.metrics.limit_reached(Limit::Header).inc();
            return refuse_head(appliance, conn, peer, StatusCode::REQUEST_TIMEOUT).await;
        }
    };
    let target = match target(&head) {
        Ok(target) => target,
        Err(refusal) => return refuse(appliance, conn, peer, None, refusal).await,
    };
    if let Err(refusal) = decide(appliance, peer, &target) {
        return refuse(appliance, conn, peer, Some(&target), refusal).await;
    }
    let (io, read) = conn.into_parts();
    let Stream::Plain(socket) = io else { return };
    let (mut tcp, _) = socket.into_parts();
    if tcp.write_all(ESTABLISHED).await.is_err() {
        return;
    }
    tls::serve(appliance, Socket::rewound(tcp, read), peer, Listener::Proxy, Some(target)).await;
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
        // Some clients leave the port out of Host.
        let host = Authority::parse(Scheme::Https, host.as_bytes()).map_err(bad)?;
        if hosts.next().is_some() {
            return Err(Reason::BadAuthority.into());
        }
        if host.host() != target.host() {
            return Err(Reason::AuthorityMismatch.into());
        }
    }
    match stubgate_h1::framing::of_request(head.version, &head.headers) {
        Ok(Framing::Length(0)) => Ok(target),
        Ok(_) | Err(_) => Err(Reason::BadRequest.into()),
    }
}

fn decide(appliance: &Appliance, peer: SocketAddr, target: &Authority) -> Result<(), Refusal> {
    let snapshot = appliance.snapshot.load();
    let (agent, _) = identify(&snapshot, peer.ip())?;
    match snapshot.policy.decide(&Ask::new(agent, ConnectStage { authority: target })) {
        Decision::Allow(_) => {
            let line = line(&snapshot, peer, Some(target), Event::Allowed, "allow");
            // The tunnel carries nothing yet; each request in it has its own record and its own refusal.
            let _ = appliance.audit.write(&line);
            Ok(())
        }
        Decision::Deny(denial) => Err(Refusal { reason: denial.reason, rule: denial.rule, stub_of: None }),
        Decision::Answer(_) => Err(Reason::ConnectNotAllowed.into()),
    }
}

async fn refuse(
    appliance: &Appliance,
    conn: Conn<Stream>,
    peer: SocketAddr,
    target: Option<&Authority>,
    refusal: Refusal,
) {
    let status = authority::status(refusal.reason);
    respond(appliance, conn, peer, target, refusal, status).await;
}

/// A head that could not be read, or not in time.
async fn refuse_head(appliance: &Appliance, conn: Conn<Stream>, peer: SocketAddr, status: StatusCode) {
    respond(appliance, conn, peer, None, Reason::BadRequest.into(), status).await;
}

async fn respond(
    appliance: &Appliance,
    mut conn: Conn<Stream>,
    peer: SocketAddr,
    target: Option<&Authority>,
    refusal: Refusal,
    status: StatusCode,
) {
    let snapshot = appliance.snapshot.load();
    let id = appliance.ids.next();
    let rule = refusal.rule.map(|rule| snapshot.policy.rule(rule).name());
    appliance.metrics.refused(refusal.reason, rule.unwrap_or("")).inc();
    let line = Line {
        id: Some(&id),
        rule,
        reason: Some(refusal.reason),
        status: Some(status.as_u16()),
        ..line(&snapshot, peer, target, Event::Refused, "deny")
    };
    // Refused all the same; a lost record is counted.
    let _ = appliance.audit.refuse(&line);
    let response = respond::refusal(refusal.reason, status, &id, Shape::Json);
    drop(snapshot);
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

fn line<'a>(
    snapshot: &'a crate::snapshot::Snapshot,
    peer: SocketAddr,
    target: Option<&'a Authority>,
    event: Event,
    decision: &'static str,
) -> Line<'a> {
    let agent = snapshot.policy.identify(peer.ip()).map(|agent| snapshot.policy.agent(agent).name());
    Line {
        agent,
        peer: Some(peer),
        authority: target,
        method: Some(Wire("CONNECT")),
        decision: Some(decision),
        policy: Some(snapshot.policy.fingerprint()),
        ..Line::new(event, Layer::Connect)
    }
}
