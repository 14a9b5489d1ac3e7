//! Phase *listen*: accepts on every port, with deadlines and caps, and brings requests of either version of HTTP to the
//! phases that follow.
//!
//! - `http`: plain HTTP, as if we were the origin;
//! - `https`: TLS, whose ClientHello names the host ([`tls`]);
//! - `proxy`: CONNECT, behind which only TLS is accepted, and absolute-form ([`connect`]).

mod admission;
mod connect;
mod descriptors;
mod h1;
mod h2;
mod handshakes;
mod meter;
mod tls;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::BytesMut;
use stubgate_policy::Reason;
use tokio::net::{TcpListener, TcpStream};

pub use admission::Admissions;
use descriptors::Shedding;
pub use descriptors::take_descriptors;
pub use handshakes::Handshakes;

use crate::appliance::Appliance;
use crate::client::{Client, Entry};
use crate::metrics::Listener;
use crate::record::{Event, Layer, Line};
use crate::stream::{Socket, Stream};

/// Accepts until the appliance drains.
pub async fn accept(appliance: Arc<Appliance>, sockets: TcpListener, listener: Listener) {
    let mut shedding = Shedding::new();
    loop {
        let accepted = tokio::select! {
            accepted = sockets.accept() => accepted,
            () = appliance.draining.cancelled() => return,
        };
        match accepted {
            Ok((tcp, peer)) => admit(&appliance, tcp, unmapped(peer), listener),
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

fn admit(appliance: &Arc<Appliance>, tcp: TcpStream, peer: SocketAddr, listener: Listener) {
    let agent = match crate::identify::identify(&appliance.snapshot.load(), peer.ip()) {
        Ok((_, name)) => name,
        // Plain HTTP clients are told why; there is nothing to be said to others.
        Err(refusal) if listener == Listener::Https => {
            refuse(appliance, peer, None, refusal.reason);
            return;
        }
        Err(_) => Arc::from(""),
    };
    let Some(admission) = appliance.admissions.enter(&agent, listener) else {
        refuse(appliance, peer, Some(&agent), Reason::LimitReached);
        return;
    };
    // Fails only on a socket that is closed already, which the next read notices.
    let _ = tcp.set_nodelay(true);
    let shared = Arc::clone(appliance);
    appliance.tasks.spawn(async move {
        let work = serve(&shared, tcp, peer, listener);
        tokio::select! {
            () = work => {}
            () = shared.closing.cancelled() => {}
        }
        drop(admission);
    });
}

async fn serve(appliance: &Arc<Appliance>, tcp: TcpStream, peer: SocketAddr, listener: Listener) {
    match listener {
        Listener::Http => {
            let client = Client { peer, listener, entry: Entry::Plain };
            h1::serve(appliance, Stream::Plain(Socket::new(tcp)), BytesMut::new(), client).await;
        }
        Listener::Https => tls::serve(appliance, Socket::new(tcp), peer, listener, None).await,
        Listener::Proxy => connect::serve(appliance, tcp, peer).await,
    }
}

/// Records a connection that was refused before it could ask for anything.
fn refuse(appliance: &Appliance, peer: SocketAddr, agent: Option<&str>, reason: Reason) {
    appliance.metrics.refused(reason, "").inc();
    let line = Line {
        agent: agent.filter(|name| !name.is_empty()),
        peer: Some(peer),
        decision: Some("deny"),
        reason: Some(reason),
        ..Line::new(Event::Refused, Layer::Accept)
    };
    // Refused all the same; a lost record is counted.
    let _ = appliance.audit.refuse(&line);
}

/// IPv4 addresses that arrive on an IPv6 socket are IPv4 addresses.
fn unmapped(peer: SocketAddr) -> SocketAddr {
    SocketAddr::new(peer.ip().to_canonical(), peer.port())
}
