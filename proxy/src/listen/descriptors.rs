//! Out of file descriptors (RE-06): connections are turned away instead of left to wait, the log is told once in a while,
//! and everything goes on as soon as there are some again.
//!
//! One descriptor is kept in reserve. When there is none left it is given up, so that whoever waits can be accepted and
//! closed, which an agent notices at once, and taken again.

use std::io::Error;
use std::time::{Duration, Instant};

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use socket2::{Domain, Socket, Type};
use tokio::net::{TcpListener, TcpStream};

use crate::metrics::Listener;

/// Connections that are turned away in one go.
const MOST_AT_ONCE: usize = 64;
/// Descriptors for what is no connection: listeners, files, watches.
const OTHERS: u64 = 256;
/// The log is told at most so often.
const TELL_EVERY: Duration = Duration::from_secs(10);

/// What one listener does when it can't accept.
pub(super) struct Shedding {
    reserve: Option<Socket>,
    told: Option<Instant>,
    since_told: u64,
}

impl Shedding {
    pub(super) fn new() -> Self {
        Shedding { reserve: reserve(), told: None, since_told: 0 }
    }

    /// Turns away those who wait.
    pub(super) fn shed(&mut self, sockets: &TcpListener, error: &Error, listener: Listener) {
        self.since_told += 1;
        if self.told.is_none_or(|told| told.elapsed() >= TELL_EVERY) {
            let failures = self.since_told;
            tracing::error!(%error, failures, listener = listener.as_str(), "connections can't be accepted and are turned away");
            self.told = Some(Instant::now());
            self.since_told = 0;
        }
        if self.reserve.take().is_some() {
            let mut context = std::task::Context::from_waker(std::task::Waker::noop());
            for _ in 0..MOST_AT_ONCE {
                let std::task::Poll::Ready(Ok((tcp, _))) = sockets.poll_accept(&mut context) else { break };
                drop(tcp);
            }
        }
        self.reserve = reserve();
    }

    /// A connection that was accepted, unless its descriptor is needed for the reserve: a file that was opened while it was
    /// given up may have taken it, and without one nobody could be turned away later.
    pub(super) fn spare(&mut self, tcp: TcpStream) -> Option<TcpStream> {
        if self.reserve.is_none() {
            self.reserve = reserve();
        }
        if self.reserve.is_some() {
            return Some(tcp);
        }
        drop(tcp);
        self.reserve = reserve();
        None
    }
}

/// Takes as many file descriptors as the system gives this process, and says so where they are fewer than the
/// configuration may need: each connection of an agent can have one to an origin behind it.
pub fn take_descriptors(connections: usize) {
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit { current: limit.maximum, maximum: limit.maximum };
    let most = if setrlimit(Resource::Nofile, raised).is_ok() { limit.maximum } else { limit.current };
    let wanted = descriptors_wanted(connections);
    if let Some(most) = most.filter(|most| *most < wanted) {
        tracing::warn!(
            most,
            wanted,
            "fewer file descriptors than limits.connections may need; raise the limit of the process"
        );
    }
}

/// How many so many connections may need.
pub(crate) fn descriptors_wanted(connections: usize) -> u64 {
    u64::try_from(connections).unwrap_or(u64::MAX).saturating_mul(2).saturating_add(OTHERS)
}

/// A descriptor of no use; of a kind that the lock-down leaves us.
fn reserve() -> Option<Socket> {
    Socket::new(Domain::IPV4, Type::DGRAM, None).ok()
}
