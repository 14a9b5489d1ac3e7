//! NATS servers that listen for WebSockets: what an agent, or a bridge of it, reaches as `wss://`.

use super::{Nginx, Origin, Place};
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

    /// A server with JetStream behind an nginx that wants `token` as Bearer of the upgrade, as a gateway in front of a bus does.
    /// No WebSocket of it is opened without.
    pub fn streams(name: &str, token: &str) -> Nginx {
        let token = token.to_owned();
        Nginx::new(name, move |place| {
            let store = place.dir.join("store");
            let settings = format!(
                "host: 127.0.0.1\nport: 4223\njetstream {{ store_dir: \"{}\" }}\n\
                 websocket {{ listen: \"127.0.0.1:4280\", no_tls: true }}\n",
                store.display()
            );
            let locations = format!(
                "if ($http_authorization != \"Bearer {token}\") {{ return 401; }}
                 location / {{
                   proxy_pass http://127.0.0.1:4280; proxy_http_version 1.1; proxy_read_timeout 300;
                   proxy_set_header Upgrade $http_upgrade; proxy_set_header Connection upgrade;
                   proxy_set_header Authorization \"\";
                 }}"
            );
            (locations, vec![serve(place, &settings)])
        })
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
        vec![serve(place, &settings)]
    }
}

fn serve(place: &Place, settings: &str) -> Running {
    let file = place.dir.join("nats.conf");
    std::fs::write(&file, settings).expect("write nats.conf");
    place.node.program("nats-server").arg("-c").arg(file).spawn()
}
