//! `stubgate nft`: what its rules let through and what not, with a real bridge, real containers' links and the real nft. Everything
//! that must be shut is shown to be open before the rules are there.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::sync::Arc;
use std::time::{Duration, Instant};

use stubgate_tests::appliance::binary;
use stubgate_tests::harness::alone;
use stubgate_tests::node::{self, Node, Reaper};

/// The ports that everybody listens on here; 15001 stands for a transparent listener.
const PORTS: [u16; 6] = [22, 53, 80, 443, 9090, 15001];

/// ```text
///  one 10.42.0.11 ─┐                       ┌─ other0 10.43.0.1 ── neighbour 10.43.0.9
///                  ├ agents0 10.42.0.1 host┤
///  two 10.42.0.12 ─┘                       └─ wan0 20.0.0.1 ───── outside 20.0.0.9
/// ```
/// Each has fd42::…, fd43::… or fd20::… beside it. The host routes between all of them.
struct House {
    nodes: BTreeMap<&'static str, Node>,
}

impl House {
    fn build() -> House {
        let dir = tempfile::Builder::new().prefix("stubgate-nft-").tempdir().expect("a folder").keep();
        let reaper = Arc::new(Reaper::open(&dir));
        let names = ["host", "one", "two", "neighbour", "outside"];
        let nodes: BTreeMap<_, _> = names.into_iter().map(|name| (name, Node::boot(name, &reaper))).collect();
        let house = House { nodes };
        let host = house.node("host");
        host.plumb("echo 1 >/proc/sys/net/ipv4/ip_forward; echo 1 >/proc/sys/net/ipv6/conf/all/forwarding");
        for (bridge, net) in [("agents0", 42), ("other0", 43)] {
            host.plumb(&format!(
                "ip link add {bridge} type bridge; ip link set {bridge} up; ip addr add 10.{net}.0.1/24 dev {bridge}; \
                 ip -6 addr add fd{net}::1/64 dev {bridge} nodad"
            ));
        }
        for (name, bridge, net, last) in
            [("one", "agents0", 42, 11), ("two", "agents0", 42, 12), ("neighbour", "other0", 43, 9)]
        {
            let address = format!("10.{net}.0.{last}/24");
            node::join((host, name, "192.0.2.1/32"), (house.node(name), "eth0", &address));
            host.plumb(&format!("ip addr flush dev {name} && ip link set {name} master {bridge}"));
            house.node(name).plumb(&format!(
                "ip route add default via 10.{net}.0.1; ip -6 addr add fd{net}::{last}/64 dev eth0 nodad; \
                 ip -6 route add default via fd{net}::1"
            ));
        }
        node::join((host, "wan0", "20.0.0.1/24"), (house.node("outside"), "eth0", "20.0.0.9/24"));
        host.plumb("ip -6 addr add fd20::1/64 dev wan0 nodad");
        house.node("outside").plumb(
            "ip -6 addr add fd20::9/64 dev eth0 nodad; ip route add default via 20.0.0.1; ip -6 route add default via fd20::1",
        );
        for name in names {
            answer(house.node(name), name);
        }
        house
    }

    fn node(&self, name: &str) -> &Node {
        &self.nodes[name]
    }

    /// Loads what the command prints for this configuration, and gives it.
    fn load(&self, configuration: &str, arguments: &[&str]) -> String {
        let host = self.node("host");
        let file = host.dir().join("stubgate.yaml");
        std::fs::write(&file, configuration).expect("write");
        let rules = host.program(binary()).args(["nft", "--config"]).arg(&file).args(arguments).run().success();
        host.program("nft").args(["--file", "-"]).stdin(self.as_the_kernel_knows(&rules)).run().success();
        rules
    }

    /// A kernel without NFT_BRIDGE_META can't tell of which bridge a port is. The rules are tried there by the names of the ports,
    /// which only a test knows beforehand; everything else of them stays.
    fn as_the_kernel_knows(&self, rules: &str) -> String {
        let probe = "add table bridge probe; add chain bridge probe it; add rule bridge probe it meta ibrname lo; \
                     delete table bridge probe";
        let ran = self.node("host").program("nft").arg(probe).run();
        if ran.status.success() {
            return rules.to_owned();
        }
        assert!(ran.errors().contains("Operation not supported"), "{}", ran.errors());
        let (bridge, ports) = ("meta ibrname != \"agents0\" accept", "iifname != { \"one\", \"two\" } accept");
        assert!(rules.contains(bridge));
        rules.replace(bridge, ports)
    }

