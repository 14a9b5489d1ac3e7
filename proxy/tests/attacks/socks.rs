//! SOCKS5 (RFC 1928): one more spelling of CONNECT, and nothing more than CONNECT (AU-09, AU-10).

use std::time::{Duration, Instant};

use tokio::io::AsyncWriteExt;

use crate::client::{Conn, Way, socks_name, socks_request, tls};
use crate::lab::{DEVBOT, KEYED_STUB, Lab, OTHERBOT, POLICY, STRANGER, STUB, Setup};

async fn proxy(lab: &Lab, from: &str) -> Conn {
    Conn::plain(lab.addresses.proxy[0], from).await
}

#[tokio::test(flavor = "multi_thread")]
async fn socks_leads_only_where_policy_says() {
    let lab = Lab::new().await;
    let name = |name: &[u8]| [&[3, u8::try_from(name.len()).unwrap()], name, &443u16.to_be_bytes()].concat();
    let v4 = |ip: [u8; 4], port: u16| [&[1], &ip[..], &port.to_be_bytes()].concat();
    let v6 = |ip: &str| [&[4], &ip.parse::<std::net::Ipv6Addr>().unwrap().octets()[..], &[1, 187]].concat();
    for (address, code, reason, case) in [
        (socks_name("evil.example.test", 443), 2, "connect_not_allowed", "a host that no rule names"),
        (socks_name("evil.example.test", 80), 2, "connect_not_allowed", "the same, plain"),
        (socks_name("open.example.test", 22), 2, "connect_not_allowed", "AU-05 another port"),
        (socks_name("open.example.test", 80), 2, "connect_not_allowed", "AU-05 port 80"),
        (v4([127, 0, 0, 1], 443), 2, "connect_not_allowed", "AU-09 an IPv4 address"),
        (v4([169, 254, 169, 254], 80), 2, "connect_not_allowed", "AU-09 the metadata service"),
        (v6("::1"), 2, "connect_not_allowed", "AU-09 an IPv6 address"),
        (v6("::ffff:10.0.0.5"), 2, "bad_authority", "AU-09 IPv4 in IPv6"),
        (name(b"10.0.0.6"), 2, "connect_not_allowed", "an address as a name"),
        (name(b"evil.example.test\0.open.example.test"), 2, "bad_authority", "AU-09 NUL"),
        (name(b"open.example.test\0"), 2, "bad_authority", "AU-09 NUL at the end"),
        (name(&[b'a'; 255]), 2, "bad_authority", "AU-09 255 octets"),
        (name(b""), 2, "bad_authority", "no name"),
        (name(b"open.example.test:443"), 2, "bad_authority", "a port in the name"),
        (name(b"open%2eexample.test"), 2, "bad_authority", "percent-encoded"),
        (name(b"*.wild.example.test"), 2, "bad_authority", "a wildcard"),
        (name(b"2130706433"), 2, "bad_authority", "IP-07"),
        (name(b"0x7f.1"), 2, "bad_authority", "IP-07"),
        (socks_name("open.example.test", 0), 2, "bad_authority", "port 0"),
        (vec![2, 4, 10, 0, 0, 5, 1, 187], 8, "bad_authority", "a type of address that is none"),
    ] {
        lab.refusals();
        let mut conn = proxy(&lab, DEVBOT).await;
        assert_eq!(conn.socks(&address).await, code, "{case}");
        assert!(conn.is_over().await, "{case}");
        assert_eq!(lab.refusals(), [reason], "{case}");
        let record = lab.records().pop().unwrap();
        assert_eq!((&record["layer"], &record["method"]), (&"connect".into(), &"SOCKS".into()), "{case}");
    }
    for from in [OTHERBOT, STRANGER] {
        assert_eq!(proxy(&lab, from).await.socks(&socks_name("paths.example.test", 443)).await, 2, "{from}");
    }
    assert_eq!(lab.refusals(), ["connect_not_allowed", "unknown_agent"]);
    assert_eq!(lab.origin.connections(), 0, "nothing was dialled");
    assert_eq!(lab.appliance.minter.minted_total(), 0);
    // The one spelling that is meant, however it is written.
    for host in ["OPEN.Example.TEST", "open.example.test."] {
        let conn = Way::Socks.enter(&lab, host, 443, DEVBOT).await.unwrap();
        let mut inside = Conn::over(tls(conn.io, &lab.h1, "open.example.test").await.unwrap());
        assert_eq!(inside.ask("GET / HTTP/1.1\r\nhost: open.example.test\r\n\r\n").await.status, 200, "AU-07 {host}");
    }
    lab.is_well("AU-09").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn only_connect_without_a_proof_is_spoken() {
    let lab = Lab::new().await;
    let target = socks_name("open.example.test", 443);
    for (bytes, said, case) in [
        (vec![5, 1, 2], vec![5, 0xff], "only user and password"),
        (vec![5, 2, 1, 2], vec![5, 0xff], "GSSAPI or user and password"),
        (vec![5, 0], vec![5, 1, 0, 1, 0, 0, 0, 0, 0, 0], "no method"),
        (vec![4, 1, 1, 187, 10, 0, 0, 5, 0], vec![0, 0x5b, 0, 0, 0, 0, 0, 0], "SOCKS4"),
        (b"\x04\x01\x01\xbb\0\0\0\x01\0open.example.test\0".to_vec(), vec![0, 0x5b, 0, 0, 0, 0, 0, 0], "SOCKS4a"),
        ([&[5, 1, 0, 5, 2, 0], &target[..]].concat(), vec![5, 0, 5, 7, 0, 1, 0, 0, 0, 0, 0, 0], "BIND"),
        ([&[5, 1, 0, 5, 3, 0], &target[..]].concat(), vec![5, 0, 5, 7, 0, 1, 0, 0, 0, 0, 0, 0], "UDP ASSOCIATE"),
        ([&[5, 1, 0, 5, 1, 1], &target[..]].concat(), vec![5, 0, 5, 1, 0, 1, 0, 0, 0, 0, 0, 0], "reserved byte"),
        ([&[5, 1, 0, 4, 1, 0], &target[..]].concat(), vec![5, 0, 5, 1, 0, 1, 0, 0, 0, 0, 0, 0], "another version"),
    ] {
        lab.refusals();
        let mut conn = proxy(&lab, DEVBOT).await;
        conn.send(&bytes).await;
        assert_eq!(conn.rest().await, said, "{case}");
        assert_eq!(lab.refusals(), ["bad_request"], "{case}");
    }
    // Clients with a user and password in their URL offer to go without; it is not asked for, and decides nothing.
    let mut conn = proxy(&lab, DEVBOT).await;
    conn.send([5, 3, 0, 1, 2]).await;
    assert_eq!(conn.exactly(2).await, [5, 0]);
    conn.send(socks_request(&target)).await;
    assert_eq!(conn.exactly(10).await[1], 0);
    assert_eq!(lab.origin.connections(), 0);
    lab.is_well("SOCKS").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_hello_behind_the_request_and_bytes_one_by_one_work() {
    let lab = Lab::new().await;
    for piece in [1, 7, usize::MAX] {
        let name = rustls_pki_types::ServerName::try_from("open.example.test").unwrap();
        let mut client = rustls::ClientConnection::new(lab.h1.clone(), name).unwrap();
        let mut first = [&[5, 1, 0][..], &socks_request(&socks_name("open.example.test", 443))].concat();
        client.write_tls(&mut first).unwrap();
        let mut conn = proxy(&lab, DEVBOT).await;
        for bytes in first.chunks(piece) {
            conn.send(bytes).await;
        }
        assert_eq!(conn.exactly(12).await, [5, 0, 5, 0, 0, 1, 0, 0, 0, 0, 0, 0], "AU-10");
        let answer =
            conn.finish(&mut client, b"GET / HTTP/1.1\r\nhost: open.example.test\r\nconnection: close\r\n\r\n").await;
        assert!(answer.starts_with(b"HTTP/1.1 200 OK"), "{}", String::from_utf8_lossy(&answer));
    }
}

/// Plain HTTP inside is for the target alone, as TLS is, and never carries a credential.
#[tokio::test(flavor = "multi_thread")]
async fn plain_http_inside_is_for_the_target_alone() {
    let lab = Lab::new().await;
    for (host, expected) in [
        ("evil.example.test", (421, "authority_mismatch")),
        ("api.example.test", (421, "authority_mismatch")),
        ("plain.example.test:443", (421, "authority_mismatch")),
        ("plain.example.test:8080", (421, "authority_mismatch")),
        ("x@plain.example.test", (400, "bad_authority")),
    ] {
        for target in ["/x".to_owned(), format!("http://{host}/x"), "http://plain.example.test/x".to_owned()] {
            lab.refusals();
            let mut conn = Way::SocksPlain.open(&lab).await;
            let answer = conn.ask(&format!("GET {target} HTTP/1.1\r\nhost: {host}\r\n\r\n")).await;
            assert_eq!((answer.status, &*answer.reason()), expected, "{host} {target}");
            assert_eq!(lab.refusals(), [expected.1], "{host} {target}");
        }
    }
    assert_eq!(lab.origin.connections(), 0);
    // Every request of the connection, not the first alone.
    let mut conn = Way::SocksPlain.open(&lab).await;
    assert_eq!(conn.ask("GET /x HTTP/1.1\r\nhost: plain.example.test\r\n\r\n").await.status, 200);
    assert_eq!(conn.ask("GET /x HTTP/1.1\r\nhost: evil.example.test\r\n\r\n").await.status, 421);
    // A target that is allowed by TLS only: the way is open, the request is not.
    for (host, port, stub) in [("open.example.test", 443, STUB), ("keyed.example.test", 443, KEYED_STUB)] {
        lab.refusals();
        let mut conn = Way::SocksPlain.enter(&lab, host, port, DEVBOT).await.unwrap();
        let request = format!(
            "GET /x HTTP/1.1\r\nhost: {host}:{port}\r\nauthorization: Bearer {stub}\r\nx-api-key: {stub}\r\n\r\n"
        );
        let answer = conn.ask(&request).await;
        assert_eq!(answer.status, 403, "{host}: {answer:?}");
        assert_eq!(lab.refusals().len(), 1);
    }
    // And one that is allowed without TLS only.
    let conn = Way::Socks.enter(&lab, "plain.example.test", 80, DEVBOT).await.unwrap();
    assert!(tls(conn.io, &lab.h1, "plain.example.test").await.is_err());
    assert_eq!(lab.refusals(), ["connect_not_allowed"]);
    assert_eq!(lab.origin.connections(), 1);
    lab.is_well("AU-08").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_certificates_to_trust_are_there_by_socks_too() {
    let lab = Lab::new().await;
    let mut conn = Way::SocksPlain.enter(&lab, "stubgate.internal", 80, DEVBOT).await.unwrap();
    let answer = conn.ask("GET /ca.pem HTTP/1.1\r\nhost: stubgate.internal\r\n\r\n").await;
    assert_eq!(answer.status, 200);
    assert!(answer.text().contains("BEGIN CERTIFICATE"));
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_stalls_in_the_middle_of_socks_is_ended_at_the_deadline() {
    let timeouts = "drain_seconds: 1, handshake_seconds: 1, header_seconds: 1".into();
    let lab = Lab::with(Setup { timeouts, ..Setup::default() }).await;
    let start = Instant::now();
    let mut conns = Vec::new();
    for bytes in [&[5][..], &[5, 255, 0], &[5, 1, 0], &[5, 1, 0, 5, 1, 0, 3, 255, b'a']] {
        let mut conn = proxy(&lab, DEVBOT).await;
        conn.send(bytes).await;
        conns.push(conn);
    }
    let mut silent = proxy(&lab, DEVBOT).await;
    assert_eq!(silent.socks(&socks_name("open.example.test", 443)).await, 0);
    conns.push(silent);
    for (number, conn) in conns.iter_mut().enumerate() {
        conn.rest().await;
        assert!(start.elapsed() < Duration::from_secs(4), "RE-02 {number}: {:?}", start.elapsed());
    }
    lab.until("each is recorded", || lab.records().iter().filter(|r| r["reason"] == "limit_reached").count() == 5)
        .await;
    // Whoever leaves in the middle holds nothing.
    for cut in 1..10 {
        let mut conn = proxy(&lab, DEVBOT).await;
        conn.send(&[&[5, 1, 0][..], &socks_request(&socks_name("open.example.test", 443))].concat()[..cut]).await;
        let _ = conn.io.shutdown().await;
        conn.rest().await;
    }
    lab.until("RE-07", || lab.metrics().contains("stubgate_connections_open{listener=\"proxy\"} 0")).await;
    lab.is_well("RE-02").await;
}

/// DESIGN, Hosts: an address is reached through CONNECT or SOCKS only, where no SNI counts as equal and any name is a
/// mismatch.
#[tokio::test(flavor = "multi_thread")]
async fn an_address_is_reached_through_a_tunnel_only() {
    let rule = "  - name: by-address\n    agents: [devbot]\n    hosts: [\"10.0.0.5:8006\"]\n    methods: [GET]\n";
    let lab = Lab::with(Setup { policy: format!("{POLICY}{rule}"), ..Setup::default() }).await;
    for way in Way::TUNNELS {
        let conn = way.enter(&lab, "10.0.0.5", 8006, DEVBOT).await.unwrap();
        let mut inside = Conn::over(tls(conn.io, &lab.h1, "10.0.0.5").await.unwrap());
        let answer = inside.ask("GET /x HTTP/1.1\r\nhost: 10.0.0.5:8006\r\n\r\n").await;
        assert_eq!(answer.status, 200, "{way:?} {answer:?}");
        assert_eq!(lab.origin.requests().pop().unwrap().sni, "", "no name goes out either");
        for host in ["10.0.0.5", "open.example.test", "10.0.0.6:8006"] {
            let request = format!("GET /x HTTP/1.1\r\nhost: {host}\r\n\r\n");
            assert_eq!(inside.ask(&request).await.status, 421, "{way:?} {host}");
        }
        for name in ["open.example.test", "evil.example.test"] {
            let conn = way.enter(&lab, "10.0.0.5", 8006, DEVBOT).await.unwrap();
            assert!(tls(conn.io, &lab.h1, name).await.is_err());
            assert_eq!(lab.refusals(), ["authority_mismatch"], "{way:?} {name}");
        }
        // And an absent name is not equal to one that the target has.
        let conn = way.enter(&lab, "open.example.test", 443, DEVBOT).await.unwrap();
        assert!(tls(conn.io, &lab.h1, "10.0.0.5").await.is_err());
        assert_eq!(lab.refusals(), ["bad_authority"], "{way:?}");
    }
    let io = crate::client::tcp(lab.addresses.https[0], DEVBOT).await;
    assert!(tls(io, &lab.h1, "10.0.0.5").await.is_err(), "TL-02");
    assert_eq!(lab.refusals(), ["bad_authority"]);
    let answer = Way::Sni.open(&lab).await.ask("GET /x HTTP/1.1\r\nhost: 10.0.0.5:8006\r\n\r\n").await;
    assert_eq!(answer.status, 421);
    assert_eq!(lab.origin.requests().len(), 2);
    lab.is_well("TL-02").await;
}
