//! `stubgate attack`, where it belongs: in a pod that has no way out but the appliance, where all must pass, and in one
//! that is joined to the internet, where the right probes must fail.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use serde_json::Value;
use stubgate_tests::appliance::binary;
use stubgate_tests::dns::NameServer;
use stubgate_tests::program::Ran;
use stubgate_tests::{Shared, World, harness};

static WORLD: Shared<World> = Shared::new(World::standard);

/// Well-known name servers, which the uncontained internet has.
const ELSEWHERE: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(8, 8, 8, 8));

fn attack(world: &World, args: &[&str]) -> Ran {
    let program = world.lab.pod().program(binary()).env("SSL_CERT_FILE", world.lab.bundle()).seconds(120);
    program.arg("attack").args(["--denied", "forbidden.example"]).args(args).run()
}

/// The result of each probe, and what it saw, by id.
fn results(ran: &Ran) -> BTreeMap<String, (String, String)> {
    let report: Value =
        serde_json::from_str(&ran.text()).unwrap_or_else(|_| panic!("{}: {}", ran.text(), ran.errors()));
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let lines = report["probes"].as_array().unwrap().iter();
    lines.map(|line| (text(&line["id"]), (text(&line["result"]), text(&line["saw"])))).collect()
}

fn with(results: &BTreeMap<String, (String, String)>, result: &str) -> Vec<String> {
    results.iter().filter(|(_, (own, _))| own == result).map(|(id, _)| id.clone()).collect()
}

#[test]
fn in_a_contained_pod_every_way_is_closed() {
    WORLD.test(|world| {
        world.forget();
        let before = world.sentinel.connections();
        let stub = ["--host", "api.github.com", "--stub", "proxy-token-github", "--other-host", "other.example"];
        let ran = attack(world, &[&stub[..], &["--proxy", "appliance:3128", "--json"]].concat());
        let results = results(&ran);
        assert_eq!(with(&results, "failed"), Vec::<String>::new(), "{results:?}");
        // No IPv6, perhaps no echo requests, and no path that sends requests back: nothing else is left open.
        for id in with(&results, "skipped") {
            let known = ["direct-ipv6", "direct-icmp", "reflection", "reflection-in-pieces"];
            assert!(known.contains(&id.as_str()), "{id}: {:?}", results[&id]);
        }
        assert!(with(&results, "passed").len() >= 50, "{results:?}");
        assert_eq!(ran.status.code(), Some(0));
        assert!(ran.took < Duration::from_secs(60), "{:?}", ran.took);
        assert_eq!(world.forbidden.memory.recall().connections, 0);
        assert_eq!(world.sentinel.connections(), before);
    });
}

#[test]
fn the_table_is_for_people_and_has_no_colours_in_a_file() {
    WORLD.test(|world| {
        // The host that is taken where none is named, and the proxy of the environment.
        let program = world.lab.pod().program(binary()).env("SSL_CERT_FILE", world.lab.bundle());
        let program = program.env("HTTPS_PROXY", "http://appliance:3128").args(["attack", "--only", "connect-"]);
        let said = program.run().success();
        assert!(said.contains("allowed host api.github.com") && said.contains("10.99.0.1:3128"), "{said}");
        assert!(said.contains("pass  connect-denied") && !said.contains('\x1b'), "{said}");
    });
}

#[test]
fn usage_is_told_from_a_way_that_is_open() {
    WORLD.test(|world| {
        assert_eq!(attack(world, &["--only", "no-such-probe"]).status.code(), Some(2));
        let without = world.lab.pod().program(binary()).env("SSL_CERT_FILE", "/nothing").args(["attack"]).run();
        assert_eq!(without.status.code(), Some(2), "{}", without.errors());
        let listed = attack(world, &["--list"]);
        assert!(listed.success().lines().count() >= 40);
    });
}

#[test]
fn in_a_pod_with_a_way_out_the_right_probes_fail() {
    harness::alone(|| {
        let world = World::build(|lab| lab.addresses(&[ELSEWHERE]).direct());
        let dig = world.lab.internet().program("dig").args(["+short", "@20.0.0.53", "forbidden.example"]);
        let forbidden: IpAddr = dig.run().success().trim().parse().expect("an address");
        let other = NameServer::start(world.lab.internet(), SocketAddr::new(ELSEWHERE, 53));
        other.set("forbidden.example", &[forbidden]);
        let target = forbidden.to_string();
        let ran = attack(&world, &["--host", "other.example", "--target", &target, "--json"]);
        let results = results(&ran);
        let failed = with(&results, "failed");
        for id in [
            "direct-https",
            "direct-http",
            "other-resolver-udp",
            "other-resolver-tcp",
            "dns-denied-name",
            "dns-over-tcp",
            "fronting-denied",
            "fronting-metadata",
            "sni-denied",
            "http-denied-host",
            "smuggling-length",
            "method-trace",
        ] {
            assert!(failed.contains(&id.to_owned()), "{id} did not fail: {:?}", results.get(id));
        }
        // Nobody is there to be asked: not passed.
        for id in ["connect-denied", "socks-denied", "proxy-metadata", "stub-out-of-slot"] {
            assert_eq!(results[id].0, "skipped", "{id}");
        }
        assert_eq!(results["honest-request"].0, "passed");
        assert_eq!(ran.status.code(), Some(1));
        let table = attack(&world, &["--host", "other.example", "--target", &target, "--only", "direct-https"]);
        assert!(
            table.text().contains("FAIL  direct-https") && table.text().contains("no route but"),
            "{}",
            table.text()
        );
    });
}
