//! One exchange over HTTP/1.1 with an origin.
//!
//! The agent's task drives both sides: while the head of the response is awaited, the request's body goes out as it comes
//! in. Nothing is relayed raw but what follows a correct 101.

use std::future::poll_fn;
use std::sync::Arc;
use std::task::{Context, Poll};

use http::{HeaderMap, Response, StatusCode, header};
use http_body::Body;
use stubgate_h1::{Conn, Framing, ReadError, ResponseHead, Version, framing};
use stubgate_policy::Reason;

use super::pool::{Key, UpstreamH1};
use super::relay::{Relay, SourceH1};
use super::{Failure, Outgoing, Tunnel, websocket};
use crate::appliance::Appliance;
use crate::body::{Passed, RequestBodyError, Watched};
use crate::headers;
use crate::respond::{Declared, ResponseBody};
use crate::scrub::{self, Inspector};
use crate::stream::Stream;
use crate::transaction::Outcome;

/// Interim responses that one exchange may have.
const MOST_INTERIM: u32 = 16;

/// The request's body on its way out.
pub(super) struct Upload {
    body: Watched,
    state: Sending,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Sending {
    Body,
    Flushing,
    Done,
    /// The origin takes no more; its response may still come.
    Abandoned,
}

impl Upload {
    /// Moves what can be moved. An error is the agent's: a body cut short or malformed, or a stub that is denied.
    pub(super) fn poll(&mut self, conn: &mut Conn<Stream>, cx: &mut Context<'_>) -> Result<bool, RequestBodyError> {
        let mut moved = false;
        while self.state == Sending::Body {
            match conn.poll_ready(cx) {
                Poll::Ready(Ok(())) => {}
                Poll::Ready(Err(_)) => {
                    self.state = Sending::Abandoned;
                    return Ok(moved);
                }
                Poll::Pending => return Ok(moved),
            }
            match std::pin::Pin::new(&mut self.body).poll_frame(cx) {
                Poll::Ready(Some(Ok(frame))) => {
                    if let Ok(data) = frame.into_data() {
                        moved = true;
                        conn.queue_data(data)?;
                    }
                }
                Poll::Ready(Some(Err(error))) => return Err(error),
                Poll::Ready(None) => {
                    conn.finish(None)?;
                    self.state = Sending::Flushing;
                }
                Poll::Pending => break,
            }
        }
        if matches!(self.state, Sending::Body | Sending::Flushing) {
            match conn.poll_flush(cx) {
                Poll::Ready(Ok(())) if self.state == Sending::Flushing => {
                    moved = true;
                    self.state = Sending::Done;
                }
                Poll::Ready(Err(_)) => self.state = Sending::Abandoned,
                Poll::Ready(Ok(())) | Poll::Pending => {}
            }
        }
        Ok(moved)
    }

    /// What passed of it.
    pub(super) fn passed(&self) -> Arc<Passed> {
        self.body.passed()
    }

