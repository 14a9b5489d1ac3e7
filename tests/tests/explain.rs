//! What `policy explain` says of a request is what the appliance does with it: random requests go through real
//! sockets, and decision, rule and reason of their records are compared with the explanation's.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddrV4, UdpSocket};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;
use stubgate_tests::lab::APPLIANCE;
use stubgate_tests::origin::Double;
use stubgate_tests::wire::{Wire, tcp_from};
use stubgate_tests::{Shared, World};

/// Requests whose heads are read; lookups and connections that are refused come on top.
const REQUESTS: usize = 300;
/// Where the random numbers begin; another seed is another set of requests.
const SEED: u64 = 0x5eed_0003;

/// `pod`, `second` and `locked` are agents; the last address is nobody's.
const PEERS: [Ipv4Addr; 4] = [
    Ipv4Addr::new(10, 99, 0, 2),
    Ipv4Addr::new(10, 99, 0, 3),
    Ipv4Addr::new(10, 99, 0, 4),
    Ipv4Addr::new(10, 99, 0, 5),
];

const POLICY: &str = r#"version: 1
agents:
  pod: { sources: ["10.99.0.2/32"] }
  second: { sources: ["10.99.0.3/32"] }
  locked: { sources: ["10.99.0.4/32"], quarantined: true }
credentials:
  github:
    stub: proxy-token-github
    slots: [bearer, basic]
    hosts: [api.github.com]
    source: { file: "@SECRETS@/github" }
  key:
    stub: proxy-token-key
    slots: ["header:x-api-key", "query:api_key"]
    hosts: [keyed.example, "*.keyed.example"]
    source: { file: "@SECRETS@/key" }
rules:
  - { name: github-api, agents: [pod], hosts: [api.github.com], methods: [any], paths: ["/user", "/acme/**", "/gists"], credentials: [github] }
  - { name: github-read, agents: ["*"], hosts: [api.github.com], methods: [GET, HEAD], paths: ["/acme/*"], credentials: [github], credential_required: true }
  - { name: no-gists, effect: deny, agents: ["*"], hosts: [api.github.com], methods: [any], paths: ["/gists", "/gists/**"] }
  - { name: keyed, agents: [pod, second], hosts: [keyed.example], methods: [GET, POST], credentials: [key] }
  - { name: keyed-below, agents: [pod], hosts: ["*.keyed.example"], methods: [GET], credentials: [key], foreign_credentials: allow }
  - { name: no-deep, effect: deny, agents: [second], hosts: ["**.keyed.example", keyed.example], methods: [POST] }
  - { name: open, agents: ["*"], hosts: [other.example, "http://other.example"], methods: [GET, HEAD, POST, WEBSOCKET] }
  - { name: watch, effect: observe, agents: [pod], hosts: [sink.example], methods: [GET] }
  - { name: sink, agents: [second], hosts: [sink.example], methods: [any], paths: ["/acme/**"] }
  - { name: closed, effect: deny, agents: [second], hosts: [sink.example], methods: [DELETE, PURGE] }
  - { name: live, agents: [pod], hosts: [live.example], methods: [any] }
  - { name: no-live, effect: deny, agents: ["*"], hosts: [live.example], methods: [any] }
"#;

static WORLD: Shared<World> = Shared::new(|| {
    let world = World::build(|lab| {
        let lab = lab.origin(Double::open("a.keyed.example")).policy(POLICY);
        // Every refusal has a record of its own here.
        lab.configuration("limits: { refusals_per_second: 100000, dns_queries_per_second: 100000 }")
    });
    for peer in &PEERS[1..] {
        world.lab.pod().plumb(&format!("ip addr add {peer}/29 dev eth0"));
    }
    world
});

/// What is asked for often stands first and often.
const HOSTS: [&str; 9] = [
    "api.github.com",
    "keyed.example",
    "other.example",
    "stubgate.internal",
    "a.keyed.example",
    "sink.example",
    "b.a.keyed.example",
    "live.example",
    "forbidden.example",
];
const PATHS: [&str; 16] = [
    "/acme/site",
    "/user",
    "/acme/site/tree",
    "/ACME/site",
    "/%61cme/site",
    "/",
    "/acme/",
    "/acme",
    "/acme/a%2Fb",
    "/gists",
    "/Gists/1",
    "/gists%2F1",
    "/acme/../user",
    "//user",
    "/ca.pem",
    "/acme/proxy-token-github",
];
const METHODS: [&str; 7] = ["GET", "HEAD", "POST", "WEBSOCKET", "DELETE", "PURGE", "get"];
const QUERIES: [&str; 5] = ["", "?q=1", "?token=own", "?q=proxy-token-key", "?api_key=proxy-token-key"];
const TYPES: [(&str, u16); 4] = [("A", 1), ("AAAA", 28), ("TXT", 16), ("HTTPS", 65)];

/// SplitMix64: the same numbers on every run.
struct Random(u64);

impl Random {
    fn below(&mut self, limit: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        usize::try_from((z ^ (z >> 31)) % limit as u64).unwrap()
    }

    fn of<T: Copy>(&mut self, from: &[T]) -> T {
        from[self.below(from.len())]
    }

