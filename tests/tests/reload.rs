//! Policy, credentials and the process itself change while agents work.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::time::{Duration, Instant};

use stubgate_tests::appliance::RELOADS;
use stubgate_tests::wire::Wire;
use stubgate_tests::world::POLICY;
use stubgate_tests::{Shared, Way, World};

static WORLD: Shared<World> = Shared::new(World::standard);

/// The time that DESIGN gives a withdrawn grant to end what lives by it.
const CUT: Duration = Duration::from_secs(5);

/// The policy without one rule.
fn without(rule: &str) -> String {
    let start = POLICY.find(&format!("  - name: {rule}\n")).expect("the rule");
    let end = POLICY[start + 1..].find("  - name: ").map_or(POLICY.len(), |next| start + 1 + next);
    format!("{}{}", &POLICY[..start], &POLICY[end..])
}

fn status(world: &World, url: &str) -> String {
    world.lab.client(Way::Dns).curl_status().arg(url).run().text()
}

#[test]
fn a_withdrawn_grant_cuts_a_live_event_stream() {
    WORLD.test(|world| {
        world.lab.appliance().policy(POLICY);
        for version in ["--http1.1", "--http2"] {
            let client = world.lab.client(Way::Dns);
            let curl = client.program("curl", "CURL_CA_BUNDLE").args(["-sSN", version]);
            let curl = curl.args(["-H", "Authorization: Bearer proxy-token-live"]);
            let mut reader = curl.arg("https://live.example/events").spawn();
            world.lab.appliance().until("a listener", || world.live.listeners() > 0);
            world.live.event("before");
            assert_eq!(reader.line(CUT).as_deref(), Some("data: before"), "{}", reader.errors());
            world.lab.appliance().policy(&without("live"));
            let withdrawn = Instant::now();
            assert!(reader.ended(CUT).is_some(), "{version}: still streaming");
            assert!(withdrawn.elapsed() < CUT);
            world.lab.appliance().until("the origin's side to end", || world.live.listeners() == 0);
            world.lab.appliance().policy(POLICY);
        }
    });
}

#[test]
fn a_withdrawn_grant_cuts_a_live_websocket() {
    WORLD.test(|world| {
        world.lab.appliance().policy(POLICY);
        for way in [Way::Dns, Way::Proxy] {
            let client = world.lab.client(way).python("websocket.py", "SSL_CERT_FILE");
            let args = ["wss://socket.example/", "proxy-token-socket", "10"];
            let mut socket = client.args(args).env("STAY", "1").spawn();
            assert_eq!(socket.line(Duration::from_secs(10)).as_deref(), Some("echoed 10"));
            world.lab.appliance().policy(&without("socket"));
            assert!(socket.ended(CUT).is_some(), "still open");
            world.lab.appliance().policy(POLICY);
        }
    });
}

#[test]
fn what_is_still_allowed_is_not_cut() {
    WORLD.test(|world| {
        world.lab.appliance().policy(POLICY);
        let client = world.lab.client(Way::Dns);
        let curl = client.program("curl", "CURL_CA_BUNDLE").args(["-sSN"]);
        let curl = curl.args(["-H", "Authorization: Bearer proxy-token-live"]);
        let reader = curl.arg("https://live.example/events").spawn();
        world.lab.appliance().until("a listener", || world.live.listeners() > 0);
        world.lab.appliance().policy(&without("socket"));
        world.live.event("after");
        assert_eq!(reader.line(CUT).as_deref(), Some("data: after"), "{}", reader.errors());
        world.lab.appliance().policy(POLICY);
    });
}

#[test]
fn the_next_request_on_a_connection_is_decided_by_the_new_policy() {
    WORLD.test(|world| {
        world.lab.appliance().policy(&POLICY.replace("- other.example", "- other.example\n      - more.example"));
        let mut wire = Wire::tls(&world.lab, "live.example").expect("an allowed name");
        let request = "GET /x HTTP/1.1\r\nHost: live.example\r\nAuthorization: Bearer proxy-token-live\r\n\r\n";
        wire.send(request);
        assert_eq!(wire.reply().expect("an answer").status, 200);
        world.lab.appliance().policy(&without("live"));
        wire.send(request);
        // Refused, or the idle connection was closed with the grant.
        if let Ok(reply) = wire.reply() {
            assert!([403, 421].contains(&reply.status), "{}", reply.head);
        }
        world.lab.appliance().policy(POLICY);
    });
}

