//! Origins of the lab's internet. Each has names, an address of its own, a certificate from the
//! lab's root, and a memory of what reached it.

pub mod anthropic;
pub mod app;
pub mod double;
pub mod grpc;
pub mod hostile;
pub mod nats;
pub mod nginx;
pub mod sentinel;
pub mod synapse;
pub mod websocket;

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use crate::node::Node;
use crate::pki::Leaf;
use crate::program::Running;

pub use anthropic::Anthropic;
pub use app::App;
pub use double::Double;
pub use grpc::Grpc;
pub use hostile::Hostile;
pub use nats::Nats;
pub use nginx::Nginx;
pub use sentinel::Sentinel;
pub use synapse::Synapse;
pub use websocket::WebSocket;

/// Where an origin is put.
#[derive(Debug)]
pub struct Place {
    /// The machine that all origins share.
    pub node: Node,
    /// The origin's own address.
    pub address: Ipv4Addr,
    /// A folder of its own.
    pub dir: PathBuf,
    /// A certificate for its names.
    pub leaf: Leaf,
}

impl Place {
    /// The address with a port.
    pub fn socket(&self, port: u16) -> SocketAddr {
        SocketAddr::from((self.address, port))
    }
}

/// A server of the internet.
pub trait Origin: Send + Sync {
    /// Every name that leads here.
    fn names(&self) -> Vec<String>;

    /// Starts serving; what is returned runs as long as the lab.
    fn start(&self, place: &Place) -> Vec<Running>;
}

/// What reached an origin, after TLS.
#[derive(Clone, Debug, Default)]
pub struct Memory(Arc<Mutex<Remembered>>);

/// The content of a [`Memory`].
#[derive(Clone, Debug, Default)]
pub struct Remembered {
    /// TCP connections accepted.
    pub connections: usize,
    /// The first bytes of every connection, in the order of their arrival, decrypted.
    pub bytes: Vec<u8>,
    /// Requests that were understood.
    pub requests: Vec<Request>,
    /// Bytes of request bodies, counted and not kept.
    pub uploaded: u64,
}

/// A request as an origin understood it.
#[derive(Clone, Debug)]
pub struct Request {
    /// `HTTP/1.1` or `HTTP/2.0`.
    pub version: String,
    /// The method.
    pub method: String,
    /// Path and query.
    pub target: String,
    /// All headers in order, names in lower case.
    pub headers: Vec<(String, String)>,
}

impl Request {
    /// The first header of that name.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }
}

impl Memory {
    /// A copy of all so far.
    pub fn recall(&self) -> Remembered {
        self.with(|all| all.clone())
    }

    /// Forgets all so far, for the next test.
    pub fn forget(&self) {
        self.with(|all| *all = Remembered::default());
    }

    /// Whether this text arrived in whatever place: on the wire, or in a head that HTTP/2 compressed.
    pub fn saw(&self, needle: &str) -> bool {
        self.with(|all| {
            all.bytes.windows(needle.len()).any(|window| window == needle.as_bytes())
                || all.requests.iter().any(|request| {
                    request.target.contains(needle) || request.headers.iter().any(|(_, value)| value.contains(needle))
                })
        })
    }

    fn with<T>(&self, work: impl FnOnce(&mut Remembered) -> T) -> T {
        work(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn connected(&self) {
        self.with(|all| all.connections += 1);
    }

    fn received(&self, bytes: &[u8]) {
        self.with(|all| all.bytes.extend_from_slice(bytes));
    }
}
