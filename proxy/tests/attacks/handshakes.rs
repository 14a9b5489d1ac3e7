//! ClientHellos (TL-*): no certificate is minted, and nothing dialled, before policy has said that this agent may reach the name.

use std::sync::Arc;

use rustls::HandshakeKind;

use crate::client::{Conn, PATIENCE, tcp, tls};
use crate::hello::named;
use crate::lab::{DEVBOT, Lab};

#[tokio::test(flavor = "multi_thread")]
async fn an_allowed_name_in_other_spellings_gets_as_far_as_the_handshake() {
    let lab = Lab::new().await;
    for name in [&b"open.example.test"[..], b"OPEN.Example.TEST", b"open.example.test."] {
        let mut conn = Conn::plain(lab.addresses.https[0], DEVBOT).await;
        conn.send(named(&[(0, name)])).await;
        let said = conn.some().await;
        assert_eq!(said[..2], [0x16, 3], "TL-04 {name:?}: a ServerHello: {said:?}");
    }
    assert_eq!(lab.appliance.minter.minted_total(), 1, "one name, one certificate");
    assert!(lab.refusals().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn other_protocols_on_a_port_are_closed_without_a_byte_to_an_origin() {
    let lab = Lab::new().await;
    for bytes in [
        &b"GET / HTTP/1.1\r\nhost: open.example.test\r\n\r\n"[..],
        b"SSH-2.0-OpenSSH_9.2p1\r\n",
        b"\x05\x01\x00",
        b"\x80\x2e\x01\x00\x02\x00\x15\x00\x00\x00\x10",
        b"\x00\xff\x00\xff\x00\xff",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    ] {
        lab.refusals();
        let mut conn = Conn::plain(lab.addresses.https[0], DEVBOT).await;
        conn.send(bytes).await;
        let _ = tokio::io::AsyncWriteExt::shutdown(&mut conn.io).await;
        let said = conn.rest().await;
        assert!(said.len() <= 7, "TL-16 {bytes:?}: {said:?}");
        assert_eq!(lab.refusals(), ["bad_request"], "TL-16 {bytes:?}");
    }
    // TLS where plain HTTP is spoken.
    for to in [lab.addresses.http[0], lab.addresses.proxy[0]] {
        let mut conn = Conn::plain(to, DEVBOT).await;
        conn.send(named(&[(0, b"open.example.test")])).await;
        let _ = tokio::io::AsyncWriteExt::shutdown(&mut conn.io).await;
        let said = conn.rest().await;
        assert!(said.is_empty() || said.starts_with(b"HTTP/1.1 400"), "TL-16: {said:?}");
    }
    assert_eq!(lab.origin.connections(), 0);
    lab.is_well("TL-16").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_for_one_name_is_not_resumed_for_another() {
    let lab = Lab::new().await;
    let kind = async |name: &str| {
        let mut io = tls(tcp(lab.addresses.https[0], DEVBOT).await, &lab.h1, name).await.unwrap();
        let kind = io.get_ref().1.handshake_kind();
        // The ticket comes with the first bytes.
        let request = format!("GET /x HTTP/1.1\r\nhost: {name}\r\nconnection: close\r\n\r\n");
        tokio::io::AsyncWriteExt::write_all(&mut io, request.as_bytes()).await.unwrap();
        let mut answer = Vec::new();
        let _ = tokio::io::AsyncReadExt::read_to_end(&mut io, &mut answer).await;
        assert!(answer.starts_with(b"HTTP/1.1 200"), "{name}");
        kind.unwrap()
    };
    assert_eq!(kind("open.example.test").await, HandshakeKind::Full);
    assert_eq!(kind("open.example.test").await, HandshakeKind::Resumed);
    assert_eq!(kind("a.wild.example.test").await, HandshakeKind::Full);
    // A client that offers the ticket of another name: rustls keeps tickets by name, so one is made that does not.
    let mut sloppy = (*lab.h1).clone();
    sloppy.resumption =
        rustls::client::Resumption::store(Arc::new(AnyName(rustls::client::ClientSessionMemoryCache::new(8))));
    let sloppy = Arc::new(sloppy);
    let mut kinds = Vec::new();
    for name in ["open.example.test", "open.example.test", "a.wild.example.test"] {
        let mut io = tls(tcp(lab.addresses.https[0], DEVBOT).await, &sloppy, name).await.unwrap();
        kinds.push(io.get_ref().1.handshake_kind().unwrap());
        let request = format!("GET /x HTTP/1.1\r\nhost: {name}\r\nconnection: close\r\n\r\n");
        tokio::io::AsyncWriteExt::write_all(&mut io, request.as_bytes()).await.unwrap();
        let mut answer = Vec::new();
        let _ = tokio::io::AsyncReadExt::read_to_end(&mut io, &mut answer).await;
        assert!(answer.starts_with(b"HTTP/1.1 200"), "{name}: {}", String::from_utf8_lossy(&answer));
    }
    assert_eq!(kinds, [HandshakeKind::Full, HandshakeKind::Resumed, HandshakeKind::Full], "TL-11");
}

/// Offers whatever ticket it has for whatever name.
#[derive(Debug)]
struct AnyName(rustls::client::ClientSessionMemoryCache);

fn one_name() -> rustls_pki_types::ServerName<'static> {
    rustls_pki_types::ServerName::try_from("any.test").unwrap()
}

impl rustls::client::ClientSessionStore for AnyName {
    fn set_kx_hint(&self, _: rustls_pki_types::ServerName<'static>, group: rustls::NamedGroup) {
        self.0.set_kx_hint(one_name(), group);
    }
    fn kx_hint(&self, _: &rustls_pki_types::ServerName<'_>) -> Option<rustls::NamedGroup> {
        self.0.kx_hint(&one_name())
    }
    fn set_tls12_session(
        &self,
        _: rustls_pki_types::ServerName<'static>,
        value: rustls::client::Tls12ClientSessionValue,
    ) {
        self.0.set_tls12_session(one_name(), value);
    }
    fn tls12_session(&self, _: &rustls_pki_types::ServerName<'_>) -> Option<rustls::client::Tls12ClientSessionValue> {
        self.0.tls12_session(&one_name())
    }
    fn remove_tls12_session(&self, _: &rustls_pki_types::ServerName<'static>) {
        self.0.remove_tls12_session(&one_name());
    }
    fn insert_tls13_ticket(
        &self,
        _: rustls_pki_types::ServerName<'static>,
        value: rustls::client::Tls13ClientSessionValue,
    ) {
        self.0.insert_tls13_ticket(one_name(), value);
    }
    fn take_tls13_ticket(
        &self,
        _: &rustls_pki_types::ServerName<'static>,
    ) -> Option<rustls::client::Tls13ClientSessionValue> {
        self.0.take_tls13_ticket(&one_name())
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_protocol_is_the_one_that_was_agreed_on() {
    let lab = Lab::new().await;
    // h2 was agreed on, HTTP/1.1 is spoken; and the other way round (TL-13).
    let io = tls(tcp(lab.addresses.https[0], DEVBOT).await, &lab.h2, "open.example.test").await.unwrap();
    let mut conn = Conn::over(io);
    conn.send("GET /x HTTP/1.1\r\nhost: open.example.test\r\n\r\n").await;
    let said = tokio::time::timeout(PATIENCE, conn.rest()).await.unwrap();
    assert!(!said.starts_with(b"HTTP/1.1"), "{}", String::from_utf8_lossy(&said));
    let mut conn = Conn::sni(&lab, "open.example.test", DEVBOT).await;
    assert_eq!(conn.ask("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").await.status, 505);
    assert_eq!(lab.origin.connections(), 0);
    lab.is_well("TL-13").await;
}
