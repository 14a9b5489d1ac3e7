//! Upgrades (WS-*): a tunnel only for a WebSocket, only where granted, and only after a correct 101.

use std::sync::Mutex;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use sha1::{Digest, Sha1};
use tokio::sync::mpsc;

use crate::client::{Conn, Way};
use crate::frames::masked;
use crate::lab::{DEVBOT, Lab, REAL, STUB};
use crate::origin::{Origin, Reply};

const KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";
const UPGRADE: &str = "connection: Upgrade\r\nupgrade: websocket\r\nsec-websocket-version: 13\r\n\
                       sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n";

fn accept(key: &str) -> String {
    STANDARD.encode(Sha1::digest(format!("{key}258EAFA5-E914-47DA-95CA-C5AB0DC85B11")))
}

pub(crate) fn switching(lines: &str) -> String {
    format!(
        "HTTP/1.1 101 Switching Protocols\r\nconnection: Upgrade\r\nupgrade: websocket\r\nsec-websocket-accept: {}\r\n\
         {lines}\r\n",
        accept(KEY)
    )
}

/// An origin that switches and then says what the test says.
pub(crate) fn switches(origin: &Origin, path: &str) -> mpsc::UnboundedSender<Vec<u8>> {
    switches_with(origin, path, "")
}

/// The same with more lines in its head.
pub(crate) fn switches_with(origin: &Origin, path: &str, lines: &str) -> mpsc::UnboundedSender<Vec<u8>> {
    let (says, receiver) = mpsc::unbounded_channel();
    says.send(switching(lines).into_bytes()).unwrap();
    let receiver = Mutex::new(Some(receiver));
    origin.answer(path, move |_| Reply::Stream(receiver.lock().unwrap().take().unwrap()));
    says
}

