//! Connections whose port does not say what they speak: behind SOCKS, and on `transparent` listeners. Their first byte
//! does: a ClientHello, or the method of a plain HTTP request; both then go the same way as on `https` and `http`.
//!
//! Nothing else is accepted, and nothing is passed on that was not read as one of the two.

use std::num::NonZeroU16;
use std::sync::Arc;

use bytes::BytesMut;
use stubgate_policy::{Authority, Host, Reason, Scheme};
use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::{h1, refuse, tls};
use crate::appliance::Appliance;
use crate::budget::Limit;
use crate::client::{Entry, Whence};
use crate::stream::{Socket, Stream};

/// The type of a TLS record that a ClientHello comes in (RFC 8446 section 5.1).
const HANDSHAKE: u8 = 0x16;

/// Serves a connection of which `read` has come. `target` is whom the tunnel around it is for, if there is one.
pub(super) async fn serve(
    appliance: &Arc<Appliance>,
    mut tcp: TcpStream,
    mut read: BytesMut,
    whence: Whence,
    target: Option<(Host, NonZeroU16)>,
) {
    if read.is_empty() {
        match timeout(appliance.timeouts.handshake, tcp.read_buf(&mut read)).await {
            Ok(Ok(1..)) => {}
            // Gone without a word.
            Ok(Ok(0) | Err(_)) => return,
            Err(_) => {
                appliance.metrics.limit_reached(Limit::Handshake).inc();
                return refuse(appliance, &whence, Reason::LimitReached);
            }
        }
    }
    let authority = |scheme| target.map(|(host, port)| Authority::new(scheme, host, port));
    match read.first() {
        Some(&HANDSHAKE) => {
            tls::serve(appliance, Socket::rewound(tcp, read), whence, authority(Scheme::Https)).await;
        }
        // Whatever is text is read as a request, and refused in words if it is none.
        Some(first) if first.is_ascii_graphic() || first.is_ascii_whitespace() => {
            let entry = match authority(Scheme::Http) {
                Some(target) => Entry::Within { target },
                None => Entry::Plain,
            };
            h1::serve(appliance, Stream::Plain(Socket::new(tcp)), read, whence.client(entry)).await;
        }
        Some(_) | None => refuse(appliance, &whence, Reason::BadRequest),
    }
}
