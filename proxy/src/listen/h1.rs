//! HTTP/1.1 towards agents, over our own strict codec.
//!
//! One task drives a connection: it reads a head, takes it through the phases, and writes the response while what is left
//! of the request's body goes out. A connection is kept only while both sides agree where the next message begins.

use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::Poll;
use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};
use http::{HeaderMap, Method, Response, StatusCode, header};
use http_body::Body as _;
use stubgate_h1::{Conn, Framing, ReadError, RequestHead, SharedConn, Version, framing};
use stubgate_policy::{Reason, Scheme};
use tokio_util::sync::WaitForCancellationFutureOwned;

use crate::appliance::Appliance;
use crate::authority;
use crate::body::RequestBody;
use crate::budget::Limit;
use crate::client::{Client, Entry};
use crate::deadline::Deadline;
use crate::forward::websocket::{TunnelSlot, is_handshake};
use crate::headers;
use crate::identify::agent_of;
use crate::request::{Arrived, Known};
use crate::respond::{self, Declared, ResponseBody, Shape};
use crate::service;
use crate::stream::Stream;
use crate::transaction::Transaction;

/// Bytes of an unread body that are read and thrown away, so that a refusal reaches an agent that is still sending.
const LINGER_BYTES: u64 = 8 << 20;
/// How long the next request on a connection is waited for by an appliance that is leaving.
const FAREWELL: Duration = Duration::from_secs(1);

/// Serves a connection until its end. `already_read` is what was read from it before.
pub(super) async fn serve(appliance: &Arc<Appliance>, stream: Stream, already_read: BytesMut, client: Client) {
    let conn = SharedConn::new(Conn::new(stream, already_read, appliance.h1_limits()));
    let mut server = Server {
        appliance,
        client: Arc::new(client),
        conn,
        left: appliance.limits.requests_per_connection,
        deadline: Deadline::new(appliance.timeouts.idle),
        leaving: Box::pin(appliance.leaving.clone().cancelled_owned()),
    };
    loop {
        match server.exchange().await {
            Next::Keep => {}
            Next::Close { linger } => return server.close(linger).await,
            Next::Tunnel(tunnel) => {
                let Some(conn) = server.conn.into_inner() else { return };
                let (io, read) = conn.into_parts();
                return Box::pin(tunnel.run(appliance, io, read)).await;
            }
        }
    }
}

enum Next {
    Keep,
    Close { linger: bool },
    Tunnel(Box<crate::forward::Tunnel>),
}

struct Server<'a> {
    appliance: &'a Arc<Appliance>,
    client: Arc<Client>,
    conn: SharedConn<Stream>,
    /// Requests that it may bring still.
    left: u64,
    deadline: Deadline,
    leaving: Pin<Box<WaitForCancellationFutureOwned>>,
}

/// What of a request the writing of its response depends on.
struct Asked {
    method: Method,
    version: Version,
    keeps: bool,
    websocket: bool,
}

