//! What must not leave the pod, by no way in, shown where it would arrive: in the memories of the origins, in the log
//! of the internet's name server, and in the packets on the link.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::net::{IpAddr, SocketAddr};

use stubgate_tests::lab::{EVERY_WAY, NAME_SERVER};
use stubgate_tests::wire::{self, Wire};
use stubgate_tests::{Shared, Way, World};

static WORLD: Shared<World> = Shared::new(World::standard);

/// Where `forbidden.example` really is.
fn forbidden(world: &World) -> IpAddr {
    let dig = world.lab.internet().program("dig");
    let answer = dig.args(["+short", "@20.0.0.53", "forbidden.example"]).run().success();
    answer.trim().parse().expect("an address")
}

/// Were the watch on the link asleep, every other test here would pass.
#[test]
fn the_watch_on_the_link_sees_what_crosses_by_every_way() {
    WORLD.test(|world| {
        let before = world.lab.wan().settle();
        for way in EVERY_WAY {
            let status = world.lab.client(way).curl_status().arg("https://other.example/");
            assert_eq!(status.run().success(), "200", "{way:?}");
        }
        let crossed = world.lab.wan().since(before);
        let calls = crossed.iter().filter(|packet| packet.tcp.is_some_and(|(_, opens)| opens));
        assert!(calls.count() >= 1, "{crossed:?}");
    });
}

#[test]
fn where_a_redirected_connection_was_for_is_recorded_and_not_called() {
    WORLD.test(|world| {
        for way in [Way::Redirect, Way::Tproxy] {
            world.forget();
            let before = world.lab.wan().settle();
            let known = world.lab.appliance().audit().len();
            for scheme in ["https", "http"] {
                let url = format!("{scheme}://other.example/{scheme}-by-{way:?}");
                assert_eq!(world.lab.client(way).curl_status().arg(&url).run().success(), "200", "{url}");
                assert!(world.other.memory.saw(&format!("/{scheme}-by-{way:?}")), "{url}");
            }
            let shadow = IpAddr::V4(way.address());
            let crossed = world.lab.wan().since(before);
            assert!(crossed.iter().all(|packet| packet.to.ip() != shadow && packet.from.ip() != shadow), "{way:?}");
            let records = world.lab.appliance().audit().split_off(known);
            for port in [443, 80] {
                let original = SocketAddr::new(shadow, port).to_string();
                let begun = |record: &&serde_json::Value| record["event"] == "begin";
                let found = records.iter().filter(begun).any(|record| record["original_destination"] == *original);
                assert!(found, "{way:?} {original}: {records:?}");
            }
        }
    });
}

#[test]
fn tproxy_without_its_capability_is_an_error_that_says_so() {
    WORLD.test(|world| {
        let appliance = world.lab.appliance();
        let state = appliance.dir().join("without");
        let text = format!(
            "listen: {{ transparent: [{{ tproxy: \"127.0.0.1:0\" }}], admin: [] }}\npolicy: [policy]\nstate_dir: {}\n",
            state.display()
        );
        std::fs::write(appliance.dir().join("without.yaml"), text).expect("write");
        let binary = stubgate_tests::appliance::binary();
        let setpriv = appliance.program("setpriv");
        let setpriv =
            setpriv.args(["--bounding-set", "-net_admin,-net_raw", "--inh-caps", "-net_admin,-net_raw"]).arg(binary);
        let said = setpriv.args(["run", "--config", "without.yaml"]).run().failure();
        assert!(said.contains("CAP_NET_ADMIN") && said.contains("listen.transparent"), "{said}");
    });
}

