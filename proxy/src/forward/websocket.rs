//! WebSocket (RFC 6455): its handshake, held to what was asked; what follows is a [`Tunnel`].
//!
//! The origin must switch to `websocket`, prove that it read this handshake's key, choose a subprotocol that was offered
//! or none, and no extension: none is asked for, since what an extension changes in frames (compression above all) could
//! not be looked into. Anything else is an ordinary response, after which the connection ends, so that nothing an agent
//! sent behind its handshake reaches anyone.

mod farewell;
mod flow;
mod outbox;
mod reframe;
mod tunnel;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http::header::{self, HeaderMap, HeaderValue};
use sha1::{Digest, Sha1};

pub use tunnel::Tunnel;
pub(crate) use tunnel::{Rules, TunnelSlot};

use crate::headers;

/// RFC 6455 section 1.3.
const GUID: &[u8] = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11";

/// Whether a request asks for a WebSocket as it must be asked: GET without a body, version 13, a key of 16 bytes.
pub(crate) fn is_handshake(method: &http::Method, headers: &HeaderMap) -> bool {
    let one = |name: header::HeaderName| {
        let mut values = headers.get_all(name).iter();
        values.next().filter(|_| values.next().is_none()).map(HeaderValue::as_bytes)
    };
    *method == http::Method::GET
        && headers::connection_has(headers, "upgrade")
        && one(header::UPGRADE).is_some_and(|v| v.eq_ignore_ascii_case(b"websocket"))
        && one(header::SEC_WEBSOCKET_VERSION) == Some(b"13")
        && one(header::SEC_WEBSOCKET_KEY).is_some_and(|v| STANDARD.decode(v).is_ok_and(|key| key.len() == 16))
}

/// Puts the hop-by-hop part of the handshake back in, which never travels by itself.
pub(super) fn declare(headers: &mut HeaderMap) {
    headers.insert(header::CONNECTION, HeaderValue::from_static("Upgrade"));
    headers.insert(header::UPGRADE, HeaderValue::from_static("websocket"));
}

/// What a handshake asked for, which its answer must keep to.
pub(super) struct Handshake {
    key: Box<[u8]>,
    /// Subprotocols, as the agent offered them.
    protocols: Vec<Box<[u8]>>,
}

impl Handshake {
    /// Reads the handshake of a request, and takes the extensions out of it.
    pub(super) fn take(headers: &mut HeaderMap) -> Option<Self> {
        let key = headers.get(header::SEC_WEBSOCKET_KEY)?.as_bytes().into();
        headers.remove(header::SEC_WEBSOCKET_EXTENSIONS);
        let offers = headers.get_all(header::SEC_WEBSOCKET_PROTOCOL).iter();
        let protocols = offers.flat_map(|offer| offer.as_bytes().split(|&b| b == b','));
        let protocols = protocols.map(|name| name.trim_ascii().into()).collect();
        Some(Handshake { key, protocols })
    }

    /// Whether a 101 answers it.
    pub(super) fn is_accepted_by(&self, answer: &HeaderMap) -> bool {
        let mut hash = Sha1::new();
        hash.update(&self.key);
        hash.update(GUID);
        let expected = STANDARD.encode(hash.finalize());
        let one = |name: header::HeaderName| {
            let mut values = answer.get_all(name).iter().map(HeaderValue::as_bytes);
            (values.next(), values.next().is_none())
        };
        let upgrades = matches!(one(header::UPGRADE), (Some(to), true) if to.eq_ignore_ascii_case(b"websocket"));
        let is_proven = one(header::SEC_WEBSOCKET_ACCEPT) == (Some(expected.as_bytes()), true);
        let is_offered = match one(header::SEC_WEBSOCKET_PROTOCOL) {
            (Some(chosen), true) => self.protocols.iter().any(|offered| **offered == *chosen),
            (None, is_one) => is_one,
            (Some(_), false) => false,
        };
        let is_plain = !answer.contains_key(header::SEC_WEBSOCKET_EXTENSIONS);
        headers::connection_has(answer, "upgrade") && upgrades && is_proven && is_offered && is_plain
    }
}
