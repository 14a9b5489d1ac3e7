//! A double of api.github.com and of other APIs, in HTTP/1.1 and HTTP/2: demands the real token,
//! streams, echoes, counts, and remembers every byte.

use std::convert::Infallible;
use std::net::TcpListener;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::thread;
use std::time::Duration;

use bytes::Bytes;
use futures_util::stream;
use http::{HeaderMap, HeaderValue, Response, StatusCode, header};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use serde_json::json;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::broadcast;
use tokio_rustls::TlsAcceptor;

use super::{Memory, Origin, Place, Request};
use crate::program::Running;

/// How much later `/afar` is answered.
const FAR: Duration = Duration::from_millis(10);
/// How much of each connection is kept as bytes.
const KEPT: usize = 256 << 10;

type Body = UnsyncBoxBody<Bytes, Infallible>;

/// The origin. Clones are the same origin.
#[derive(Clone, Debug)]
pub struct Double {
    names: Vec<String>,
    token: Option<String>,
    plain: bool,
    /// What it was sent.
    pub memory: Memory,
    events: broadcast::Sender<String>,
}

impl Double {
    /// An API of this name that anyone may use.
    pub fn open(name: &str) -> Double {
        let events = broadcast::channel(64).0;
        let names = vec![name.to_owned()];
        Double { names, token: None, plain: false, memory: Memory::default(), events }
    }

    /// Demands `token` or `Bearer` with this value; everything else is a 401.
    pub fn demanding(name: &str, token: &str) -> Double {
        Double { token: Some(token.to_owned()), ..Double::open(name) }
    }

    /// Serves plain HTTP on port 80 too.
    pub fn and_plain(mut self) -> Double {
        self.plain = true;
        self
    }

    /// Sends an event to every reader of `/events`.
    pub fn event(&self, data: &str) {
        let _ = self.events.send(data.to_owned());
    }

    /// How many read `/events` now.
    pub fn listeners(&self) -> usize {
        self.events.receiver_count()
    }

    async fn answer(self, request: http::Request<Incoming>) -> Response<Body> {
        let (head, mut body) = request.into_parts();
        self.memory.with(|all| all.requests.push(remember(&head)));
        let shown = head.headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
        if let Some(token) = &self.token {
            let right = [format!("token {token}"), format!("Bearer {token}")];
            if !shown.is_some_and(|shown| right.iter().any(|one| one == shown)) {
                return json(StatusCode::UNAUTHORIZED, &json!({ "message": "Bad credentials" }));
            }
        }
        let mut first = Vec::new();
        while let Some(Ok(frame)) = body.frame().await {
            if let Some(data) = frame.data_ref() {
                self.memory.with(|all| all.uploaded += data.len() as u64);
                if first.len() < KEPT {
                    first.extend_from_slice(data);
                }
            }
        }
        match head.uri.path() {
            "/user" => json(StatusCode::OK, &json!({ "login": "lab", "id": 1 })),
            "/graphql" => json(StatusCode::OK, &json!({ "data": graphql(&first) })),
            "/v1/messages" => spoken(),
            path if path.starts_with("/repos/") => {
                let name = path.trim_start_matches("/repos/");
                json(StatusCode::OK, &json!({ "full_name": name, "private": true }))
            }
            "/echo" => {
                let headers: Vec<_> = remember(&head).headers;
                let body = String::from_utf8_lossy(&first);
                json(StatusCode::OK, &json!({ "headers": headers, "body": body }))
            }
            "/uploaded" => {
                let count = self.memory.recall().uploaded;
                json(StatusCode::OK, &json!({ "bytes": count }))
            }
            "/events" => self.stream(),
            "/afar" => {
                // As an origin within a thousand miles answers.
                tokio::time::sleep(FAR).await;
                json(StatusCode::OK, &json!({ "path": "/afar" }))
            }
            "/trailers" => trailers(),
            "/204" => status(StatusCode::NO_CONTENT),
            "/304" => status(StatusCode::NOT_MODIFIED),
            "/404" => json(StatusCode::NOT_FOUND, &json!({ "message": "Not Found" })),
            _ => json(StatusCode::OK, &json!({ "path": head.uri.path() })),
        }
    }

    fn stream(&self) -> Response<Body> {
        let events = stream::unfold(self.events.subscribe(), |mut events| async move {
            let data = events.recv().await.ok()?;
            let text = Bytes::from(format!("data: {data}\n\n"));
            Some((Ok::<_, Infallible>(Frame::data(text)), events))
        });
        let mut response = Response::new(StreamBody::new(events).boxed_unsync());
        let kind = HeaderValue::from_static("text/event-stream");
        response.headers_mut().insert(header::CONTENT_TYPE, kind);
        response
    }

    async fn serve<S>(self, stream: S, h2: bool)
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let memory = self.memory.clone();
        let io = TokioIo::new(Recorded { stream, memory, kept: 0 });
        let service = service_fn(move |request| {
            let origin = self.clone();
            async move {
                let head = request.method() == http::Method::HEAD;
                let mut response = origin.answer(request).await;
                if head {
                    // hyper leaves the body of a HEAD out in HTTP/1.1 only.
                    *response.body_mut() = Full::default().boxed_unsync();
                }
                Ok::<_, Infallible>(response)
            }
        });
        if h2 {
            let mut server = hyper::server::conn::http2::Builder::new(TokioExecutor::new());
            server.initial_stream_window_size(4 << 20).initial_connection_window_size(8 << 20);
            let _ = server.serve_connection(io, service).await;
        } else {
            let _ = hyper::server::conn::http1::Builder::new().serve_connection(io, service).await;
        }
    }
}

impl Origin for Double {
    fn names(&self) -> Vec<String> {
        self.names.clone()
    }

