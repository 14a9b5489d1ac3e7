//! `limits` of policy and the appliance's bounds on one agent (RE-09, RE-10, TL-22, TL-23, DN-02): refused in words that
//! say which limit and when it lifts, and only the agent's own.

use std::net::UdpSocket;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde_json::Value;

use crate::client::{Answer, Conn, PATIENCE, Way, socks_name, tcp, tls};
use crate::lab::{DEVBOT, Lab, OTHERBOT, POLICY, STUB, Setup};
use crate::origin::{Reply, ok};

const HOST: &str = "open.example.test";

/// The policy with limits for devbot alone.
fn limited(limits: &str) -> String {
    let line = "devbot: { sources: [\"127.0.0.1/32\"]";
    POLICY.replacen(line, &format!("{line}, limits: {limits}"), 1)
}

async fn lab(limits: &str) -> Lab {
    Lab::with(Setup { policy: limited(limits), ..Setup::default() }).await
}

/// Checks that an answer says which limit was reached and when it lifts.
fn says(answer: &Answer, limit: &str, within: u64) {
    assert_eq!((answer.status, &*answer.reason()), (429, "limit_reached"), "{answer:?}");
    let wait: u64 = answer.header("retry-after").unwrap().parse().unwrap();
    assert!((1..=within).contains(&wait), "{wait} seconds");
    assert_eq!(answer.header("x-stubgate-limit").as_deref(), Some(limit));
    assert_eq!(answer.header("x-should-retry").as_deref(), Some("true"));
    let body: Value = serde_json::from_slice(&answer.body).unwrap();
    assert_eq!((&body["limit"], &body["retry_after_seconds"]), (&limit.into(), &wait.into()));
    let hint = body["hint"].as_str().unwrap();
    assert!(hint.contains(limit) && hint.contains(body["lifts_at"].as_str().unwrap()), "{hint}");
}

