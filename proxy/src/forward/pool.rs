//! Connections to origins that wait to be used again.
//!
//! Kept by agent and authority: no agent ever sends on a connection that another one opened. A connection that has
//! something to read while it waits is broken or lying, and is closed.

mod flight;
mod windows;

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Waker};
use std::time::{Duration, Instant};

use bytes::BytesMut;
use hyper::client::conn::http2;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use stubgate_h1::{Conn, Limits};
use stubgate_policy::{Authority, Reason};
use tokio_util::sync::CancellationToken;

pub use flight::{Flights, Turn};
use windows::Windows;

use super::dial::{Dialled, Wanted};
use crate::appliance::Appliance;
use crate::body::{Passed, Watched};
use crate::deadline::Deadline;
use crate::request::{Known, Refusal};
use crate::stream::Stream;
use crate::swap::Verified;

/// Requests that one HTTP/2 connection to an origin brings: half of what nginx takes before it ends one (`keepalive_requests`).
/// What is sent as it ends is answered by nobody, and can't be sent again where it has a body (RFC 9113 section 6.8).
const MOST_REQUESTS: u32 = 500;
/// Idle connections of one agent, over all authorities.
const MOST_PER_AGENT: usize = 1024;

/// Whose connection, and to whom.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Key {
    agent: Arc<str>,
    authority: Authority,
}

impl Key {
    /// For a request of a known agent.
    pub fn new(known: &Known, authority: &Authority) -> Self {
        Key { agent: known.agent.clone().unwrap_or_default(), authority: authority.clone() }
    }
}

/// A connection to an origin.
pub enum Upstream {
    /// For one request at a time.
    H1(Box<UpstreamH1>),
    /// Shared by requests of one agent.
    H2(UpstreamH2),
}

/// An HTTP/1.1 connection to an origin.
pub struct UpstreamH1 {
    /// The connection.
    pub conn: Conn<Stream>,
    /// Of waiting for the origin.
    pub deadline: Deadline,
    /// Where it leads.
    pub address: SocketAddr,
    /// For whom its certificate was verified.
    pub verified: Option<Verified>,
    /// Whether a request was sent on it before.
    pub is_used: bool,
}

/// An HTTP/2 connection to an origin.
#[derive(Clone)]
pub struct UpstreamH2 {
    /// Sends requests.
    pub sender: http2::SendRequest<Watched>,
    /// Where it leads.
    pub address: SocketAddr,
    /// For whom its certificate was verified.
    pub verified: Option<Verified>,
    /// What was left unfinished on it.
    pub abandoned: Abandoned,
}

/// Uploads that were left unfinished on an HTTP/2 connection. Most are reset at once and harm nobody; one whose origin does
/// not read stays until the connection ends, which nobody else shall then use.
#[derive(Clone, Default)]
pub struct Abandoned {
    uploads: Arc<Mutex<Vec<Arc<Passed>>>>,
    any: CancellationToken,
}

impl Abandoned {
    /// One more.
    pub fn add(&self, upload: &Arc<Passed>) {
        let mut uploads = self.uploads.lock().unwrap_or_else(PoisonError::into_inner);
        uploads.retain(|upload| !upload.is_released());
        uploads.push(Arc::clone(upload));
        self.any.cancel();
    }

    /// Whether one of them is still there.
    fn is_stuck(&self) -> bool {
        let mut uploads = self.uploads.lock().unwrap_or_else(PoisonError::into_inner);
        uploads.retain(|upload| !upload.is_released());
        !uploads.is_empty()
    }

    /// Ready once one has been there for `patience`.
    async fn stuck(&self, patience: Duration) {
        self.any.cancelled().await;
        // What else is under way may end by itself meanwhile.
        tokio::time::sleep(patience).await;
        while !self.is_stuck() {
            tokio::time::sleep(patience).await;
        }
    }
}

/// The connections that wait.
pub struct Pool {
    agents: Mutex<HashMap<Arc<str>, Kept>>,
    /// What is being dialled.
    pub flights: Flights,
    windows: Windows,
    most_per_place: usize,
    most_per_agent: usize,
    longest: Duration,
}

/// What waits for one agent.
#[derive(Default)]
struct Kept {
    places: HashMap<Authority, Waiting>,
    count: usize,
}

#[derive(Default)]
struct Waiting {
    h1: Vec<(Box<UpstreamH1>, Instant)>,
    h2: Option<SharedH2>,
}

/// A connection that several requests use at once.
struct SharedH2 {
    upstream: UpstreamH2,
    used: Instant,
    /// Brought so far.
    requests: u32,
}

impl Waiting {
    fn count(&self) -> usize {
        self.h1.len() + usize::from(self.h2.is_some())
    }
}

impl Pool {
    /// Keeps at most `most_per_place` idle connections for an agent and authority, each at most `longest`. Of one agent, who
    /// may reach any number of names under a wildcard, there are at most [`MOST_PER_AGENT`] unless one place may have more.
    pub fn new(most_per_place: usize, longest: Duration) -> Self {
        let most_per_agent = most_per_place.max(MOST_PER_AGENT);
        Pool {
            agents: Mutex::default(),
            flights: Flights::default(),
            windows: Windows::default(),
            most_per_place,
            most_per_agent,
            longest,
        }
    }

