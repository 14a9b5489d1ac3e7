//! The appliance as the pod's name server, asked by dig.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::net::SocketAddr;

use stubgate_tests::dns::NameServer;
use stubgate_tests::world::POLICY;
use stubgate_tests::{Lab, Shared, Way, World};

/// The name server of the cluster's own zone.
const CLUSTER: [u8; 4] = [10, 43, 0, 10];

#[derive(Debug)]
struct Names {
    world: World,
    cluster: NameServer,
}

impl AsRef<Lab> for Names {
    fn as_ref(&self) -> &Lab {
        &self.world.lab
    }
}

impl Names {
    fn new() -> Names {
        let policy =
            format!("{POLICY}dns:\n  - agents: [pod]\n    names: [registry.tools.svc.cluster.local]\n    types: [A]\n");
        let forward = "dns:\n  forward:\n    - zones: [\"cluster.local\"]\n      to: [\"10.43.0.10:53\"]";
        let world = World::build(|builder| builder.addresses(&[CLUSTER.into()]).policy(&policy).configuration(forward));
        let cluster = NameServer::start(world.lab.internet(), SocketAddr::from((CLUSTER, 53)));
        cluster.set("registry.tools.svc.cluster.local", &[[10, 1, 2, 3].into()]);
        cluster.set("kubernetes.default.svc.cluster.local", &[[10, 43, 0, 1].into()]);
        Names { world, cluster }
    }

    fn dig(&self, args: &[&str]) -> String {
        let dig = self.world.lab.pod().program("dig").args(["+tries=1", "+time=3"]);
        dig.args(args).run().success()
    }
}

static NAMES: Shared<Names> = Shared::new(Names::new);

#[test]
fn an_allowed_name_has_the_advertised_address() {
    NAMES.test(|names| {
        for transport in ["+notcp", "+tcp"] {
            assert_eq!(names.dig(&[transport, "+short", "api.github.com"]).trim(), "10.99.0.1");
        }
        assert_eq!(names.dig(&["+short", "API.GitHub.com."]).trim(), "10.99.0.1");
        assert!(names.dig(&["API.GitHub.com"]).contains("API.GitHub.com."), "the question's case");
        let questions = names.world.lab.names().questions();
        assert!(!questions.iter().any(|asked| asked.name == "api.github.com"), "resolved for DNS");
    });
}

#[test]
fn every_other_type_of_an_allowed_name_is_empty() {
    NAMES.test(|names| {
        for kind in ["AAAA", "TXT", "MX", "SRV", "CNAME", "HTTPS", "SVCB", "TYPE65280", "NS", "CAA"] {
            let answer = names.dig(&["api.github.com", kind]);
            assert!(answer.contains("status: NOERROR"), "{kind}: {answer}");
            assert!(answer.contains("ANSWER: 0"), "{kind}: {answer}");
            assert!(answer.contains("SOA"), "{kind}: {answer}");
        }
    });
}

#[test]
fn a_denied_name_does_not_exist_and_says_why() {
    NAMES.test(|names| {
        let answer = names.dig(&["forbidden.example"]);
        assert!(answer.contains("status: NXDOMAIN"), "{answer}");
        assert!(answer.contains("EDE:"), "{answer}");
        assert!(!names.world.lab.names().was_asked_for("forbidden.example"));
        assert!(!names.cluster.was_asked_for("forbidden.example"));
    });
}

/// RFC 8020: were an ancestor of an allowed name to be NXDOMAIN, all below it would be, too.
#[test]
fn an_ancestor_of_an_allowed_name_is_empty_and_exists() {
    NAMES.test(|names| {
        for name in ["python.example", "example", "com"] {
            let answer = names.dig(&[name]);
            assert!(answer.contains("status: NOERROR") && answer.contains("ANSWER: 0"), "{answer}");
        }
    });
}

#[test]
fn only_what_a_dns_entry_allows_is_forwarded() {
    NAMES.test(|names| {
        let asked = |name: &str| names.cluster.was_asked_for(name);
        for transport in ["+notcp", "+tcp"] {
            let allowed = names.dig(&[transport, "+short", "registry.tools.svc.cluster.local"]);
            assert_eq!(allowed.trim(), "10.1.2.3", "{transport}");
        }
        assert!(asked("registry.tools.svc.cluster.local"));
        let other_type = names.dig(&["registry.tools.svc.cluster.local", "TXT"]);
        assert!(!other_type.contains("10.1.2.3"));
        for name in ["kubernetes.default.svc.cluster.local", "secret.exfil.cluster.local"] {
            let answer = names.dig(&[name]);
            assert!(answer.contains("status: NXDOMAIN"), "{answer}");
            assert!(!asked(name), "{name} was forwarded");
        }
        let kinds: Vec<u16> = names.cluster.questions().iter().map(|asked| asked.kind).collect();
        assert!(kinds.iter().all(|kind| *kind == 1), "{kinds:?}");
    });
}

#[test]
fn other_classes_opcodes_and_transfers_are_refused() {
    NAMES.test(|names| {
        for args in [
            vec!["-c", "CH", "version.bind", "TXT"],
            vec!["+opcode=NOTIFY", "api.github.com"],
            vec!["+opcode=UPDATE", "api.github.com"],
            vec!["+opcode=STATUS", "api.github.com"],
        ] {
            let answer = names.dig(&args);
            let refused = ["REFUSED", "NOTIMP", "FORMERR"];
            assert!(refused.iter().any(|code| answer.contains(code)), "{args:?}: {answer}");
        }
        let transfer = names.world.lab.pod().program("dig").args(["+tries=1", "api.github.com", "AXFR"]);
        assert!(transfer.run().text().contains("ransfer failed"));
    });
}