impl Server<'_> {
    async fn exchange(&mut self) -> Next {
        let head = match self.read_head().await {
            Ok(Some(head)) => head,
            Ok(None) => return Next::Close { linger: false },
            Err(status) => return self.refuse_head(status).await,
        };
        self.left = self.left.saturating_sub(1);
        if self.left == 0 {
            self.appliance.metrics.limit_reached(Limit::RequestsPerConnection).inc();
        }
        let asked = Asked {
            method: head.method.clone(),
            version: head.version,
            keeps: match head.version {
                Version::Http11 => !headers::connection_has(&head.headers, "close"),
                Version::Http10 => headers::connection_has(&head.headers, "keep-alive"),
            },
            websocket: head.headers.contains_key(header::UPGRADE) && is_handshake(&head.method, &head.headers),
        };
        let shape = Shape::of(&head.headers);
        let method = head.method.clone();
        let response = match arrive(&self.client, &self.conn, head, asked.websocket) {
            Ok(arrived) => {
                let Some(response) = self.answer(arrived).await else { return Next::Close { linger: false } };
                response
            }
            Err((reason, status)) => {
                let (response, _) = self.refusal(reason, status, method, shape);
                self.write(response, &Asked { keeps: false, ..asked }).await;
                return Next::Close { linger: true };
            }
        };
        self.write(response, &asked).await
    }

    /// Waits for a head: without a deadline of its own for the first byte but that of an idle connection, then within
    /// that of a head.
    async fn read_head(&mut self) -> Result<Option<RequestHead>, StatusCode> {
        let is_fresh = self.left == self.appliance.limits.requests_per_connection;
        let Server { appliance, conn, deadline, leaving, .. } = self;
        let mut is_leaving = false;
        deadline.restart(appliance.timeouts.idle);
        let readable = poll_fn(|cx| {
            if let Poll::Ready(readable) = conn.lock().poll_readable(cx) {
                return Poll::Ready(readable.unwrap_or(false));
            }
            if !is_leaving && leaving.as_mut().poll(cx).is_ready() {
                is_leaving = true;
                // Whoever has just come can't know, and would not ask again. The others are told by the next answer, and a
                // connection that is hardly used is let go.
                deadline.restart(if is_fresh { appliance.timeouts.header } else { FAREWELL });
            }
            if deadline.poll(cx).is_ready() {
                if !is_leaving {
                    appliance.metrics.limit_reached(Limit::Idle).inc();
                }
                return Poll::Ready(false);
            }
            Poll::Pending
        })
        .await;
        if !readable {
            return Ok(None);
        }
        deadline.restart(appliance.timeouts.header);
        poll_fn(|cx| match conn.lock().poll_request(cx) {
            Poll::Ready(Ok(head)) => Poll::Ready(Ok(head)),
            Poll::Ready(Err(ReadError::Io(_))) => Poll::Ready(Ok(None)),
            Poll::Ready(Err(ReadError::Head(error))) => Poll::Ready(Err(error.status())),
            Poll::Pending => deadline.poll(cx).map(|()| {
                appliance.metrics.limit_reached(Limit::Header).inc();
                Err(StatusCode::REQUEST_TIMEOUT)
            }),
        })
        .await
    }

    /// The response, unless the agent leaves first.
    async fn answer(&self, arrived: Arrived) -> Option<Response<ResponseBody>> {
        let conn = &self.conn;
        let mut answer = pin!(service::serve(self.appliance, arrived, "h1"));
        poll_fn(|cx| {
            if let Poll::Ready(response) = answer.as_mut().poll(cx) {
                return Poll::Ready(Some(response));
            }
            if has_left(&mut conn.lock(), cx) { Poll::Ready(None) } else { Poll::Pending }
        })
        .await
    }

    async fn write(&mut self, response: Response<ResponseBody>, asked: &Asked) -> Next {
        let (mut parts, body) = response.into_parts();
        if let Some(TunnelSlot(slot)) = parts.extensions.remove::<TunnelSlot>() {
            let tunnel = slot.lock().unwrap_or_else(std::sync::PoisonError::into_inner).take().map(Box::new);
            self.conn.lock().queue_response(parts.status, &parts.headers, Framing::Length(0), None, false);
            let flushed = self.flush().await;
            return match tunnel {
                Some(tunnel) if flushed => Next::Tunnel(tunnel),
                _ => Next::Close { linger: false },
            };
        }
        let declared = parts.extensions.remove::<Declared>().and_then(|declared| declared.0);
        let bodiless = asked.method == Method::HEAD || matches!(parts.status.as_u16(), 204 | 304);
        let framing = match (body.size_hint().exact(), asked.version) {
            _ if bodiless => Framing::Length(0),
            (Some(length), _) => Framing::Length(length),
            (None, Version::Http11) => Framing::Chunked,
            (None, Version::Http10) => Framing::Close,
        };
        let declare = match (bodiless, parts.status.as_u16()) {
            (true, 204) => None,
            (true, _) => declared,
            (false, _) => Some(framing),
        };
        let read_whole = self.conn.lock().is_read();
        let keeps = asked.keeps
            && self.left > 0
            && !asked.websocket
            && framing != Framing::Close
            && !self.appliance.leaving.is_cancelled()
            // Our own answer to a request that is still being sent: the rest is thrown away with the connection.
            && (read_whole || matches!(body, ResponseBody::Relay(_)));
        self.conn.lock().queue_response(parts.status, &parts.headers, framing, declare, !keeps);
        let written = self.write_body(body, bodiless).await;
        let read_whole = self.conn.lock().is_read();
        if written && keeps && read_whole { Next::Keep } else { Next::Close { linger: written && !read_whole } }
    }

    /// Writes a body as it comes; `false` where it ended early, which the agent sees as a connection cut short.
    async fn write_body(&mut self, body: ResponseBody, bodiless: bool) -> bool {
        let Server { conn, deadline, appliance, .. } = self;
        let mut body = pin!(body);
        deadline.restart(appliance.timeouts.body_idle);
        let mut is_whole = false;
        poll_fn(|cx| {
            while !is_whole {
                match conn.lock().poll_ready(cx) {
                    Poll::Ready(Ok(())) => {}
                    Poll::Ready(Err(_)) => return Poll::Ready(false),
                    // An agent that does not read must not outlive its permission.
                    Poll::Pending if body.poll_cut(cx).is_ready() => return Poll::Ready(false),
                    Poll::Pending => {
                        return deadline.poll(cx).map(|()| {
                            appliance.metrics.limit_reached(Limit::BodyIdle).inc();
                            false
                        });
                    }
                }
                match body.as_mut().poll_frame(cx) {
                    Poll::Ready(Some(Ok(frame))) => {
                        deadline.touch();
                        let queued = match frame.into_data() {
                            Ok(data) if !bodiless => conn.lock().queue_data(data),
                            Ok(_) => Ok(()),
                            Err(frame) => conn.lock().finish(frame.trailers_ref()),
                        };
                        if queued.is_err() {
                            return Poll::Ready(false);
                        }
                    }
                    Poll::Ready(Some(Err(_))) => return Poll::Ready(false),
                    Poll::Ready(None) => {
                        is_whole = true;
                        if conn.lock().finish(None).is_err() {
                            return Poll::Ready(false);
                        }
                    }
                    Poll::Pending => {
                        let mut conn = conn.lock();
                        if matches!(conn.poll_flush(cx), Poll::Ready(Err(_))) || has_left(&mut conn, cx) {
                            return Poll::Ready(false);
                        }
                        return Poll::Pending;
                    }
                }
            }
            match conn.lock().poll_flush(cx) {
                Poll::Ready(flushed) => Poll::Ready(flushed.is_ok()),
                Poll::Pending => deadline.poll(cx).map(|()| false),
            }
        })
        .await
    }

    async fn flush(&mut self) -> bool {
        let Server { conn, deadline, appliance, .. } = self;
        deadline.restart(appliance.timeouts.body_idle);
        poll_fn(|cx| match conn.lock().poll_flush(cx) {
            Poll::Ready(flushed) => Poll::Ready(flushed.is_ok()),
            Poll::Pending => deadline.poll(cx).map(|()| false),
        })
        .await
    }

    /// A head that could not be read: there is no request to take through the phases.
    async fn refuse_head(&mut self, status: StatusCode) -> Next {
        let (response, method) = self.refusal(Reason::BadRequest, status, Method::GET, Shape::Json);
        let asked = Asked { method, version: Version::Http11, keeps: false, websocket: false };
        self.write(response, &asked).await;
        Next::Close { linger: true }
    }

    fn refusal(
        &self,
        reason: Reason,
        status: StatusCode,
        method: Method,
        shape: Shape,
    ) -> (Response<ResponseBody>, Method) {
        let appliance = self.appliance;
        let snapshot = appliance.snapshot.load();
        let agent = agent_of(appliance, &snapshot.policy, &self.client.peer);
        let known = Known {
            id: appliance.ids.next(),
            agent: agent.map(|agent| snapshot.policy.agent(agent).name().into()),
            authority: None,
            connection: None,
            method,
            path: "".into(),
            protocol: "h1",
            at: Instant::now(),
        };
        let transaction = Transaction::new(Arc::clone(appliance), known, &self.client);
        let known = transaction.refuse(&snapshot, reason.into(), status);
        (respond::refusal(reason, status, &known.id, shape), known.method)
    }

    /// Closes. Where the agent may still be sending, what it sends is thrown away for a while: a reset would take the
    /// answer away before it was read (RFC 9112 section 9.6).
    async fn close(mut self, linger: bool) {
        let Server { conn, deadline, appliance, .. } = &mut self;
        deadline.restart(appliance.timeouts.header.min(Duration::from_secs(5)));
        let mut is_shut = false;
        let mut left = LINGER_BYTES;
        poll_fn(|cx| {
            let mut conn = conn.lock();
            if !is_shut {
                match conn.poll_shutdown(cx) {
                    Poll::Ready(Ok(())) => is_shut = true,
                    Poll::Ready(Err(_)) => return Poll::Ready(()),
                    Poll::Pending => return deadline.poll(cx),
                }
                conn.start_reading(Framing::Close);
            }
            if !linger {
                return Poll::Ready(());
            }
            loop {
                match conn.poll_frame(cx) {
                    Poll::Ready(Some(Ok(frame))) => {
                        left = left.saturating_sub(frame.data_ref().map_or(0, |d| d.len() as u64));
                        if left == 0 {
                            return Poll::Ready(());
                        }
                    }
                    Poll::Ready(_) => return Poll::Ready(()),
                    Poll::Pending => return deadline.poll(cx),
                }
            }
        })
        .await;
    }
}