fn reached(lab: &Lab, limit: &str) -> u64 {
    let series = format!("stubgate_limits_reached_total{{limit=\"{limit}\"}} ");
    lab.metrics().lines().find_map(|line| line.strip_prefix(&series)).unwrap().parse().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_above_the_rate_are_refused_on_every_way_in_and_no_other_agent_notices() {
    // Few at a time: what comes back in half a minute is less than one.
    for ways in Way::ALL.chunks(2) {
        above_the_rate(ways).await;
    }
}

async fn above_the_rate(ways: &[Way]) {
    let lab = lab(&format!("{{ requests_per_minute: {} }}", ways.len())).await;
    for way in ways {
        let mut conn = way.open(&lab).await;
        assert_eq!(conn.ask(&way.fill("GET {at}/x HTTP/1.1\r\nhost: {host}\r\n\r\n")).await.status, 200, "{way:?}");
    }
    for way in ways {
        if way.is_tunnel() {
            let mut conn = Conn::plain(lab.addresses.proxy[0], DEVBOT).await;
            match way {
                Way::Tunnel => says(&conn.connect(&format!("{HOST}:443")).await, "requests_per_minute", 30),
                _ => assert_eq!(conn.socks(&socks_name(way.host(), way.port())).await, 1, "{way:?}"),
            }
            assert!(conn.is_over().await);
            assert_eq!(lab.refusals(), ["limit_reached"], "RE-10 {way:?}");
            continue;
        }
        // A handshake is finished, so that there is somewhere to say it.
        let mut conn = way.open(&lab).await;
        assert_eq!(lab.refusals(), vec!["limit_reached"; usize::from(way.is_tls())], "{way:?}");
        says(&conn.ask(&way.fill("GET {at}/x HTTP/1.1\r\nhost: {host}\r\n\r\n")).await, "requests_per_minute", 30);
        assert_eq!(lab.refusals(), ["limit_reached"], "RE-10 {way:?}");
    }
    assert_eq!(lab.origin.requests().len(), ways.len());
    let handshakes = ways.iter().filter(|way| way.is_tls() && !way.is_tunnel()).count();
    assert_eq!(reached(&lab, "requests_per_minute"), (ways.len() + handshakes) as u64);
    // In the words of other clients.
    let git = lab.get(HOST, "/x", &[("user-agent", "git/2.39.5")]).await;
    assert!(git.text().contains("the limit requests_per_minute of this agent is reached"), "{}", git.text());
    let grpc = lab.get(HOST, "/x", &[("content-type", "application/grpc")]).await;
    assert_eq!((grpc.status, grpc.header("grpc-status").as_deref()), (200, Some("8")));
    assert!(grpc.header("grpc-message").unwrap().contains("requests_per_minute"));
    // What policy denies is denied as before, and tells nothing of limits.
    assert_eq!(lab.get("paths.example.test", "/denied", &[]).await.reason(), "path_not_allowed");
    let mut other = Conn::sni(&lab, HOST, OTHERBOT).await;
    for _ in 0..20 {
        assert_eq!(other.ask(&format!("GET /x HTTP/1.1\r\nhost: {HOST}\r\n\r\n")).await.status, 200);
    }
    // A reload changes the limit, not the count.
    assert_eq!(lab.reload(&limited("{ requests_per_minute: 3 }")).await, "taken");
    assert_eq!(lab.get(HOST, "/x", &[]).await.status, 429);
    assert_eq!(lab.reload(POLICY).await, "taken");
    lab.is_well("RE-10").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_whose_length_is_announced_above_the_days_budget_does_not_leave() {
    for origin_h2 in [false, true] {
        let policy = limited("{ bytes_out_per_day: 10000 }");
        let lab = Lab::with(Setup { policy, origin_h2, ..Setup::default() }).await;
        let mut conn = Conn::sni(&lab, HOST, DEVBOT).await;
        conn.send(format!("POST /x HTTP/1.1\r\nhost: {HOST}\r\ncontent-length: 20000\r\n\r\n")).await;
        let answer = conn.answer(false).await;
        says(&answer, "bytes_out_per_day", 86_400);
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
        let midnight = now + answer.header("retry-after").unwrap().parse::<u64>().unwrap();
        assert!(midnight % 86_400 <= 1, "it lifts at midnight UTC, not at {midnight}");
        assert_eq!(lab.origin.connections(), 0, "RE-09: nothing was dialled");
        // Below the budget it goes, until all is spent.
        let body = "x".repeat(4000);
        let post = format!("POST /x HTTP/1.1\r\nhost: {HOST}\r\ncontent-length: {}\r\n\r\n{body}", body.len());
        let mut statuses = Vec::new();
        for _ in 0..4 {
            statuses.push(Conn::sni(&lab, HOST, DEVBOT).await.ask(&post).await.status);
        }
        assert_eq!(statuses, [200, 200, 429, 429]);
        // The budget is that of one host and one agent.
        let other = post.replace(HOST, "keyed.example.test");
        assert_eq!(Conn::sni(&lab, "keyed.example.test", DEVBOT).await.ask(&other).await.status, 200);
        assert_eq!(Conn::sni(&lab, HOST, OTHERBOT).await.ask(&post).await.status, 200);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_of_unknown_length_is_cut_where_the_budget_ends() {
    for origin_h2 in [false, true] {
        let policy = limited("{ bytes_out_per_day: 100000 }");
        let lab = Lab::with(Setup { policy, origin_h2, ..Setup::default() }).await;
        let mut conn = Conn::sni(&lab, HOST, DEVBOT).await;
        conn.send(format!("POST /x HTTP/1.1\r\nhost: {HOST}\r\ntransfer-encoding: chunked\r\n\r\n")).await;
        let chunk = format!("2710\r\n{}\r\n", "A".repeat(10_000));
        for _ in 0..20 {
            conn.send(&chunk).await;
        }
        says(&conn.answer(false).await, "bytes_out_per_day", 86_400);
        let passed = lab.origin.bytes().iter().filter(|byte| **byte == b'A').count();
        assert!(passed <= 100_000, "h2 {origin_h2}: {passed} bytes left");
        let end = lab.records().into_iter().find(|record| record["event"] == "end").unwrap();
        assert_eq!(
            (&end["reason"], &end["status"], &end["decision"]),
            (&"limit_reached".into(), &429.into(), &"deny".into())
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upload_behind_an_early_answer_and_a_tunnel_are_cut_and_recorded() {
    let policy = limited("{ bytes_out_per_day: 100000 }");
    let lab = Lab::with(Setup { policy: policy.clone(), origin_h2: true, ..Setup::default() }).await;
    lab.origin.answer("/early", |_| Reply::Early(true));
    let mut conn = Conn::sni(&lab, HOST, DEVBOT).await;
    conn.send(format!("POST /early HTTP/1.1\r\nhost: {HOST}\r\ntransfer-encoding: chunked\r\n\r\n")).await;
    conn.send("3\r\nabc\r\n").await;
    assert_eq!(conn.head().await.status, 200);
    let chunk = format!("2710\r\n{}\r\n", "A".repeat(10_000));
    for _ in 0..20 {
        conn.send(&chunk).await;
    }
    assert!(conn.is_over().await);
    let cut = |lab: &Lab| {
        let records = lab.records();
        let mut ends = records.iter().filter(|record| record["event"] == "end");
        ends.any(|end| end["outcome"] == "cut" && end["reason"] == "limit_reached" && end["decision"] == "allow")
    };
    lab.until("the cut is recorded", || cut(&lab)).await;

    let lab = Lab::with(Setup { policy, ..Setup::default() }).await;
    let _says = crate::websocket::switches(&lab.origin, "/ws");
    let mut conn = Way::Sni.open(&lab).await;
    assert_eq!(conn.ask(&crate::websocket::handshake(Way::Sni, "/ws")).await.status, 101);
    for _ in 0..40 {
        // As binary frames, masked with zeros.
        conn.send([&[0x82, 0xfe, 0x27, 0x10, 0, 0, 0, 0][..], &[b'A'; 10_000]].concat()).await;
    }
    assert!(conn.is_over().await);
    lab.until("the cut is recorded", || cut(&lab)).await;
    let passed = lab.origin.bytes().iter().filter(|byte| **byte == b'A').count();
    assert!((50_000..=100_000).contains(&passed), "{passed} bytes left");
}

/// A question for an address over UDP; the code of its answer, and whether there was an address.
fn ask_dns(lab: &Lab, from: &str, name: &str) -> (u8, bool) {
    let socket = UdpSocket::bind((from, 0)).unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    let mut packet = vec![0, 7, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0];
    for label in name.split('.') {
        packet.push(u8::try_from(label.len()).unwrap());
        packet.extend_from_slice(label.as_bytes());
    }
    packet.extend_from_slice(&[0, 0, 1, 0, 1]);
    socket.send_to(&packet, lab.addresses.dns[0]).unwrap();
    let mut answer = [0; 512];
    socket.recv(&mut answer).unwrap();
    (answer[3] & 15, answer[7] > 0)
}

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_that_sets_off_its_tripwires_is_cut_off_from_everything_at_once() {
    let policy = limited("{ quarantine_after_tripwires: 3 }");
    let lab = Lab::with(Setup { policy: policy.clone(), ..Setup::default() }).await;
    let _says = crate::websocket::switches(&lab.origin, "/ws");
    let mut tunnel = Way::Sni.open(&lab).await;
    assert_eq!(tunnel.ask(&crate::websocket::handshake(Way::Sni, "/ws")).await.status, 101);
    lab.origin.answer("/waits", |_| Reply::Silence);
    let mut waiting = Conn::sni(&lab, HOST, DEVBOT).await;
    waiting.send(format!("GET /waits HTTP/1.1\r\nhost: {HOST}\r\n\r\n")).await;
    lab.until("it waits", || lab.origin.requests().iter().any(|seen| seen.path() == "/waits")).await;
    let mut idle = Conn::sni(&lab, HOST, DEVBOT).await;
    assert_eq!(ask_dns(&lab, DEVBOT, HOST), (0, true));
    let stub = [("authorization", format!("Bearer {STUB}"))];
    let stub: Vec<(&str, &str)> = stub.iter().map(|(name, value)| (*name, &**value)).collect();
    for _ in 0..3 {
        assert_eq!(lab.get(HOST, "/x", &stub).await.reason(), "stub_wrong_host");
    }
    lab.refusals();
    let get = format!("GET /x HTTP/1.1\r\nhost: {HOST}\r\n\r\n");
    assert_eq!(idle.ask(&get).await.reason(), "quarantined", "on a connection from before");
    assert_eq!(ask_dns(&lab, DEVBOT, HOST), (3, false));
    let mut connect = Conn::plain(lab.addresses.proxy[0], DEVBOT).await;
    assert_eq!(connect.connect(&format!("{HOST}:443")).await.reason(), "quarantined");
    assert!(tls(tcp(lab.addresses.https[0], DEVBOT).await, &lab.h1, HOST).await.is_err(), "no handshake");
    for way in [Way::Plain, Way::Absolute] {
        let mut conn = way.open(&lab).await;
        assert_eq!(conn.ask(&way.fill("GET {at}/x HTTP/1.1\r\nhost: {host}\r\n\r\n")).await.reason(), "quarantined");
    }
    // What was under way may be cut, and recorded, at any moment among them.
    let refusals: Vec<String> = lab.refusals().into_iter().filter(|reason| reason != "policy_changed").collect();
    assert_eq!(refusals, ["quarantined"; 6]);
    // What was under way is cut, well within 5 seconds.
    tokio::time::timeout(Duration::from_secs(5), async {
        assert!(tunnel.is_over().await);
        assert_eq!(waiting.answer(false).await.reason(), "policy_changed");
    })
    .await
    .expect("cut in time");
    let records = lab.records();
    let told: Vec<&Value> = records.iter().filter(|record| record["event"] == "quarantined").collect();
    assert_eq!(told.len(), 1);
    assert_eq!(
        (&told[0]["agent"], &told[0]["count"], &told[0]["layer"]),
        (&"devbot".into(), &3.into(), &"policy".into())
    );
    let gauge = |count: u32| {
        stubgate_proxy::appliance::refresh(&lab.appliance);
        lab.metrics().contains(&format!("stubgate_agents_quarantined {count}"))
    };
    assert!(gauge(2), "lockedbot is one by policy");
    assert_eq!(Conn::sni(&lab, HOST, OTHERBOT).await.ask(&get).await.status, 200, "nobody else notices");

    // A reload does not lift it; a policy that takes over, and then lets go, does.
    assert_eq!(lab.reload(&format!("{policy}\n# another one\n")).await, "taken");
    assert_eq!(ask_dns(&lab, DEVBOT, HOST), (3, false));
    let line = "devbot: { sources: [\"127.0.0.1/32\"]";
    assert_eq!(lab.reload(&policy.replacen(line, &format!("{line}, quarantined: true"), 1)).await, "taken");
    assert_eq!(ask_dns(&lab, DEVBOT, HOST), (3, false));
    assert_eq!(lab.reload(&policy).await, "taken");
    assert!(gauge(1));
    assert_eq!(ask_dns(&lab, DEVBOT, HOST), (0, true));
    lab.is_well("quarantine").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn names_under_a_wildcard_are_bounded_for_dns_and_handshakes_together() {
    let limits = "refusals_per_second: 100000, wildcard_names_per_minute: 2".into();
    let lab = Lab::with(Setup { limits, ..Setup::default() }).await;
    // Half a minute brings one back: the test has that long.
    assert_eq!(ask_dns(&lab, DEVBOT, "d0.wild.example.test"), (0, true));
    let mut refused = 0;
    for at in 0..20 {
        let name = format!("t{at}.wild.example.test");
        refused += usize::from(tls(tcp(lab.addresses.https[0], DEVBOT).await, &lab.h1, &name).await.is_err());
    }
    assert_eq!(refused, 19, "TL-22: of 20 handshakes");
    assert!(lab.appliance.minter.minted_total() <= 2, "TL-07: what is refused is not minted");
    assert_eq!(ask_dns(&lab, DEVBOT, "one-more.wild.example.test"), (5, false), "DN-02: REFUSED");
    assert!(
        tls(tcp(lab.addresses.https[0], DEVBOT).await, &lab.h1, "d0.wild.example.test").await.is_ok(),
        "a known one"
    );
    let mut plain = Conn::tunnel(&lab, HOST, DEVBOT).await;
    assert_eq!(plain.ask(&format!("GET /x HTTP/1.1\r\nhost: {HOST}\r\n\r\n")).await.status, 200);
    assert_eq!(ask_dns(&lab, OTHERBOT, "other.wild.example.test"), (0, true), "another agent has its own");
    assert!(reached(&lab, "wildcard_names_per_minute") >= 19);
    lab.is_well("DN-02").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_ends_with_its_time_whatever_moves() {
    let timeouts = "drain_seconds: 1, request_seconds: 2".into();
    let lab = Lab::with(Setup { timeouts, ..Setup::default() }).await;
    let (says_, receiver) = tokio::sync::mpsc::unbounded_channel();
    let receiver = std::sync::Mutex::new(Some(receiver));
    lab.origin.answer("/drip", move |_| Reply::Stream(receiver.lock().unwrap().take().unwrap()));
    says_.send(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n".into()).unwrap();
    let dripping = tokio::spawn(async move {
        while says_.send(b"1\r\nx\r\n".into()).is_ok() {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    });
    let answer = lab.get(HOST, "/drip", &[]).await;
    assert!(answer.status == 200 && !answer.is_whole, "an origin that drips");
    dripping.await.unwrap();
    lab.until("it is recorded", || lab.records().iter().any(|record| record["outcome"] == "cut")).await;
    assert_eq!(reached(&lab, "request_seconds"), 1);
    lab.is_well("RE-11").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_that_comes_too_slowly_is_given_up_on() {
    let limits = "refusals_per_second: 100000, body_bytes_per_second: 1000".into();
    let timeouts = "drain_seconds: 1, body_idle_seconds: 2".into();
    for origin_h2 in [false, true] {
        let (limits, timeouts) = (String::clone(&limits), String::clone(&timeouts));
        let lab = Lab::with(Setup { limits, timeouts, origin_h2, ..Setup::default() }).await;
        let mut conn = Conn::sni(&lab, HOST, DEVBOT).await;
        conn.send(format!("POST /x HTTP/1.1\r\nhost: {HOST}\r\ncontent-length: 1000000\r\n\r\n")).await;
        let drip = async {
            for _ in 0..200 {
                conn.send("x").await;
                tokio::time::sleep(Duration::from_millis(50)).await;
                if reached(&lab, "body_bytes_per_second") > 0 {
                    break;
                }
            }
        };
        drip.await;
        assert_eq!(conn.answer(false).await.status, 429, "RE-03");
        assert_eq!(reached(&lab, "body_bytes_per_second"), 1);
        lab.is_well("RE-03").await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_brings_so_many_requests_and_then_ends() {
    let limits = "refusals_per_second: 100000, requests_per_connection: 3".into();
    let lab = Lab::with(Setup { limits, ..Setup::default() }).await;
    let mut conn = Conn::sni(&lab, HOST, DEVBOT).await;
    let get = format!("GET /x HTTP/1.1\r\nhost: {HOST}\r\n\r\n");
    for at in 1..=3 {
        let answer = conn.ask(&get).await;
        assert_eq!((answer.status, answer.header("connection").is_some()), (200, at == 3), "{at}");
    }
    assert!(conn.is_over().await);
    let io = tls(tcp(lab.addresses.https[0], DEVBOT).await, &lab.h2, HOST).await.unwrap();
    let (mut sender, connection) =
        hyper::client::conn::http2::handshake(hyper_util::rt::TokioExecutor::new(), hyper_util::rt::TokioIo::new(io))
            .await
            .unwrap();
    let connection = tokio::spawn(connection);
    for _ in 0..3 {
        let request =
            http::Request::get(format!("https://{HOST}/x")).body(http_body_util::Empty::<bytes::Bytes>::new());
        assert_eq!(sender.send_request(request.unwrap()).await.unwrap().status(), 200);
    }
    drop(tokio::time::timeout(PATIENCE, connection).await.expect("GOAWAY, and the end"));
    assert_eq!(reached(&lab, "requests_per_connection"), 2);
    lab.is_well("requests_per_connection").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_under_way_are_bounded_by_agent() {
    let limits = "refusals_per_second: 100000, requests_per_agent: 5".into();
    let lab = Lab::with(Setup { limits, ..Setup::default() }).await;
    lab.origin.answer("/waits", |_| Reply::Silence);
    let mut held = Vec::new();
    for _ in 0..5 {
        let mut conn = Conn::sni(&lab, HOST, DEVBOT).await;
        conn.send(format!("GET /waits HTTP/1.1\r\nhost: {HOST}\r\n\r\n")).await;
        held.push(conn);
    }
    lab.until("all wait", || lab.metrics().contains("stubgate_requests_open 5")).await;
    says(&lab.get(HOST, "/x", &[]).await, "requests_per_agent", 1);
    let mut other = Conn::sni(&lab, HOST, OTHERBOT).await;
    assert_eq!(other.ask(&format!("GET /x HTTP/1.1\r\nhost: {HOST}\r\n\r\n")).await.status, 200);
    drop(held);
    lab.until("all are over", || lab.metrics().contains("stubgate_requests_open 0")).await;
    lab.is_well("requests_per_agent").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn handshakes_of_one_agent_wait_for_each_other_and_for_nobody_else() {
    let limits = "refusals_per_second: 100000, handshakes_per_agent: 2".into();
    let timeouts = "drain_seconds: 1, handshake_seconds: 3".into();
    let lab = Lab::with(Setup { limits, timeouts, ..Setup::default() }).await;
    // Two that send a ClientHello and nothing more.
    let mut held = Vec::new();
    for _ in 0..2 {
        let mut conn = Conn::plain(lab.addresses.https[0], DEVBOT).await;
        conn.send(crate::handshakes::hello(Some((0, HOST.as_bytes())))).await;
        assert_eq!(conn.some().await[0], 0x16, "a ServerHello");
        held.push(conn);
    }
    assert!(lab.metrics().contains("stubgate_handshakes_open 2"));
    let mut other = Conn::sni(&lab, HOST, OTHERBOT).await;
    assert_eq!(other.ask(&format!("GET /x HTTP/1.1\r\nhost: {HOST}\r\n\r\n")).await.status, 200);
    assert!(lab.metrics().contains("stubgate_handshakes_open 2"), "another agent does not wait for them");
    let mut third = Conn::plain(lab.addresses.https[0], DEVBOT).await;
    third.send(crate::handshakes::hello(Some((0, HOST.as_bytes())))).await;
    assert_eq!(third.some().await.first(), Some(&0x16), "TL-23: served once the others are past their deadline");
    drop(held);
    drop(third);
    lab.until("all are over", || lab.metrics().contains("stubgate_handshakes_open 0")).await;
    lab.origin.answer("/control", |_| ok("fine"));
    lab.is_well("TL-23").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_is_told_how_many_streams_it_may_have() {
    let limits = "refusals_per_second: 100000, streams_per_connection: 2".into();
    let lab = Lab::with(Setup { limits, ..Setup::default() }).await;
    let mut conn = Conn::over(tls(tcp(lab.addresses.https[0], DEVBOT).await, &lab.h2, HOST).await.unwrap());
    conn.send(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0").await;
    // SETTINGS_MAX_CONCURRENT_STREAMS (RFC 9113 section 6.5.2). What a client opens beyond it, h2 resets.
    let said = conn.some().await;
    assert!(said.windows(6).any(|setting| setting == [0, 3, 0, 0, 0, 2]), "{said:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_head_with_too_many_fields_is_refused() {
    let limits = "refusals_per_second: 100000, headers: 10".into();
    let lab = Lab::with(Setup { limits, ..Setup::default() }).await;
    for (fields, status) in [(8, 200), (11, 431)] {
        let fields: String = (0..fields).map(|at| format!("x-{at}: y\r\n")).collect();
        let mut conn = Conn::sni(&lab, HOST, DEVBOT).await;
        let answer = conn.ask(&format!("GET /x HTTP/1.1\r\nhost: {HOST}\r\n{fields}\r\n")).await;
        assert_eq!(answer.status, status, "RE-01");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_origin_that_never_shakes_hands_is_given_up_on() {
    let silent = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let elsewhere = [(format!("{HOST}:443"), silent.local_addr().unwrap())].into();
    let timeouts = "drain_seconds: 1, connect_seconds: 1".into();
    let lab = Lab::with(Setup { timeouts, elsewhere, ..Setup::default() }).await;
    let answer = lab.get(HOST, "/x", &[]).await;
    assert_eq!((answer.status, &*answer.reason()), (504, "upstream_timeout"), "RE-11");
    lab.is_well("RE-11").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn connections_that_wait_are_as_many_as_may_and_end_with_their_time() {
    let limits = "refusals_per_second: 100000, upstream_idle_per_authority: 2".into();
    let timeouts = "drain_seconds: 1, upstream_idle_seconds: 2".into();
    let lab = Lab::with(Setup { limits, timeouts, ..Setup::default() }).await;
    // Each is asked while the others wait for their answer.
    let gate = std::sync::Arc::new(std::sync::Barrier::new(5));
    let shared = std::sync::Arc::clone(&gate);
    lab.origin.answer("/together", move |_| {
        tokio::task::block_in_place(|| shared.wait());
        ok("fine")
    });
    let one = async || assert_eq!(lab.get(HOST, "/together", &[]).await.status, 200);
    tokio::join!(one(), one(), one(), one(), one());
    assert_eq!(lab.origin.connections(), 5);
    let open = || (0..5).filter(|connection| !lab.origin.is_closed(*connection)).count();
    lab.until("all but two are closed", || open() <= 2).await;
    lab.until("the others end with their time", || open() == 0).await;
    lab.is_well("idle connections to origins").await;
}
