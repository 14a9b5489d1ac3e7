//! A NATS server that listens for WebSockets: what a bridge of an agent reaches as `wss://`.

use super::{Origin, Place};
use crate::program::Running;

/// The origin.
#[derive(Clone, Debug)]
pub struct Nats {
    name: String,
}

impl Nats {
    /// A server of this name that lets everybody in, and compresses where it is asked to.
    pub fn open(name: &str) -> Nats {
        Nats { name: name.to_owned() }
    }
}

impl Origin for Nats {
    fn names(&self) -> Vec<String> {
        vec![self.name.clone()]
    }

    fn start(&self, place: &Place) -> Vec<Running> {
        let settings = format!(
            "host: 127.0.0.1\nport: 4222\nmax_payload: 8MB\nwebsocket {{\n  listen: \"{}:443\"\n  compression: true\n  \
             tls {{ cert_file: \"{}\", key_file: \"{}\" }}\n}}\n",
            place.address,
            place.leaf.certificate.display(),
            place.leaf.key.display(),
        );
        let file = place.dir.join("nats.conf");
        std::fs::write(&file, settings).expect("write nats.conf");
        vec![place.node.program("nats-server").arg("-c").arg(file).spawn()]
    }
}
