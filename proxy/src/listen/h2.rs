//! HTTP/2 towards agents, by hyper, over a stream that is metered ([`meter`](super::meter)).

mod watchdog;

use std::convert::Infallible;
use std::future::poll_fn;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::task::Poll;
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures_util::FutureExt;
use futures_util::future::Either;
use http::{Request, Response, header};
use http_body::Body as _;
use hyper::body::Incoming;
use hyper::server::conn::http2;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use stubgate_h1::Framing;
use stubgate_policy::Reason;

use super::meter::Metered;
use crate::appliance::Appliance;
use crate::body::RequestBody;
use crate::budget::Limit;
use crate::client::Client;
use crate::deadline::Deadline;
use crate::identify::agent_of;
use crate::request::{Arrived, Known};
use crate::respond::{Declared, ResponseBody, Shape};
use crate::service;
use crate::stream::Stream;
use crate::transaction::Transaction;
use watchdog::{Streams, Watchful};

/// Bytes of one request's body that may wait for its origin.
const STREAM_WINDOW: u32 = 256 << 10;
/// Bytes of all requests' bodies on one connection that may wait.
const CONNECTION_WINDOW: u32 = 1 << 20;
/// Bytes of one response that may wait for an agent that does not read.
const SEND_BUFFER: usize = 64 << 10;
/// How long an idle peer that was told to go is waited for.
const FAREWELL: Duration = Duration::from_secs(5);

/// Serves a connection until its end.
pub(super) async fn serve(appliance: &Arc<Appliance>, stream: Stream, client: Client) {
    let client = Arc::new(client);
    let active = Arc::new(AtomicUsize::new(0));
    let asked = Arc::new(AtomicU64::new(0));
    let service = service_fn({
        let (appliance, client, active) = (Arc::clone(appliance), client, Arc::clone(&active));
        let asked = Arc::clone(&asked);
        move |request: Request<Incoming>| {
            let (appliance, client) = (Arc::clone(&appliance), Arc::clone(&client));
            let counted = Active::enter(&active);
            asked.fetch_add(1, Ordering::Relaxed);
            async move {
                Ok::<_, Infallible>(
                    respond(&appliance, &client, request).await.map(|body| Watchful::new(body, counted)),
                )
            }
        }
    });
    let limits = &appliance.limits;
    let mut connection = pin!(
        http2::Builder::new(Streams { idle: appliance.timeouts.body_idle })
            .timer(TokioTimer::new())
            .max_concurrent_streams(limits.streams_per_connection)
            .max_header_list_size(u32::try_from(limits.header_bytes).unwrap_or(u32::MAX))
            .initial_stream_window_size(STREAM_WINDOW)
            .initial_connection_window_size(CONNECTION_WINDOW)
            .max_send_buf_size(SEND_BUFFER)
            .keep_alive_interval(Duration::from_secs(30))
            .keep_alive_timeout(Duration::from_secs(20))
            .auto_date_header(false)
            .serve_connection(TokioIo::new(Metered::new(stream)), service)
    );
    let mut idle = Deadline::new(appliance.timeouts.idle);
    let mut leaving = pin!(appliance.leaving.cancelled());
    let (mut is_leaving, mut is_ending) = (false, false);
    let ended = poll_fn(|cx| {
        if !is_leaving && leaving.as_mut().poll(cx).is_ready() {
            is_leaving = true;
            if asked.load(Ordering::Relaxed) == 0 {
                idle.restart(appliance.timeouts.header);
            }
        }
        if let Poll::Ready(ended) = connection.as_mut().poll(cx) {
            return Poll::Ready(ended);
        }
        let asked = asked.load(Ordering::Relaxed);
        let has_asked_enough = asked >= limits.requests_per_connection;
        // A connection on which nothing was asked yet is not told to go: its client would have nobody to ask again.
        if !is_ending && (has_asked_enough || is_leaving && asked > 0) {
            is_ending = true;
            if has_asked_enough {
                appliance.metrics.limit_reached(Limit::RequestsPerConnection).inc();
            }
            if is_leaving {
                idle.restart(FAREWELL.min(appliance.timeouts.idle));
            }
            connection.as_mut().graceful_shutdown();
            if let Poll::Ready(ended) = connection.as_mut().poll(cx) {
                return Poll::Ready(ended);
            }
        }
        if active.load(Ordering::Relaxed) > 0 {
            idle.touch();
        }
        while idle.poll(cx).is_ready() {
            if is_ending {
                // Told to go and asked nothing since; a peer that does not even acknowledge that is not waited for.
                return Poll::Ready(Ok(()));
            }
            is_ending = true;
            appliance.metrics.limit_reached(Limit::Idle).inc();
            connection.as_mut().graceful_shutdown();
            idle.restart(FAREWELL.min(appliance.timeouts.idle));
            if let Poll::Ready(ended) = connection.as_mut().poll(cx) {
                return Poll::Ready(ended);
            }
        }
        Poll::Pending
    })
    .await;
    if let Err(error) = ended {
        tracing::debug!(%error, "an HTTP/2 connection of an agent ended");
    }
}

