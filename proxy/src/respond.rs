//! Phase *respond*: what the agent is told.
//!
//! A refusal says what to do, never which rules exist, and is never a 401: git and Claude Code would throw their stub
//! away. Its body has the shape that the client at hand shows to a person: git prints plain text, gRPC reads a status,
//! and one JSON object serves the clients of Anthropic's and GitHub's APIs. `x-should-retry` keeps them from hammering
//! where another try is in vain, and asks for one where the reason passes.

use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::header::{self, HeaderMap, HeaderName, HeaderValue};
use http::{Response, StatusCode};
use http_body::{Body, Frame, SizeHint};
use stubgate_h1::Framing;
use stubgate_policy::Reason;

use crate::authority::is_temporary;
use crate::budget::Reached;
use crate::forward::{Relay, RelayError};
use crate::record::rfc3339;

/// The body of any response to an agent.
pub enum ResponseBody {
    /// None.
    Empty,
    /// Our own.
    Whole(Bytes),
    /// From an origin.
    Relay(Box<Relay>),
}

/// What an origin declared about a body's length, which HEAD and 304 repeat though nothing follows.
#[derive(Clone, Copy, Debug)]
pub struct Declared(pub Option<Framing>);

/// Only a relayed body can fail.
pub type ResponseError = RelayError;

impl ResponseBody {
    /// Ready once a relayed body was cut; for whoever can't take more of it at the moment.
    pub fn poll_cut(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        match self {
            ResponseBody::Empty | ResponseBody::Whole(_) => Poll::Pending,
            ResponseBody::Relay(relay) => relay.poll_cut(cx),
        }
    }
}

impl Body for ResponseBody {
    type Data = Bytes;
    type Error = ResponseError;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, ResponseError>>> {
        match self.get_mut() {
            ResponseBody::Empty => Poll::Ready(None),
            whole @ ResponseBody::Whole(_) => {
                let ResponseBody::Whole(bytes) = std::mem::replace(whole, ResponseBody::Empty) else {
                    return Poll::Ready(None);
                };
                Poll::Ready(Some(Ok(Frame::data(bytes))))
            }
            ResponseBody::Relay(relay) => Pin::new(relay.as_mut()).poll_frame(cx),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            ResponseBody::Empty => true,
            ResponseBody::Whole(_) => false,
            ResponseBody::Relay(relay) => relay.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            ResponseBody::Empty => SizeHint::with_exact(0),
            ResponseBody::Whole(bytes) => SizeHint::with_exact(bytes.len() as u64),
            ResponseBody::Relay(relay) => relay.size_hint(),
        }
    }
}

/// Which shape a refusal takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    /// JSON for API clients.
    Json,
    /// One line of text, which git shows after `remote:`.
    Text,
    /// `grpc-status` in the head.
    Grpc,
}

impl Shape {
    /// What the client at hand understands.
    pub fn of(headers: &HeaderMap) -> Self {
        let starts = |name: HeaderName, prefix: &[u8]| {
            headers.get(name).is_some_and(|value| value.as_bytes().starts_with(prefix))
        };
        if crate::headers::is_grpc(headers) {
            Shape::Grpc
        } else if starts(header::USER_AGENT, b"git/") {
            Shape::Text
        } else {
            Shape::Json
        }
    }
}

/// The response to a refused request.
pub fn refusal(reason: Reason, status: StatusCode, id: &str, shape: Shape) -> Response<ResponseBody> {
    worded(reason, reason.hint(), status, id, shape, None)
}

/// The same, with a hint of its own.
pub fn refusal_saying(
    reason: Reason,
    hint: &str,
    status: StatusCode,
    id: &str,
    shape: Shape,
) -> Response<ResponseBody> {
    worded(reason, hint, status, id, shape, None)
}

/// The response to a request that a limit of its agent refuses: which one, and when it lifts.
pub fn limited(reached: Reached, id: &str, shape: Shape) -> Response<ResponseBody> {
    let hint = format!(
        "the limit {} of this agent is reached; it lifts in {} seconds, at {}",
        reached.limit().as_str(),
        reached.seconds(),
        rfc3339(reached.lifts_at())
    );
    let mut response = worded(Reason::LimitReached, &hint, StatusCode::TOO_MANY_REQUESTS, id, shape, Some(reached));
    let headers = response.headers_mut();
    headers.insert(header::RETRY_AFTER, reached.seconds().into());
    headers.insert("x-stubgate-limit", HeaderValue::from_static(reached.limit().as_str()));
    response
}

fn worded(
    reason: Reason,
    hint: &str,
    status: StatusCode,
    id: &str,
    shape: Shape,
    reached: Option<Reached>,
) -> Response<ResponseBody> {
    let (status, kind, body) = match shape {
        Shape::Json => {
            let mut body = serde_json::json!({
                "type": "error",
                "error": { "type": error_type(status), "message": format!("stubgate: {hint}") },
                "message": format!("stubgate: {hint}"),
                "reason": reason.as_str(),
                "hint": hint,
                "request_id": id,
            });
            if let (Some(reached), Some(body)) = (reached, body.as_object_mut()) {
                body.insert("limit".into(), reached.limit().as_str().into());
                body.insert("retry_after_seconds".into(), reached.seconds().into());
                body.insert("lifts_at".into(), rfc3339(reached.lifts_at()).into());
            }
            (status, "application/json", format!("{body}\n"))
        }
        Shape::Text => (status, "text/plain", format!("stubgate: {} ({hint}) {id}\n", reason.as_str())),
        Shape::Grpc => (StatusCode::OK, "application/grpc", String::new()),
    };
    let mut response =
        Response::new(if body.is_empty() { ResponseBody::Empty } else { ResponseBody::Whole(body.into()) });
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    let retry = if is_temporary(reason) { "true" } else { "false" };
    headers.insert("x-should-retry", HeaderValue::from_static(retry));
    headers.insert("x-stubgate-reason", HeaderValue::from_static(reason.as_str()));
    if shape == Shape::Grpc {
        grpc_status(reason, hint, headers);
        if reason == Reason::ResponseNotInspectable {
            headers.insert("grpc-accept-encoding", GRPC_ENCODINGS);
        }
    }
    response
}