#[test]
fn a_broken_policy_keeps_the_last_good_one_and_says_so() {
    WORLD.test(|world| {
        let appliance = world.lab.appliance();
        appliance.policy(POLICY);
        for broken in ["version: 1\nrules: [", "", "version: 1\nagents: {}\nrulez: []\n", "- \u{0}"] {
            let failed = appliance.metric(RELOADS, &["outcome=\"failed\""]);
            appliance.write_policy(broken);
            appliance.until("the failed reload to be counted", || {
                appliance.metric(RELOADS, &["outcome=\"failed\""]) > failed
            });
            assert_eq!(status(world, "https://other.example/"), "200", "{broken:?}");
            assert_eq!(status(world, "https://forbidden.example/"), "000", "{broken:?}");
            assert_eq!(appliance.get("/healthz").expect("healthz").0, 200);
        }
        appliance.policy(POLICY);
        assert_eq!(status(world, "https://other.example/"), "200");
    });
}

#[test]
fn a_rotated_credential_file_is_taken_up() {
    WORLD.test(|world| {
        world.lab.appliance().policy(POLICY);
        let file = world.lab.pod().dir().join("secrets/key");
        let fresh = file.with_file_name("key.new");
        std::fs::write(&fresh, "rotated-value-of-the-key\n").expect("write");
        std::fs::rename(&fresh, &file).expect("rename");
        let key = ["-H", "X-Api-Key: proxy-token-key", "https://keyed.example/"];
        world.lab.appliance().until("the new value", || {
            world.forget();
            world.lab.client(Way::Dns).curl_status().args(key).run().success();
            world.keyed.memory.saw("rotated-value-of-the-key")
        });
        std::fs::write(&file, format!("{}\n", world.lab.secret("key"))).expect("restore");
        world.lab.appliance().until("the old value", || {
            world.forget();
            world.lab.client(Way::Dns).curl_status().args(key).run().success();
            world.keyed.memory.saw(&world.lab.secret("key"))
        });
    });
}

#[test]
fn a_missing_credential_is_a_refusal_and_not_a_stub_upstream() {
    WORLD.test(|world| {
        let appliance = world.lab.appliance();
        appliance.policy(&POLICY.replace("@SECRETS@/key", "@SECRETS@/no-such-file"));
        world.forget();
        let key = ["-H", "X-Api-Key: proxy-token-key", "https://keyed.example/"];
        let ran = world.lab.client(Way::Dns).curl_status().args(key).run().success();
        assert!(["403", "502", "503"].contains(&ran.as_str()), "{ran}");
        assert!(!world.keyed.memory.saw("proxy-token-key"));
        appliance.policy(POLICY);
    });
}

#[test]
fn sighup_reloads() {
    WORLD.test(|world| {
        let appliance = world.lab.appliance();
        appliance.policy(POLICY);
        let before = appliance.metric(RELOADS, &[]);
        appliance.with_process(|process| process.signal(rustix::process::Signal::HUP));
        appliance.until("a reload", || appliance.metric(RELOADS, &[]) > before);
        assert_eq!(status(world, "https://other.example/"), "200");
    });
}

/// SIGTERM: no new work, what runs may end, then exit 0.
#[test]
fn sigterm_drains() {
    WORLD.test(|world| {
        let appliance = world.lab.appliance();
        appliance.policy(POLICY);
        let client = world.lab.client(Way::Dns);
        let slow = ["-sS", "--limit-rate", "16M", "-w", "%{http_code} %{size_download}", "-o", "/dev/null"];
        let curl = client.program("curl", "CURL_CA_BUNDLE").args(slow);
        let mut download = curl.args(["-v", "https://zeros.example/64m"]).spawn();
        appliance.until("the download to run", || download.errors().contains("< HTTP/"));
        appliance.with_process(|process| {
            process.terminate();
            let finished = download.ended(Duration::from_secs(30)).expect("the download ended");
            let said = download.line(Duration::from_secs(1));
            assert!(finished.success(), "{}", download.errors());
            assert_eq!(said.as_deref(), Some("200 67108864"));
            let status = process.ended(Duration::from_secs(15)).expect("the appliance ended");
            assert_eq!(status.code(), Some(0));
        });
        appliance.start();
        assert_eq!(status(world, "https://other.example/"), "200");
    });
}

/// A policy that is bad at the start serves refusals, and is not ready; a good one then makes it so.
#[test]
fn a_bad_policy_at_the_start_serves_refusals() {
    WORLD.test(|world| {
        let appliance = world.lab.appliance();
        appliance.with_process(|process| {
            process.terminate();
            process.ended(Duration::from_secs(15)).expect("the appliance ended");
        });
        appliance.write_policy("version: 1\nrulez: []\n");
        appliance.start_unready();
        assert_eq!(appliance.get("/readyz").expect("readyz").0, 503);
        let curl = world.lab.client(Way::Proxy).curl_status().arg("http://other.example/");
        assert_ne!(curl.run().text(), "200");
        appliance.write_policy(POLICY);
        appliance.until("readiness", || appliance.get("/readyz").is_ok_and(|answer| answer.0 == 200));
        assert_eq!(status(world, "https://other.example/"), "200");
    });
}