    /// Whether the rules for IP see what passes between two ports of a bridge, as Docker has it on some hosts and on others not.
    fn shows_bridged(&self, shown: bool) {
        let shown = u8::from(shown);
        let host = self.node("host");
        for family in ["iptables", "ip6tables"] {
            host.plumb(&format!(
                "! [ -e /proc/sys/net/bridge/bridge-nf-call-{family} ] || echo {shown} >/proc/sys/net/bridge/bridge-nf-call-{family}"
            ));
        }
    }

    /// Who answers, as a container or host sees it.
    fn asks(&self, from: &str, to: &str) -> Option<String> {
        let to: SocketAddr = to.parse().expect("an address");
        self.node(from).enter(move || {
            let mut stream = TcpStream::connect_timeout(&to, Duration::from_secs(1)).ok()?;
            stream.set_read_timeout(Some(Duration::from_secs(1))).ok()?;
            let mut text = String::new();
            stream.read_to_string(&mut text).ok()?;
            Some(text)
        })
    }

    /// Who answers of these, all asked at once: what is shut takes its time to say so.
    fn ask_all<'a>(
        &self,
        to: impl IntoIterator<Item = &'a str>,
        ask: fn(&House, &str, &str) -> Option<String>,
    ) -> Vec<(&'a str, Option<String>)> {
        std::thread::scope(|scope| {
            let asked = to.into_iter().map(|to| (to, scope.spawn(move || ask(self, "one", to)))).collect::<Vec<_>>();
            asked.into_iter().map(|(to, answer)| (to, answer.join().expect("asked"))).collect()
        })
    }

    /// That all of these answer while there are no rules; links take a moment until neighbours are found.
    fn are_open<'a>(
        &self,
        to: impl IntoIterator<Item = &'a str> + Clone,
        ask: fn(&House, &str, &str) -> Option<String>,
    ) {
        let deadline = Instant::now() + Duration::from_secs(15);
        loop {
            let answers = self.ask_all(to.clone(), ask);
            let shut: Vec<&str> = answers.iter().filter(|(_, answer)| answer.is_none()).map(|(to, _)| *to).collect();
            if shut.is_empty() {
                return;
            }
            assert!(Instant::now() < deadline, "shut without rules, so that this test would show nothing: {shut:?}");
        }
    }

    /// The same of one link that does not begin at `one`.
    fn is_open(&self, from: &str, to: &str) {
        let deadline = Instant::now() + Duration::from_secs(15);
        while self.asks(from, to).is_none() {
            assert!(
                Instant::now() < deadline,
                "shut without rules, so that this test would show nothing: {from} to {to}"
            );
        }
    }

    /// The same by UDP.
    fn asks_by_udp(&self, from: &str, to: &str) -> Option<String> {
        let to: SocketAddr = to.parse().expect("an address");
        self.node(from).enter(move || {
            let any: IpAddr = if to.is_ipv4() { [0; 4].into() } else { [0_u16; 8].into() };
            let socket = UdpSocket::bind((any, 0)).ok()?;
            socket.set_read_timeout(Some(Duration::from_secs(1))).ok()?;
            socket.send_to(b"?", to).ok()?;
            let mut bytes = [0_u8; 64];
            let (count, _) = socket.recv_from(&mut bytes).ok()?;
            Some(String::from_utf8_lossy(&bytes[..count]).into_owned())
        })
    }
}

/// Says who was reached and by which port, to everyone who comes.
fn answer(node: &Node, name: &'static str) {
    for port in PORTS {
        // A socket belongs to the machine where it was made, whichever thread serves it.
        let bind =
            move || (TcpListener::bind(("::", port)).expect("listen"), UdpSocket::bind(("::", port)).expect("listen"));
        let (listener, socket) = node.enter(bind);
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let _ = stream.expect("accept").write_all(format!("{name}:{port}").as_bytes());
            }
        });
        std::thread::spawn(move || {
            let mut bytes = [0_u8; 64];
            while let Ok((_, from)) = socket.recv_from(&mut bytes) {
                let _ = socket.send_to(format!("{name}:{port}").as_bytes(), from);
            }
        });
    }
}

const ON_HOST: &str = "listen: { dns: [\"10.42.0.1:53\", \"[fd42::1]:53\"], http: [\"10.42.0.1:80\"], https: [\"10.42.0.1:443\", \"[fd42::1]:443\"] }\n\
     advertise: [\"10.42.0.1\", \"fd42::1\"]\npolicy: [policy]\n";
const FENCED: [&str; 6] = ["--bridge", "agents0", "--subnet", "10.42.0.0/24", "--subnet", "fd42::/64"];

