//! From an authority to a verified connection.
//!
//! The client's own idea of an address is never dialled: the name is resolved here, every address is vetted, and the
//! address that was vetted is the one that is dialled, once.

use std::collections::HashSet;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rustls::ClientConfig;
use rustls_pki_types::ServerName;
use stubgate_dns::{ResolveError, Resolver};
use stubgate_policy::{Authority, Host, Reason, Scheme};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout_at};
use tokio_rustls::TlsConnector;

use crate::guard::{Guard, VettedAddr};
use crate::request::Refusal;
use crate::stream::{Socket, Stream};
use crate::swap::Verified;

/// Origins that are remembered to speak HTTP/2 only.
const H2_ONLY_MAXIMUM: usize = 1024;

/// Which version of HTTP to speak.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wanted {
    /// HTTP/1.1, whatever the origin prefers: a WebSocket.
    H1Only,
    /// HTTP/1.1 unless the origin has none.
    H1First,
    /// HTTP/2 if the origin has it.
    H2First,
}

/// A connection that was made.
pub struct Dialled {
    /// The bytes.
    pub stream: Stream,
    /// Whether HTTP/2 was agreed on.
    pub is_h2: bool,
    /// Where it leads.
    pub address: SocketAddr,
    /// That its certificate was verified for the authority; none for plain HTTP.
    pub verified: Option<Verified>,
}

/// Makes connections to origins.
pub struct Dialer {
    resolver: Resolver,
    guard: Guard,
    h1: Arc<ClientConfig>,
    h2: Arc<ClientConfig>,
    limit: Duration,
    h2_only: Mutex<HashSet<Authority>>,
}

impl Dialer {
    /// Dials with these; `h1` and `h2` trust the same roots and offer what their names say.
    pub fn new(
        resolver: Resolver,
        guard: Guard,
        h1: Arc<ClientConfig>,
        h2: Arc<ClientConfig>,
        limit: Duration,
    ) -> Self {
        Dialer { resolver, guard, h1, h2, limit, h2_only: Mutex::default() }
    }

    /// Resolves, vets, connects and verifies, within one deadline.
    ///
    /// # Errors
    /// Which of these failed, as a reason.
    pub async fn dial(&self, authority: &Authority, wanted: Wanted) -> Result<Dialled, Refusal> {
        let deadline = Instant::now() + self.limit;
        let addresses = self.addresses(authority, deadline).await?;
        let (tcp, address) = connect(&addresses, deadline).await?;
        if authority.scheme() == Scheme::Http {
            return Ok(Dialled { stream: Stream::Plain(Socket::new(tcp)), is_h2: false, address, verified: None });
        }
        let is_h2_only = || self.h2_only.lock().unwrap_or_else(PoisonError::into_inner).contains(authority);
        let offer_h2 = wanted == Wanted::H2First || (wanted == Wanted::H1First && is_h2_only());
        match self.handshake(authority, tcp, address, offer_h2, deadline).await {
            Err(Handshake::NoProtocol) if wanted == Wanted::H1First && !offer_h2 => {
                let (tcp, address) = connect(&addresses, deadline).await?;
                let dialled =
                    self.handshake(authority, tcp, address, true, deadline).await.map_err(Handshake::refusal)?;
                let mut known = self.h2_only.lock().unwrap_or_else(PoisonError::into_inner);
                if known.len() >= H2_ONLY_MAXIMUM {
                    known.clear();
                }
                known.insert(authority.clone());
                Ok(dialled)
            }
            other => other.map_err(Handshake::refusal),
        }
    }

    async fn addresses(&self, authority: &Authority, deadline: Instant) -> Result<Vec<VettedAddr>, Refusal> {
        if let Some(fixed) = self.guard.fixed(authority) {
            return Ok(vec![fixed]);
        }
        let resolved = match authority.host() {
            Host::Ip(ip) => vec![*ip],
            Host::Name(name) => match timeout_at(deadline, self.resolver.lookup(name)).await {
                Ok(Ok(addresses)) => addresses,
                Ok(Err(ResolveError::Timeout)) | Err(_) => return Err(Reason::UpstreamTimeout.into()),
                Ok(Err(ResolveError::NotFound | ResolveError::Failed)) => return Err(Reason::Unresolvable.into()),
            },
        };
        self.guard.vet(authority, &resolved).map_err(|denial| {
            tracing::warn!(%authority, %denial, "an allowed host is at an address that is not dialled");
            Reason::AddressNotPublic.into()
        })
    }

    async fn handshake(
        &self,
        authority: &Authority,
        tcp: TcpStream,
        address: SocketAddr,
        offer_h2: bool,
        deadline: Instant,
    ) -> Result<Dialled, Handshake> {
        let name = match authority.host() {
            Host::Ip(ip) => ServerName::IpAddress((*ip).into()),
            Host::Name(name) => ServerName::try_from(name.as_str().to_owned()).map_err(|_| Handshake::Failed)?,
        };
        let config = if offer_h2 { &self.h2 } else { &self.h1 };
        let connecting = TlsConnector::from(Arc::clone(config)).connect(name, Socket::new(tcp));
        let tls = match timeout_at(deadline, connecting).await {
            Ok(Ok(tls)) => tls,
            Ok(Err(error)) if is_no_protocol(&error) => return Err(Handshake::NoProtocol),
            Ok(Err(error)) => {
                tracing::info!(%authority, %address, %error, "no trusted TLS connection to an origin");
                return Err(Handshake::Failed);
            }
            Err(_) => return Err(Handshake::TimedOut),
        };
        let is_h2 = tls.get_ref().1.alpn_protocol() == Some(b"h2");
        Ok(Dialled {
            stream: Stream::Tls(Box::new(tls.into())),
            is_h2,
            address,
            verified: Some(Verified(authority.clone())),
        })
    }
}

enum Handshake {
    NoProtocol,
    Failed,
    TimedOut,
}

impl Handshake {
    fn refusal(self) -> Refusal {
        match self {
            Handshake::NoProtocol | Handshake::Failed => Reason::UpstreamTls.into(),
            Handshake::TimedOut => Reason::UpstreamTimeout.into(),
        }
    }
}

fn is_no_protocol(error: &std::io::Error) -> bool {
    let inner = error.get_ref().and_then(|e| e.downcast_ref::<rustls::Error>());
    matches!(
        inner,
        Some(
            rustls::Error::AlertReceived(rustls::AlertDescription::NoApplicationProtocol)
                | rustls::Error::NoApplicationProtocol
        )
    )
}

/// Tries the addresses in turn; each has a share of the time that is left.
async fn connect(addresses: &[VettedAddr], deadline: Instant) -> Result<(TcpStream, SocketAddr), Refusal> {
    let mut timed_out = false;
    for (at, address) in addresses.iter().enumerate() {
        let left = deadline.saturating_duration_since(Instant::now());
        let rest = u32::try_from(addresses.len() - at).unwrap_or(u32::MAX);
        let share = Instant::now() + left / rest;
        match timeout_at(share, TcpStream::connect(address.get())).await {
            Ok(Ok(tcp)) => {
                // Fails only on a socket that is closed already, which the next step notices.
                let _ = tcp.set_nodelay(true);
                return Ok((tcp, address.get()));
            }
            Ok(Err(error)) => tracing::debug!(%address, %error, "an origin's address can't be reached"),
            Err(_) => timed_out = true,
        }
    }
    Err(if timed_out { Reason::UpstreamTimeout } else { Reason::UpstreamUnreachable }.into())
}
