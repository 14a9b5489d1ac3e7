//! What stands in front of a served bridge: a token first, then MCP and nothing else, passed through as it comes. Bodies stream both
//! ways; a stream of events may be quiet for long, but not for ever.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::header::{self, HeaderName};
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, Uri};
use http_body_util::{BodyExt, Full, Limited, combinators::BoxBody};
use hyper::body::{Body, Frame, Incoming, SizeHint};
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, Sleep, sleep_until, timeout};
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;

use super::{Certificate, Tokens};
use crate::state::State;

type Error = Box<dyn std::error::Error + Send + Sync>;
type Answer = Response<BoxBody<Bytes, Error>>;

/// Headers that are those of one connection (RFC 9110, 7.6.1), and what the bridge has no business with.
const LEFT_OUT: [HeaderName; 12] = [
    header::CONNECTION,
    HeaderName::from_static("keep-alive"),
    HeaderName::from_static("proxy-connection"),
    header::PROXY_AUTHENTICATE,
    header::PROXY_AUTHORIZATION,
    header::TE,
    header::TRAILER,
    header::TRANSFER_ENCODING,
    header::UPGRADE,
    header::AUTHORIZATION,
    header::HOST,
    header::ORIGIN,
];

/// How much, and how long.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Connections at once.
    pub connections: usize,
    /// Bytes of a request.
    pub request: usize,
    /// A handshake, and a head.
    pub head: Duration,
    /// Until the bridge begins to answer.
    pub answer: Duration,
    /// Between two pieces of an answer: MCP's servers send a comment now and then.
    pub idle: Duration,
    /// A whole answer.
    pub whole: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Limits {
            connections: 128,
            request: 4 * 1024 * 1024,
            head: Duration::from_secs(10),
            answer: Duration::from_secs(300),
            idle: Duration::from_secs(900),
            whole: Duration::from_secs(4 * 3600),
        }
    }
}

/// What stands in front.
#[derive(Clone)]
pub struct Front(Arc<Inner>);

struct Inner {
    name: String,
    backend: SocketAddr,
    path: String,
    tokens: Tokens,
    state: State,
    limits: Limits,
    room: Arc<Semaphore>,
}

impl Front {
    /// In front of the bridge of this name, that answers there.
    pub fn new(name: String, backend: SocketAddr, path: String, tokens: Tokens, state: State, limits: Limits) -> Self {
        let room = Arc::new(Semaphore::new(limits.connections));
        Front(Arc::new(Inner { name, backend, path, tokens, state, limits, room }))
    }

    /// Serves until it is told to stop; what streams then is cut.
    pub async fn serve(self, listener: TcpListener, certificate: Option<Certificate>, stop: CancellationToken) {
        loop {
            let accepted = tokio::select! {
                () = stop.cancelled() => return,
                accepted = self.accept(&listener) => accepted,
            };
            let Some((stream, place)) = accepted else { continue };
            let (front, stop) = (self.clone(), stop.clone());
            let config = certificate.as_ref().map(Certificate::present);
            tokio::spawn(async move {
                let _place = place;
                let served = async {
                    match config {
                        None => front.connection(stream).await,
                        Some(config) => {
                            let handshake = TlsAcceptor::from(config).accept(stream);
                            if let Ok(Ok(stream)) = timeout(front.0.limits.head, handshake).await {
                                front.connection(stream).await;
                            }
                        }
                    }
                };
                tokio::select! { () = stop.cancelled() => {}, () = served => {} }
            });
        }
    }

    /// A connection, and a place for it: who comes while there is none waits in the kernel.
    async fn accept(&self, listener: &TcpListener) -> Option<(TcpStream, OwnedSemaphorePermit)> {
        let place = Arc::clone(&self.0.room).acquire_owned().await.ok()?;
        match listener.accept().await {
            Ok((stream, _)) => Some((stream, place)),
            Err(error) => {
                tracing::warn!(%error, "a connection is not accepted");
                tokio::time::sleep(Duration::from_millis(100)).await;
                None
            }
        }
    }

    async fn connection(&self, stream: impl AsyncRead + AsyncWrite + Unpin) {
        let service = service_fn(|request| async { Ok::<_, Infallible>(self.answer(request).await) });
        let connection = hyper::server::conn::http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(self.0.limits.head)
            .max_headers(64)
            .serve_connection(TokioIo::new(stream), service);
        let mut connection = std::pin::pin!(connection);
        // Nobody looks at an answer's own time while its reader takes nothing. What has begun is not cut short, and nothing more
        // begins.
        if timeout(self.0.limits.whole, connection.as_mut()).await.is_err() {
            connection.as_mut().graceful_shutdown();
            let _ = timeout(self.0.limits.whole, connection).await;
        }
    }

