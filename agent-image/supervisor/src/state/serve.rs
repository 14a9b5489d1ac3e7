//! `/healthz`, `/readyz` and `/metrics` for the cluster, and with `/status` on a socket of its own for `stubgate-agent status`.
//!
//! Who asks is not trusted: the agent itself can reach it. Each request has its connection, seconds to arrive and to be
//! answered; nobody has more than a share of them, so that one that holds connections open shuts out only itself. No body is
//! read, nothing is changed, and no stub is told.

use std::collections::HashMap;
use std::convert::Infallible;
use std::future::Future;
use std::io;
use std::net::{IpAddr, Ipv4Addr};
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, header};
use http_body_util::Full;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use serde_json::json;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, UnixListener};
use tokio_util::sync::CancellationToken;

use super::mask::Mask;
use super::report::{Report, told};
use super::{Facts, State, metrics, observe};
use crate::agent::{Agent, Place};
use crate::setup::{environment, trust};

/// Connections at once over TCP, and of one address.
const CONNECTIONS: usize = 32;
const CONNECTIONS_EACH: usize = 8;
/// A request's head arrives within this time.
const HEAD: Duration = Duration::from_secs(5);
/// From accepting a connection to its end.
const WHOLE: Duration = Duration::from_secs(10);
/// Bytes and lines of a head.
const HEAD_BYTES: usize = 16 * 1024;
const HEAD_LINES: usize = 64;
/// Between looks at what nobody tells, and between attempts to listen.
const LOOK: Duration = Duration::from_secs(15);
const AGAIN: Duration = Duration::from_secs(5);

/// Serves until it is told to stop. An address that can't be listened on is told, and tried again.
pub async fn serve(agent: Agent, state: State, stop: CancellationToken) {
    let source = Arc::new(Source::new(&agent, state.clone()));
    let tcp = listen_tcp(&agent.file.listen.0, &source, &stop);
    let socket = listen_unix(&agent.place, &source, &stop);
    tokio::join!(look(&agent, &state, &stop), tcp, socket);
}

/// Where answers come from.
struct Source {
    agent: String,
    mask: Mask,
    state: State,
    started: SystemTime,
    proc: PathBuf,
}

impl Source {
    fn new(agent: &Agent, state: State) -> Self {
        Source {
            agent: agent.name.clone(),
            mask: Mask::of(agent, variables(&agent.place)),
            state,
            started: SystemTime::now(),
            proc: "/proc".into(),
        }
    }

    fn facts(&self, now: SystemTime) -> Facts {
        observe::witnessed(self.state.facts(), &self.proc, now)
    }

    fn answer(&self, method: &Method, path: &str, headers: &HeaderMap, is_own: bool) -> Response<Full<Bytes>> {
        const TEXT: &str = "text/plain; charset=utf-8";
        if !matches!(*method, Method::GET | Method::HEAD) {
            return whole(StatusCode::METHOD_NOT_ALLOWED, TEXT, "only GET\n");
        }
        let now = SystemTime::now();
        match path {
            // What answers, works: the supervisor has one thread.
            "/healthz" => whole(StatusCode::OK, TEXT, "alive\n"),
            "/readyz" => {
                let reasons = told(&self.facts(now), &self.mask, now);
                let ready = reasons.is_empty();
                let status = if ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
                if wants_json(headers) {
                    let body = json!({ "ready": ready, "reasons": reasons });
                    return whole(status, "application/json", format!("{body}\n"));
                }
                let lines = reasons.iter().map(|not| format!("{}: {}\n", not.reason.as_str(), not.text));
                whole(status, TEXT, if ready { "ready\n".to_owned() } else { lines.collect() })
            }
            "/metrics" => {
                let kind = "text/plain; version=0.0.4; charset=utf-8";
                whole(StatusCode::OK, kind, metrics::render(&self.facts(now), self.started, now))
            }
            "/status" if is_own => {
                let report = Report::new(&self.agent, &self.facts(now), &self.mask, self.started, now);
                match serde_json::to_vec(&report) {
                    Ok(report) => whole(StatusCode::OK, "application/json", report),
                    // There is nothing in it that could not be written.
                    Err(_) => whole(StatusCode::INTERNAL_SERVER_ERROR, TEXT, ""),
                }
            }
            _ => whole(StatusCode::NOT_FOUND, TEXT, "/healthz, /readyz or /metrics\n"),
        }
    }
}

/// What the processes of the container may be given besides what the agent's file says.
fn variables(place: &Place) -> Vec<(String, String)> {
    let own =
        std::env::vars_os().filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)));
    own.chain(environment::read(place).unwrap_or_default()).collect()
}

fn whole(status: StatusCode, kind: &'static str, body: impl Into<Bytes>) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(body.into()));
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
    response
}

/// Whether JSON is asked for by name.
fn wants_json(headers: &HeaderMap) -> bool {
    let values = headers.get_all(header::ACCEPT).iter().filter_map(|value| value.to_str().ok());
    values.flat_map(|value| value.split(',')).any(|part| {
        let kind = part.split(';').next().unwrap_or_default().trim();
        kind.eq_ignore_ascii_case("application/json")
    })
}

