//! Credentials go out only in a declared slot, for a whole stub, of an agent that is granted it (law 3; CR-*).

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use crate::client::{Conn, PATIENCE, Way};
use crate::lab::{DEVBOT, KEYED_REAL, KEYED_STUB, LOST_STUB, Lab, OTHER_REAL, OTHER_STUB, OTHERBOT, REAL, STUB, Setup};
use crate::origin::Reply;

const API: &str = "api.example.test";

async fn ask(lab: &Lab, from: &str, host: &str, path: &str, lines: &str) -> crate::client::Answer {
    let mut conn = Conn::sni(lab, host, from).await;
    conn.ask(&format!("GET {path} HTTP/1.1\r\nhost: {host}\r\n{lines}\r\n")).await
}

async fn refused(lab: &Lab, from: &str, host: &str, path: &str, lines: &str, reason: &str) {
    let case = format!("{from} {host}{path} {lines:?}");
    lab.refusals();
    let before = lab.origin.byte_count();
    let answer = ask(lab, from, host, path, lines).await;
    assert_eq!(answer.reason(), reason, "{case}: {answer:?}");
    assert!(matches!(answer.status, 400 | 403), "{case}");
    assert_eq!(lab.refusals(), [reason], "{case}");
    assert_eq!(lab.origin.byte_count(), before, "{case}");
}