fn respond<'a>(
    appliance: &'a Arc<Appliance>,
    client: &Arc<Client>,
    request: Request<Incoming>,
) -> impl Future<Output = Response<ResponseBody>> + Send + use<'a> {
    let shape = Shape::of(request.headers());
    let response = match arrive(Arc::clone(client), request) {
        Ok(arrived) => Either::Left(service::serve(appliance, arrived, "h2")),
        Err((reason, method, at)) => {
            let snapshot = appliance.snapshot.load_full();
            let agent = agent_of(appliance, &snapshot.policy, &client.peer);
            let known = Known {
                id: appliance.ids.next(),
                agent: agent.map(|agent| snapshot.policy.agent(agent).name().into()),
                authority: None,
                connection: None,
                method,
                path: "".into(),
                protocol: "h2",
                at,
            };
            let transaction = Transaction::new(Arc::clone(appliance), known, client);
            Either::Right(std::future::ready(service::refuse(&snapshot, reason.into(), transaction, shape)))
        }
    };
    response.map(declare)
}

/// Says how long a body is that does not follow: that of HEAD and of a 304.
fn declare(mut response: Response<ResponseBody>) -> Response<ResponseBody> {
    if let Some(Declared(Some(Framing::Length(length)))) = response.extensions_mut().remove::<Declared>() {
        response.headers_mut().insert(header::CONTENT_LENGTH, length.into());
    }
    response
}

/// What hyper lets through and must be refused: no `:authority`, another scheme, `*`, CONNECT.
fn arrive(client: Arc<Client>, request: Request<Incoming>) -> Result<Arrived, (Reason, http::Method, Instant)> {
    let at = Instant::now();
    let (parts, body) = request.into_parts();
    let bad = |reason| (reason, parts.method.clone(), at);
    let authority = parts.uri.authority().ok_or_else(|| bad(Reason::BadAuthority))?;
    if parts.uri.scheme_str() != Some(client.entry.scheme().as_str()) {
        return Err(bad(Reason::BadRequest));
    }
    let path_and_query = parts.uri.path_and_query().ok_or_else(|| bad(Reason::BadRequest))?;
    let is_visible = path_and_query.as_str().bytes().all(|b| (0x21..0x7f).contains(&b) && b != b'#');
    if !path_and_query.path().starts_with('/') || !is_visible {
        return Err(bad(Reason::BadRequest));
    }
    let mut claims = vec![Bytes::copy_from_slice(authority.as_str().as_bytes())];
    let mut headers = parts.headers;
    claims.extend(headers.get_all(header::HOST).iter().map(|v| Bytes::copy_from_slice(v.as_bytes())));
    if claims.len() > 2 {
        return Err((Reason::BadAuthority, parts.method, at));
    }
    headers.remove(header::HOST);
    headers.remove(header::CONTENT_LENGTH);
    Ok(Arrived {
        client,
        method: parts.method,
        claims,
        path: Bytes::copy_from_slice(path_and_query.path().as_bytes()),
        query: path_and_query.query().map(|q| Bytes::copy_from_slice(q.as_bytes())),
        headers,
        websocket: false,
        interim: None,
        body: if body.is_end_stream() { RequestBody::Empty } else { RequestBody::H2(body) },
        at,
    })
}

/// Counts a stream from its head to the end of its response.
pub(super) struct Active(Arc<AtomicUsize>);

impl Active {
    fn enter(count: &Arc<AtomicUsize>) -> Self {
        count.fetch_add(1, Ordering::Relaxed);
        Active(Arc::clone(count))
    }
}

impl Drop for Active {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}