    /// A connection that is good as far as can be told.
    pub fn take(&self, key: &Key, wanted: Wanted) -> Option<Upstream> {
        let mut agents = self.lock();
        let kept = agents.get_mut(&key.agent)?;
        let waiting = kept.places.get_mut(&key.authority)?;
        if wanted != Wanted::H1Only
            && let Some(shared) = &mut waiting.h2
        {
            let SharedH2 { upstream, used, requests } = shared;
            let is_free = upstream.sender.is_ready() && !upstream.abandoned.is_stuck();
            let taken = is_free.then(|| Upstream::H2(upstream.clone()));
            *requests += u32::from(is_free);
            if *requests >= MOST_REQUESTS || upstream.sender.is_closed() || upstream.abandoned.is_stuck() {
                // What is under way on it goes on.
                waiting.h2 = None;
                kept.count -= 1;
            } else if is_free {
                *used = Instant::now();
            }
            if taken.is_some() {
                return taken;
            }
        }
        while let Some((mut h1, since)) = waiting.h1.pop() {
            kept.count -= 1;
            if since.elapsed() < self.longest && is_quiet(&mut h1) {
                return Some(Upstream::H1(h1));
            }
        }
        None
    }

    /// Takes a connection back whose exchange ended cleanly; closes it where enough are kept.
    pub fn give_back(&self, key: Key, upstream: Box<UpstreamH1>) {
        let mut agents = self.lock();
        let kept = agents.entry(key.agent).or_default();
        if kept.count >= self.most_per_agent {
            return;
        }
        let waiting = kept.places.entry(key.authority).or_default();
        if waiting.h1.len() < self.most_per_place {
            waiting.h1.push((upstream, Instant::now()));
            kept.count += 1;
        }
    }

    /// Lets later requests use a connection too; where enough are kept it serves only the request that it was made for.
    fn share(&self, key: &Key, upstream: &UpstreamH2) {
        let mut agents = self.lock();
        let kept = agents.entry(Arc::clone(&key.agent)).or_default();
        if kept.count >= self.most_per_agent {
            return;
        }
        let waiting = kept.places.entry(key.authority.clone()).or_default();
        let shared = SharedH2 { upstream: upstream.clone(), used: Instant::now(), requests: 1 };
        if waiting.h2.replace(shared).is_none() {
            kept.count += 1;
        }
    }

    /// Closes what has waited too long.
    pub fn sweep(&self) {
        self.lock().retain(|_, kept| {
            kept.places.retain(|_, waiting| {
                waiting.h1.retain(|(_, since)| since.elapsed() < self.longest);
                let is_over =
                    |shared: &SharedH2| shared.upstream.sender.is_closed() || shared.used.elapsed() >= self.longest;
                if waiting.h2.as_ref().is_some_and(is_over) {
                    waiting.h2 = None;
                }
                waiting.count() > 0
            });
            kept.count = kept.places.values().map(Waiting::count).sum();
            kept.count > 0
        });
    }

    /// Closes every connection that waits.
    pub fn clear(&self) {
        self.lock().clear();
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Arc<str>, Kept>> {
        self.agents.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether an idle connection has nothing to read: neither its end nor bytes that nobody asked for.
fn is_quiet(upstream: &mut UpstreamH1) -> bool {
    let mut cx = Context::from_waker(Waker::noop());
    upstream.conn.poll_readable(&mut cx).is_pending()
}

/// Makes a fresh connection usable.
///
/// # Errors
/// `upstream_protocol` where the HTTP/2 preface fails.
pub async fn open(appliance: &Arc<Appliance>, key: &Key, dialled: Dialled) -> Result<Upstream, Refusal> {
    let Dialled { stream, is_h2, address, verified } = dialled;
    if !is_h2 {
        return Ok(Upstream::H1(Box::new(UpstreamH1 {
            conn: Conn::new(stream, BytesMut::new(), appliance.h1_limits()),
            deadline: Deadline::new(appliance.timeouts.upstream_header),
            address,
            verified,
            is_used: false,
        })));
    }
    let lent = appliance.pool.windows.lend(&key.agent);
    let (sender, connection) = http2::Builder::new(TokioExecutor::new())
        .timer(TokioTimer::new())
        .keep_alive_interval(Duration::from_secs(30))
        .keep_alive_timeout(Duration::from_secs(20))
        .max_header_list_size(u32::try_from(appliance.limits.header_bytes).unwrap_or(u32::MAX))
        .initial_stream_window_size(lent.stream)
        .initial_connection_window_size(lent.connection)
        .handshake(TokioIo::new(stream))
        .await
        .map_err(|_| Reason::UpstreamProtocol)?;
    let abandoned = Abandoned::default();
    let (doomed, patience) = (abandoned.clone(), appliance.timeouts.body_idle);
    appliance.tasks.spawn(async move {
        tokio::select! {
            ended = connection => if let Err(error) = ended {
                tracing::debug!(%error, "an HTTP/2 connection to an origin ended");
            },
            () = doomed.stuck(patience) => {}
        }
        drop(lent);
    });
    let upstream = UpstreamH2 { sender, address, verified, abandoned };
    appliance.pool.share(key, &upstream);
    Ok(Upstream::H2(upstream))
}

/// The bounds on an HTTP/1.1 head.
pub fn h1_limits(limits: &crate::config::Limits) -> Limits {
    Limits { head_bytes: limits.header_bytes, target_bytes: limits.request_line_bytes, headers: limits.headers }
}