/// The trailers of a gRPC call whose response ends early, in place of a reset, which would say nothing.
pub fn grpc_trailers(reason: Reason) -> HeaderMap {
    let mut trailers = HeaderMap::new();
    grpc_status(reason, reason.hint(), &mut trailers);
    trailers
}

/// Codings of messages that are let through, told where another one was used, as gRPC's compression document has it.
const GRPC_ENCODINGS: HeaderValue = HeaderValue::from_static("identity,deflate,gzip");

/// DEADLINE_EXCEEDED, RESOURCE_EXHAUSTED, UNIMPLEMENTED, UNAVAILABLE, which clients try again, or PERMISSION_DENIED.
fn grpc_status(reason: Reason, hint: &str, headers: &mut HeaderMap) {
    let code = match reason {
        Reason::LimitReached => "8",
        Reason::UpstreamTimeout => "4",
        Reason::ResponseNotInspectable => "12",
        _ if is_temporary(reason) => "14",
        _ => "7",
    };
    headers.insert("grpc-status", HeaderValue::from_static(code));
    if let Ok(message) = HeaderValue::from_str(&format!("stubgate: {hint}")) {
        headers.insert("grpc-message", message);
    }
}

/// The word for a status among the errors of Anthropic's API.
fn error_type(status: StatusCode) -> &'static str {
    match status {
        StatusCode::FORBIDDEN => "permission_error",
        StatusCode::PAYLOAD_TOO_LARGE => "request_too_large",
        StatusCode::TOO_MANY_REQUESTS => "rate_limit_error",
        StatusCode::SERVICE_UNAVAILABLE => "overloaded_error",
        StatusCode::GATEWAY_TIMEOUT => "timeout_error",
        other if other.is_server_error() => "api_error",
        _ => "invalid_request_error",
    }
}

/// A body of our own.
pub fn whole(kind: &'static str, body: Bytes) -> Response<ResponseBody> {
    let mut response = Response::new(ResponseBody::Whole(body));
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shape(name: &'static str, value: &'static str) -> Shape {
        let mut headers = HeaderMap::new();
        headers.insert(name, HeaderValue::from_static(value));
        Shape::of(&headers)
    }

    #[test]
    fn a_refusal_has_the_shape_that_its_client_shows() {
        assert_eq!(shape("user-agent", "git/2.39.5"), Shape::Text);
        assert_eq!(shape("content-type", "application/grpc+proto"), Shape::Grpc);
        assert_eq!(shape("content-type", "application/grpc"), Shape::Grpc);
        // gRPC in a browser's clothes has its trailers in the body: plain HTTP to all in between.
        assert_eq!(shape("content-type", "application/grpc-web+proto"), Shape::Json);
        assert_eq!(shape("accept", "*/*"), Shape::Json);
    }

    #[test]
    fn no_refusal_is_a_401_and_only_those_that_pass_ask_for_another_try() {
        for &reason in Reason::ALL {
            let status = crate::authority::status(reason);
            for shape in [Shape::Json, Shape::Text, Shape::Grpc] {
                let response = refusal(reason, status, "id", shape);
                assert_ne!(response.status(), StatusCode::UNAUTHORIZED);
                let asks = response.headers()["x-should-retry"] == "true";
                assert_eq!(asks, is_temporary(reason), "{reason}");
                // What policy or the request itself is to blame for is the same next time.
                let is_lasting = status.is_client_error() && status != StatusCode::TOO_MANY_REQUESTS;
                assert!(!(asks && is_lasting), "{reason}");
                assert!(asks || !reason.hint().contains("retry later"), "{reason}");
                if let Some(code) = response.headers().get("grpc-status") {
                    let expected = match reason {
                        Reason::UpstreamTimeout => "4",
                        Reason::LimitReached => "8",
                        _ => "14",
                    };
                    let lasting = if reason == Reason::ResponseNotInspectable { "12" } else { "7" };
                    assert_eq!(code, if asks { expected } else { lasting }, "{reason}");
                }
            }
            assert!(status.is_client_error() || status.is_server_error());
        }
    }

    #[test]
    fn the_type_of_an_error_says_whose_matter_it_is() {
        for (reason, expected) in [
            (Reason::PathNotAllowed, "permission_error"),
            (Reason::TwoCredentials, "invalid_request_error"),
            (Reason::AuthorityMismatch, "invalid_request_error"),
            (Reason::LimitReached, "rate_limit_error"),
            (Reason::UpstreamUnreachable, "api_error"),
            (Reason::UpstreamTimeout, "timeout_error"),
            (Reason::NotReady, "overloaded_error"),
            (Reason::Internal, "api_error"),
        ] {
            let response = refusal(reason, crate::authority::status(reason), "id", Shape::Json);
            let ResponseBody::Whole(body) = response.into_body() else { panic!("{reason}: no body") };
            let body: serde_json::Value = serde_json::from_slice(&body).unwrap();
            assert_eq!(body["error"]["type"], expected, "{reason}");
        }
    }
}