    /// The first ones more often than the last.
    fn early<T: Copy>(&mut self, from: &[T]) -> T {
        let most = self.below(from.len()) + 1;
        from[self.below(most)]
    }

    /// Nothing, a stub in a right or wrong place, somebody's own credential, or two.
    fn headers(&mut self, host: &str) -> Vec<String> {
        let right = if host.ends_with("keyed.example") { "proxy-token-key" } else { "proxy-token-github" };
        let stub = self.of(&[right, right, right, "proxy-token-github", "proxy-token-key"]);
        let basic = |pair: String| format!("Authorization: Basic {}", STANDARD.encode(pair));
        match self.below(16) {
            0..=2 => vec![],
            3 | 4 if host.ends_with("keyed.example") => vec![format!("X-Api-Key: {stub}")],
            3..=6 => vec![format!("Authorization: Bearer {stub}")],
            7 => vec![format!("authorization: token {stub}")],
            8 => vec![basic(format!("x-access-token:{stub}"))],
            9 => vec![basic(format!("{stub}:x-oauth-basic"))],
            10 => vec![format!("X-Api-Key: {stub}")],
            11 => vec![format!("X-Other: {stub}")],
            12 => vec!["Authorization: Bearer own-credential".into()],
            13 => vec![format!("Authorization: Bearer {stub}"), format!("X-Api-Key: {stub}")],
            14 => vec![format!("X_Api_Key: {stub}")],
            _ => vec![format!("Cookie: a={stub}")],
        }
    }
}

/// Decision, rule, reason and credential.
type Said = (String, Option<String>, Option<String>, Option<String>);

fn said(value: &Value) -> Said {
    let text = |key: &str| value[key].as_str().map(str::to_owned);
    (text("decision").unwrap_or_default(), text("rule"), text("reason"), text("credential"))
}

fn explained(world: &World, peer: Ipv4Addr, question: &str, headers: &[String]) -> Said {
    said(&explanation(world, peer, question, headers))
}

/// What a ClientHello by server name alone comes to: its port is known with the request only, so that a name that may be
/// had on another port is taken too.
fn explained_hello(world: &World, peer: Ipv4Addr, host: &str) -> Said {
    let connect = explained(world, peer, &format!("CONNECT {host}:443"), &[]);
    let name = explanation(world, peer, &format!("DNS {host} A"), &[]);
    if name["dns"] == "advertise" { ("allow".into(), None, None, None) } else { connect }
}

fn explanation(world: &World, peer: Ipv4Addr, question: &str, headers: &[String]) -> Value {
    let peer = peer.to_string();
    let mut args = vec!["policy", "explain", "policy", "--peer", &peer, "--format", "json", question];
    for header in headers {
        args.extend(["--header", header]);
    }
    let text = world.lab.appliance().command(args).run().success();
    serde_json::from_str(&text).expect("JSON")
}

/// The records that an action adds; each was written before the answer that the action waits for.
fn records(world: &World, action: impl FnOnce()) -> Vec<Value> {
    let before = world.lab.appliance().audit().len();
    action();
    world.lab.appliance().audit().split_off(before)
}

/// What the first record of some layers says; `end` only tells how what was allowed went on.
fn first(records: &[Value], layers: &[&str]) -> Option<Said> {
    let mine = |record: &&Value| layers.iter().any(|layer| record["layer"] == *layer) && record["event"] != "end";
    records.iter().find(mine).map(said)
}

fn lookup(peer: Ipv4Addr, name: &str, kind: u16) -> Vec<u8> {
    let mut message = vec![0x12, 0x34, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0];
    for label in name.split('.') {
        message.push(u8::try_from(label.len()).unwrap());
        message.extend(label.as_bytes());
    }
    message.push(0);
    message.extend(kind.to_be_bytes());
    message.extend([0, 1]);
    let socket = UdpSocket::bind((peer, 0)).expect("bind");
    socket.set_read_timeout(Some(Duration::from_secs(5))).expect("timeout");
    socket.send_to(&message, (APPLIANCE, 53)).expect("send");
    let mut answer = vec![0; 4096];
    let length = socket.recv(&mut answer).expect("an answer");
    answer.truncate(length);
    answer
}

struct Sent {
    scheme: &'static str,
    host: &'static str,
    port: u16,
    method: &'static str,
    path: &'static str,
    query: &'static str,
    headers: Vec<String>,
}

impl Sent {
    fn random(random: &mut Random) -> Sent {
        let host = random.early(&HOSTS);
        let plain = if matches!(host, "other.example" | "stubgate.internal") { 2 } else { 6 };
        let scheme = if random.below(plain) == 0 { "http" } else { "https" };
        let port = match (scheme, random.below(12)) {
            ("http", 0) => 8080,
            ("http", _) => 80,
            (_, 0) => 8443,
            _ => 443,
        };
        Sent {
            scheme,
            host,
            port,
            method: random.early(&METHODS),
            path: if host == "stubgate.internal" { random.of(&["/ca.pem", "/user"]) } else { random.early(&PATHS) },
            query: if random.below(3) == 0 { random.of(&QUERIES) } else { "" },
            headers: random.headers(host),
        }
    }

