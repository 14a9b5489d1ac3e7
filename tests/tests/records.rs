//! What the appliance writes: one audit record for every decision, metrics that Prometheus takes, a bundle.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use serde_json::Value;
use stubgate_tests::wire::Wire;
use stubgate_tests::{Shared, Way, World};

static WORLD: Shared<World> = Shared::new(World::standard);

/// The audit records that an action adds, waiting until `enough` says that all are there.
#[track_caller]
fn recorded(world: &World, action: impl FnOnce(), enough: impl Fn(&[Value]) -> bool) -> Vec<Value> {
    let appliance = world.lab.appliance();
    let before = appliance.audit().len();
    action();
    let fresh = || appliance.audit().split_off(before);
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(10);
    while !enough(&fresh()) {
        assert!(std::time::Instant::now() < deadline, "recorded only {:#?}", fresh());
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    fresh()
}

fn mentions(record: &Value, text: &str) -> bool {
    record.to_string().contains(text)
}

fn count(records: &[Value], texts: &[&str]) -> usize {
    records.iter().filter(|record| texts.iter().all(|text| mentions(record, text))).count()
}

#[test]
fn an_allowed_request_with_a_swap_is_recorded_at_every_layer() {
    WORLD.test(|world| {
        let records = recorded(
            world,
            || {
                let client = world.lab.client(Way::Dns);
                let token = format!("Authorization: Bearer {}", client.token("github"));
                let curl = client.curl_status().args(["-H", &token]);
                let status = curl.arg("https://api.github.com/user?secret=query").run().success();
                assert_eq!(status, "200");
            },
            |records| count(records, &["/user"]) >= 2,
        );
        assert!(count(&records, &["\"pod\"", "github-api"]) >= 1, "{records:#?}");
        assert_eq!(count(&records, &["\"begin\"", "\"github\""]), 1, "{records:#?}");
        assert!(count(&records, &["dns"]) >= 1, "{records:#?}");
        assert!(count(&records, &["tls"]) >= 1, "{records:#?}");
        assert_eq!(count(&records, &["secret=query"]), 0, "the query was recorded");
    });
}

/// What is written before the first byte leaves cannot be taken back by a crash.
#[test]
fn a_crash_hides_no_use_of_a_credential() {
    WORLD.test(|world| {
        let appliance = world.lab.appliance();
        let before = appliance.audit().len();
        let curl = world.lab.client(Way::Dns).program("curl", "CURL_CA_BUNDLE").arg("-sSN");
        let curl = curl.args(["-H", "Authorization: Bearer proxy-token-live"]);
        let reader = curl.arg("https://live.example/events").spawn();
        appliance.until("a listener", || world.live.listeners() > 0);
        appliance.with_process(|process| {
            process.signal(rustix::process::Signal::KILL);
            process.ended(std::time::Duration::from_secs(5)).expect("dead");
        });
        let records = appliance.audit().split_off(before);
        assert_eq!(count(&records, &["\"begin\"", "\"live\"", "/events"]), 1, "{records:#?}");
        drop(reader);
        appliance.start();
    });
}

#[test]
fn a_refused_request_is_recorded_with_its_reason() {
    WORLD.test(|world| {
        let trips = || world.lab.appliance().metric("stubgate_tripwires_total", &["reason=\"stub_wrong_host\""]);
        let before = trips();
        let records = recorded(
            world,
            || {
                let client = world.lab.client(Way::Dns);
                let curl = client.curl_status().args(["-H", "Authorization: Bearer proxy-token-github"]);
                assert_eq!(curl.arg("https://other.example/marked").run().success(), "403");
            },
            |records| count(records, &["/marked"]) >= 1,
        );
        assert_eq!(count(&records, &["/marked", "stub_wrong_host"]), 1, "{records:#?}");
        assert!(trips() > before, "the tripwire is counted");
    });
}

#[test]
fn refusals_before_any_request_are_recorded() {
    WORLD.test(|world| {
        let records = recorded(
            world,
            || {
                let dig = world.lab.pod().program("dig").args(["+search", "marked-dns.example."]);
                dig.run().success();
                assert!(Wire::tls(&world.lab, "marked-tls.example").is_err());
                assert!(Wire::tunnel(&world.lab, "marked-connect.example:443", "x.example").is_err());
                let mut wire = Wire::plain(&world.lab, 80);
                wire.send("GET / HTTP/1.1\r\nHost: marked-http.example\r\n\r\n").reply().expect("a refusal");
                let mut wire = Wire::tls(&world.lab, "other.example").expect("an allowed name");
                wire.send("GET / HTTP/1.1\r\nHost: marked-host.example\r\n\r\n").reply().expect("a refusal");
            },
            |records| count(records, &["marked-host"]) >= 1 && count(records, &["marked-dns"]) >= 1,
        );
        for mark in ["marked-dns", "marked-tls", "marked-connect", "marked-http", "marked-host"] {
            assert_eq!(count(&records, &[mark]), 1, "{mark}: {records:#?}");
        }
    });
}

#[test]
fn a_malformed_request_is_recorded() {
    WORLD.test(|world| {
        recorded(
            world,
            || {
                let mut wire = Wire::tls(&world.lab, "other.example").expect("an allowed name");
                wire.send("POST / HTTP/1.1\r\nHost: other.example\r\nContent-Length: 1\r\n");
                wire.send("Transfer-Encoding: chunked\r\n\r\n").reply().expect("a refusal");
            },
            |records| count(records, &["bad_request"]) >= 1,
        );
    });
}

/// Whatever an agent writes, a record is one line of JSON; that is checked after every test, too.
#[test]
fn bytes_from_the_wire_cannot_forge_a_record() {
    WORLD.test(|world| {
        recorded(
            world,
            || {
                for path in ["/a%0a%7b%22forged%22:1%7d", "/\\u0022,\\u0022x", "/%e2%80%a8", "/%1b[2J"] {
                    let mut wire = Wire::tls(&world.lab, "other.example").expect("an allowed name");
                    wire.send(format!("GET {path} HTTP/1.1\r\nHost: other.example\r\n\r\n")).reply().ok();
                }
                for raw in ["/\u{1b}[2J", "/\"},{\"forged\":1", "/\u{2028}\u{202e}", "/\n{\"forged\":1}\n"] {
                    let mut wire = Wire::tls(&world.lab, "other.example").expect("an allowed name");
                    wire.send(format!("GET {raw} HTTP/1.1\r\nHost: other.example\r\n\r\n")).reply().ok();
                }
                let dig = world.lab.pod().program("dig");
                dig.args(["a\\010{\"forged\":1}.example", "+tries=1"]).run();
            },
            |records| !records.is_empty(),
        );
        let text = std::fs::read_to_string(world.lab.appliance().dir().join("audit.jsonl")).unwrap();
        assert!(!text.lines().any(|line| line.starts_with("{\"forged\"")));
        assert!(!text.contains('\u{1b}') && !text.contains('\u{2028}'));
    });
}

/// Three thousand refusals on one connection, told apart by this header and path.
#[track_caller]
fn storm(world: &World, request: &str) {
    let appliance = world.lab.appliance();
    let before = appliance.audit().len();
    let logged = || appliance.with_process(|process| process.written());
    let log_before = logged();
    let mut wire = Wire::tls(&world.lab, "github.com").expect("an allowed name");
    let mut refused = 0;
    for _ in 0..3000 {
        wire.send(request);
        match wire.reply() {
            Ok(reply) => {
                assert!([403, 429, 503].contains(&reply.status), "{}", reply.head);
                refused += 1;
            }
            Err(_) => wire = Wire::tls(&world.lab, "github.com").expect("an allowed name"),
        }
    }
    // A second that is over ends in its count.
    appliance.until("the count of what was left out", || {
        count(&appliance.audit().split_off(before), &["\"suppressed\""]) > 0
    });
    let written = appliance.audit().len() - before;
    assert!(written < refused / 2, "{written} records for {refused} refusals");
    assert!(logged() - log_before < 64 << 10, "the log grew by {}", logged() - log_before);
}

#[test]
fn a_storm_of_refusals_becomes_few_records() {
    WORLD.test(|world| storm(world, "GET /elsewhere HTTP/1.1\r\nHost: github.com\r\n\r\n"));
}

#[test]
fn a_storm_of_tripwires_becomes_few_records() {
    WORLD.test(|world| {
        let stub = "X-Other: proxy-token-github";
        storm(world, &format!("GET /acme/x HTTP/1.1\r\nHost: github.com\r\n{stub}\r\n\r\n"));
    });
}

#[test]
fn prometheus_takes_the_metrics() {
    WORLD.test(|world| {
        world.lab.client(Way::Dns).curl_status().arg("https://other.example/").run().success();
        world.lab.client(Way::Proxy).curl_status().arg("https://forbidden.example/").run().failure();
        let text = world.lab.appliance().metrics();
        let check = world.lab.pod().program("promtool").args(["check", "metrics"]).stdin(text.clone());
        let ran = check.run();
        assert!(ran.status.success(), "{}\n{}", ran.errors(), ran.text());
        for attacker in ["forbidden.example", "other.example", "10.99.0.2"] {
            assert!(!text.contains(attacker), "a label from the wire: {attacker}");
        }
    });
}

#[test]
fn the_number_of_series_does_not_follow_what_agents_ask() {
    WORLD.test(|world| {
        let appliance = world.lab.appliance();
        let ask = |number: usize| {
            let _ = Wire::tls(&world.lab, &format!("n{number}.forbidden.example"));
            let mut wire = Wire::tls(&world.lab, "other.example").expect("an allowed name");
            wire.send(format!("M{number} /p{number} HTTP/1.1\r\nHost: other.example\r\n\r\n"));
            wire.reply().ok();
        };
        ask(0);
        let series = || appliance.metrics().lines().filter(|line| !line.starts_with('#')).count();
        let before = series();
        (1..50).for_each(ask);
        assert_eq!(series(), before);
    });
}

#[test]
fn the_admin_port_is_not_the_pods() {
    WORLD.test(|world| {
        let admin = std::net::SocketAddr::from(([10, 99, 0, 1], 9090));
        assert!(stubgate_tests::wire::tcp(&world.lab, admin).is_err());
    });
}

#[test]
fn the_bundle_can_be_had_from_inside() {
    WORLD.test(|world| {
        let curl = world.lab.client(Way::Dns).curl().args(["--fail", "http://stubgate.internal/ca.pem"]);
        let bundle = curl.run().success();
        assert!(bundle.contains("BEGIN CERTIFICATE"), "{bundle}");
        assert!(!bundle.contains("PRIVATE KEY"));
        assert!(!world.lab.names().was_asked_for("stubgate.internal"));
    });
}

/// The last word: nothing that the appliance wrote and nothing that reached the pod holds a real
/// credential in any encoding. Every test of the lab ends with this search; here it is by itself,
/// after requests of every kind and at the most talkative level of logging.
#[test]
fn no_real_credential_is_anywhere_that_an_agent_or_a_log_reader_looks() {
    WORLD.test(|world| {
        for way in stubgate_tests::lab::WAYS {
            stubgate_tests::chores::gh_api(world, way);
            stubgate_tests::chores::pip(world, way);
            stubgate_tests::chores::npm(world, way);
            stubgate_tests::chores::websocket(world, way);
            let client = world.lab.client(way);
            for header in ["Authorization: Bearer proxy-token-github", "Authorization: Bearer other"] {
                for url in ["https://other.example/", "https://api.github.com/404", "https://private.example/"] {
                    client.curl().args(["-v", "-i", "-H", header, url]).run();
                }
            }
        }
        let leaks = world.lab.leaks();
        assert!(leaks.is_empty(), "{leaks:#?}");
        // The search reads what it claims to read.
        let planted = world.lab.appliance().dir().join("planted");
        std::fs::write(&planted, world.lab.secret("github")).expect("plant");
        assert_eq!(world.lab.leaks().len(), 1);
        std::fs::remove_file(&planted).expect("remove");
    });
}
