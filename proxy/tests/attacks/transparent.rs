//! `transparent` listeners: TLS and plain HTTP on one port, and an original destination that decides nothing. That the
//! system's redirection is understood is shown in the lab, where there is one.

use std::time::{Duration, Instant};

use tokio::io::AsyncWriteExt;

use crate::client::{Conn, Way, tcp, tls};
use crate::lab::{DEVBOT, Lab, POLICY, STRANGER, Setup};

#[tokio::test(flavor = "multi_thread")]
async fn every_record_has_the_original_destination_and_nothing_else_does() {
    let lab = Lab::new().await;
    let listener = lab.addresses.transparent[0];
    let original = listener.to_string();
    for way in [Way::Redirected, Way::RedirectedPlain] {
        let request = way.fill("GET {at}/x HTTP/1.1\r\nhost: {host}\r\n\r\n");
        assert_eq!(way.open(&lab).await.ask(&request).await.status, 200, "{way:?}");
        let request = "GET /x HTTP/1.1\r\nhost: evil.example.test\r\n\r\n";
        assert!(matches!(way.open(&lab).await.ask(request).await.status, 403 | 421), "{way:?}");
        let request = way.fill("GET {at}/x HTTP/1.1\r\nhost: {host}\r\nhost: {host}\r\n\r\n");
        assert_eq!(way.open(&lab).await.ask(&request).await.status, 400, "{way:?}");
    }
    assert!(tls(tcp(listener, DEVBOT).await, &lab.h1, "evil.example.test").await.is_err());
    let mut odd = Conn::plain(listener, DEVBOT).await;
    odd.send(b"\0\0").await;
    odd.rest().await;
    let dialled = lab.origin.connections();
    assert_eq!(dialled, 2, "only what is allowed was dialled, and by its name");
    lab.until("the ends", || lab.records().iter().filter(|record| record["event"] == "end").count() == 2).await;
    let records = lab.records();
    let of_agents = || records.iter().filter(|record| record["peer"].is_string());
    assert!(of_agents().count() >= 12, "{records:?}");
    for record in of_agents() {
        assert_eq!(record["original_destination"], *original, "{record}");
        assert_ne!(record["upstream"], *original);
    }
    lab.is_well("transparent").await;
    let last = lab.records().pop().unwrap();
    assert!(last["original_destination"].is_null(), "not where nothing is redirected: {last}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_first_byte_tells_tls_from_http_and_all_else_is_closed() {
    let lab = Lab::new().await;
    let to = lab.addresses.transparent[0];
    for (bytes, status) in [
        (&b"\x05\x01\x00"[..], None),
        (b"\x04\x01\x01\xbb\x0a\0\0\x05\0", None),
        (b"\x80\x2e\x01\x00\x02\x00\x15\x00\x00\x00\x10", None),
        (b"\x00\xff", None),
        (b"\x16\x03\x01\x00\x05hello", None),
        (b"SSH-2.0-OpenSSH_9.2\r\n\r\n", Some(&b"HTTP/1.1 400"[..])),
        (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", Some(b"HTTP/1.1 505")),
        (b"CONNECT open.example.test:443 HTTP/1.1\r\nhost: open.example.test:443\r\n\r\n", Some(b"HTTP/1.1 400")),
    ] {
        lab.refusals();
        let mut conn = Conn::plain(to, DEVBOT).await;
        conn.send(bytes).await;
        let _ = conn.io.shutdown().await;
        let said = conn.rest().await;
        match status {
            Some(status) => assert!(said.starts_with(status), "{bytes:?}"),
            None => assert!(said.len() <= 7, "TL-16 {bytes:?}: {said:?}"),
        }
        assert_eq!(lab.refusals(), ["bad_request"], "TL-16 {bytes:?}");
    }
    assert_eq!(lab.origin.connections(), 0);
    lab.is_well("TL-16").await;
}

/// The address that a connection was for is no name: a rule for it opens nothing here.
#[tokio::test(flavor = "multi_thread")]
async fn the_original_destination_is_not_a_name() {
    let lab = Lab::new().await;
    let to = lab.addresses.transparent[0];
    let rule = format!(
        "  - name: by-address\n    agents: [devbot]\n    hosts: [\"10.0.0.5:8006\", \"{to}\", \"127.0.0.1\"]\n    methods: [GET]\n"
    );
    assert_eq!(lab.reload(&format!("{POLICY}{rule}")).await, "taken");
    lab.refusals();
    for address in ["127.0.0.1", "10.0.0.5"] {
        // An address is sent without SNI.
        assert!(tls(tcp(to, DEVBOT).await, &lab.h1, address).await.is_err());
        assert_eq!(lab.refusals(), ["bad_authority"], "TL-01 {address}");
    }
    assert_eq!(lab.origin.connections(), 0);
    lab.is_well("TL-01").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn strangers_and_the_silent_are_ended() {
    let timeouts = "drain_seconds: 1, handshake_seconds: 1, header_seconds: 1".into();
    let lab = Lab::with(Setup { timeouts, ..Setup::default() }).await;
    let to = lab.addresses.transparent[0];
    let request = "GET /x HTTP/1.1\r\nhost: plain.example.test\r\n\r\n";
    assert_eq!(Conn::plain(to, STRANGER).await.ask(request).await.reason(), "unknown_agent", "CR-21");
    assert!(tls(tcp(to, STRANGER).await, &lab.h1, "open.example.test").await.is_err());
    assert_eq!(lab.refusals(), ["unknown_agent", "unknown_agent"]);
    let start = Instant::now();
    let mut silent = Conn::plain(to, DEVBOT).await;
    let mut three = Conn::plain(to, DEVBOT).await;
    three.send(b"\x16\x03\x01").await;
    for conn in [&mut silent, &mut three] {
        conn.rest().await;
        assert!(start.elapsed() < Duration::from_secs(4), "RE-02: {:?}", start.elapsed());
    }
    assert_eq!(lab.refusals(), ["limit_reached", "limit_reached"]);
    lab.is_well("RE-02").await;
}
