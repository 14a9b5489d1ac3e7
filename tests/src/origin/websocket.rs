//! A WebSocket echo on the `websockets` library of Python; it demands the real credential at the upgrade.

use super::{Origin, Place};
use crate::client::{python, source};
use crate::program::Running;

/// The origin.
#[derive(Clone, Debug)]
pub struct WebSocket {
    name: String,
    token: String,
}

impl WebSocket {
    /// An echo of this name that lets in who shows `token` as Bearer.
    pub fn echo(name: &str, token: &str) -> WebSocket {
        WebSocket { name: name.to_owned(), token: token.to_owned() }
    }
}

impl Origin for WebSocket {
    fn names(&self) -> Vec<String> {
        vec![self.name.clone()]
    }

    fn start(&self, place: &Place) -> Vec<Running> {
        let server = place
            .node
            .program(python())
            .arg(source("origins/websocket.py"))
            .arg(place.address.to_string())
            .arg(&place.leaf.certificate)
            .arg(&place.leaf.key)
            .env("TOKEN", &self.token)
            .spawn();
        vec![server]
    }
}
