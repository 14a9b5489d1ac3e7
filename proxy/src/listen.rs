//! Phase *listen*: accepts on every port, with deadlines and caps, and brings requests of either version of HTTP to the
//! phases that follow.
//!
//! - `http`: plain HTTP, as if we were the origin;
//! - `https`: TLS, whose ClientHello names the host ([`tls`]);
//! - `transparent`: either of the two, as the first byte tells ([`first`]), on connections that the system redirected;
//! - `proxy`: CONNECT, behind which only TLS is accepted, and absolute-form ([`connect`]); and SOCKS5 ([`socks`]).

mod admission;
mod connect;
mod descriptors;
mod first;
mod h1;
mod h2;
mod handshakes;
mod meter;
mod refuse;
mod socks;
mod tls;
mod tunnel;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::BytesMut;
use stubgate_policy::Reason;
use tokio::net::{TcpListener, TcpStream};

pub use admission::Admissions;
use descriptors::Shedding;
pub(crate) use descriptors::descriptors_wanted;
pub use descriptors::take_descriptors;
pub use handshakes::Handshakes;
use refuse::Unserved;

use crate::appliance::Appliance;
use crate::client::{Entry, Peer, Stamp, Whence};
use crate::identify;
use crate::metrics::Listener;
use crate::record::Layer;
use crate::stream::{Socket, Stream};

/// Connections that are accepted before others have their turn: a flood of them must not make requests wait (RE-05).
const IN_A_ROW: u32 = 4;
/// Connections that may wait to be accepted.
pub(crate) const BACKLOG: i32 = 4096;

/// Accepts until the appliance drains; and then those who wait already. `stamp` is of everyone who connects here, if they are
/// known by that.
pub async fn accept(appliance: Arc<Appliance>, sockets: TcpListener, listener: Listener, stamp: Option<Stamp>) {
    let mut shedding = Shedding::new();
    let mut in_a_row = 0;
    let mut swept = 0;
    while swept < BACKLOG {
        let accepted = tokio::select! {
            biased;
            accepted = sockets.accept() => accepted,
            () = appliance.draining.cancelled() => return,
        };
        match accepted {
            Ok((tcp, peer)) => {
                let Some(tcp) = shedding.spare(tcp) else { continue };
                let whence = whence(&appliance, &tcp, peer, listener, stamp);
                identify::arrived(&appliance, &whence.peer);
                admit(&appliance, tcp, whence);
                swept += i32::from(appliance.draining.is_cancelled());
                in_a_row += 1;
                if in_a_row >= IN_A_ROW {
                    in_a_row = 0;
                    tokio::task::yield_now().await;
                }
            }
            Err(error) => {
                appliance.metrics.accept_errors.inc();
                // Connections to origins that wait to be used again are worth less than agents that wait now.
                appliance.pool.clear();
                shedding.shed(&sockets, &error, listener);
                // Gives connections time to end instead of spinning.
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        }
    }
}

fn admit(appliance: &Arc<Appliance>, tcp: TcpStream, whence: Whence) {
    let agent = match identify::identify(appliance, &appliance.snapshot.load(), &whence.peer) {
        Ok((_, name)) => name,
        // Plain HTTP clients are told why; there is nothing to be said to others.
        Err(refusal) if whence.listener == Listener::Https => {
            turn_away(appliance, &tcp, &whence, refusal.reason);
            return;
        }
        Err(_) => Arc::from(""),
    };
    let Some(admission) = appliance.admissions.enter(&agent, whence.listener) else {
        turn_away(appliance, &tcp, &whence, Reason::LimitReached);
        return;
    };
    // Fails only on a socket that is closed already, which the next read notices.
    let _ = tcp.set_nodelay(true);
    let shared = Arc::clone(appliance);
    let earlier = (!appliance.leaving.is_cancelled()).then(|| appliance.earlier.token());
    appliance.tasks.spawn(async move {
        let work = serve(&shared, tcp, whence);
        tokio::select! {
            () = work => {}
            () = shared.closing.cancelled() => {}
        }
        drop((admission, earlier));
    });
}

async fn serve(appliance: &Arc<Appliance>, tcp: TcpStream, whence: Whence) {
    match whence.listener {
        Listener::Http => {
            let client = whence.client(Entry::Plain);
            h1::serve(appliance, Stream::Plain(Socket::new(tcp)), BytesMut::new(), client).await;
        }
        Listener::Https => tls::serve(appliance, Socket::new(tcp), whence, None).await,
        // Each holds the others, and would make every connection as large as the largest.
        Listener::Proxy => Box::pin(connect::serve(appliance, tcp, whence)).await,
        Listener::Transparent => Box::pin(first::serve(appliance, tcp, BytesMut::new(), whence, None)).await,
    }
}

/// Refuses a connection that was just accepted, by a reset: it costs less than an end that the other side has to agree to.
fn turn_away(appliance: &Appliance, tcp: &TcpStream, whence: &Whence, reason: Reason) {
    // Where it can't be reset it is closed.
    let _ = tcp.set_zero_linger();
    refuse(appliance, whence, reason);
}

/// Records a connection that was refused before it could ask for anything.
fn refuse(appliance: &Appliance, whence: &Whence, reason: Reason) {
    Unserved::at(Layer::Accept, None).record(appliance, whence, &reason.into());
}

fn whence(
    appliance: &Appliance,
    tcp: &TcpStream,
    peer: SocketAddr,
    listener: Listener,
    stamp: Option<Stamp>,
) -> Whence {
    let original = if listener == Listener::Transparent { original_destination(tcp) } else { None };
    let address = unmapped(peer);
    let stamp = stamp.unwrap_or_else(|| identify::stamp(appliance, address.ip()));
    Whence { peer: Peer { address, stamp }, listener, original, paid: false }
}

/// Whom a connection was addressed to. REDIRECT keeps that in the connection's tracking entry; TPROXY, and whoever
/// connects to the listener itself, has it as the socket's own address.
fn original_destination(tcp: &TcpStream) -> Option<SocketAddr> {
    let local = tcp.local_addr().ok()?;
    let socket = socket2::SockRef::from(tcp);
    let tracked = if local.is_ipv6() { socket.original_dst_v6() } else { socket.original_dst_v4() };
    Some(unmapped(tracked.ok().and_then(|address| address.as_socket()).unwrap_or(local)))
}

/// IPv4 addresses that arrive on an IPv6 socket are IPv4 addresses.
fn unmapped(peer: SocketAddr) -> SocketAddr {
    SocketAddr::new(peer.ip().to_canonical(), peer.port())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bytes<'a, A, B, F: Future>(_: impl FnOnce(&'a Arc<Appliance>, A, B) -> F) -> usize {
        size_of::<F>()
    }

    /// Copied when it begins and held until it ends, ten thousand times over. What is rare or short belongs in a box.
    #[test]
    fn what_is_held_for_a_connection_and_for_a_request_is_small() {
        let connection = bytes(serve);
        assert!(connection <= 4 << 10, "{connection} bytes for a connection");
        let request = bytes(crate::service::serve);
        assert!(request <= 2 << 10, "{request} bytes for a request");
    }
}
