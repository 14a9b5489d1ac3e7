//! ClientHellos (TL-*): no certificate is minted, and nothing dialled, before policy has said that this agent may reach the name.

use std::sync::Arc;

use rustls::HandshakeKind;

use crate::client::{Conn, PATIENCE, Way, tcp, tls};
use crate::corpus::hello::{extension, message, records};
use crate::lab::{DEVBOT, Lab};

/// A ClientHello of TLS 1.2 and 1.3 with these bytes as its name; good enough to be read to its end.
pub(crate) fn hello(name: Option<(u8, &[u8])>) -> Vec<u8> {
    let names: Vec<(u8, &[u8])> = name.into_iter().collect();
    hello_with(&names, &[])
}

/// The same with a list of names and more extensions.
fn hello_with(names: &[(u8, &[u8])], more: &[(u16, Vec<u8>)]) -> Vec<u8> {
    records(&handshake(names, more), 16_000)
}

fn handshake(names: &[(u8, &[u8])], more: &[(u16, Vec<u8>)]) -> Vec<u8> {
    let names: Vec<(u8, Vec<u8>)> = names.iter().map(|(kind, name)| (*kind, name.to_vec())).collect();
    let more: Vec<u8> = more.iter().flat_map(|(number, body)| extension(*number, body.clone())).collect();
    message(&names, &more, &[0x0304, 0x0303], 0x0303)
}