/// Where stubgate is, from a container: what must go on to work.
const STUBGATE: [&str; 5] = ["10.42.0.1:53", "10.42.0.1:80", "10.42.0.1:443", "[fd42::1]:53", "[fd42::1]:443"];

/// Everything else: its host's other services and addresses, other containers, another bridge, the world.
const ELSEWHERE: [&str; 16] = [
    "10.42.0.1:22",
    "10.42.0.1:9090",
    "10.42.0.1:15001",
    "[fd42::1]:22",
    "[fd42::1]:80",
    "10.43.0.1:443",
    "20.0.0.1:443",
    "[fd43::1]:443",
    "[fd20::1]:22",
    "10.42.0.12:443",
    "[fd42::12]:443",
    "10.43.0.9:443",
    "[fd43::9]:443",
    "20.0.0.9:443",
    "20.0.0.9:53",
    "[fd20::9]:443",
];

#[test]
fn containers_of_the_bridge_reach_stubgate_and_nothing_else() {
    alone(|| {
        let house = House::build();
        for ask in [House::asks, House::asks_by_udp] {
            house.are_open(STUBGATE.into_iter().chain(ELSEWHERE), ask);
        }
        assert_eq!(house.asks_by_udp("one", "10.42.0.1:443").as_deref(), Some("host:443"), "before there are rules");
        let inward = [("outside", "10.42.0.11:22"), ("neighbour", "10.42.0.11:22"), ("neighbour", "[fd42::11]:22")];
        for (from, to) in inward {
            house.is_open(from, to);
        }

        house.shows_bridged(false);
        house.load(ON_HOST, &FENCED);
        for to in STUBGATE {
            let port = to.rsplit_once(':').unwrap().1;
            assert_eq!(house.asks("one", to), Some(format!("host:{port}")), "{to}");
        }
        for to in ["10.42.0.1:53", "[fd42::1]:53"] {
            assert_eq!(house.asks_by_udp("one", to).as_deref(), Some("host:53"), "{to}");
        }
        assert_eq!(house.asks_by_udp("one", "10.42.0.1:443"), None, "stubgate speaks no QUIC");
        for ask in [House::asks, House::asks_by_udp] {
            for (to, answer) in house.ask_all(ELSEWHERE, ask) {
                assert_eq!(answer, None, "{to}");
            }
        }

        // What others do is not changed, but for reaching into the bridge.
        for (from, to, answer) in [
            ("neighbour", "20.0.0.9:443", Some("outside:443")),
            ("neighbour", "10.43.0.1:22", Some("host:22")),
            ("outside", "20.0.0.1:22", Some("host:22")),
            ("host", "10.42.0.11:22", Some("one:22")),
            ("host", "[fd42::11]:22", Some("one:22")),
            ("host", "20.0.0.9:443", Some("outside:443")),
        ] {
            assert_eq!(house.asks(from, to).as_deref(), answer, "{from} to {to}");
        }
        for (from, to) in inward {
            assert_eq!(house.asks(from, to), None, "{from} to {to}");
        }
    });
}

#[test]
fn loading_again_replaces_and_other_tables_stay() {
    alone(|| {
        let house = House::build();
        let host = house.node("host");
        // Docker's own, say: it lets everything through, and comes later.
        host.plumb(
            "nft add table ip filter && nft 'add chain ip filter FORWARD { type filter hook forward priority filter; policy accept; }' \
             && nft add rule ip filter FORWARD counter accept",
        );
        let listed = || host.program("nft").args(["--stateless", "list", "ruleset"]).run().success();
        let before = listed();
        house.load(ON_HOST, &FENCED);
        let once = listed();
        house.load(ON_HOST, &FENCED);
        assert_eq!(listed(), once);
        assert!(once.starts_with(before.trim_end()), "{once}");
        assert_eq!(house.asks("one", "20.0.0.9:443"), None, "what another table accepts is refused all the same");

        // A rule of a former configuration does not outlive it.
        house.load(&ON_HOST.replace("http: [\"10.42.0.1:80\"], ", ""), &FENCED);
        assert_eq!(house.asks("one", "10.42.0.1:80"), None);
        assert_eq!(house.asks("one", "10.42.0.1:443").as_deref(), Some("host:443"));
        host.plumb("nft delete table inet stubgate_agents0 && nft delete table bridge stubgate_agents0");
        assert_eq!(listed(), before);
        assert_eq!(house.asks("one", "20.0.0.9:443").as_deref(), Some("outside:443"));
    });
}