    fn question(&self) -> String {
        let scheme = match (self.method, self.scheme) {
            ("WEBSOCKET", "http") => "ws",
            ("WEBSOCKET", _) => "wss",
            (_, scheme) => scheme,
        };
        format!("{} {scheme}://{}:{}{}{}", self.method, self.host, self.port, self.path, self.query)
    }

    fn bytes(&self) -> String {
        let (method, more) = match self.method {
            "WEBSOCKET" => (
                "GET",
                "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
                 Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n",
            ),
            "POST" => ("POST", "Content-Length: 0\r\n"),
            method => (method, ""),
        };
        let headers: String = self.headers.iter().map(|header| format!("{header}\r\n")).collect();
        let default = matches!((self.scheme, self.port), ("http", 80) | ("https", 443));
        let port = if default { String::new() } else { format!(":{}", self.port) };
        format!("{method} {}{} HTTP/1.1\r\nHost: {}{port}\r\n{headers}{more}\r\n", self.path, self.query, self.host)
    }
}

/// Counts of what came, so that a test that asks nothing of interest is noticed.
#[derive(Default)]
struct Tally(BTreeMap<String, usize>);

impl Tally {
    #[track_caller]
    fn same(&mut self, what: &str, question: &str, recorded: Option<Said>, explained: Said, records: &[Value]) {
        assert_eq!(recorded.as_ref(), Some(&explained), "{what}: {question}: {records:#?}");
        let (decision, rule, reason, credential) = explained;
        *self.0.entry(format!("{what} {decision}")).or_default() += 1;
        *self.0.entry(format!("reason {}", reason.unwrap_or_default())).or_default() += 1;
        *self.0.entry(format!("rule {}", rule.unwrap_or_default())).or_default() += 1;
        *self.0.entry(format!("credential {}", credential.unwrap_or_default())).or_default() += 1;
    }
}

/// One request from one address: its connection is compared, and if there is one, what is sent on it. Whether there
/// was.
fn request(world: &World, random: &mut Random, peer: Ipv4Addr, tally: &mut Tally) -> bool {
    let sent = Sent::random(random);
    let question = sent.question();
    let connection = |port: u16| tcp_from(&world.lab, peer, SocketAddrV4::new(APPLIANCE, port));
    let mut wire = None;
    if sent.scheme == "http" {
        wire = Some(Wire::plain_over(connection(80).expect("port 80")));
    } else {
        // By server name the port is not known before the request, so another port than 443 goes through a tunnel.
        let tunnel = sent.port != 443 || random.below(2) == 0;
        let target = format!("{}:{}", sent.host, sent.port);
        let opened = records(world, || {
            wire = if tunnel {
                Wire::tunnel_over(&world.lab, &target, sent.host, connection(3128).expect("port 3128")).ok()
            } else {
                Wire::tls_over(&world.lab, sent.host, connection(443).expect("port 443")).ok()
            };
        });
        let connect = format!("CONNECT {target}");
        let expected =
            if tunnel { explained(world, peer, &connect, &[]) } else { explained_hello(world, peer, sent.host) };
        assert_eq!(wire.is_some(), expected.0 == "allow", "{connect}");
        let layer = if tunnel { "connect" } else { "tls" };
        tally.same(layer, &connect, first(&opened, &[layer, "accept"]), expected, &opened);
    }
    let Some(mut wire) = wire else { return false };
    let made = records(world, || {
        wire.send(sent.bytes()).head().expect("an answer");
    });
    let headers = &sent.headers;
    let what = format!("{question} {headers:?} from {peer}");
    tally.same("http", &what, first(&made, &["http"]), explained(world, peer, &question, headers), &made);
    true
}

#[test]
fn explanations_and_the_appliance_agree() {
    WORLD.test(|world| {
        let mut random = Random(SEED);
        let mut tally = Tally::default();
        let mut read = 0;
        while read < REQUESTS {
            let peer = PEERS[[0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 2, 3][random.below(12)]];
            if random.below(6) == 0 {
                let (name, (word, kind)) = (random.of(&HOSTS), random.of(&TYPES));
                let question = format!("DNS {name} {word}");
                let asked = records(world, || {
                    world.lab.pod().enter(move || lookup(peer, name, kind));
                });
                let expected = explained(world, peer, &question, &[]);
                tally.same("dns", &question, first(&asked, &["dns"]), expected, &asked);
            } else {
                read += usize::from(request(world, &mut random, peer, &mut tally));
            }
        }
        // The seed reaches every kind of decision at every layer.
        let layers = ["dns allow", "dns deny", "tls allow", "tls deny", "connect allow", "connect deny"];
        let requests =
            ["http allow", "http deny", "http observe", "http answer", "credential github", "credential key"];
        for kind in layers.iter().chain(&requests) {
            assert!(tally.0.contains_key(*kind), "no {kind}: {:#?}", tally.0);
        }
        let reasons = tally.0.keys().filter(|key| key.starts_with("reason ")).count();
        assert!(reasons >= 18, "{:#?}", tally.0);
    });
}
