//! What a double of a server is asked, and how it answers, over HTTP of whatever connection.

use std::convert::Infallible;
use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderMap, Method, Request, Response, header};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use serde_json::Value;

/// A request, as it came.
pub(crate) struct Asked {
    pub(crate) method: Method,
    /// Path and query.
    pub(crate) target: String,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Value,
}

impl Asked {
    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }
}

/// How to answer.
pub(crate) enum Said {
    Json(u16, Value),
    /// Status, headers and bytes.
    Bytes(u16, Vec<(&'static str, String)>, Vec<u8>),
    /// Nothing; the connection ends.
    Gone,
    /// Nothing, ever.
    Silence,
}

/// The end of a connection that a test wants.
#[derive(Debug)]
pub(crate) struct End;

impl std::fmt::Display for End {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("the test ends this connection")
    }
}

impl std::error::Error for End {}

/// A documented answer, in which a double puts its own values.
pub(crate) fn fixture(text: &str) -> Value {
    serde_json::from_str(text).unwrap()
}

/// Answers one request.
pub(crate) async fn respond<F: Fn(Asked) -> Said>(
    answer: Arc<F>,
    request: Request<Incoming>,
) -> Result<Response<Full<Bytes>>, End> {
    let (parts, body) = request.into_parts();
    let body = body.collect().await.map_err(|_| End)?.to_bytes();
    let asked = Asked {
        method: parts.method,
        target: parts.uri.to_string(),
        headers: parts.headers,
        body: serde_json::from_slice(&body).unwrap_or(Value::Null),
    };
    let (status, headers, bytes) = match answer(asked) {
        Said::Json(status, value) => {
            (status, vec![("content-type", "application/json".to_owned())], value.to_string().into_bytes())
        }
        Said::Bytes(status, headers, bytes) => (status, headers, bytes),
        Said::Gone => return Err(End),
        Said::Silence => match std::future::pending::<Infallible>().await {},
    };
    let mut response = Response::builder().status(status);
    for (name, value) in headers {
        response = response.header(name, value);
    }
    Ok(response.header(header::SERVER, "double").body(Full::new(bytes.into())).unwrap())
}
