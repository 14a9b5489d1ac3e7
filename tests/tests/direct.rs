//! The lab's own proof: every chore works, and every origin demands its credential, with the pod
//! joined to the internet and no appliance between. What fails elsewhere and passes here is the
//! appliance's.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use stubgate_tests::{Shared, Way, World, chores};

static WORLD: Shared<World> = Shared::new(World::direct);

#[test]
fn git_clones_and_pushes() {
    WORLD.test(|world| chores::clone_and_push(world, Way::Direct, 8));
}

#[test]
fn gh_asks_the_api() {
    WORLD.test(|world| chores::gh_api(world, Way::Direct));
}

#[test]
fn curl_speaks_http_1_1() {
    WORLD.test(|world| chores::curl(world, Way::Direct, "--http1.1"));
}

#[test]
fn curl_speaks_http_2() {
    WORLD.test(|world| chores::curl(world, Way::Direct, "--http2"));
}

#[test]
fn python_requests_asks() {
    WORLD.test(|world| chores::requests(world, Way::Direct));
}

#[test]
fn python_httpx_asks_over_http_2() {
    WORLD.test(|world| chores::httpx(world, Way::Direct));
}

#[test]
fn node_fetches() {
    WORLD.test(|world| chores::fetch(world, Way::Direct));
}

#[test]
fn pip_installs() {
    WORLD.test(|world| chores::pip(world, Way::Direct));
}

#[test]
fn npm_installs() {
    WORLD.test(|world| chores::npm(world, Way::Direct));
}

#[test]
fn a_websocket_echoes() {
    WORLD.test(|world| chores::websocket(world, Way::Direct));
}

#[test]
fn a_hundred_websockets_open_one_after_the_other() {
    WORLD.test(|world| chores::websockets_in_a_row(world, Way::Direct));
}

#[test]
fn events_arrive_one_by_one() {
    WORLD.test(|world| {
        chores::events(world, Way::Direct, "--http1.1");
        chores::events(world, Way::Direct, "--http2");
    });
}

#[test]
fn large_bodies_go_both_ways() {
    WORLD.test(|world| {
        chores::download(world, Way::Direct, "--http1.1", "64m", 64 << 20);
        chores::download(world, Way::Direct, "--http2", "64m", 64 << 20);
        chores::upload(world, Way::Direct, "--http1.1", 64 << 20);
        chores::upload(world, Way::Direct, "--http2", 64 << 20);
    });
}

/// Were an origin to take a stub, a swap that never happened would pass unnoticed.
#[test]
fn every_origin_refuses_a_stub() {
    WORLD.test(|world| {
        let client = world.lab.client(Way::Direct);
        let status = |url: &str, auth: &str| {
            let header = format!("Authorization: {auth}");
            client.curl_status().args(["-H", &header, url]).run().success()
        };
        for auth in ["Bearer proxy-token-github", "token proxy-token-github", "Basic eDp5"] {
            assert_eq!(status("https://api.github.com/user", auth), "401");
        }
        let basic = |url: &str, user: &str| client.curl_status().args(["-u", user, url]).run().success();
        let refs = "https://github.com/acme/site.git/info/refs?service=git-upload-pack";
        assert_eq!(basic(refs, "x-access-token:proxy-token-github"), "401");
        assert_eq!(basic(refs, &format!("x-access-token:{}", world.lab.secret("github"))), "200");
        let index = "https://index.python.example/simple/labpkg/";
        assert_eq!(basic(index, "__token__:proxy-token-index"), "401");
        let registry = "https://registry.node.example/labpkg";
        assert_eq!(status(registry, "Bearer proxy-token-registry"), "401");
        assert_eq!(status("https://live.example/user", "Bearer proxy-token-live"), "401");
        let args = ["wss://socket.example/", "proxy-token-socket", "1"];
        let refused = client.python("websocket.py", "SSL_CERT_FILE").args(args).run().failure();
        assert!(refused.contains("401"), "{refused}");
    });
}

/// The far side sees what it is sent, also when HTTP/2 compresses it.
#[test]
fn origins_remember_what_they_were_sent() {
    WORLD.test(|world| {
        let client = world.lab.client(Way::Direct);
        for version in ["--http1.1", "--http2"] {
            world.forget();
            let header = "X-Probe: a-needle-to-be-found";
            let curl = client.curl_status().args([version, "-H", header]);
            assert_eq!(curl.arg("https://other.example/x").run().success(), "200");
            assert!(world.other.memory.saw("a-needle-to-be-found"), "{version}");
            assert!(!world.other.memory.saw("another-needle"));
            assert_eq!(world.other.memory.recall().connections, 1);
        }
        assert!(world.lab.names().was_asked_for("other.example"));
        let before = world.sentinel.connections();
        let url = "http://169.254.169.254/latest/meta-data/";
        client.curl_status().args(["--max-time", "1", url]).run();
        assert_eq!(world.sentinel.connections(), before + 1, "the sentinel is awake");
    });
}