    fn start(&self, place: &Place) -> Vec<Running> {
        let mut ports = vec![443];
        if self.plain {
            ports.push(80);
        }
        for port in ports {
            let socket = place.socket(port);
            let listener = place.node.enter(move || TcpListener::bind(socket).expect("bind"));
            listener.set_nonblocking(true).expect("nonblocking");
            let tls = TlsAcceptor::from(place.leaf.server(&["h2", "http/1.1"]));
            let origin = self.clone();
            thread::spawn(move || {
                let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
                runtime.expect("runtime").block_on(accept(origin, listener, tls, port == 443))
            });
        }
        Vec::new()
    }
}

async fn accept(origin: Double, listener: TcpListener, tls: TlsAcceptor, encrypted: bool) {
    let listener = tokio::net::TcpListener::from_std(listener).expect("listener");
    while let Ok((stream, _)) = listener.accept().await {
        origin.memory.connected();
        let _ = stream.set_nodelay(true);
        let (origin, tls) = (origin.clone(), tls.clone());
        tokio::spawn(async move {
            if !encrypted {
                origin.serve(stream, false).await;
            } else if let Ok(stream) = tls.accept(stream).await {
                let h2 = stream.get_ref().1.alpn_protocol() == Some(b"h2");
                origin.serve(stream, h2).await;
            }
        });
    }
}

fn remember(head: &http::request::Parts) -> Request {
    let header = |(name, value): (&http::HeaderName, &HeaderValue)| {
        (name.to_string(), String::from_utf8_lossy(value.as_bytes()).into_owned())
    };
    let target = head.uri.path_and_query().map_or("", http::uri::PathAndQuery::as_str);
    Request {
        version: format!("{:?}", head.version),
        method: head.method.to_string(),
        target: target.to_owned(),
        headers: head.headers.iter().map(header).collect(),
    }
}

fn json(status: StatusCode, value: &serde_json::Value) -> Response<Body> {
    let mut response = Response::new(Full::new(Bytes::from(value.to_string())).boxed_unsync());
    *response.status_mut() = status;
    let kind = HeaderValue::from_static("application/json; charset=utf-8");
    response.headers_mut().insert(header::CONTENT_TYPE, kind);
    response
}

/// What `gh` asks for: whatever it is, one issue, one pull request, and the one repository that they are in.
fn graphql(body: &[u8]) -> serde_json::Value {
    let item = json!({ "id": "I_1", "number": 7, "title": "topic", "state": "OPEN", "url": "https://github.com/acme/site/issues/7" });
    let all = json!({ "totalCount": 1, "nodes": [item], "pageInfo": { "hasNextPage": false, "endCursor": "" } });
    let repository = json!({
        "id": "R_1", "name": "site", "owner": { "login": "acme" }, "hasIssuesEnabled": true, "viewerPermission": "WRITE",
        "pullRequests": all, "issues": all, "pullRequest": item,
    });
    let asked = String::from_utf8_lossy(body);
    if asked.contains("addComment") {
        return json!({ "addComment": { "commentEdge": { "node": { "url": "https://github.com/acme/site/pull/7#c" } } } });
    }
    if asked.contains("createIssue") {
        return json!({ "createIssue": { "issue": item } });
    }
    json!({ "viewer": { "login": "lab" }, "repository": repository })
}

/// A model's answer, as server-sent events: one word.
fn spoken() -> Response<Body> {
    let message = json!({
        "id": "m", "type": "message", "role": "assistant", "model": "m", "content": [], "stop_reason": null,
        "usage": { "input_tokens": 1, "output_tokens": 1 },
    });
    let events = [
        json!({ "type": "message_start", "message": message }),
        json!({ "type": "content_block_start", "index": 0, "content_block": { "type": "text", "text": "" } }),
        json!({ "type": "content_block_delta", "index": 0, "delta": { "type": "text_delta", "text": "pong" } }),
        json!({ "type": "content_block_stop", "index": 0 }),
        json!({ "type": "message_delta", "delta": { "stop_reason": "end_turn" }, "usage": { "output_tokens": 1 } }),
        json!({ "type": "message_stop" }),
    ];
    let frames = events.map(|event| {
        let kind = event["type"].as_str().unwrap_or_default();
        Ok::<_, Infallible>(Frame::data(Bytes::from(format!("event: {kind}\ndata: {event}\n\n"))))
    });
    let mut response = Response::new(StreamBody::new(stream::iter(frames)).boxed_unsync());
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
    response
}

fn status(status: StatusCode) -> Response<Body> {
    let mut response = Response::new(Full::default().boxed_unsync());
    *response.status_mut() = status;
    response
}

fn trailers() -> Response<Body> {
    let mut map = HeaderMap::new();
    map.insert("x-sum", HeaderValue::from_static("42"));
    let frames = [Frame::data(Bytes::from_static(b"body")), Frame::trailers(map)];
    let frames = stream::iter(frames.map(Ok::<_, Infallible>));
    let mut response = Response::new(StreamBody::new(frames).boxed_unsync());
    response.headers_mut().insert(header::TRAILER, HeaderValue::from_static("x-sum"));
    response
}

/// A stream whose first bytes are remembered.
struct Recorded<S> {
    stream: S,
    memory: Memory,
    kept: usize,
}

impl<S: AsyncRead + Unpin> AsyncRead for Recorded<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<std::io::Result<()>> {
        let before = buffer.filled().len();
        ready!(Pin::new(&mut self.stream).poll_read(context, buffer))?;
        let fresh = &buffer.filled()[before..];
        if self.kept < KEPT {
            self.kept += fresh.len();
            self.memory.received(fresh);
        }
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Recorded<S> {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<std::io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}
