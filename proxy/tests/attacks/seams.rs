//! Between the parts: what one of them judged must be what the next one sends (laws 3, 4, 8 and 9).

use std::sync::Mutex;

use tokio::sync::mpsc;

use crate::client::{Conn, Way, socks_name};
use crate::lab::{DEVBOT, KEYED_STUB, Lab, OTHERBOT, POLICY, REAL, STUB, Setup};
use crate::origin::{Reply, ok};

const API: &str = "api.example.test";
const OPEN: &str = "open.example.test";
const KEYED: &str = "keyed.example.test";
/// The stub, as long as the credential.
const SHOWN: &str = "proxy-token-api**************";

/// Has an origin answer one request with what is sent here.
fn stream(lab: &Lab, path: &str) -> mpsc::UnboundedSender<Vec<u8>> {
    let (says, receiver) = mpsc::unbounded_channel();
    let receiver = Mutex::new(Some(receiver));
    lab.origin.answer(path, move |_| Reply::Stream(receiver.lock().unwrap().take().unwrap()));
    says
}

async fn credential_taken(lab: &Lab) {
    let taken = || lab.records().iter().any(|record| record["layer"] == "credential" && record["outcome"] == "taken");
    lab.until("the credential is taken", taken).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_type_that_a_body_was_judged_by_can_not_be_taken_out_of_the_head() {
    let rule = "  - name: keyed\n    agents: [devbot]\n    hosts: [keyed.example.test]\n    methods: [GET, POST]\n";
    let body = "    body: { json: { allow_keys: [model] }, max_bytes: 1000 }\n";
    let lab = Lab::with(Setup { policy: POLICY.replacen(rule, &format!("{rule}{body}"), 1), ..Setup::default() }).await;
    for option in ["content-type", "close, Content-Type"] {
        let mut conn = Conn::sni(&lab, KEYED, DEVBOT).await;
        let request = format!(
            "POST /v1 HTTP/1.1\r\nhost: {KEYED}\r\nx-api-key: {KEYED_STUB}\r\ncontent-type: application/json\r\n\
             connection: {option}\r\ncontent-length: 11\r\n\r\n{{\"model\":1}}"
        );
        let answer = conn.ask(&request).await;
        assert_eq!((answer.status, &*answer.reason()), (400, "bad_request"), "{option}: {:?}", lab.origin.requests());
        assert_eq!(lab.origin.byte_count(), 0);
    }
    assert_eq!(lab.refusals(), ["bad_request", "bad_request"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_range_by_another_name_is_no_range_either() {
    let lab = Lab::new().await;
    let bearer = format!("Bearer {STUB}");
    for name in ["request-range", "x-ms-range"] {
        let answer = lab.get(API, "/echo", &[("authorization", &bearer), (name, "bytes=0-9")]).await;
        assert_eq!(answer.status, 200);
        let seen = lab.origin.requests().pop().unwrap();
        assert_eq!(seen.header("authorization"), Some(format!("Bearer {REAL}")));
        assert_eq!(seen.header(name), None, "{name}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn no_protocol_asks_for_a_coding_of_its_own() {
    let lab = Lab::new().await;
    let bearer = format!("Bearer {STUB}");
    for name in ["connect-accept-encoding", "grpc-accept-encoding", "a-im"] {
        let answer = lab.get(API, "/echo", &[("authorization", &bearer), (name, "gzip")]).await;
        assert_eq!(answer.status, 200);
        assert_eq!(lab.origin.requests().pop().unwrap().header(name), None, "{name}");
    }
    for (name, status) in [("connect-content-encoding", 200), ("grpc-encoding", 200), ("im", 226)] {
        lab.origin
            .answer_bytes("/coded", format!("HTTP/1.1 {status} OK\r\n{name}: gzip\r\ncontent-length: 5\r\n\r\ncoded"));
        let answer = lab.get(API, "/coded", &[("authorization", &bearer)]).await;
        assert_eq!((answer.status, &*answer.reason()), (502, "response_not_inspectable"), "{name}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_charset_that_is_not_searched_is_not_asked_for_and_not_let_through() {
    let lab = Lab::new().await;
    let lines = [("accept-charset", "utf-16, *"), ("accept", "text/plain")];
    assert_eq!(lab.get(OPEN, "/echo", &lines).await.status, 200);
    let seen = lab.origin.requests().pop().unwrap();
    assert_eq!((seen.header("accept-charset"), seen.header("accept")), (None, Some("text/plain".into())));
    for (kind, is_let_through) in [
        ("text/plain; charset=utf-8", true),
        ("application/json; version=utf-16", true),
        ("text/plain; charset=iso-8859-1", true),
        ("text/plain; charset=utf-16", false),
        ("text/plain;CHARSET = \"UTF-16LE\" ; x=y", false),
        ("text/plain; x=y; charset=\"utf\\-7\"", false),
        ("text/plain; charset=utf-8; charset=utf-32be", false),
        ("text/plain; charset=ISO-10646-UCS-2", false),
        ("text/plain; charset=cp037", false),
    ] {
        lab.origin.answer_bytes(
            "/coded",
            format!("HTTP/1.1 200 OK\r\ncontent-type: {kind}\r\ncontent-length: 5\r\n\r\ncoded"),
        );
        let answer = lab.get(OPEN, "/coded", &[]).await;
        let expected = if is_let_through { (200, "") } else { (502, "response_not_inspectable") };
        assert_eq!((answer.status, &*answer.reason()), expected, "{kind}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_coding_that_stands_second_hides_no_stub() {
    let policy = POLICY.replacen("    credentials: [api]\n", "    credentials: [api]\n    stub_in_body: deny\n", 1);
    let lab = Lab::with(Setup { policy, ..Setup::default() }).await;
    for lines in ["grpc-encoding: identity\r\ngrpc-encoding: gzip\r\n", "connect-content-encoding: gzip\r\n"] {
        let mut conn = Conn::sni(&lab, API, DEVBOT).await;
        let answer =
            conn.ask(&format!("POST /v1 HTTP/1.1\r\nhost: {API}\r\n{lines}content-length: 5\r\n\r\ncoded")).await;
        assert_eq!(&*answer.reason(), "stub_in_body", "{lines}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn trailers_are_held_against_the_value_of_now() {
    let lab = Lab::new().await;
    let rotated = "rotated-secret-of-api-9876543210";
    let says = stream(&lab, "/long");
    let mut conn = Conn::sni(&lab, OPEN, DEVBOT).await;
    says.send(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nfirst\r\n".to_vec()).unwrap();
    conn.send(format!("GET /long HTTP/1.1\r\nhost: {OPEN}\r\nte: trailers\r\n\r\n")).await;
    assert_eq!(conn.head().await.status, 200);
    assert_eq!(conn.exactly(10).await, b"5\r\nfirst\r\n");
    lab.write_secret("api", rotated);
    credential_taken(&lab).await;
    says.send(format!("0\r\nx-echo: {rotated}\r\n\r\n").into_bytes()).unwrap();
    drop(says);
    conn.send("GET /more HTTP/1.1\r\nhost: open.example.test\r\nconnection: close\r\n\r\n").await;
    let got = String::from_utf8(conn.rest().await).unwrap();
    assert!(got.starts_with("0\r\nx-echo: proxy-token-api*"), "{got}");
    assert!(!got.contains(rotated));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_response_that_began_before_there_was_any_credential_is_scrubbed_too() {
    let lab = Lab::with(Setup { secrets: Vec::new(), ..Setup::default() }).await;
    let says = stream(&lab, "/long");
    let mut conn = Conn::sni(&lab, OPEN, DEVBOT).await;
    says.send(format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n", REAL.len() + 1).into()).unwrap();
    conn.send(format!("GET /long HTTP/1.1\r\nhost: {OPEN}\r\n\r\n")).await;
    assert_eq!(conn.head().await.status, 200);
    lab.write_secret("api", REAL);
    credential_taken(&lab).await;
    says.send(format!("{REAL}.").into()).unwrap();
    let mut got = Vec::new();
    while got.len() < REAL.len() + 1 {
        got.extend(conn.some().await);
    }
    assert_eq!(String::from_utf8(got).unwrap(), format!("{SHOWN}."));
}

/// The policy as it is without any credential.
fn without_credentials() -> String {
    let (head, rest) = POLICY.split_once("credentials:\n").unwrap();
    let (_, rules) = rest.split_once("  - name: open\n").unwrap();
    format!("{head}rules:\n  - name: open\n{rules}")
}

#[tokio::test(flavor = "multi_thread")]
async fn the_first_credential_of_a_policy_is_looked_for_in_what_is_under_way() {
    let lab = Lab::with(Setup { policy: without_credentials(), ..Setup::default() }).await;
    let mut open = Vec::new();
    for (path, coding) in
        [("/plain", ""), ("/coded", "content-encoding: gzip\r\n"), ("/inner", "grpc-encoding: gzip\r\n")]
    {
        let says = stream(&lab, path);
        let mut conn = Conn::sni(&lab, OPEN, DEVBOT).await;
        says.send(format!("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n{coding}\r\n3\r\none\r\n").into()).unwrap();
        conn.send(format!("GET {path} HTTP/1.1\r\nhost: {OPEN}\r\n\r\n")).await;
        assert_eq!(conn.head().await.status, 200);
        assert_eq!(conn.exactly(8).await, b"3\r\none\r\n", "nothing is looked at, or altered");
        open.push((says, conn));
    }
    assert_eq!(lab.reload(POLICY).await, "taken");
    for (says, _) in &open {
        says.send(format!("{:x}\r\n{REAL}\r\n", REAL.len()).into()).unwrap();
    }
    let mut got = Vec::new();
    while got.len() < REAL.len() {
        got.extend(open[0].1.some().await);
    }
    let got = String::from_utf8(got).unwrap();
    assert!(got.contains(SHOWN) && !got.contains(REAL), "{got}");
    // What is coded can't be decoded from its middle on.
    for (_, conn) in &mut open[1..] {
        assert_eq!(conn.rest().await, b"");
    }
    let cut = || lab.records().iter().filter(|record| record["reason"] == "response_not_inspectable").count();
    lab.until("both cuts are recorded", || cut() == 2).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_credential_that_a_reload_removes_is_scrubbed_until_what_may_not_go_on_is_over() {
    let timeouts = "drain_seconds: 1, credential_replaced_seconds: 6".into();
    let lab = Lab::with(Setup { timeouts, ..Setup::default() }).await;
    let says = stream(&lab, "/long");
    let mut conn = Conn::sni(&lab, OPEN, DEVBOT).await;
    says.send(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n".to_vec()).unwrap();
    conn.send(format!("GET /long HTTP/1.1\r\nhost: {OPEN}\r\n\r\n")).await;
    assert_eq!(conn.head().await.status, 200);
    let after = std::time::Instant::now();
    assert_eq!(lab.reload(&without_credentials()).await, "taken");
    says.send(format!("{:x}\r\n{REAL}\r\n", REAL.len()).into()).unwrap();
    let mut got = Vec::new();
    while got.len() < REAL.len() {
        got.extend(conn.some().await);
    }
    let got = String::from_utf8(got).unwrap();
    assert!(got.contains(SHOWN) && !got.contains(REAL), "{got}");
    lab.until("it is let go", || lab.appliance.credentials.scrubber().is_empty()).await;
    assert!(after.elapsed().as_secs() >= 5, "what is cut has five seconds");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stub_behind_an_early_answer_is_a_tripwire_too() {
    let policy = POLICY
        .replacen("    credentials: [api]\n", "    credentials: [api]\n    stub_in_body: deny\n", 1)
        .replacen("[\"127.0.0.1/32\"] }", "[\"127.0.0.1/32\"], limits: { quarantine_after_tripwires: 1 } }", 1);
    for origin_h2 in [true, false] {
        let lab = Lab::with(Setup { policy: policy.clone(), origin_h2, ..Setup::default() }).await;
        if origin_h2 {
            lab.origin.answer("/early", |_| Reply::Early(true));
        } else {
            lab.origin.answer("/early", |_| ok("early"));
        }
        let mut conn = Conn::sni(&lab, API, DEVBOT).await;
        conn.send(format!("POST /early HTTP/1.1\r\nhost: {API}\r\ntransfer-encoding: chunked\r\n\r\n5\r\nfirst\r\n"))
            .await;
        if origin_h2 {
            assert_eq!(conn.head().await.status, 200);
        }
        conn.send(format!("{:x}\r\n{STUB}\r\n", STUB.len())).await;
        let _ = conn.rest().await;
        assert!(!String::from_utf8_lossy(&lab.origin.bytes()).contains(STUB), "nothing of it goes out");
        lab.until("the quarantine", || lab.records().iter().any(|record| record["event"] == "quarantined")).await;
        let ends: Vec<_> =
            lab.records().into_iter().filter(|record| record["path"] == "/early" && record["event"] == "end").collect();
        assert_eq!(ends.len(), 1);
        assert_eq!((&ends[0]["reason"], &ends[0]["tripwire"]), (&"stub_in_body".into(), &true.into()), "{:?}", ends[0]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_unfolded_takes_of_the_agents_own_memory() {
    let limits = "refusals_per_second: 100000, inspected_bytes_per_agent: 1000000".to_owned();
    let lab = Lab::with(Setup { limits, ..Setup::default() }).await;
    for (path, size, is_whole) in [("/small", 900_000, true), ("/large", 1_200_000, false), ("/again", 900_000, true)] {
        let mut state = 1_u64;
        let mut random = || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            (state >> 56) as u8
        };
        // Half of it repeats, so that it is no bomb and small enough to be sent at once.
        let text: Vec<u8> = (0..size / 2).flat_map(|_| [random(), b'x']).collect();
        let mut coded = Vec::new();
        let params = brotli::enc::BrotliEncoderParams { quality: 1, ..Default::default() };
        brotli::BrotliCompress(&mut &text[..], &mut coded, &params).unwrap();
        let head = format!("HTTP/1.1 200 OK\r\ncontent-encoding: br\r\ncontent-length: {}\r\n\r\n", coded.len());
        lab.origin.answer_bytes(path, [head.as_bytes(), &coded].concat());
        let answer = lab.get(OPEN, path, &[]).await;
        assert_eq!((answer.status, answer.is_whole), (200, is_whole), "{path}");
        assert!(!is_whole || answer.body == text, "{path}");
        lab.until("it is given back", || lab.appliance.held.bytes() == 0).await;
    }
    let refused = || lab.records().iter().any(|record| record["reason"] == "limit_reached");
    lab.until("the cut is recorded", refused).await;
}

/// The policy with so many requests a minute for devbot alone.
fn a_minute(requests: usize) -> String {
    let line = "devbot: { sources: [\"127.0.0.1/32\"]";
    POLICY.replacen(line, &format!("{line}, limits: {{ requests_per_minute: {requests} }}"), 1)
}

#[tokio::test(flavor = "multi_thread")]
async fn no_agent_writes_records_faster_than_its_requests_a_minute() {
    let lab =
        Lab::with(Setup { policy: a_minute(5), limits: "refusals_per_second: 5".into(), ..Setup::default() }).await;
    let before = lab.records().len();
    let begun = std::time::Instant::now();
    let mut conn = Conn::plain(lab.addresses.http[0], DEVBOT).await;
    for _ in 0..200 {
        assert_eq!(conn.ask("GET /ca.pem HTTP/1.1\r\nhost: stubgate.internal\r\n\r\n").await.status, 200);
    }
    for _ in 0..100 {
        let mut conn = Conn::plain(lab.addresses.proxy[0], DEVBOT).await;
        conn.connect(&format!("{OPEN}:443")).await;
        let mut conn = Conn::plain(lab.addresses.proxy[0], DEVBOT).await;
        conn.socks(&socks_name(OPEN, 443)).await;
        Conn::sni(&lab, OPEN, DEVBOT).await;
    }
    let counted = || -> u64 {
        let records = lab.records();
        let counted = records[before..].iter().filter(|record| record["event"] == "suppressed");
        counted.map(|record| record["count"].as_u64().unwrap()).sum()
    };
    let all =
        || lab.records()[before..].iter().filter(|record| record["event"] != "suppressed").count() as u64 + counted();
    // The tunnels that were let open and then dropped leave a record more.
    lab.until("each is recorded or counted", || all() >= 500).await;
    let records = lab.records().split_off(before);
    let allowed = records.iter().filter(|record| record["event"] == "allowed").count();
    let most = 6 + usize::try_from(begun.elapsed().as_secs() / 12).unwrap();
    assert!((5..=most).contains(&allowed), "{allowed} allowed of an agent that may ask five times a minute");
    assert!(records.len() < 250, "{} records", records.len());
    let answers = |event: &str| records.iter().filter(|r| r["event"] == event && r["decision"] == "answer").count();
    assert!(answers("answered") >= 5 && answers("suppressed") >= 1, "{records:?}");
    let mut other = Conn::sni(&lab, OPEN, OTHERBOT).await;
    assert_eq!(other.ask(&format!("GET /x HTTP/1.1\r\nhost: {OPEN}\r\n\r\n")).await.status, 200, "nobody else notices");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_and_its_first_request_count_as_one_request() {
    for way in Way::ALL {
        // One more is allowed after thirty seconds.
        let lab = Lab::with(Setup { policy: a_minute(2), ..Setup::default() }).await;
        for _ in 0..2 {
            let mut conn = way.open(&lab).await;
            let answer = conn.ask(&way.fill("GET {at}/x HTTP/1.1\r\nhost: {host}\r\n\r\n")).await;
            assert_eq!(answer.status, 200, "{way:?}");
        }
    }
    // A second request on a connection counts for itself.
    let lab = Lab::with(Setup { policy: a_minute(2), ..Setup::default() }).await;
    let mut last = Way::Tunnel.open(&lab).await;
    let get = Way::Tunnel.fill("GET /x HTTP/1.1\r\nhost: {host}\r\n\r\n");
    assert_eq!(last.ask(&get).await.status, 200);
    assert_eq!(last.ask(&get).await.status, 200);
    assert_eq!(last.ask(&get).await.reason(), "limit_reached");
    let answer = Conn::plain(lab.addresses.proxy[0], DEVBOT).await.connect(&format!("{OPEN}:443")).await;
    assert_eq!((answer.status, answer.header("x-stubgate-limit").as_deref()), (429, Some("requests_per_minute")));
    let wait: u64 = answer.header("retry-after").unwrap().parse().unwrap();
    assert!((1..=30).contains(&wait), "{wait}");
    let code = Conn::plain(lab.addresses.proxy[0], DEVBOT).await.socks(&socks_name(OPEN, 443)).await;
    assert_eq!(code, 1, "general failure: another try may work");
}