/// Whether the agent closed while it waits for more of a response, whatever it sent ahead.
fn has_left(conn: &mut Conn<Stream>, cx: &mut std::task::Context<'_>) -> bool {
    conn.is_read() && conn.poll_closed(cx).is_ready()
}

/// From a head to a request, with the framing and the form of target that the connection demands.
fn arrive(
    client: &Arc<Client>,
    conn: &SharedConn<Stream>,
    head: RequestHead,
    websocket: bool,
) -> Result<Arrived, (Reason, StatusCode)> {
    let bad = |reason| (reason, authority::status(reason));
    let framing =
        framing::of_request(head.version, &head.headers).map_err(|error| (Reason::BadRequest, error.status()))?;
    let mut headers: HeaderMap = head.headers;
    let mut claims = Vec::with_capacity(2);
    let (absolute, target) = split_target(&head.target);
    match (&client.entry, absolute) {
        // The proxy port is for what names its authority; TLS inside CONNECT or by SNI is for what does not.
        (Entry::Proxy, None) | (Entry::Tls { .. }, Some(_)) => return Err(bad(Reason::BadRequest)),
        (_, Some((scheme, _))) if scheme != Scheme::Http => return Err(bad(Reason::BadRequest)),
        (_, Some((_, named))) => claims.push(named),
        (_, None) => {}
    }
    let mut hosts = headers.get_all(header::HOST).iter();
    match (hosts.next(), hosts.next()) {
        (Some(host), None) => claims.push(Bytes::copy_from_slice(host.as_bytes())),
        (None, _) | (Some(_), Some(_)) => return Err(bad(Reason::BadAuthority)),
    }
    if target.first() != Some(&b'/') {
        return Err(bad(Reason::BadRequest));
    }
    // Upgrades other than a WebSocket's handshake, and any with a body, are refused rather than ignored.
    if headers.contains_key(header::UPGRADE) && (!websocket || framing != Framing::Length(0)) {
        return Err(bad(Reason::BadRequest));
    }
    let mut expectations = headers.get_all(header::EXPECT).iter();
    if let Some(expectation) = expectations.next()
        && (!expectation.as_bytes().eq_ignore_ascii_case(b"100-continue") || expectations.next().is_some())
    {
        return Err((Reason::BadRequest, StatusCode::EXPECTATION_FAILED));
    }
    headers.remove(header::HOST);
    headers.remove(header::CONTENT_LENGTH);
    headers.remove(header::TRANSFER_ENCODING);
    let query = memchr::memchr(b'?', &target);
    Ok(Arrived {
        client: Arc::clone(client),
        method: head.method,
        claims,
        path: query.map_or_else(|| target.clone(), |at| target.slice(..at)),
        query: query.map(|at| target.slice(at + 1..)),
        headers,
        websocket,
        // HTTP/1.0 knows none, and a tunnel wants its connection for itself.
        interim: (head.version == Version::Http11 && !websocket).then(|| conn.clone()),
        body: match framing {
            Framing::Length(0) => {
                conn.lock().start_reading(framing);
                RequestBody::Empty
            }
            Framing::Length(_) | Framing::Chunked | Framing::Close => RequestBody::H1(conn.body(framing)),
        },
        at: Instant::now(),
    })
}

/// Splits an absolute-form target into scheme and authority, and the rest; other forms have no authority.
fn split_target(target: &Bytes) -> (Option<(Scheme, Bytes)>, Bytes) {
    let lower = target.get(..8).unwrap_or(target).to_ascii_lowercase();
    let (scheme, skip) = if lower.starts_with(b"http://") {
        (Scheme::Http, 7)
    } else if lower.starts_with(b"https://") {
        (Scheme::Https, 8)
    } else {
        return (None, target.clone());
    };
    let rest = target.slice(skip..);
    let end = rest.iter().position(|&b| b == b'/' || b == b'?').unwrap_or(rest.len());
    let path = match rest.get(end) {
        Some(b'/') => rest.slice(end..),
        Some(_) => [b"/".as_slice(), rest.get(end..).unwrap_or_default()].concat().into(),
        None => Bytes::from_static(b"/"),
    };
    (Some((scheme, rest.slice(..end))), path)
}
