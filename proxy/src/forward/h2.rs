//! One exchange over HTTP/2 with an origin.

use std::sync::Arc;
use std::task::Poll;

use http::{HeaderMap, Request, Response, Version, header};
use http_body::Body as _;
use stubgate_h1::Framing;
use stubgate_policy::Reason;

use super::pool::UpstreamH2;
use super::relay::{Relay, UploadH2};
use super::{Failure, Outgoing};
use crate::appliance::Appliance;
use crate::body::Watched;
use crate::deadline::Deadline;
use crate::headers;
use crate::request::Refusal;
use crate::respond::{Declared, ResponseBody};
use crate::scrub;
use crate::transaction::Outcome;

/// Sends the request and waits for the head of its response.
pub(super) async fn exchange(
    appliance: &Arc<Appliance>,
    mut upstream: UpstreamH2,
    mut outgoing: Box<Outgoing>,
) -> Result<Response<ResponseBody>, Failure> {
    outgoing.transaction.upstream = Some(upstream.address);
    if upstream.sender.ready().await.is_err() {
        return Err(Failure::Stale(outgoing));
    }
    if let Err(refusal) = outgoing.seal(appliance, upstream.verified.as_ref()).await {
        return Err(Failure::Refused(refusal, outgoing));
    }
    let request = match build(&mut outgoing) {
        Ok(request) => request,
        Err(refusal) => return Err(Failure::Refused(refusal, outgoing)),
    };
    let passed = request.body().passed();
    let upload = UploadH2::new(Arc::clone(&passed), upstream.abandoned.clone());
    let mut sending = std::pin::pin!(upstream.sender.send_request(request));
    let mut deadline = Deadline::new(appliance.timeouts.upstream_header);
    let mut bytes = 0;
    let (underway, spending) = (&outgoing.underway, &outgoing.transaction.spending);
    let sent = std::future::poll_fn(|cx| {
        if underway.poll_cut(cx).is_ready() {
            return Poll::Ready(Err(outgoing.cut_reason()));
        }
        if let Poll::Ready(result) = sending.as_mut().poll(cx) {
            return Poll::Ready(result.map_err(|error| {
                tracing::debug!(%error, "an HTTP/2 exchange with an origin failed");
                if spending.reached().is_some() {
                    Reason::LimitReached
                } else if passed.stopped.load(std::sync::atomic::Ordering::Relaxed) {
                    Reason::StubInBody
                } else if error.is_user() {
                    Reason::BadRequest
                } else {
                    Reason::UpstreamUnreachable
                }
            }));
        }
        let now = passed.bytes.load(std::sync::atomic::Ordering::Relaxed);
        if now != bytes {
            bytes = now;
            deadline.touch();
        }
        deadline.poll(cx).map(|()| Err(Reason::UpstreamTimeout))
    })
    .await;
    let response = match sent {
        Ok(response) => response,
        Err(reason) => {
            upload.end();
            return Err(Failure::new(reason, outgoing));
        }
    };
    let (mut parts, body) = response.into_parts();
    headers::strip_response(&mut parts.headers);
    let has_body = !body.is_end_stream();
    let act = outgoing.permit.on_credential();
    let transaction = &mut outgoing.transaction;
    let inspector = match scrub::response(appliance, parts.status, &mut parts.headers, has_body, act, transaction) {
        Ok(inspector) => inspector,
        Err(reason) => {
            upload.end();
            return Err(Failure::new(reason, outgoing));
        }
    };
    let declared = parts
        .headers
        .remove(header::CONTENT_LENGTH)
        .filter(|_| inspector.as_ref().is_none_or(|inspector| !inspector.decodes()))
        .and_then(|value| stubgate_h1::framing::parse_length(value.as_bytes()).ok().map(Framing::Length));
    parts.version = Version::HTTP_11;
    parts.extensions.clear();
    parts.extensions.insert(Declared(declared));
    outgoing.transaction.answered(parts.status);
    outgoing.underway.answered();
    if !has_body {
        // Its head must end the stream by itself: gRPC clients take a status in a head for one only then.
        upload.end();
        outgoing.transaction.end(Outcome::Complete);
        return Ok(Response::from_parts(parts, ResponseBody::Empty));
    }
    let is_grpc = outgoing.is_grpc;
    let relay =
        Relay::h2(body, Deadline::new(appliance.timeouts.body_idle), upload, outgoing.underway, outgoing.transaction)
            .of_grpc(is_grpc);
    Ok(Response::from_parts(parts, ResponseBody::Relay(Box::new(relay.inspected(inspector)))))
}

fn build(outgoing: &mut Outgoing) -> Result<Request<Watched>, Refusal> {
    let authority = outgoing.permit.authority().host_header();
    let uri = http::Uri::builder()
        .scheme("https")
        .authority(authority)
        .path_and_query(outgoing.target.as_str())
        .build()
        .map_err(|_| Reason::BadRequest)?;
    // The origin's `100 Continue` does not reach us over HTTP/2, so the client is given ours once its body is wanted.
    let continue_first = outgoing.headers.remove(header::EXPECT).is_some();
    let mut fields = std::mem::replace(&mut outgoing.headers, HeaderMap::new());
    let mut body = outgoing.take_body();
    if continue_first {
        body.continue_first();
    }
    if let Some(length) = body.size_hint().exact().filter(|_| !body.is_end_stream()) {
        fields.insert(header::CONTENT_LENGTH, length.into());
    }
    let mut request = Request::new(body);
    *request.method_mut() = outgoing.method.clone();
    *request.uri_mut() = uri;
    *request.version_mut() = Version::HTTP_2;
    *request.headers_mut() = fields;
    Ok(request)
}