/// A second appliance on the same machine, for IPv6 alone.
#[test]
fn ipv6_connections_are_redirected_and_handed_over_too() {
    WORLD.test(|world| {
        let appliance = world.lab.appliance();
        let dir = appliance.dir().join("v6");
        std::fs::create_dir_all(&dir).expect("folder");
        let write = |name: &str, text: &str| std::fs::write(dir.join(name), text).expect("write");
        write(
            "policy.yaml",
            "version: 1\nagents: { pod6: { sources: [\"fd99::2/128\"] } }\n\
             rules: [{ name: plain, agents: [pod6], hosts: [\"http://other.example\"], methods: [GET] }]\n",
        );
        write(
            "stubgate.yaml",
            "listen: { transparent: [\"[::]:15003\", { tproxy: \"[::]:15004\" }], admin: [] }\n\
             policy: [policy.yaml]\nstate_dir: state\naudit: { files: [{ path: audit.jsonl }] }\n",
        );
        write(
            "rules.nft",
            "table ip6 second {\n\
             chain redirected {\n type nat hook prerouting priority dstnat\n\
             ip6 daddr fd77::1 tcp dport 80 redirect to :15003\n }\n\
             chain handed_over {\n type filter hook prerouting priority mangle\n\
             ip6 daddr fd77::2 tcp dport 80 tproxy to :15004 meta mark set 1 accept\n }\n }\n",
        );
        world.lab.pod().plumb("ip -6 addr add fd99::2/64 dev eth0 nodad && ip -6 route add default via fd99::1");
        let machine = appliance.node();
        machine.plumb("ip -6 addr add fd99::1/64 dev link0 nodad && ip -6 rule add fwmark 1 lookup 100");
        machine.plumb(&format!(
            "ip -6 route add local default dev lo table 100 && nft -f {}",
            dir.join("rules.nft").display()
        ));
        let running = appliance.program(stubgate_tests::appliance::binary()).dir(&dir);
        let running = running.args(["run", "--config", "stubgate.yaml"]).spawn();
        let to = SocketAddr::new("fd99::1".parse().unwrap(), 15003);
        appliance.until("the second appliance listens", || wire::tcp(&world.lab, to).is_ok());
        for address in ["fd77::1", "fd77::2"] {
            let curl = world.lab.pod().program("curl").args(["-sS", "--max-time", "20", "-o", "/dev/null"]);
            let curl = curl.args(["-w", "%{http_code}", "--resolve", &format!("other.example:80:[{address}]")]);
            assert_eq!(curl.arg("http://other.example/").run().success(), "200", "{address}: {}", running.errors());
            let audit = std::fs::read_to_string(dir.join("audit.jsonl")).expect("records");
            let original = format!("\"original_destination\":\"[{address}]:80\"");
            assert!(audit.lines().any(|line| line.contains("begin") && line.contains(&original)), "{audit}");
        }
    });
}

#[test]
fn a_name_that_is_not_allowed_is_not_resolved() {
    WORLD.test(|world| {
        world.lab.nothing_leaves(|| {
            for name in ["forbidden.example", "c2VjcmV0.forbidden.example", "metadata.google.internal"] {
                for kind in ["A", "AAAA", "TXT", "MX", "SRV", "HTTPS", "ANY", "NS"] {
                    for transport in ["+notcp", "+tcp"] {
                        let dig = world.lab.pod().program("dig").args([transport, "+tries=1", name, kind]);
                        let answer = dig.run().success();
                        assert!(answer.contains("NXDOMAIN"), "{name} {kind}: {answer}");
                    }
                }
            }
        });
    });
}

#[test]
fn a_name_that_is_not_allowed_is_not_reached_by_a_tunnel() {
    WORLD.test(|world| {
        world.forget();
        world.lab.nothing_leaves(|| {
            // 97: the proxy said no.
            let said = world.lab.client(Way::Socks).curl().arg("https://forbidden.example/").run().failure();
            assert!(said.contains("(97)"), "{said}");
            for (host, port) in [("forbidden.example", 443), ("forbidden.example", 22), ("other.example", 22)] {
                let refused = wire::socks(&world.lab, host, port).unwrap_err();
                assert!(refused.to_string().contains("SOCKS says 2"), "{host}:{port}: {refused}");
            }
            let client = world.lab.client(Way::Proxy);
            let said = client.curl().arg("https://forbidden.example/").run().failure();
            assert!(said.contains("403"), "{said}");
            for target in ["forbidden.example:443", "forbidden.example:22", "other.example:22"] {
                let refused = Wire::tunnel(&world.lab, target, "forbidden.example").unwrap_err();
                assert!(refused.to_string().contains("403"), "{target}: {refused}");
            }
        });
        assert_eq!(world.forbidden.memory.recall().connections, 0);
    });
}

#[test]
fn a_name_that_is_not_allowed_is_not_reached_by_server_name() {
    WORLD.test(|world| {
        world.lab.nothing_leaves(|| {
            for way in EVERY_WAY {
                // In a tunnel to a host that is allowed.
                for name in ["forbidden.example", "api.github.com.evil.example", "xapi.github.com"] {
                    let wire = Wire::by(&world.lab, way, "other.example", name);
                    assert!(wire.is_err(), "{way:?}: {name} got a certificate");
                }
                // No name at all, and an address as one.
                assert!(Wire::by(&world.lab, way, "other.example", "20.0.0.100").is_err(), "{way:?}");
            }
        });
    });
}