/// Looks now and then at trust, which nobody tells about.
async fn look(agent: &Agent, state: &State, stop: &CancellationToken) {
    loop {
        let looked_at = agent.clone();
        match tokio::task::spawn_blocking(move || trust::check(&looked_at).err()).await {
            Ok(wrong) => state.change(|facts| facts.trust = wrong),
            Err(error) => tracing::error!(%error, "trust was not looked at"),
        }
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(LOOK) => {}
        }
    }
}

async fn listen_tcp(address: &str, source: &Arc<Source>, stop: &CancellationToken) {
    if address.is_empty() {
        return;
    }
    loop {
        match TcpListener::bind(address).await {
            Ok(sockets) => return serve_tcp(sockets, source, stop).await,
            Err(error) => {
                tracing::error!(address, %error, "the state can't be served: `listen` of agent.yaml is ADDRESS:PORT, of a port that is free");
            }
        }
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(AGAIN) => {}
        }
    }
}

async fn serve_tcp(sockets: TcpListener, source: &Arc<Source>, stop: &CancellationToken) {
    let open = Open::default();
    loop {
        let accepted = tokio::select! {
            accepted = sockets.accept() => accepted,
            () = stop.cancelled() => return,
        };
        let Ok((tcp, peer)) = accepted else {
            // Out of file descriptors: give connections time to end.
            tokio::time::sleep(Duration::from_millis(20)).await;
            continue;
        };
        // Too many: closed at once.
        if let Some(slot) = open.slot(peer.ip()) {
            spawn(tcp, slot, Arc::clone(source), false, stop);
        }
    }
}

/// The socket of `status`. One that another supervisor listens on is left to it; one that nobody listens on is replaced.
async fn listen_unix(place: &Place, source: &Arc<Source>, stop: &CancellationToken) {
    let path = socket(place);
    loop {
        match bind_unix(&path).await {
            Ok(sockets) => {
                serve_unix(sockets, source, stop).await;
                let _ = std::fs::remove_file(&path);
                return;
            }
            Err(error) => tracing::error!(path = %path.display(), %error, "the state can't be served"),
        }
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(AGAIN) => {}
        }
    }
}

/// Where `status` asks.
pub(super) fn socket(place: &Place) -> PathBuf {
    place.run.join("state.sock")
}

async fn bind_unix(path: &PathBuf) -> io::Result<UnixListener> {
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder)?;
    }
    if tokio::net::UnixStream::connect(path).await.is_ok() {
        return Err(io::Error::new(io::ErrorKind::AddrInUse, "another supervisor runs"));
    }
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let sockets = UnixListener::bind(path)?;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600))?;
    Ok(sockets)
}

async fn serve_unix(sockets: UnixListener, source: &Arc<Source>, stop: &CancellationToken) {
    let open = Open::default();
    loop {
        let accepted = tokio::select! {
            accepted = sockets.accept() => accepted,
            () = stop.cancelled() => return,
        };
        let Ok((stream, _)) = accepted else {
            tokio::time::sleep(Duration::from_millis(20)).await;
            continue;
        };
        if let Some(slot) = open.slot(IpAddr::V4(Ipv4Addr::LOCALHOST)) {
            spawn(stream, slot, Arc::clone(source), true, stop);
        }
    }
}

/// One request, one answer. The slot is given back at the end.
fn spawn<S>(stream: S, slot: Slot, source: Arc<Source>, is_own: bool, stop: &CancellationToken)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let service = service_fn(move |request: Request<hyper::body::Incoming>| {
        let answer = source.answer(request.method(), request.uri().path(), request.headers(), is_own);
        std::future::ready(Ok::<_, Infallible>(answer))
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD)
        .keep_alive(false)
        .max_buf_size(HEAD_BYTES)
        .max_headers(HEAD_LINES)
        .serve_connection(TokioIo::new(stream), service);
    tokio::spawn(bounded(connection, slot, stop.clone()));
}

async fn bounded(connection: impl Future, slot: Slot, stop: CancellationToken) {
    // One that went away, or sent what is no request, is no news.
    tokio::select! {
        _ = tokio::time::timeout(WHOLE, connection) => {}
        () = stop.cancelled() => {}
    }
    drop(slot);
}

/// Open connections by whose they are.
#[derive(Clone, Default)]
struct Open(Arc<Mutex<HashMap<IpAddr, usize>>>);

/// A place among them, until it is dropped.
struct Slot {
    open: Open,
    of: IpAddr,
}

impl Open {
    fn slot(&self, peer: IpAddr) -> Option<Slot> {
        let peer = peer.to_canonical();
        // There are many addresses of this machine itself, and one who has them all.
        let of = if peer.is_loopback() { IpAddr::V4(Ipv4Addr::LOCALHOST) } else { peer };
        let mut open = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let all: usize = open.values().sum();
        let own = open.entry(of).or_default();
        if all >= CONNECTIONS || *own >= CONNECTIONS_EACH {
            if *own == 0 {
                open.remove(&of);
            }
            return None;
        }
        *own += 1;
        Some(Slot { open: self.clone(), of })
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        let mut open = self.open.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(own) = open.get_mut(&self.of) {
            *own -= 1;
            if *own == 0 {
                open.remove(&self.of);
            }
        }
    }
}

#[cfg(test)]
pub(super) mod tests;
