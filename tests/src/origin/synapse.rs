//! A real Matrix homeserver: synapse, by itself, federating with nobody.

use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use serde_json::{Value, json};

use super::{Origin, Place};
use crate::builder::{ROOT, fresh_secret};
use crate::node::Node;
use crate::program::Running;

/// The origin. Clones are the same origin.
#[derive(Clone, Debug)]
pub struct Synapse {
    name: String,
    /// Lets the lab make accounts.
    key: String,
    at: Arc<Mutex<Option<(Node, Ipv4Addr)>>>,
}

impl Synapse {
    /// A homeserver of this name.
    pub fn new(name: &str) -> Synapse {
        let key = fresh_secret("accounts").chars().filter(char::is_ascii_alphanumeric).collect();
        Synapse { name: name.to_owned(), key, at: Arc::default() }
    }

    /// Makes an account; its access token. Matrix calls it `@NAME:SERVER`.
    pub fn account(&self, name: &str) -> String {
        let wanted = json!({ "type": "m.login.application_service", "username": name });
        let made = self.ask("POST", "/_matrix/client/v3/register", &self.key, &wanted);
        made["access_token"].as_str().unwrap_or_else(|| panic!("no account: {made}")).to_owned()
    }

    /// What the homeserver answers to a request from its own machine.
    pub fn ask(&self, method: &str, path: &str, token: &str, body: &Value) -> Value {
        let at = self.at.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let (node, address) = at.expect("a started homeserver");
        let curl = node.program("curl").args(["-sS", "--max-time", "20", "-X", method, "--cacert"]);
        let curl = curl.arg(node.dir().join(ROOT)).args(["--resolve", &format!("{}:443:{address}", self.name)]);
        let curl = curl.args(["-H", &format!("Authorization: Bearer {token}")]);
        let curl = if method == "GET" { curl } else { curl.args(["-d", &body.to_string()]) };
        let answer = curl.arg(format!("https://{}{path}", self.name)).run().success();
        serde_json::from_str(&answer).unwrap_or_else(|_| panic!("{method} {path}: {answer}"))
    }

    fn settings(&self, place: &Place) -> Value {
        let file = |name: &str| place.dir.join(name).display().to_string();
        json!({
            "server_name": self.name,
            "public_baseurl": format!("https://{}/", self.name),
            "pid_file": file("synapse.pid"),
            "listeners": [{
                "port": 443, "type": "http", "tls": true, "bind_addresses": [place.address.to_string()],
                "resources": [{ "names": ["client"], "compress": false }],
            }],
            "tls_certificate_path": place.leaf.certificate.display().to_string(),
            "tls_private_key_path": place.leaf.key.display().to_string(),
            "database": { "name": "sqlite3", "args": { "database": file("synapse.db") } },
            "media_store_path": file("media"),
            "signing_key_path": file("signing.key"),
            "log_config": file("log.yaml"),
            "app_service_config_files": [file("accounts.yaml")],
            "macaroon_secret_key": fresh_secret("macaroon"),
            "form_secret": fresh_secret("form"),
            "report_stats": false,
            "trusted_key_servers": [],
            "presence": { "enabled": false },
        })
    }
}

impl Origin for Synapse {
    fn names(&self) -> Vec<String> {
        vec![self.name.clone()]
    }

    fn start(&self, place: &Place) -> Vec<Running> {
        *self.at.lock().unwrap_or_else(PoisonError::into_inner) = Some((place.node.clone(), place.address));
        let write = |name: &str, text: String| std::fs::write(place.dir.join(name), text).expect("write");
        let seed: String = STANDARD_NO_PAD.encode(fresh_secret("signing").as_bytes().last_chunk::<32>().expect("long"));
        write("signing.key", format!("ed25519 a_lab {seed}\n"));
        let handlers = json!({ "console": { "class": "logging.StreamHandler" } });
        let log =
            json!({ "version": 1, "handlers": handlers, "root": { "level": "WARNING", "handlers": ["console"] } });
        write("log.yaml", log.to_string());
        let accounts = json!({
            "id": "lab", "url": null, "as_token": self.key, "hs_token": fresh_secret("service"),
            "sender_localpart": "lab", "rate_limited": false,
            "namespaces": { "users": [{ "exclusive": false, "regex": "@.*" }], "rooms": [], "aliases": [] },
        });
        write("accounts.yaml", accounts.to_string());
        // JSON is YAML.
        write("homeserver.yaml", self.settings(place).to_string());
        let program = place.node.program(python()).args(["-m", "synapse.app.homeserver", "-c"]);
        vec![program.arg(place.dir.join("homeserver.yaml")).dir(&place.dir).spawn()]
    }
}

/// The Python that has synapse; made by `tests/setup`.
fn python() -> PathBuf {
    let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let target = std::env::var_os("CARGO_TARGET_DIR").map_or("target".into(), PathBuf::from);
    let folder = workspace.join(target).join("lab-synapse/bin");
    let folder = folder.canonicalize().unwrap_or_else(|_| panic!("no {}: run tests/setup", folder.display()));
    folder.join("python")
}