#[test]
fn any_is_answered_in_few_bytes() {
    NAMES.test(|names| {
        let answer = names.dig(&["+notcp", "api.github.com", "ANY"]);
        let size = answer.lines().find_map(|line| line.strip_prefix(";; MSG SIZE  rcvd: "));
        assert!(size.unwrap().trim().parse::<usize>().unwrap() < 200, "{answer}");
    });
}

/// A query that is no query gets no answer, or one that says so; and the server lives.
#[test]
fn malformed_messages_are_dropped_or_called_so() {
    NAMES.test(|names| {
        let script = "
import socket
bad = [b'', b'\\0', b'\\x12\\x34' + b'\\0' * 9, b'\\x12\\x34\\x01\\0\\0\\0\\0\\0\\0\\0\\0\\0',
       b'\\x12\\x34\\x01\\0\\0\\x02\\0\\0\\0\\0\\0\\0\\x01a\\0\\0\\x01\\0\\x01\\x01b\\0\\0\\x01\\0\\x01',
       b'\\x12\\x34\\x81\\x80\\0\\x01\\0\\0\\0\\0\\0\\0\\x01a\\0\\0\\x01\\0\\x01',
       b'\\x12\\x34\\x01\\0\\0\\x01\\0\\0\\0\\0\\0\\0\\xc0\\x0c\\0\\x01\\0\\x01',
       b'\\x12\\x34\\x01\\0\\0\\x01\\0\\0\\0\\0\\0\\0' + b'\\x3f' + b'a' * 10, b'\\xff' * 512]
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.settimeout(0.3)
for message in bad:
    s.sendto(message, ('10.99.0.1', 53))
    try:
        answer = s.recv(4096)
        print(answer[3] & 15, len(answer), len(message))
    except TimeoutError:
        print('silence')
";
        let python = names.world.lab.pod().program("/usr/bin/python3").args(["-c", script]);
        for line in python.run().success().lines().filter(|line| *line != "silence") {
            let numbers: Vec<usize> = line.split(' ').map(|word| word.parse().unwrap()).collect();
            assert!([1, 4, 5].contains(&numbers[0]), "{line}");
            assert!(numbers[1] <= numbers[2].max(12) * 2, "larger than asked: {line}");
        }
        assert_eq!(names.dig(&["+short", "api.github.com"]).trim(), "10.99.0.1");
    });
}

/// The pod's search list has three suffixes and ndots is 5, as in a cluster: libc tries them first.
#[test]
fn search_lists_do_not_make_lookups_slow() {
    NAMES.test(|names| {
        let script = "
import socket, time
for name in ['api.github.com', 'github.com', 'index.python.example', 'forbidden.example'] * 25:
    begun = time.monotonic()
    try:
        address = socket.getaddrinfo(name, 443, type=socket.SOCK_STREAM)[0][4][0]
    except socket.gaierror:
        address = 'none'
    print(name, address, int((time.monotonic() - begun) * 1000))
";
        let python = names.world.lab.pod().program("/usr/bin/python3").args(["-c", script]);
        let mut took = Vec::new();
        for line in python.run().success().lines() {
            let words: Vec<&str> = line.split(' ').collect();
            let expected = if words[0] == "forbidden.example" { "none" } else { "10.99.0.1" };
            assert_eq!(words[1], expected, "{line}");
            took.push(words[2].parse::<u64>().unwrap());
        }
        took.sort_unstable();
        assert!(took[took.len() / 2] < 20, "median of {took:?} ms");
        assert!(!names.cluster.questions().iter().any(|asked| asked.name.contains("github")));
    });
}

/// A flood by one agent is limited, counted, and over when it is over.
#[test]
fn a_flood_is_limited_and_passes() {
    NAMES.test(|names| {
        let script = "
import socket
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
for n in range(60000):
    s.sendto(b'\\x12\\x34\\x01\\0\\0\\x01\\0\\0\\0\\0\\0\\0\\x05%05d\\x09forbidden\\x07example\\0\\0\\x01\\0\\x01' % n,
             ('10.99.0.1', 53))
";
        let python = names.world.lab.pod().program("/usr/bin/python3").args(["-c", script]);
        let appliance = names.world.lab.appliance();
        let limited = || appliance.metric("stubgate_dns_queries_total", &["\"rate_limited\""]);
        let before = limited();
        python.run().success();
        assert!(limited() > before, "sixty thousand questions at once, and none was too many");
        appliance.until("an answer after the flood", || {
            let dig = names.world.lab.pod().program("dig").args(["+tries=1", "+time=1", "+short"]);
            dig.arg("api.github.com").run().text().trim() == "10.99.0.1"
        });
        let size = std::fs::metadata(appliance.dir().join("audit.jsonl")).expect("audit").len();
        assert!(size < 16 << 20, "one agent wrote {size} bytes of audit");
        let status = names.world.lab.client(Way::Dns).curl_status().arg("https://other.example/");
        assert_eq!(status.run().success(), "200");
        assert!(appliance.is_running());
    });
}