#[test]
fn a_name_that_is_not_allowed_is_not_reached_by_plain_http() {
    WORLD.test(|world| {
        world.lab.nothing_leaves(|| {
            let client = world.lab.client(Way::Dns);
            let resolve = ["--resolve", "forbidden.example:80:10.99.0.1", "http://forbidden.example/"];
            assert_eq!(client.curl_status().args(resolve).run().success(), "403");
            for way in [Way::Proxy, Way::Redirect, Way::Tproxy] {
                let client = world.lab.client(way);
                let status = client.curl_status().arg("http://forbidden.example/").run().success();
                assert_eq!(status, "403", "{way:?}");
            }
            let said = world.lab.client(Way::Socks).curl().arg("http://forbidden.example/").run().failure();
            assert!(said.contains("(97)"), "{said}");
        });
    });
}

#[test]
fn a_hard_coded_address_leads_nowhere() {
    WORLD.test(|world| {
        let address = forbidden(world);
        let api: IpAddr = [20, 0, 0, 100].into();
        world.lab.nothing_leaves(|| {
            for (address, port) in [(address, 443), (address, 80), (api, 443), (IpAddr::V4(NAME_SERVER), 53)] {
                let called = wire::tcp(&world.lab, SocketAddr::new(address, port));
                assert!(called.is_err(), "{address}:{port} answered");
            }
            let dig = world.lab.pod().program("dig");
            dig.args(["+tries=1", "+time=1", "@20.0.0.53", "forbidden.example"]).run();
            let ping = "import socket; s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); \
                        s.sendto(b'out', ('20.0.0.53', 853))";
            world.lab.pod().program("/usr/bin/python3").args(["-c", ping]).run();
            for target in [address, api] {
                let refused = wire::socks(&world.lab, &target.to_string(), 443).unwrap_err();
                assert!(refused.to_string().contains("SOCKS says 2"), "{target}: {refused}");
            }
            for target in [format!("{address}:443"), format!("{api}:443"), "[::1]:443".to_owned()] {
                let refused = Wire::tunnel(&world.lab, &target, "api.github.com").unwrap_err();
                assert!(refused.to_string().contains(" 4"), "{target}: {refused}");
            }
        });
    });
}

#[test]
fn a_stub_does_not_go_to_another_allowed_host() {
    WORLD.test(|world| {
        world.forget();
        let stub = "proxy-token-github";
        let basic = format!("Authorization: Basic {}", base64_of(&format!("x-access-token:{stub}")));
        let headers = [
            format!("Authorization: Bearer {stub}"),
            format!("Authorization: token {stub}"),
            format!("authorization: bearer   {stub}"),
            format!("Authorization: {stub}"),
            basic,
            format!("X-Api-Key: {stub}"),
            format!("X-Anything: before {stub} after"),
            format!("Cookie: session={stub}"),
            format!("User-Agent: agent/{stub}"),
            format!("Referer: https://other.example/?t={stub}"),
        ];
        world.lab.nobody_is_called(|| {
            for way in EVERY_WAY {
                let client = world.lab.client(way);
                for version in ["--http1.1", "--http2"] {
                    for header in &headers {
                        let curl = client.curl_status().args([version, "-H", header]);
                        let status = curl.arg("https://other.example/").run().success();
                        assert_eq!(status, "403", "{way:?} {version} {header}");
                    }
                    for target in [format!("?token={stub}"), format!("a/{stub}/b")] {
                        let curl = client.curl_status().arg(version);
                        let status = curl.arg(format!("https://other.example/{target}")).run().success();
                        assert_eq!(status, "403", "{way:?} {version} {target}");
                    }
                }
            }
        });
        assert!(!world.other.memory.saw(stub));
        assert_eq!(world.other.memory.recall().connections, 0);
    });
}

#[test]
fn a_stub_out_of_its_slot_does_not_go_to_its_own_host() {
    WORLD.test(|world| {
        world.forget();
        let stub = "proxy-token-github";
        world.lab.nobody_is_called(|| {
            for way in EVERY_WAY {
                let client = world.lab.client(way);
                for header in ["X-Api-Key", "Cookie", "X-Other"] {
                    let header = format!("{header}: {stub}");
                    let curl = client.curl_status().args(["-H", &header, "https://api.github.com/user"]);
                    assert_eq!(curl.run().success(), "403", "{way:?} {header}");
                }
                for target in [format!("user?access_token={stub}"), format!("users/{stub}")] {
                    let curl = client.curl_status().arg(format!("https://api.github.com/{target}"));
                    assert_eq!(curl.run().success(), "403", "{way:?} {target}");
                }
            }
        });
        assert!(!world.api.memory.saw(stub));
    });
}