    /// Whether all was sent.
    pub(super) fn is_done(&self) -> bool {
        self.state == Sending::Done
    }
}

/// Sends the request and waits for the head of its response.
pub(super) async fn exchange(
    appliance: &Arc<Appliance>,
    mut upstream: Box<UpstreamH1>,
    key: Key,
    mut outgoing: Box<Outgoing>,
) -> Result<Response<ResponseBody>, Failure> {
    outgoing.transaction.upstream = Some(upstream.address);
    if let Err(refusal) = outgoing.seal(appliance, upstream.verified.as_ref()).await {
        return Err(Failure::Refused(refusal, outgoing));
    }
    let is_reused = queue(&mut upstream, &mut outgoing);
    let mut upload = Upload { state: Sending::Body, body: outgoing.take_body() };
    upstream.deadline.restart(appliance.timeouts.upstream_header);
    let mut head = match head(appliance, &mut upstream, &mut upload, &mut outgoing).await {
        Ok(head) => head,
        Err(wait) => {
            let is_stale = is_reused
                && matches!(&wait, Wait::Failed(ReadError::Io(_)))
                && upload.body.is_untouched()
                && is_safe_to_repeat(&outgoing.method, upload.body.is_end_stream());
            if is_stale {
                outgoing.body = upload.body;
                return Err(Failure::Stale(outgoing));
            }
            return Err(Failure::new(wait.reason(), outgoing));
        }
    };
    if head.status == StatusCode::SWITCHING_PROTOCOLS {
        let is_accepted = |asked: &(websocket::Handshake, _)| asked.0.is_accepted_by(&head.headers);
        let Some(asked) = outgoing.websocket.take_if(|asked| is_accepted(asked)).filter(|_| upload.is_done()) else {
            return Err(Failure::new(Reason::UpgradeRefused, outgoing));
        };
        scrub::head(appliance, &mut head.headers, &mut outgoing.transaction);
        let Outgoing { underway, transaction, .. } = *outgoing;
        return Ok(Tunnel::response(head, *upstream, asked.1, underway, transaction));
    }
    let Ok(framing) = framing::of_response(&outgoing.method, head.status, head.version, &head.headers) else {
        return Err(Failure::new(Reason::UpstreamProtocol, outgoing));
    };
    let has_body = framing != Framing::Length(0);
    let act = outgoing.permit.on_credential();
    let transaction = &mut outgoing.transaction;
    let inspector = match scrub::response(appliance, head.status, &mut head.headers, has_body, act, transaction) {
        Ok(inspector) => inspector,
        Err(reason) => return Err(Failure::new(reason, outgoing)),
    };
    let source = SourceH1 { upstream, upload, key, keeps: true };
    Ok(respond(appliance, head, framing, source, inspector, *outgoing))
}

/// Queues the head of the request; whether the connection was used before.
fn queue(upstream: &mut UpstreamH1, outgoing: &mut Outgoing) -> bool {
    let framing = if outgoing.body.is_end_stream() {
        Framing::Length(0)
    } else {
        outgoing.body.size_hint().exact().map_or(Framing::Chunked, Framing::Length)
    };
    if outgoing.websocket.is_some() {
        websocket::declare(&mut outgoing.headers);
    }
    let host = outgoing.permit.authority().host_header();
    upstream.conn.queue_request(&outgoing.method, &outgoing.target, &host, &outgoing.headers, framing);
    std::mem::replace(&mut upstream.is_used, true)
}

/// Waits for the head of the final response, or of a 101, while the request's body goes out.
async fn head(
    appliance: &Appliance,
    upstream: &mut UpstreamH1,
    upload: &mut Upload,
    outgoing: &mut Outgoing,
) -> Result<ResponseHead, Wait> {
    let mut interims = 0;
    poll_fn(|cx| {
        if outgoing.underway.poll_cut(cx).is_ready() {
            return Poll::Ready(Err(Wait::Refused(outgoing.cut_reason())));
        }
        match upload.poll(&mut upstream.conn, cx) {
            Ok(true) => upstream.deadline.touch(),
            Ok(false) => {}
            Err(RequestBodyError::Limit) => return Poll::Ready(Err(Wait::Refused(Reason::LimitReached))),
            Err(RequestBodyError::Stub) => return Poll::Ready(Err(Wait::Refused(Reason::StubInBody))),
            Err(_) => return Poll::Ready(Err(Wait::Refused(Reason::BadRequest))),
        }
        loop {
            let mut head = match upstream.conn.poll_response(cx) {
                Poll::Ready(Ok(head)) => head,
                Poll::Ready(Err(error)) => return Poll::Ready(Err(Wait::Failed(error))),
                Poll::Pending => {
                    return upstream.deadline.poll(cx).map(|()| Err(Wait::Refused(Reason::UpstreamTimeout)));
                }
            };
            if !head.status.is_informational() || head.status == StatusCode::SWITCHING_PROTOCOLS {
                return Poll::Ready(Ok(head));
            }
            interims += 1;
            if interims > MOST_INTERIM {
                return Poll::Ready(Err(Wait::Refused(Reason::UpstreamProtocol)));
            }
            upstream.deadline.touch();
            if let Some(client) = &outgoing.interim {
                scrub::head(appliance, &mut head.headers, &mut outgoing.transaction);
                relay_interim(client, head, cx);
            }
        }
    })
    .await
}

fn respond(
    appliance: &Arc<Appliance>,
    head: ResponseHead,
    framing: Framing,
    mut source: SourceH1,
    inspector: Option<Box<Inspector>>,
    outgoing: Outgoing,
) -> Response<ResponseBody> {
    let Outgoing { underway, mut transaction, .. } = outgoing;
    let decodes = inspector.as_ref().is_some_and(|inspector| inspector.decodes());
    let declared = framing::declared(head.version, &head.headers).ok().flatten().filter(|_| !decodes);
    source.keeps = framing != Framing::Close
        && match head.version {
            Version::Http11 => !headers::connection_has(&head.headers, "close"),
            Version::Http10 => headers::connection_has(&head.headers, "keep-alive"),
        };
    source.upstream.conn.start_reading(framing);
    source.upstream.deadline.restart(appliance.timeouts.body_idle);
    let mut fields = head.headers;
    headers::strip_response(&mut fields);
    fields.remove(header::CONTENT_LENGTH);
    transaction.answered(head.status);
    underway.answered();
    let length = match framing {
        Framing::Length(n) if !decodes => Some(n),
        Framing::Length(_) | Framing::Chunked | Framing::Close => None,
    };
    let body = if framing == Framing::Length(0) && source.upload.is_done() {
        source.finish(appliance);
        transaction.end(Outcome::Complete);
        ResponseBody::Empty
    } else {
        let relay = Relay::h1(Arc::clone(appliance), source, length, underway, transaction);
        ResponseBody::Relay(Box::new(relay.inspected(inspector)))
    };
    let mut response = Response::new(body);
    *response.status_mut() = head.status;
    *response.headers_mut() = fields;
    response.extensions_mut().insert(Declared(declared));
    response
}

enum Wait {
    Refused(Reason),
    Failed(ReadError),
}

impl Wait {
    fn reason(&self) -> Reason {
        match self {
            Wait::Refused(reason) => *reason,
            Wait::Failed(ReadError::Io(_)) => Reason::UpstreamUnreachable,
            Wait::Failed(ReadError::Head(_)) => Reason::UpstreamProtocol,
        }
    }
}

/// Whether a request whose connection died before any response may be sent once more (RFC 9110 section 9.2.2).
fn is_safe_to_repeat(method: &http::Method, has_no_body: bool) -> bool {
    method.is_idempotent() && has_no_body
}

fn relay_interim(client: &stubgate_h1::SharedConn<Stream>, head: ResponseHead, cx: &mut Context<'_>) {
    let mut fields: HeaderMap = head.headers;
    headers::strip_response(&mut fields);
    fields.remove(header::CONTENT_LENGTH);
    let mut conn = client.lock();
    conn.queue_interim(head.status, &fields);
    // What is not taken now goes with the response.
    let _ = conn.poll_flush(cx);
}