/// A connection on which a ClientHello is due: for tunnels inside one to `open.example.test`.
async fn before_the_hello(way: Way, lab: &Lab) -> Conn {
    match way {
        Way::Tunnel | Way::Socks => way.enter(lab, "open.example.test", 443, DEVBOT).await.unwrap(),
        Way::Redirected => Conn::plain(lab.addresses.transparent[0], DEVBOT).await,
        _ => Conn::plain(lab.addresses.https[0], DEVBOT).await,
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn odd_names_are_refused_before_anything_is_minted() {
    let lab = Lab::new().await;
    lab.is_well("the start").await;
    let minted = lab.appliance.minter.minted_total();
    let long_label = format!("{}.example.test", "a".repeat(64));
    let long = "a.".repeat(150) + "test";
    let longer = "a".repeat(5000);
    type Sni<'a> = Option<(u8, &'a [u8])>;
    let cases: [(&str, Sni<'_>); 37] = [
        ("TL-01 none", None),
        ("TL-01 empty", Some((0, b""))),
        ("TL-02 IPv4", Some((0, b"127.0.0.1"))),
        ("TL-02 IPv6", Some((0, b"::1"))),
        ("TL-02 IPv6 in brackets", Some((0, b"[::1]"))),
        ("TL-03 NUL", Some((0, b"open.example.test\0.evil.test"))),
        ("TL-03 NUL at the end", Some((0, b"open.example.test\0"))),
        ("TL-03 CRLF", Some((0, b"open.example.test\r\nx: y"))),
        ("TL-03 an escape", Some((0, b"\x1b[31mopen.example.test"))),
        ("TL-03 a space", Some((0, b"open.example.test "))),
        ("TL-03 userinfo", Some((0, b"x@open.example.test"))),
        ("TL-03 a slash", Some((0, b"open.example.test/"))),
        ("TL-03 a port", Some((0, b"open.example.test:443"))),
        ("TL-03 a wildcard", Some((0, b"*.wild.example.test"))),
        ("TL-03 two dots", Some((0, b"open..example.test"))),
        ("TL-03 a dot first", Some((0, b".open.example.test"))),
        ("TL-03 a dash first", Some((0, b"-a.wild.example.test"))),
        ("TL-03 a long label", Some((0, long_label.as_bytes()))),
        ("TL-03 a long name", Some((0, long.as_bytes()))),
        ("TL-03 5000 bytes", Some((0, longer.as_bytes()))),
        ("TL-05 hexadecimal", Some((0, b"0x7f000001"))),
        ("TL-05 a number", Some((0, b"2130706433"))),
        ("TL-05 localhost", Some((0, b"localhost"))),
        ("TL-05 one label", Some((0, b"open"))),
        ("TL-05 an underscore", Some((0, b"a_b.example.test"))),
        ("TL-05 a number as last label", Some((0, b"open.example.123"))),
        ("TL-05 a number in hexadecimal as last label", Some((0, b"open.example.0x7f"))),
        ("TL-03 two dots at the end", Some((0, b"open.example.test.."))),
        ("TL-06 not ASCII", Some((0, "öpen.example.test".as_bytes()))),
        ("TL-06 full width", Some((0, "\u{ff4f}pen.example.test".as_bytes()))),
        ("TL-15 another type of name", Some((7, b"open.example.test"))),
        ("a name that no rule grants", Some((0, b"evil.example.test"))),
        ("the parent of an allowed name", Some((0, b"example.test"))),
        ("the apex of a wildcard", Some((0, b"wild.example.test"))),
        ("two labels under a wildcard", Some((0, b"a.b.wild.example.test"))),
        ("DN-21 an allowed name as prefix", Some((0, b"open.example.test.evil.test"))),
        ("an allowed name as suffix of a label", Some((0, b"xopen.example.test"))),
    ];
    for (way, (name, sni)) in Way::TLS.into_iter().flat_map(|way| cases.iter().map(move |case| (way, case))) {
        let mut conn = before_the_hello(way, &lab).await;
        lab.refusals();
        conn.send(hello(*sni)).await;
        let said = conn.rest().await;
        assert!(said.is_empty() || said[0] == 0x15, "{name} {way:?}: an alert at most: {said:?}");
        let refusals = lab.refusals();
        assert_eq!(refusals.len(), 1, "{name} {way:?}");
        let last = if way.is_tunnel() { "authority_mismatch" } else { "connect_not_allowed" };
        assert!(["bad_request", "bad_authority", last].contains(&&*refusals[0]), "{name} {way:?} {refusals:?}");
    }
    assert_eq!(lab.appliance.minter.minted_total(), minted, "TL-07: nothing was signed");
    assert_eq!(lab.origin.connections(), 1);
    lab.is_well("TL-03").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_allowed_name_in_other_spellings_gets_as_far_as_the_handshake() {
    let lab = Lab::new().await;
    for way in Way::TLS {
        for name in [&b"open.example.test"[..], b"OPEN.Example.TEST", b"open.example.test."] {
            let mut conn = before_the_hello(way, &lab).await;
            conn.send(hello(Some((0, name)))).await;
            let said = conn.some().await;
            assert_eq!(said[..2], [0x16, 3], "TL-04 {name:?} {way:?}: a ServerHello: {said:?}");
        }
    }
    assert_eq!(lab.appliance.minter.minted_total(), 1, "one name, one certificate");
    assert!(lab.refusals().is_empty());
}

/// An encrypted ClientHello (RFC 9849): real or grease, its inner name is nothing to us, and the outer one decides.
fn encrypted_hello() -> (u16, Vec<u8>) {
    let outer = [&[0][..], &[0, 1, 0, 1], &[7], &32u16.to_be_bytes(), &[5; 32], &144u16.to_be_bytes(), &[6; 144]];
    (0xfe0d, outer.concat())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_surrounds_the_name_changes_nothing() {
    let lab = Lab::new().await;
    let name = |name: &'static [u8]| [(0u8, name)];
    let (open, evil) = (name(b"open.example.test"), name(b"evil.example.test"));
    let grease = |kind: u16| (kind, vec![0]);
    let wide: Vec<(u16, Vec<u8>)> = (0x2000..0x2000 + 500).map(|kind| (kind, vec![])).collect();
    let large = vec![(0x1234, vec![b'x'; 40_000])];
    let alpn = |protocol: &[u8]| {
        let entry = [&[u8::try_from(protocol.len()).unwrap()], protocol].concat();
        (16u16, [&u16::try_from(entry.len()).unwrap().to_be_bytes()[..], &entry].concat())
    };
    // Whether it gets as far as a ServerHello.
    let cases = [
        ("TL-14 ECH and an allowed outer name", hello_with(&open, &[encrypted_hello()]), true),
        ("TL-14 ECH and a denied outer name", hello_with(&evil, &[encrypted_hello()]), false),
        ("TL-14 ECH and no outer name", hello_with(&[], &[encrypted_hello()]), false),
        ("TL-13 GREASE", hello_with(&open, &[grease(0x0a0a), grease(0xfafa)]), true),
        ("TL-13 an ALPN that is not spoken", hello_with(&open, &[alpn(b"spdy/3")]), false),
        ("TL-13 a GREASE ALPN alone", hello_with(&open, &[alpn(b"\x0a\x0a")]), false),
        ("TL-15 500 extensions", hello_with(&open, &wide), true),
        ("TL-15 40 000 bytes", hello_with(&open, &large), true),
        ("TL-15 500 extensions and a denied name", hello_with(&evil, &wide), false),
        ("TL-15 two names", hello_with(&[open[0], evil[0]], &[]), false),
        ("TL-15 two names, the denied one first", hello_with(&[evil[0], open[0]], &[]), false),
        ("TL-15 the same name twice", hello_with(&[open[0], open[0]], &[]), false),
        (
            "TL-15 two extensions with names",
            hello_with(&open, &[(0, b"\0\x14\0\0\x11evil.example.test".to_vec())]),
            false,
        ),
        ("TL-15 another extension twice", hello_with(&open, &[grease(0x1234), grease(0x1234)]), false),
        (
            "TL-15 a name longer than its extension",
            hello_with(&[], &[(0, b"\0\x14\0\0\xffopen.example.test".to_vec())]),
            false,
        ),
        ("TL-15 an empty list of names", hello_with(&[], &[(0, vec![0, 0])]), false),
        ("TL-09 records of one byte", records(&handshake(&open, &[]), 1), true),
        ("TL-09 records of one byte and a denied name", records(&handshake(&evil, &[]), 1), false),
        (
            "TL-09 16 MiB announced",
            [&[0x16, 3, 1, 0, 4, 1, 0xff, 0xff, 0xff][..], &[0x16, 3, 1, 0, 1, 0]].concat(),
            false,
        ),
        ("TL-09 an empty record", vec![0x16, 3, 1, 0, 0], false),
    ];
    for way in Way::TLS {
        for (case, bytes, fine) in &cases {
            let mut conn = before_the_hello(way, &lab).await;
            lab.refusals();
            conn.send(bytes).await;
            if *fine {
                let said = conn.some().await;
                assert_eq!(said.get(..2), Some(&[0x16, 3][..]), "{case} {way:?}: a ServerHello: {said:?}");
                continue;
            }
            // What waits for more is not waited for.
            let _ = tokio::io::AsyncWriteExt::shutdown(&mut conn.io).await;
            let said = conn.rest().await;
            let refusals = lab.refusals();
            if case.starts_with("TL-13") {
                // The name was fine; the alert comes where TLS 1.3 has it, after the ServerHello, and is encrypted.
                assert!(said.len() < 300 && refusals == ["bad_request"], "{case} {way:?} {refusals:?}: {said:?}");
                continue;
            }
            assert!(said.is_empty() || said[0] == 0x15, "{case} {way:?}: an alert at most: {said:?}");
            assert_eq!(refusals.len(), 1, "{case} {way:?} {refusals:?}");
        }
    }
    assert_eq!(lab.appliance.minter.minted_total(), 1, "for the one name that is allowed");
    assert_eq!(lab.origin.connections(), 0);
    lab.is_well("TL-15").await;
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
        conn.send(hello(Some((0, b"open.example.test")))).await;
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
    let (open, wild) = ("open.example.test", "a.wild.example.test");
    // The way in is no part of a session; the name is.
    let visits = [
        (Way::Sni, open),
        (Way::Sni, open),
        (Way::Sni, wild),
        (Way::Socks, wild),
        (Way::Tunnel, open),
        (Way::Redirected, wild),
    ];
    for (way, name) in visits {
        let mut io = way.inside(&lab, name, &sloppy).await;
        kinds.push(io.get_ref().1.handshake_kind().unwrap());
        let request = format!("GET /x HTTP/1.1\r\nhost: {name}\r\nconnection: close\r\n\r\n");
        tokio::io::AsyncWriteExt::write_all(&mut io, request.as_bytes()).await.unwrap();
        let mut answer = Vec::new();
        let _ = tokio::io::AsyncReadExt::read_to_end(&mut io, &mut answer).await;
        assert!(answer.starts_with(b"HTTP/1.1 200"), "{name}: {}", String::from_utf8_lossy(&answer));
    }
    let (full, resumed) = (HandshakeKind::Full, HandshakeKind::Resumed);
    assert_eq!(kinds, [full, resumed, full, resumed, full, full], "TL-11");
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
