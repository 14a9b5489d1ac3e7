//! Real programs in the pod, with stubs only, both ways through the appliance: each reaches its origin
//! with the real credential.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use stubgate_tests::lab::WAYS;
use stubgate_tests::{Shared, Way, World, chores};

static WORLD: Shared<World> = Shared::new(World::standard);

#[test]
fn git_clones_and_pushes_by_dns() {
    WORLD.test(|world| chores::clone_and_push(world, Way::Dns, 8));
}

#[test]
fn git_clones_and_pushes_by_proxy() {
    WORLD.test(|world| chores::clone_and_push(world, Way::Proxy, 8));
}

#[test]
fn gh_asks_the_api_by_dns() {
    WORLD.test(|world| chores::gh_api(world, Way::Dns));
}

#[test]
fn gh_asks_the_api_by_proxy() {
    WORLD.test(|world| chores::gh_api(world, Way::Proxy));
}

#[test]
fn curl_speaks_http_1_1_by_dns() {
    WORLD.test(|world| chores::curl(world, Way::Dns, "--http1.1"));
}

#[test]
fn curl_speaks_http_1_1_by_proxy() {
    WORLD.test(|world| chores::curl(world, Way::Proxy, "--http1.1"));
}

#[test]
fn curl_speaks_http_2_by_dns() {
    WORLD.test(|world| chores::curl(world, Way::Dns, "--http2"));
}

#[test]
fn curl_speaks_http_2_by_proxy() {
    WORLD.test(|world| chores::curl(world, Way::Proxy, "--http2"));
}

#[test]
fn python_requests_asks_by_dns() {
    WORLD.test(|world| chores::requests(world, Way::Dns));
}

#[test]
fn python_requests_asks_by_proxy() {
    WORLD.test(|world| chores::requests(world, Way::Proxy));
}

#[test]
fn python_httpx_asks_over_http_2_by_dns() {
    WORLD.test(|world| chores::httpx(world, Way::Dns));
}

#[test]
fn python_httpx_asks_over_http_2_by_proxy() {
    WORLD.test(|world| chores::httpx(world, Way::Proxy));
}

#[test]
fn node_fetches_by_dns() {
    WORLD.test(|world| chores::fetch(world, Way::Dns));
}

#[test]
fn node_asks_by_proxy() {
    WORLD.test(|world| chores::fetch(world, Way::Proxy));
}

#[test]
fn pip_installs_by_dns() {
    WORLD.test(|world| chores::pip(world, Way::Dns));
}

#[test]
fn pip_installs_by_proxy() {
    WORLD.test(|world| chores::pip(world, Way::Proxy));
}

#[test]
fn npm_installs_by_dns() {
    WORLD.test(|world| chores::npm(world, Way::Dns));
}

#[test]
fn npm_installs_by_proxy() {
    WORLD.test(|world| chores::npm(world, Way::Proxy));
}

#[test]
fn a_websocket_echoes_by_dns() {
    WORLD.test(|world| chores::websocket(world, Way::Dns));
}

#[test]
fn a_websocket_echoes_by_proxy() {
    WORLD.test(|world| chores::websocket(world, Way::Proxy));
}

#[test]
fn nats_is_reached_over_wss() {
    WORLD.test(|world| chores::nats(world, Way::Dns));
}

#[test]
fn compression_is_offered_and_declined() {
    WORLD.test(|world| WAYS.iter().for_each(|way| chores::compressed_websocket(world, *way)));
}

#[test]
fn nodes_own_websocket_echoes() {
    WORLD.test(|world| chores::node_websocket(world, Way::Dns));
}

#[test]
fn frames_show_the_stub_where_the_origin_shows_the_credential() {
    WORLD.test(|world| WAYS.iter().for_each(|way| chores::reflecting_websocket(world, *way)));
}

#[test]
fn a_hundred_websockets_open_one_after_the_other() {
    WORLD.test(|world| {
        WAYS.iter().for_each(|way| chores::websockets_in_a_row(world, *way));
    });
}

#[test]
fn events_arrive_one_by_one_over_http_1_1() {
    WORLD.test(|world| WAYS.iter().for_each(|way| chores::events(world, *way, "--http1.1")));
}

#[test]
fn events_arrive_one_by_one_over_http_2() {
    WORLD.test(|world| WAYS.iter().for_each(|way| chores::events(world, *way, "--http2")));
}

/// Trailers pass from an HTTP/2 origin to a client of either version that asked for them.
#[test]
fn trailers_pass_over_http_2() {
    WORLD.test(|world| {
        let client = world.lab.client(Way::Dns);
        let token = format!("Authorization: Bearer {}", client.token("github"));
        let curl = client.curl().args(["--http2", "-i", "-H", &token, "-H", "TE: trailers"]);
        let answer = curl.arg("https://api.github.com/trailers").run().success();
        assert!(answer.contains("x-sum: 42"), "{answer}");
    });
}

