//! A connection of an agent, as every request on it sees it.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};

pub use stubgate_dns::{Peer, Stamp};
use stubgate_policy::{Authority, Host, Scheme};

use crate::metrics::Listener;

/// Where a connection came from, before it says what it is for.
#[derive(Clone, Copy, Debug)]
pub struct Whence {
    /// The other side, which tells who the agent is.
    pub peer: Peer,
    /// The listener that accepted it.
    pub listener: Listener,
    /// Whom it was addressed to before the system redirected it: for records alone; it is never dialled and decides nothing.
    pub original: Option<SocketAddr>,
    /// Whether it took one of its agent's requests a minute; the first request on it is paid for then.
    pub paid: bool,
}

impl Whence {
    /// The connection once it has said what it is for.
    pub fn client(self, entry: Entry) -> Client {
        let paid = AtomicBool::new(self.paid);
        Client { peer: self.peer, listener: self.listener, original: self.original, entry, paid }
    }
}

/// Whence requests come, and for whom the connection was opened.
#[derive(Debug)]
pub struct Client {
    /// The other side, which tells who the agent is.
    pub peer: Peer,
    /// The listener that accepted it.
    pub listener: Listener,
    /// Whom it was addressed to before the system redirected it, for records.
    pub original: Option<SocketAddr>,
    /// What the connection itself says about the authority of its requests.
    pub entry: Entry,
    /// Whether it took one of its agent's requests a minute that no request on it has used yet.
    paid: AtomicBool,
}

impl Client {
    /// Uses what the connection took of its agent's requests a minute; whether there was still something.
    pub fn use_paid(&self) -> bool {
        self.paid.swap(false, Ordering::Relaxed)
    }
}

/// What a connection says about the authority of its requests (law 2).
#[derive(Clone, Debug)]
pub enum Entry {
    /// Plain HTTP sent to us as if we were the origin.
    Plain,
    /// Plain HTTP sent to us as a proxy: absolute-form only.
    Proxy,
    /// Plain HTTP inside a SOCKS tunnel: as if we were the origin, and for its target alone.
    Within {
        /// Whom the tunnel is for.
        target: Authority,
    },
    /// TLS: the name in the ClientHello, and the target of the CONNECT or SOCKS around it if there is one.
    Tls {
        /// The host of the ClientHello; of the tunnel around it where an IP literal allows no SNI.
        host: Host,
        /// The target of CONNECT or SOCKS.
        tunnel: Option<Authority>,
    },
}

impl Entry {
    /// The scheme of every request on the connection.
    pub fn scheme(&self) -> Scheme {
        match self {
            Entry::Plain | Entry::Proxy | Entry::Within { .. } => Scheme::Http,
            Entry::Tls { .. } => Scheme::Https,
        }
    }
}