    async fn answer(&self, request: Request<Incoming>) -> Answer {
        let Inner { path, tokens, .. } = &*self.0;
        if request.uri().path() == "/healthz" {
            return self.health();
        }
        match tokens.let_in(request.headers()) {
            Ok(true) => {}
            Ok(false) => return refusal(StatusCode::UNAUTHORIZED, "a token is missing, or wrong"),
            Err(error) => {
                tracing::error!(%error, "nobody is let in");
                return refusal(StatusCode::SERVICE_UNAVAILABLE, "tokens can't be read");
            }
        }
        if request.uri().path() != path {
            return refusal(StatusCode::NOT_FOUND, "nothing is served here");
        }
        if ![Method::POST, Method::GET, Method::DELETE].contains(request.method()) {
            return refusal(StatusCode::METHOD_NOT_ALLOWED, "POST, GET or DELETE");
        }
        if request.body().size_hint().lower() > self.0.limits.request as u64 {
            return refusal(StatusCode::PAYLOAD_TOO_LARGE, "the request is too long");
        }
        match timeout(self.0.limits.answer, self.pass(request)).await {
            Ok(Ok(answer)) => answer,
            Ok(Err(error)) => {
                tracing::warn!(bridge = self.0.name, error, "the bridge does not answer");
                refusal(StatusCode::BAD_GATEWAY, "the bridge does not answer")
            }
            Err(_) => refusal(StatusCode::GATEWAY_TIMEOUT, "the bridge takes too long"),
        }
    }

    async fn pass(&self, request: Request<Incoming>) -> Result<Answer, Error> {
        let stream = TcpStream::connect(self.0.backend).await?;
        let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
        // Ends with the answer, or with whoever reads it.
        tokio::spawn(async move {
            let _ = connection.await;
        });
        let (mut head, body) = request.into_parts();
        head.uri = head.uri.path_and_query().cloned().map(Uri::from).unwrap_or_default();
        leave_out(&mut head.headers);
        head.headers.insert(header::HOST, HeaderValue::try_from(self.0.backend.to_string())?);
        let request = Request::from_parts(head, Limited::new(body, self.0.limits.request));
        let (mut head, body) = sender.send_request(request).await?.into_parts();
        leave_out(&mut head.headers);
        let now = Instant::now();
        let Limits { idle, whole, .. } = self.0.limits;
        let body = Watched { body, idle, end: now + whole, wake: Box::pin(sleep_until(now + idle)) };
        Ok(Response::from_parts(head, body.boxed()))
    }

    /// The last thing on its connection: who has no token could otherwise keep a place by asking again and again.
    fn health(&self) -> Answer {
        let mut answer = match self.0.state.facts().bridges.get(&self.0.name) {
            Some(bridge) if bridge.failing.is_none() => text(StatusCode::OK, "ok"),
            _ => text(StatusCode::SERVICE_UNAVAILABLE, "the bridge does not work"),
        };
        answer.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
        answer
    }
}

fn leave_out(headers: &mut HeaderMap) {
    let named: Vec<HeaderName> = headers
        .get_all(header::CONNECTION)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .filter_map(|name| name.trim().parse().ok())
        .collect();
    for name in LEFT_OUT.iter().chain(&named) {
        headers.remove(name);
    }
}

fn refusal(status: StatusCode, why: &'static str) -> Answer {
    let mut answer = text(status, why);
    if status == StatusCode::UNAUTHORIZED {
        answer.headers_mut().insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
    }
    // What is left of the request is not read.
    answer.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
    answer
}

fn text(status: StatusCode, text: &'static str) -> Answer {
    let body = Full::new(Bytes::from_static(text.as_bytes())).map_err(|never| match never {});
    let mut answer = Response::new(body.boxed());
    *answer.status_mut() = status;
    answer.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    answer
}

/// An answer that may neither be quiet nor go on for ever.
struct Watched {
    body: Incoming,
    idle: Duration,
    end: Instant,
    wake: Pin<Box<Sleep>>,
}

impl Body for Watched {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        match Pin::new(&mut self.body).poll_frame(context) {
            Poll::Ready(frame) => {
                let next = (Instant::now() + self.idle).min(self.end);
                if self.end <= Instant::now() {
                    return Poll::Ready(Some(Err("the answer goes on for too long".into())));
                }
                self.wake.as_mut().reset(next);
                Poll::Ready(frame.map(|frame| frame.map_err(Into::into)))
            }
            Poll::Pending => match self.wake.as_mut().poll(context) {
                Poll::Ready(()) => Poll::Ready(Some(Err("the answer is quiet for too long".into()))),
                Poll::Pending => Poll::Pending,
            },
        }
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

#[cfg(test)]
mod tests;