/// Who takes another agent's address would be that agent.
#[test]
fn an_address_that_no_container_may_have_is_not_heard() {
    alone(|| {
        let house = House::build();
        let (host, one) = (house.node("host"), house.node("one"));
        one.plumb("ip addr add 10.50.0.5/32 dev eth0");
        host.plumb("ip route add 10.50.0.5/32 dev agents0");
        let from = |address: &str| {
            let curl = one.program("curl").args(["-sS", "--http0.9", "--max-time", "2", "--interface", address]);
            curl.arg("http://10.42.0.1/").run().text()
        };
        assert_eq!((from("10.50.0.5").as_str(), from("10.42.0.11").as_str()), ("host:80", "host:80"));
        house.load(ON_HOST, &FENCED);
        assert_eq!((from("10.50.0.5").as_str(), from("10.42.0.11").as_str()), ("", "host:80"));
    });
}

#[test]
fn what_began_before_the_rules_does_not_outlive_them() {
    alone(|| {
        let house = House::build();
        let one = house.node("one");
        let mut old = one.enter(|| TcpStream::connect("10.42.0.1:22").expect("open without rules"));
        old.set_read_timeout(Some(Duration::from_secs(1))).unwrap();
        let mut text = String::new();
        old.read_to_string(&mut text).expect("an answer");
        // A connection that is known to be established, and stays open on the container's side.
        let (open, host) = (one.clone(), house.node("host").clone());
        let listener = host.enter(|| TcpListener::bind("10.42.0.1:2222").expect("listen"));
        let mut there = open.enter(|| TcpStream::connect("10.42.0.1:2222").expect("open without rules"));
        let (mut here, _) = listener.accept().expect("accept");
        here.set_read_timeout(Some(Duration::from_millis(500))).unwrap();
        let mut byte = [0_u8; 1];
        there.write_all(b"a").unwrap();
        here.read_exact(&mut byte).expect("heard before");
        house.load(ON_HOST, &FENCED);
        let _ = there.write_all(b"b");
        assert!(here.read_exact(&mut byte).is_err(), "heard after");
    });
}

#[test]
fn web_traffic_to_elsewhere_is_redirected_where_stubgate_takes_it() {
    alone(|| {
        let house = House::build();
        let configuration = "listen: { dns: [\"10.42.0.1:53\"], transparent: [\"0.0.0.0:15001\"] }\nadvertise: [\"10.42.0.1\"]\npolicy: [policy]\n";
        let shut = ["20.0.0.9:22", "10.42.0.1:15001", "10.42.0.1:443", "[fd20::9]:443"];
        house.are_open(shut, House::asks);
        house.load(configuration, &FENCED);
        for to in ["20.0.0.9:443", "20.0.0.9:80", "10.43.0.9:80"] {
            assert_eq!(house.asks("one", to).as_deref(), Some("host:15001"), "{to}");
        }
        for (to, answer) in house.ask_all(shut, House::asks) {
            assert_eq!(answer, None, "{to}");
        }
        assert_eq!(house.asks("neighbour", "20.0.0.9:443").as_deref(), Some("outside:443"));
    });
}

/// As in compose: stubgate is one of the containers of the bridge.
#[test]
fn a_stubgate_beside_the_agents_is_all_that_they_reach() {
    alone(|| {
        let house = House::build();
        let configuration = "listen: { dns: [\"0.0.0.0:53\", \"[::]:53\"], https: [\"0.0.0.0:443\", \"[::]:443\"] }\n\
                             advertise: [\"10.42.0.12\", \"fd42::12\"]\npolicy: [policy]\n";
        let beside = [&FENCED[..], &["--beside"]].concat();
        let open = ["10.42.0.12:53", "10.42.0.12:443", "[fd42::12]:443"];
        let shut = [
            "10.42.0.12:22",
            "[fd42::12]:9090",
            "10.42.0.1:443",
            "10.42.0.1:53",
            "[fd42::1]:53",
            "20.0.0.9:443",
            "[fd20::9]:443",
        ];
        house.are_open(open.into_iter().chain(shut), House::asks);
        house.is_open("two", "10.42.0.11:22");
        house.load(configuration, &beside);
        for shown in [false, true] {
            house.shows_bridged(shown);
            for to in open {
                let port = to.rsplit_once(':').unwrap().1;
                assert_eq!(house.asks("one", to), Some(format!("two:{port}")), "{to}, shown: {shown}");
            }
            assert_eq!(house.asks_by_udp("one", "10.42.0.12:53").as_deref(), Some("two:53"));
            for (to, answer) in house.ask_all(shut, House::asks) {
                assert_eq!(answer, None, "{to}, shown: {shown}");
            }
            assert_eq!(house.asks("two", "10.42.0.11:22"), None, "nor does stubgate's container reach into theirs");
        }
    });
}
