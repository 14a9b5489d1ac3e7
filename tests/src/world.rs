//! The lab that most suites share: the origins that an agent works with, the ones that it must never
//! reach, and the policy that says which is which.

use std::net::IpAddr;

use crate::builder::{Builder, fresh_secret};
use crate::lab::Lab;
use crate::origin::{Double, Hostile, Nats, Nginx, Sentinel, WebSocket};

/// The credentials, by name; the stub of each is `proxy-token-NAME`.
const CREDENTIALS: [&str; 6] = ["github", "index", "registry", "socket", "live", "key"];

/// The policy of the shared lab.
pub const POLICY: &str = r#"version: 1
agents:
  pod: { sources: ["10.99.0.2/32"] }
credentials:
  github:
    stub: proxy-token-github
    slots: [bearer, basic]
    hosts: [api.github.com, github.com]
    source: { file: "@SECRETS@/github" }
  index:
    stub: proxy-token-index
    slots: [basic]
    hosts: [index.python.example]
    source: { file: "@SECRETS@/index" }
  registry:
    stub: proxy-token-registry
    slots: [bearer]
    hosts: [registry.node.example]
    source: { file: "@SECRETS@/registry" }
  socket:
    stub: proxy-token-socket
    slots: [bearer]
    hosts: [socket.example]
    source: { file: "@SECRETS@/socket" }
  live:
    stub: proxy-token-live
    slots: [bearer]
    hosts: [live.example]
    source: { file: "@SECRETS@/live" }
  key:
    stub: proxy-token-key
    slots: ["header:x-api-key"]
    hosts: [keyed.example]
    source: { file: "@SECRETS@/key" }
rules:
  - name: github-api
    agents: [pod]
    hosts: [api.github.com]
    methods: [any]
    credentials: [github]
  - name: github-git
    agents: [pod]
    hosts: [github.com]
    methods: [GET, POST]
    paths: ["/acme/**"]
    credentials: [github]
  - name: python-index
    agents: [pod]
    hosts: [index.python.example]
    methods: [GET, HEAD]
    credentials: [index]
  - name: node-registry
    agents: [pod]
    hosts: [registry.node.example]
    methods: [GET]
    paths: ["/**"]
    encoded_slash: allow
    credentials: [registry]
  - name: socket
    agents: [pod]
    hosts: [socket.example]
    methods: [WEBSOCKET]
    credentials: [socket]
  - name: bus
    agents: [pod]
    hosts: [bus.example]
    methods: [WEBSOCKET]
  - name: live
    agents: [pod]
    hosts: [live.example]
    methods: [GET]
    credentials: [live]
  - name: keyed
    agents: [pod]
    hosts: [keyed.example]
    methods: [GET]
    credentials: [key]
  - name: open
    agents: [pod]
    hosts:
      - zeros.example
      - sink.example
      - other.example
      - hostile.example
      - private.example
      - metadata.example
      - mixed.example
      - rebind.example
    methods: [any]
  - name: plain
    agents: [pod]
    hosts: ["http://other.example"]
    methods: [GET]
"#;

/// The shared lab and the origins whose memories suites ask.
#[derive(Debug)]
pub struct World {
    /// The lab.
    pub lab: Lab,
    /// `api.github.com`, which demands the real token.
    pub api: Double,
    /// `live.example`, with server-sent events, which demands the real token.
    pub live: Double,
    /// `keyed.example`, for a credential in a named header; takes any.
    pub keyed: Double,
    /// `sink.example`, allowed, takes any body.
    pub sink: Double,
    /// `other.example`, allowed, bound to no credential; also on plain HTTP.
    pub other: Double,
    /// `hostile.example`, allowed.
    pub hostile: Hostile,
    /// `forbidden.example`, named by no rule.
    pub forbidden: Double,
    /// Private and metadata addresses, which really answer out there.
    pub sentinel: Sentinel,
}

impl AsRef<Lab> for World {
    fn as_ref(&self) -> &Lab {
        &self.lab
    }
}

impl World {
    /// Through the appliance, with captures.
    pub fn standard() -> World {
        World::build(|builder| builder)
    }

    /// Through the appliance, for gigabytes.
    pub fn bulk() -> World {
        World::build(Builder::without_capture)
    }

    /// Without an appliance.
    pub fn direct() -> World {
        World::build(Builder::direct)
    }

    /// The standard origins and policy, with whatever `change` adds.
    pub fn build(change: impl FnOnce(Builder) -> Builder) -> World {
        let secrets: Vec<(&str, String)> = CREDENTIALS.iter().map(|name| (*name, fresh_secret(name))).collect();
        let secret = |wanted: &str| -> String {
            secrets.iter().find(|(name, _)| *name == wanted).map(|(_, value)| value.clone()).unwrap()
        };
        let api = Double::demanding("api.github.com", &secret("github"));
        let live = Double::demanding("live.example", &secret("live"));
        let keyed = Double::open("keyed.example");
        let sink = Double::open("sink.example");
        let other = Double::open("other.example").and_plain();
        let forbidden = Double::open("forbidden.example").and_plain();
        let hostile = Hostile::new("hostile.example");
        let unreachable: [IpAddr; 2] = [[10, 77, 0, 1].into(), [169, 254, 169, 254].into()];
        let mut builder = Lab::new()
            .origin(api.clone())
            .origin(Nginx::git("github.com", &secret("github")))
            .origin(Nginx::python_index("index.python.example", &secret("index")))
            .origin(Nginx::node_registry("registry.node.example", &secret("registry")))
            .origin(WebSocket::echo("socket.example", &secret("socket")))
            .origin(Nats::open("bus.example"))
            .origin(live.clone())
            .origin(keyed.clone())
            .origin(sink.clone())
            .origin(other.clone())
            .origin(hostile.clone())
            .origin(forbidden.clone())
            .origin(Nginx::zeros("zeros.example", &[("2g", 2 << 30), ("64m", 64 << 20)]))
            .addresses(&unreachable)
            .policy(POLICY);
        for (name, value) in &secrets {
            builder = builder.credential(name, value);
        }
        let lab = change(builder).start();
        let [private, metadata] = unreachable;
        lab.names().set("private.example", &[private]);
        lab.names().set("metadata.example", &[metadata]);
        let sentinel = Sentinel::watch(lab.internet(), &unreachable, &[80, 443]);
        World { lab, api, live, keyed, sink, other, hostile, forbidden, sentinel }
    }

    /// Forgets what origins saw, before the part of a test that counts.
    pub fn forget(&self) {
        for double in [&self.api, &self.live, &self.keyed, &self.sink, &self.other, &self.forbidden] {
            double.memory.forget();
        }
        self.hostile.memory.forget();
    }
}