/// Each slot that policy declares is one in which the stub is swapped, and the stub does not go along.
#[test]
fn every_declared_slot_is_swapped_at_the_origin() {
    WORLD.test(|world| {
        for way in WAYS {
            world.forget();
            let client = world.lab.client(way);
            let basic = ["-u", "x-access-token:proxy-token-github"];
            let url = "https://api.github.com/user";
            // The double takes no Basic; what it was shown is what counts.
            assert_eq!(client.curl_status().args(basic).arg(url).run().success(), "401");
            let seen = world.api.memory.recall().requests[0].header("authorization").unwrap().to_owned();
            let encoded = base64_of(&format!("x-access-token:{}", world.lab.secret("github")));
            assert_eq!(seen, format!("Basic {encoded}"));

            let key = ["-H", "X-Api-Key: proxy-token-key", "https://keyed.example/"];
            assert_eq!(client.curl_status().args(key).run().success(), "200");
            let seen = world.keyed.memory.recall().requests[0].header("x-api-key").map(str::to_owned);
            assert_eq!(seen, Some(world.lab.secret("key")));
            assert!(!world.api.memory.saw("proxy-token-"));
            assert!(!world.keyed.memory.saw("proxy-token-"));
        }
    });
}

/// A stub in a body is worthless where it goes; it passes, and no real value takes its place.
#[test]
fn a_stub_in_a_body_stays_a_stub() {
    WORLD.test(|world| {
        world.forget();
        let client = world.lab.client(Way::Dns);
        let token = format!("Authorization: Bearer {}", client.token("github"));
        let data = ["-H", &token, "-d", "{\"note\":\"proxy-token-github\"}"];
        let url = "https://api.github.com/repos/acme/site/issues";
        assert_eq!(client.curl_status().args(data).arg(url).run().success(), "200");
        assert!(world.api.memory.saw("{\"note\":\"proxy-token-github\"}"));
    });
}

/// An origin that echoes got the credential, and shows the agent its stub.
#[test]
fn an_echoing_origin_shows_the_stub() {
    WORLD.test(|world| {
        let client = world.lab.client(Way::Dns);
        let token = format!("Authorization: Bearer {}", client.token("github"));
        let answer = client.curl().args(["-H", &token, "https://api.github.com/echo"]).run().success();
        assert!(answer.contains("proxy-token-github"), "{answer}");
        // The search for credentials, which found none in that, does find one where there is one.
        let secret = world.lab.secret("github");
        let search = stubgate_tests::leak::Search::new(&[("github".into(), secret.clone())]);
        assert!(!search.bytes("what the origin was sent", secret.as_bytes()).is_empty());
        let leaks = world.lab.leaks();
        assert!(leaks.is_empty(), "{leaks:?}");
    });
}

/// The name server of the internet is asked for full names only, never for one with a search suffix.
#[test]
fn the_appliance_resolves_full_names_only() {
    WORLD.test(|world| {
        let client = world.lab.client(Way::Dns);
        assert_eq!(client.curl_status().arg("https://sink.example/").run().success(), "200");
        assert!(world.lab.names().was_asked_for("sink.example"));
        assert!(!world.lab.names().was_asked_for("corp.example"));
        assert!(!world.lab.names().was_asked_for("cluster.local"));
    });
}

/// Both versions of TLS that agents speak, and no older one.
#[test]
fn tls_1_2_and_1_3_are_spoken_and_1_1_is_not() {
    WORLD.test(|world| {
        let client = world.lab.client(Way::Dns);
        let url = "https://other.example/";
        let versions = [["--tlsv1.2", "--tls-max", "1.2"], ["--tlsv1.3", "--tls-max", "1.3"]];
        for version in versions {
            assert_eq!(client.curl_status().args(version).arg(url).run().success(), "200");
        }
        let old = ["--tlsv1.0", "--tls-max", "1.1", "--ciphers", "DEFAULT@SECLEVEL=0", url];
        client.curl_status().args(old).run().failure();
    });
}

/// The demo needs nothing but loopback: here it has nothing else that leads anywhere.
#[test]
fn the_demo_shows_what_it_says() {
    WORLD.test(|world| {
        let binary = stubgate_tests::appliance::binary();
        let said = world.lab.pod().program(binary).arg("demo").run().success();
        assert!(!said.is_empty());
        assert!(!said.contains('\u{1b}'), "colour where there is no terminal");
    });
}

/// What the lab runs on passes the checks that operators are told to use.
#[test]
fn the_labs_own_files_pass_the_checks() {
    WORLD.test(|world| {
        let appliance = world.lab.appliance();
        appliance.command(["policy", "check", "policy"]).run().success();
        appliance.command(["config", "check", "stubgate.yaml"]).run().success();
    });
}

/// The leaf that a pod sees passes the strictest check of OpenSSL.
#[test]
fn a_minted_leaf_passes_strict_verification() {
    WORLD.test(|world| {
        let openssl = world.lab.pod().program("openssl").args(["s_client", "-connect", "10.99.0.1:443"]);
        let openssl = openssl.args(["-servername", "api.github.com", "-x509_strict", "-verify_return_error"]);
        let openssl = openssl.args(["-verify_hostname", "api.github.com", "-CAfile"]);
        let said = openssl.arg(world.lab.bundle()).stdin("").run().success();
        assert!(said.contains("Verify return code: 0 (ok)"), "{said}");
    });
}

fn base64_of(text: &str) -> String {
    use base64::Engine;
    base64::engine::general_purpose::STANDARD.encode(text)
}