fn basic(pair: &str) -> String {
    STANDARD.encode(pair)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stub_goes_only_where_and_for_whom_it_is_granted() {
    let lab = Lab::new().await;
    let bearer = |stub: &str| format!("authorization: Bearer {stub}\r\n");
    for (from, host, stub, reason, case) in [
        (DEVBOT, "open.example.test", STUB, "stub_wrong_host", "CR-11 an allowed host, not its own"),
        (DEVBOT, "keyed.example.test", STUB, "stub_wrong_host", "CR-11 a host of another credential"),
        (DEVBOT, API, KEYED_STUB, "stub_wrong_host", "CR-11 the other way round"),
        (DEVBOT, API, OTHER_STUB, "stub_not_granted", "CR-20 another agent's stub"),
        (OTHERBOT, "open.example.test", OTHER_STUB, "stub_wrong_host", "CR-20 its own stub elsewhere"),
    ] {
        println!("{case}");
        refused(&lab, from, host, "/x", &bearer(stub), reason).await;
    }
    refused(&lab, DEVBOT, "keyed.example.test", "/x", &bearer(KEYED_STUB), "stub_out_of_slot").await;
    let answer = ask(&lab, OTHERBOT, API, "/x", &bearer(OTHER_STUB)).await;
    assert_eq!(answer.status, 200);
    let seen = lab.origin.requests().pop().unwrap();
    assert_eq!(seen.header("authorization").unwrap(), format!("Bearer {OTHER_REAL}"));
    lab.is_well("CR-11, CR-20").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn each_declared_slot_is_swapped_and_written_canonically() {
    let lab = Lab::new().await;
    let real_pair = |user: &str| format!("Basic {}", basic(&format!("{user}:{REAL}")));
    for (value, expected) in [
        (format!("Bearer {STUB}"), format!("Bearer {REAL}")),
        (format!("bearer {STUB}"), format!("Bearer {REAL}")),
        (format!("BEARER {STUB} \t"), format!("Bearer {REAL}")),
        (format!("Token {STUB}"), format!("token {REAL}")),
        (format!("Basic {}", basic(&format!("git:{STUB}"))), real_pair("git")),
        (format!("bAsIc {}", basic(&format!("git:{STUB}")).trim_end_matches('=')), real_pair("git")),
        (format!("Basic {}", basic(&format!(":{STUB}"))), real_pair("")),
        (format!("Basic {}", basic(&format!("{STUB}:"))), format!("Basic {}", basic(&format!("{REAL}:")))),
        (
            format!("Basic {}", basic(&format!("{STUB}:x-oauth-basic"))),
            format!("Basic {}", basic(&format!("{REAL}:x-oauth-basic"))),
        ),
    ] {
        let answer = ask(&lab, DEVBOT, API, "/x", &format!("authorization: {value}\r\n")).await;
        assert_eq!(answer.status, 200, "CR-16 {value}: {answer:?}");
        let seen = lab.origin.requests().pop().unwrap();
        assert_eq!(seen.header("authorization"), Some(expected), "{value}");
        assert_eq!(seen.sni, API);
    }
    for slot in ["x-api-key", "X-Corp-Token"] {
        let answer = ask(&lab, DEVBOT, "keyed.example.test", "/x", &format!("{slot}: {KEYED_STUB}\r\n")).await;
        assert_eq!(answer.status, 200);
        assert_eq!(lab.origin.requests().pop().unwrap().header(slot).unwrap(), KEYED_REAL);
    }
    let written = std::fs::read_to_string(lab.audit_path()).unwrap() + &lab.metrics();
    assert!(!written.contains(REAL) && !written.contains(KEYED_REAL), "law 4");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_without_a_credential_goes_on_without() {
    let lab = Lab::new().await;
    assert_eq!(ask(&lab, DEVBOT, API, "/x", "").await.status, 200);
    assert!(!lab.origin.requests()[0].head.contains("authorization"));
}

#[tokio::test(flavor = "multi_thread")]
async fn ranges_do_not_travel_beside_a_credential() {
    let lab = Lab::new().await;
    let lines = format!("authorization: Bearer {STUB}\r\nrange: bytes=0-7\r\nif-range: x\r\n");
    assert_eq!(ask(&lab, DEVBOT, API, "/x", &lines).await.status, 200);
    let seen = lab.origin.requests().pop().unwrap();
    assert!(!seen.head.contains("range"), "CR-08 {}", seen.head);
    assert_eq!(ask(&lab, DEVBOT, API, "/x", "range: bytes=0-7\r\n").await.status, 200);
    assert!(lab.origin.requests().pop().unwrap().head.contains("range: bytes=0-7"));
}

#[tokio::test(flavor = "multi_thread")]
async fn proxy_authorization_never_travels() {
    let lab = Lab::new().await;
    for way in Way::ALL {
        let lines = "proxy-authorization: Basic eDp5\r\n";
        let request = way.fill(&format!("GET {{at}}/x HTTP/1.1\r\nhost: {{host}}\r\n{lines}\r\n"));
        assert_eq!(way.open(&lab).await.ask(&request).await.status, 200, "CR-18 {way:?}");
    }
    assert!(!String::from_utf8_lossy(&lab.origin.bytes()).contains("eDp5"));
}

#[tokio::test(flavor = "multi_thread")]
async fn redirects_are_not_followed_and_carry_no_credential() {
    let lab = Lab::new().await;
    lab.origin.answer_bytes(
        "/moved",
        "HTTP/1.1 302 Found\r\nlocation: https://open.example.test/landing\r\ncontent-length: 0\r\n\r\n",
    );
    let lines = format!("authorization: Bearer {STUB}\r\n");
    let answer = ask(&lab, DEVBOT, API, "/moved", &lines).await;
    assert_eq!(answer.status, 302, "CR-10");
    assert_eq!(lab.origin.requests().len(), 1);
    refused(&lab, DEVBOT, "open.example.test", "/landing", &lines, "stub_wrong_host").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_missing_credential_is_a_refusal_and_nothing_is_sent() {
    let lab = Lab::new().await;
    lab.refusals();
    let answer = ask(&lab, DEVBOT, "lost.example.test", "/x", &format!("authorization: Bearer {LOST_STUB}\r\n")).await;
    assert_eq!((answer.status, &*answer.reason()), (503, "credential_missing"));
    assert_eq!(lab.refusals(), ["credential_missing"]);
    assert_eq!(lab.origin.connections(), 0, "nothing is even dialled");
    // It comes.
    lab.write_secret("lost", "found-again-0123456789\n");
    lab.until("the secret is read", || lab.appliance.credentials.available("lost")).await;
    let answer = ask(&lab, DEVBOT, "lost.example.test", "/x", &format!("authorization: Bearer {LOST_STUB}\r\n")).await;
    assert_eq!(answer.status, 200);
    assert_eq!(lab.origin.requests()[0].header("authorization").unwrap(), "Bearer found-again-0123456789");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_secret_that_would_break_a_header_is_never_used() {
    let secrets = vec![("api", "line\nbreak-0123456789".to_owned()), ("keyed", "nul\0-0123456789".into())];
    let lab = Lab::with(Setup { secrets, ..Setup::default() }).await;
    for (host, line) in
        [(API, format!("authorization: Bearer {STUB}")), ("keyed.example.test", format!("x-api-key: {KEYED_STUB}"))]
    {
        let answer = ask(&lab, DEVBOT, host, "/x", &format!("{line}\r\n")).await;
        assert_eq!((answer.status, &*answer.reason()), (503, "credential_missing"), "CR-19 {host}");
    }
    assert_eq!(lab.origin.byte_count(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rotated_secret_is_used_by_the_next_request() {
    let lab = Lab::new().await;
    lab.is_well("the start").await;
    let mut conn = Conn::sni(&lab, API, DEVBOT).await;
    let request = format!("GET /x HTTP/1.1\r\nhost: {API}\r\nauthorization: Bearer {STUB}\r\n\r\n");
    conn.ask(&request).await;
    lab.write_secret("api", "rotated-secret-0123456789");
    let last = || lab.origin.requests().pop().unwrap().header("authorization").unwrap();
    let rotating = async {
        while last() != "Bearer rotated-secret-0123456789" {
            assert_eq!(conn.ask(&request).await.status, 200);
        }
    };
    tokio::time::timeout(PATIENCE, rotating).await.expect("CR-24: the new secret");
    // A broken file keeps the last good one.
    lab.write_secret("api", "");
    lab.write_secret("keyed", "rotated-key-0123456789");
    let rotating = async {
        loop {
            ask(&lab, DEVBOT, "keyed.example.test", "/x", &format!("x-api-key: {KEYED_STUB}\r\n")).await;
            if lab.origin.requests().pop().unwrap().header("x-api-key").unwrap() == "rotated-key-0123456789" {
                return;
            }
        }
    };
    tokio::time::timeout(PATIENCE, rotating).await.expect("the other secret's reload");
    assert_eq!(conn.ask(&request).await.status, 200);
    assert_eq!(last(), "Bearer rotated-secret-0123456789", "CR-19");
}

#[tokio::test(flavor = "multi_thread")]
async fn stubs_in_bodies_are_counted_never_swapped_and_may_be_denied() {
    let lab = Lab::new().await;
    let body = format!("{{\"history\":\"{STUB} and {STUB}\"}}");
    let mut conn = Conn::sni(&lab, API, DEVBOT).await;
    let head = format!("POST /x HTTP/1.1\r\nhost: {API}\r\nauthorization: Bearer {STUB}\r\n");
    let answer = conn.ask(&format!("{head}content-length: {}\r\n\r\n{body}", body.len())).await;
    assert_eq!(answer.status, 200);
    assert_eq!(lab.origin.requests()[0].body, body.as_bytes(), "CR-02");
    let counted = || lab.records().iter().any(|record| record["stubs_in_body"] == 2);
    lab.until("the end is recorded with its count", counted).await;
    // A rule that denies them: what completes the stub is not sent, however it is cut.
    let denying =
        crate::lab::POLICY.replacen("    credentials: [api]\n", "    credentials: [api]\n    stub_in_body: deny\n", 1);
    assert_eq!(lab.reload(&denying).await, "taken");
    for cut in 0..STUB.len() {
        lab.refusals();
        let whole = lab.origin.requests().len();
        let mut conn = Conn::sni(&lab, API, DEVBOT).await;
        let (front, back) = STUB.split_at(cut);
        let chunks: String = [front, back]
            .iter()
            .filter(|part| !part.is_empty())
            .map(|part| format!("{:x}\r\n{part}\r\n", part.len()))
            .collect();
        let answer = conn.ask(&format!("{head}transfer-encoding: chunked\r\n\r\n{chunks}0\r\n\r\n")).await;
        assert_eq!((answer.status, &*answer.reason()), (403, "stub_in_body"), "cut at {cut}");
        assert_eq!(lab.refusals(), ["stub_in_body"]);
        assert_eq!(lab.origin.requests().len(), whole, "cut at {cut}");
    }
    let encoded = format!("{head}content-encoding: gzip\r\ncontent-length: 3\r\n\r\nabc");
    let answer = Conn::sni(&lab, API, DEVBOT).await.ask(&encoded).await;
    assert_eq!(answer.reason(), "stub_in_body", "CR-26: what can't be inspected is refused");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_secret_is_put_in_only_after_the_origin_proved_who_it_is() {
    let lab = Lab::with(Setup { distrusted: true, ..Setup::default() }).await;
    lab.refusals();
    let answer = ask(&lab, DEVBOT, API, "/x", &format!("authorization: Bearer {STUB}\r\n")).await;
    assert_eq!((answer.status, &*answer.reason()), (502, "upstream_tls"), "TL-17, CR-25");
    assert_eq!(lab.refusals(), ["upstream_tls"]);
    assert_eq!(lab.origin.byte_count(), 0);
    assert!(!lab.records().iter().any(|record| record["event"] == "begin"), "the secret was not used");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_use_of_a_secret_is_recorded_before_the_origin_gets_a_byte() {
    let lab = Lab::new().await;
    let audit = lab.audit_path();
    lab.origin.answer("/begun", move |_| {
        let records = std::fs::read_to_string(&audit).unwrap();
        let begun = records.lines().any(|line| line.contains("\"begin\"") && line.contains("/begun"));
        Reply::Bytes(if begun {
            b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n".to_vec()
        } else {
            b"HTTP/1.1 500 No\r\ncontent-length: 0\r\n\r\n".to_vec()
        })
    });
    let answer = ask(&lab, DEVBOT, API, "/begun", &format!("authorization: Bearer {STUB}\r\n")).await;
    assert_eq!(answer.status, 200, "LO-04");
    let begun: Vec<_> = lab.records().into_iter().filter(|record| record["event"] == "begin").collect();
    assert_eq!(begun.len(), 1);
    assert_eq!((&begun[0]["credential"], &begun[0]["rule"]), (&"api".into(), &"api".into()));
}