#[test]
fn a_stub_does_not_go_over_plain_http() {
    WORLD.test(|world| {
        world.forget();
        world.lab.nobody_is_called(|| {
            for way in EVERY_WAY {
                let curl = world.lab.client(way).curl_status();
                let curl = curl.args(["-H", "Authorization: Bearer proxy-token-github"]);
                assert_eq!(curl.arg("http://other.example/").run().success(), "403");
            }
        });
        // Without a stub the same rule lets it pass: the refusal above was for the stub.
        for way in EVERY_WAY {
            let curl = world.lab.client(way).curl_status();
            assert_eq!(curl.arg("http://other.example/").run().success(), "200", "{way:?}");
        }
    });
}

#[test]
fn a_foreign_credential_does_not_go_to_a_bound_host() {
    WORLD.test(|world| {
        world.lab.nobody_is_called(|| {
            for way in EVERY_WAY {
                let client = world.lab.client(way);
                for header in ["Authorization: Bearer ghp_of_somebody_else", "Cookie: session=1", "X-Api-Key: k"] {
                    let curl = client.curl_status().args(["-H", header, "https://api.github.com/user"]);
                    assert_eq!(curl.run().success(), "403", "{way:?} {header}");
                }
            }
        });
    });
}

#[test]
fn an_allowed_host_with_a_private_or_metadata_address_is_not_called() {
    WORLD.test(|world| {
        let before = world.sentinel.connections();
        let other: IpAddr = [20, 0, 0, 108].into();
        let private: IpAddr = [10, 77, 0, 1].into();
        world.lab.names().set("mixed.example", &[other, private]);
        world.lab.nobody_is_called(|| {
            for way in EVERY_WAY {
                let client = world.lab.client(way);
                for name in ["private.example", "metadata.example", "mixed.example"] {
                    let url = format!("https://{name}/latest/meta-data/");
                    let status = client.curl_status().arg(&url).run().success();
                    assert!(["403", "502"].contains(&status.as_str()), "{url}: {status}");
                }
            }
            // Forms of addresses that hide another one.
            for hidden in ["::ffff:10.77.0.1", "64:ff9b::a4d:1", "2002:a4d:1::1", "::1", "fe80::1"] {
                world.lab.names().set("rebind.example", &[hidden.parse().unwrap()]);
                let client = world.lab.client(Way::Dns);
                let status = client.curl_status().arg("https://rebind.example/").run().success();
                assert!(["403", "502"].contains(&status.as_str()), "{hidden}: {status}");
            }
        });
        assert_eq!(world.sentinel.connections(), before);
    });
}

#[test]
fn a_refusal_says_why_in_a_small_body_and_asks_for_no_password() {
    WORLD.test(|world| {
        for way in EVERY_WAY {
            let client = world.lab.client(way);
            let stub = "Authorization: Bearer proxy-token-github";
            let said = client.curl().args(["-i", "-H", stub, "https://other.example/"]).run().success();
            // What answered CONNECT stands first.
            let (head, body) = said.rsplit_once("\r\n\r\n").expect("a head");
            assert!(!head.to_lowercase().contains("www-authenticate"), "{head}");
            let body: serde_json::Value = serde_json::from_str(body).expect("JSON");
            for field in ["reason", "hint", "request_id"] {
                let found = body.get(field).or_else(|| body.get("error").and_then(|error| error.get(field)));
                assert!(found.is_some(), "no {field} in {body}");
            }
            assert!(!body.to_string().contains("open"), "a rule's name: {body}");
        }
    });
}

#[test]
fn an_unknown_source_is_refused_everywhere() {
    WORLD.test(|world| {
        world.lab.pod().plumb("ip addr add 10.99.0.3/29 dev eth0");
        world.lab.nothing_leaves(|| {
            let dig = world.lab.pod().program("dig");
            let answer = dig.args(["-b", "10.99.0.3", "+tries=1", "+time=2", "api.github.com"]).run();
            assert!(answer.text().contains("REFUSED"), "{}", answer.text());
            let curl = world.lab.client(Way::Dns).curl_status();
            let bound = ["--interface", "10.99.0.3", "--max-time", "5"];
            let url = ["--resolve", "other.example:443:10.99.0.1", "https://other.example/"];
            let ran = curl.args(bound).args(url).run();
            assert_ne!(ran.text(), "200");
            for way in EVERY_WAY {
                let curl = world.lab.client(way).curl_status().args(bound).arg("https://other.example/");
                assert_ne!(curl.run().text(), "200", "{way:?}");
            }
        });
    });
}

fn base64_of(text: &str) -> String {
    use base64::Engine;
    base64::engine::general_purpose::STANDARD.encode(text)
}