pub(crate) fn handshake(way: Way, path: &str) -> String {
    way.fill(&format!("GET {{at}}{path} HTTP/1.1\r\nhost: {{host}}\r\n{UPGRADE}\r\n"))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_correct_101_makes_a_tunnel_both_ways() {
    let lab = Lab::new().await;
    for (number, way) in Way::ALL.into_iter().enumerate() {
        let path = format!("/ws{number}");
        let says = switches(&lab.origin, &path);
        let mut conn = way.open(&lab).await;
        let answer = conn.ask(&handshake(way, &path)).await;
        assert_eq!((answer.status, answer.header("sec-websocket-accept")), (101, Some(accept(KEY))), "{way:?}");
        says.send(b"\x81\x02hi".into()).unwrap();
        assert_eq!(conn.exactly(4).await, b"\x81\x02hi");
        let frame = masked(0x81, b"hello");
        conn.send(&frame).await;
        let arrived =
            || lab.origin.bytes().windows(frame.len()).filter(|window| *window == frame).count() == number + 1;
        lab.until("the frame arrives", arrived).await;
        drop(says);
        assert!(conn.is_over().await);
    }
    assert!(!String::from_utf8_lossy(&lab.origin.bytes()).contains(REAL));
    let ends = || lab.records().iter().filter(|record| record["event"] == "end" && record["status"] == 101).count();
    lab.until("WS-03: each tunnel has its end", || ends() == Way::ALL.len()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_websocket_with_a_stub_gets_the_credential_in_its_handshake() {
    let lab = Lab::new().await;
    let _says = switches(&lab.origin, "/ws");
    let mut conn = Conn::sni(&lab, "api.example.test", DEVBOT).await;
    let request =
        format!("GET /ws HTTP/1.1\r\nhost: api.example.test\r\nauthorization: Bearer {STUB}\r\n{UPGRADE}\r\n");
    assert_eq!(conn.ask(&request).await.status, 101);
    let seen = lab.origin.requests().pop().unwrap();
    assert_eq!(seen.header("authorization").unwrap(), format!("Bearer {REAL}"));
    assert_eq!(seen.header("upgrade").as_deref(), Some("websocket"));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_follows_a_handshake_without_a_101_reaches_nobody() {
    let lab = Lab::new().await;
    let cases = [
        ("200", "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok".to_owned(), 200),
        ("400", "HTTP/1.1 400 Bad\r\ncontent-length: 0\r\n\r\n".to_owned(), 400),
        ("101 without a proof", "HTTP/1.1 101 X\r\nconnection: Upgrade\r\nupgrade: websocket\r\n\r\n".to_owned(), 502),
        ("101 with another proof", switching("").replace(&accept(KEY), &accept("other")), 502),
        ("101 to something else", switching("").replace("upgrade: websocket", "upgrade: h2c"), 502),
        ("101 without Connection", switching("").replace("connection: Upgrade\r\n", ""), 502),
        (
            "101 with two proofs",
            switching("").replace("upgrade: websocket\r\n", "upgrade: websocket\r\nupgrade: h2c\r\n"),
            502,
        ),
    ];
    for (name, response, status) in cases {
        for way in Way::ALL {
            lab.origin.answer_bytes("/ws", response.clone());
            lab.refusals();
            let mut conn = way.open(&lab).await;
            let hidden = "GET /hidden HTTP/1.1\r\nhost: evil.example.test\r\n\r\n";
            conn.send(handshake(way, "/ws") + hidden).await;
            let answer = conn.answer(false).await;
            assert_eq!(answer.status, status, "WS-01 {name} {way:?}: {answer:?}");
            assert!(conn.is_over().await, "WS-01 {name} {way:?}");
            assert_eq!(lab.refusals().len(), usize::from(status == 502), "WS-03 {name}");
            assert!(!String::from_utf8_lossy(&lab.origin.bytes()).contains("/hidden"), "{name} {way:?}");
        }
        lab.is_well(name).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn other_upgrades_and_malformed_handshakes_are_refused() {
    let lab = Lab::new().await;
    for (name, lines) in [
        ("WS-05 foo", "connection: upgrade\r\nupgrade: foo\r\n".to_owned()),
        ("WS-05 h2c", "connection: upgrade\r\nupgrade: h2c\r\n".into()),
        ("WS-05 TLS/1.0", "connection: upgrade\r\nupgrade: TLS/1.0\r\n".into()),
        ("WS-05 connect-udp", "connection: upgrade\r\nupgrade: connect-udp\r\n".into()),
        ("WS-05 several", UPGRADE.replace("upgrade: websocket", "upgrade: websocket, h2c")),
        ("WS-05 two headers", format!("{UPGRADE}upgrade: h2c\r\n")),
        ("no Connection", UPGRADE.replace("connection: Upgrade\r\n", "")),
        ("another version", UPGRADE.replace("version: 13", "version: 8")),
        ("no key", UPGRADE.replace(&format!("sec-websocket-key: {KEY}\r\n"), "")),
        ("a short key", UPGRADE.replace(KEY, "c2hvcnQ=")),
        ("two keys", format!("{UPGRADE}sec-websocket-key: {KEY}\r\n")),
        ("WS-02 a body", format!("{UPGRADE}content-length: 3\r\n")),
        ("WS-02 a chunked body", format!("{UPGRADE}transfer-encoding: chunked\r\n")),
    ] {
        for way in Way::ALL {
            lab.refusals();
            let before = lab.origin.byte_count();
            let mut conn = way.open(&lab).await;
            let request = way.fill(&format!("GET {{at}}/ws HTTP/1.1\r\nhost: {{host}}\r\n{lines}\r\n"));
            let answer = conn.ask(&request).await;
            assert_eq!((answer.status, &*answer.reason()), (400, "bad_request"), "{name} {way:?}");
            assert_eq!(lab.refusals(), ["bad_request"], "{name}");
            assert_eq!(lab.origin.byte_count(), before, "{name}");
        }
    }
    let post = Way::Sni.fill(&format!("POST /ws HTTP/1.1\r\nhost: {{host}}\r\n{UPGRADE}content-length: 0\r\n\r\n"));
    assert_eq!(Way::Sni.open(&lab).await.ask(&post).await.status, 400, "WS-02");
    lab.is_well("WS-05").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_websocket_needs_its_own_grant() {
    let lab = Lab::new().await;
    lab.refusals();
    let mut conn = Conn::sni(&lab, "paths.example.test", DEVBOT).await;
    let answer = conn.ask(&format!("GET /v1/ws HTTP/1.1\r\nhost: paths.example.test\r\n{UPGRADE}\r\n")).await;
    assert_eq!((answer.status, &*answer.reason()), (403, "method_not_allowed"), "GET does not imply it");
    assert_eq!(lab.refusals(), ["method_not_allowed"]);
    assert_eq!(lab.origin.byte_count(), 0);
}
