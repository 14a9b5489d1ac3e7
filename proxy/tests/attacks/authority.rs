//! One authority (law 2): whatever names a host must name the same one (AU-*).

use crate::client::{Conn, Way, tcp, tls};
use crate::lab::{DEVBOT, Lab, OTHERBOT, REAL, STRANGER, STUB};

async fn refused(lab: &Lab, mut conn: Conn, request: &str, expected: (u16, &str), case: &str) {
    lab.refusals();
    let before = lab.origin.byte_count();
    let answer = conn.ask(request).await;
    assert_eq!((answer.status, &*answer.reason()), expected, "{case}: {answer:?}");
    assert_eq!(lab.refusals(), [expected.1], "{case}");
    assert_eq!(lab.origin.byte_count(), before, "{case}");
}

#[tokio::test(flavor = "multi_thread")]
async fn host_is_one_plain_authority() {
    let lab = Lab::new().await;
    for (host, case) in [
        ("", "AU-02 empty"),
        ("{host}, evil.example.test", "AU-02 a list"),
        ("{host}:80@evil.example.test", "AU-03 userinfo after a port"),
        ("x@evil.example.test", "AU-03 userinfo"),
        ("{host}/evil", "AU-03 a slash"),
        ("{host}\\evil", "AU-03 a backslash"),
        ("{host}?x", "AU-03 a query"),
        ("{host}#x", "AU-03 a fragment"),
        ("{host}:abc", "AU-04 letters"),
        ("{host}:99999", "AU-04 too large"),
        ("{host}:+443", "AU-04 a plus"),
        ("{host}:", "AU-04 empty port"),
        ("{host}:0", "AU-04 port 0"),
        ("{host}..", "AU-07 two dots"),
        (".{host}", "AU-07 a dot first"),
        ("127.1", "IP-07 a short form"),
        ("2130706433", "IP-07 a number"),
        ("0x7f.1", "IP-07 hexadecimal"),
        ("0177.0.0.1", "IP-07 octal"),
        ("%6fpen.example.test", "percent-encoded"),
        ("[::ffff:7f00:1", "a bracket open"),
        ("*.example.test", "a wildcard"),
        ("xn--a\u{e4}.test", "not ASCII"),
    ] {
        for way in Way::ALL {
            let request = way.fill(&format!("GET {{at}}/x HTTP/1.1\r\nhost: {host}\r\n\r\n"));
            refused(&lab, way.open(&lab).await, &request, (400, "bad_authority"), &format!("{case} {way:?}")).await;
        }
    }
    for way in Way::ALL {
        for (lines, case) in [
            ("", "AU-02 missing"),
            ("host: {host}\r\nhost: {host}\r\n", "AU-02 twice the same"),
            ("host: {host}\r\nhost: evil.example.test\r\n", "AU-02 two"),
            ("host: evil.example.test\r\nhost: {host}\r\n", "AU-02 two, the other way round"),
        ] {
            let request = way.fill(&format!("GET {{at}}/x HTTP/1.1\r\n{lines}\r\n"));
            refused(&lab, way.open(&lab).await, &request, (400, "bad_authority"), &format!("{case} {way:?}")).await;
        }
    }
    lab.is_well("AU-02").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_other_than_the_connections_is_misdirected() {
    let lab = Lab::new().await;
    for way in Way::TLS {
        for host in
            ["evil.example.test", "api.example.test", "example.test", "a.open.example.test", "10.0.0.1", "[::1]"]
        {
            let request = format!("GET /x HTTP/1.1\r\nhost: {host}\r\nauthorization: Bearer {STUB}\r\n\r\n");
            refused(
                &lab,
                way.open(&lab).await,
                &request,
                (421, "authority_mismatch"),
                &format!("TL-12 {host} {way:?}"),
            )
            .await;
        }
    }
    // The port: by SNI it is not known before, and no rule grants it; by CONNECT it differs.
    for port in [8443, 22, 80] {
        let request = format!("GET /x HTTP/1.1\r\nhost: open.example.test:{port}\r\n\r\n");
        for way in Way::TLS {
            // A tunnel says its port before.
            let expected = if !way.is_tunnel() { (403, "host_not_allowed") } else { (421, "authority_mismatch") };
            refused(&lab, way.open(&lab).await, &request, expected, &format!("AU-05 {port} {way:?}")).await;
        }
        let other = if port == 80 { 443 } else { port };
        let request = format!("GET /x HTTP/1.1\r\nhost: plain.example.test:{other}\r\n\r\n");
        let conn = Way::Plain.open(&lab).await;
        refused(&lab, conn, &request, (403, "host_not_allowed"), &format!("AU-05 {port} plain")).await;
    }
    lab.is_well("TL-12").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn other_spellings_of_the_same_host_are_the_same() {
    let lab = Lab::new().await;
    for way in Way::ALL {
        for host in ["{host}.", "{HOST}", "{host}:{port}", "{HOST}.:{port}"] {
            let port = way.port().to_string();
            let host = host.replace("{HOST}", &way.host().to_uppercase()).replace("{port}", &port);
            let request = way.fill(&format!("GET {{at}}/x HTTP/1.1\r\nhost: {host}\r\n\r\n"));
            let answer = way.open(&lab).await.ask(&request).await;
            assert_eq!(answer.status, 200, "AU-07 {host} {way:?}: {answer:?}");
            let seen = lab.origin.requests().pop().unwrap();
            assert_eq!(seen.header("host").as_deref(), Some(way.host()), "one spelling goes out");
            assert!(!way.is_tls() || seen.sni == way.host());
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn absolute_form_must_agree_with_host_and_scheme() {
    let lab = Lab::new().await;
    let plain = lab.addresses.http[0];
    let proxy = lab.addresses.proxy[0];
    for (target, host, to, expected, case) in [
        ("http://evil.example.test/", "plain.example.test", proxy, (421, "authority_mismatch"), "AU-01"),
        ("http://plain.example.test/", "evil.example.test", proxy, (421, "authority_mismatch"), "AU-01 reversed"),
        ("http://evil.example.test/", "plain.example.test", plain, (421, "authority_mismatch"), "AU-01 http"),
        ("http://evil.example.test/", "evil.example.test", proxy, (403, "host_not_allowed"), "both evil"),
        ("http://plain.example.test:443/", "plain.example.test", proxy, (421, "authority_mismatch"), "another port"),
        ("http://x@plain.example.test/", "plain.example.test", proxy, (400, "bad_authority"), "userinfo"),
        ("http:///x", "plain.example.test", proxy, (400, "bad_authority"), "no authority"),
        ("https://open.example.test/", "open.example.test", proxy, (400, "bad_request"), "https in absolute-form"),
        ("https://open.example.test/", "open.example.test", plain, (400, "bad_request"), "https on http"),
        ("ftp://plain.example.test/", "plain.example.test", proxy, (400, "bad_request"), "ftp"),
        ("/x", "plain.example.test", proxy, (400, "bad_request"), "origin-form on the proxy port"),
        ("plain.example.test:80", "plain.example.test", proxy, (400, "bad_request"), "AU-12 authority-form"),
        ("plain.example.test:80", "plain.example.test", plain, (400, "bad_request"), "AU-12 authority-form on http"),
        ("*", "plain.example.test", plain, (400, "bad_request"), "AU-12 asterisk-form"),
    ] {
        let request = format!("GET {target} HTTP/1.1\r\nhost: {host}\r\n\r\n");
        refused(&lab, Conn::plain(to, DEVBOT).await, &request, expected, case).await;
    }
    for way in Way::TLS {
        for target in ["https://open.example.test/x", "http://open.example.test/x", "http://evil.example.test/x"] {
            let request = format!("GET {target} HTTP/1.1\r\nhost: open.example.test\r\n\r\n");
            let case = format!("AU-01 absolute-form inside TLS {target}");
            refused(&lab, way.open(&lab).await, &request, (400, "bad_request"), &case).await;
        }
        let request = "OPTIONS * HTTP/1.1\r\nhost: open.example.test\r\n\r\n";
        refused(&lab, way.open(&lab).await, request, (400, "bad_request"), "AU-12 OPTIONS *").await;
        let request = "CONNECT open.example.test:443 HTTP/1.1\r\nhost: open.example.test:443\r\n\r\n";
        refused(&lab, way.open(&lab).await, request, (400, "bad_request"), "AU-12 CONNECT inside TLS").await;
    }
    let request = "CONNECT open.example.test:443 HTTP/1.1\r\nhost: open.example.test:443\r\n\r\n";
    refused(&lab, Conn::plain(plain, DEVBOT).await, request, (400, "bad_request"), "AU-12 CONNECT on http").await;
    lab.is_well("AU-01").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn connect_leads_only_where_policy_says() {
    let lab = Lab::new().await;
    for (target, expected, case) in [
        ("evil.example.test:443", (403, "connect_not_allowed"), "a host that no rule names"),
        ("open.example.test:22", (403, "connect_not_allowed"), "AU-05 another port"),
        ("open.example.test:80", (403, "connect_not_allowed"), "AU-05 port 80"),
        ("plain.example.test:80", (403, "connect_not_allowed"), "a plain host is not for CONNECT"),
        ("10.0.0.1:443", (403, "connect_not_allowed"), "AU-09 an IP literal"),
        ("[::1]:443", (403, "connect_not_allowed"), "AU-09 an IPv6 literal"),
        ("open.example.test", (400, "bad_authority"), "no port"),
        ("[2001:db8::1]", (400, "bad_authority"), "an IPv6 literal without a port"),
        ("open.example.test:", (400, "bad_authority"), "an empty port"),
        ("open.example.test:0443", (400, "bad_authority"), "a leading zero"),
        ("open.example.test:443/x", (400, "bad_authority"), "a path"),
        ("https://open.example.test:443", (400, "bad_authority"), "a URI"),
        ("x@open.example.test:443", (400, "bad_authority"), "userinfo"),
        ("2130706433:443", (400, "bad_authority"), "IP-07"),
    ] {
        let request = format!("CONNECT {target} HTTP/1.1\r\nhost: open.example.test\r\n\r\n");
        let request = if expected.0 == 403 {
            request.replace("host: open.example.test", &format!("host: {target}"))
        } else {
            request
        };
        refused(&lab, Conn::plain(lab.addresses.proxy[0], DEVBOT).await, &request, expected, case).await;
    }
    for (lines, expected, case) in [
        ("host: evil.example.test:443\r\n", (421, "authority_mismatch"), "another Host"),
        ("host: open.example.test:443\r\nhost: open.example.test:443\r\n", (400, "bad_authority"), "two Hosts"),
        ("host: open.example.test:443\r\ncontent-length: 3\r\n", (400, "bad_request"), "a body"),
        ("host: open.example.test:443\r\ntransfer-encoding: chunked\r\n", (400, "bad_request"), "a chunked body"),
        ("host: open.example.test:443\r\nhost : x\r\n", (400, "bad_request"), "a malformed head"),
    ] {
        lab.refusals();
        let mut conn = Conn::plain(lab.addresses.proxy[0], DEVBOT).await;
        let answer = conn.ask(&format!("CONNECT open.example.test:443 HTTP/1.1\r\n{lines}\r\n")).await;
        assert_eq!((answer.status, &*answer.reason()), expected, "{case}");
        assert!(conn.is_over().await, "{case}");
        assert_eq!(lab.refusals(), [expected.1], "{case}");
    }
    assert_eq!(lab.origin.connections(), 0, "nothing was dialled");
    lab.is_well("AU-09").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn target_sni_and_host_must_be_equal() {
    let lab = Lab::new().await;
    let (open, api, evil) = ("open.example.test", "api.example.test", "evil.example.test");
    let all = [
        (open, open, open, true),
        (open, open, api, false),
        (open, open, evil, false),
        (open, api, open, false),
        (open, api, api, false),
        (open, evil, open, false),
        (open, evil, evil, false),
        (api, open, api, false),
    ];
    for (way, (target, sni, host, fine)) in Way::TUNNELS.into_iter().flat_map(|way| all.map(|case| (way, case))) {
        let case = format!("AU-08 {target} {sni} {host} {way:?}");
        lab.refusals();
        let before = lab.origin.byte_count();
        let conn = way.enter(&lab, target, 443, DEVBOT).await.expect(&case);
        let Ok(inside) = tls(conn.io, &lab.h1, sni).await else {
            assert!(sni != target, "{case}");
            assert_eq!(lab.refusals(), ["authority_mismatch"], "{case}");
            assert_eq!(lab.origin.byte_count(), before, "{case}");
            continue;
        };
        assert_eq!(sni, target, "{case}");
        let answer = Conn::over(inside).ask(&format!("GET / HTTP/1.1\r\nhost: {host}\r\n\r\n")).await;
        assert_eq!(answer.status, if fine { 200 } else { 421 }, "{case}");
        assert_eq!(lab.origin.byte_count() == before, !fine, "{case}");
        assert_eq!(lab.refusals().len(), usize::from(!fine), "{case}");
    }
    lab.is_well("AU-08").await;
}

/// H2-04: a client that takes two hosts of one certificate or address for one connection is sent back, stream by stream.
#[tokio::test(flavor = "multi_thread")]
async fn streams_of_one_connection_are_for_one_authority() {
    use bytes::Bytes;
    use http_body_util::Empty;
    use hyper_util::rt::{TokioExecutor, TokioIo};

    let lab = Lab::new().await;
    for way in Way::TLS {
        let io = TokioIo::new(way.inside(&lab, "open.example.test", &lab.h2).await);
        let (mut sender, connection) =
            hyper::client::conn::http2::handshake::<_, _, Empty<Bytes>>(TokioExecutor::new(), io).await.unwrap();
        tokio::spawn(connection);
        let before = lab.origin.requests().len();
        for (authority, host, status) in [
            ("open.example.test", None, 200),
            ("OPEN.example.test:443", Some("open.example.test."), 200),
            ("api.example.test", None, 421),
            ("a.wild.example.test", None, 421),
            ("evil.example.test", Some("open.example.test"), 421),
            ("open.example.test", Some("api.example.test"), 421),
            ("10.0.0.5", None, 421),
            ("open.example.test", None, 200),
        ] {
            let mut request = http::Request::get(format!("https://{authority}/x"));
            if let Some(host) = host {
                request = request.header("host", host);
            }
            sender.ready().await.unwrap();
            let response = sender.send_request(request.body(Empty::new()).unwrap()).await.unwrap();
            assert_eq!(response.status(), status, "{way:?} {authority} {host:?}");
        }
        assert_eq!(lab.origin.requests().len(), before + 3, "{way:?}");
    }
    lab.is_well("H2-04").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn only_http_of_its_target_is_accepted_in_a_tunnel() {
    let lab = Lab::new().await;
    for way in Way::TUNNELS {
        for bytes in [
            "GET / HTTP/1.1\r\nhost: open.example.test\r\n\r\n",
            "SSH-2.0-OpenSSH_9.2\r\n\r\n",
            "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
            "\x05\x01\0",
            "\0\0\0\0\0",
        ] {
            let mut conn = way.enter(&lab, "open.example.test", 443, DEVBOT).await.unwrap();
            conn.send(bytes).await;
            let _ = tokio::io::AsyncWriteExt::shutdown(&mut conn.io).await;
            let said = conn.rest().await;
            // After CONNECT only TLS may follow; after SOCKS plain HTTP is read, and refused.
            let is_read = way == Way::Socks && said.starts_with(b"HTTP/1.1 4") || said.starts_with(b"HTTP/1.1 505");
            assert!(said.len() <= 7 || is_read, "{way:?} {bytes:?}: {}", String::from_utf8_lossy(&said));
            let refusals = lab.refusals();
            assert_eq!(refusals.len(), 1, "{way:?} {bytes:?}");
            assert!(["bad_request", "authority_mismatch"].contains(&&*refusals[0]), "{way:?} {bytes:?} {refusals:?}");
        }
    }
    assert_eq!(lab.origin.connections(), 0);
    lab.is_well("TL-16").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_hello_in_the_segment_of_the_connect_works() {
    let lab = Lab::new().await;
    let name = rustls_pki_types::ServerName::try_from("open.example.test").unwrap();
    let mut client = rustls::ClientConnection::new(lab.h1.clone(), name).unwrap();
    let mut first = b"CONNECT open.example.test:443 HTTP/1.1\r\nhost: open.example.test:443\r\n\r\n".to_vec();
    client.write_tls(&mut first).unwrap();
    let mut conn = Conn::plain(lab.addresses.proxy[0], DEVBOT).await;
    conn.send(&first).await;
    assert_eq!(conn.head().await.status, 200, "AU-10");
    let answer =
        conn.finish(&mut client, b"GET / HTTP/1.1\r\nhost: open.example.test\r\nconnection: close\r\n\r\n").await;
    assert!(answer.starts_with(b"HTTP/1.1 200 OK"), "{}", String::from_utf8_lossy(&answer));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stub_over_plain_http_is_refused() {
    let lab = Lab::new().await;
    for way in Way::CLEAR {
        let request =
            way.fill(&format!("GET {{at}}/x HTTP/1.1\r\nhost: {{host}}\r\nauthorization: Bearer {STUB}\r\n\r\n"));
        refused(&lab, way.open(&lab).await, &request, (403, "stub_over_plain"), "AU-06").await;
        if way == Way::SocksPlain {
            continue;
        }
        // The host of the credential, without TLS.
        let host = "api.example.test";
        let at = if way == Way::Absolute { "http://api.example.test" } else { "" };
        let request = format!("GET {at}/x HTTP/1.1\r\nhost: {host}\r\nauthorization: Bearer {STUB}\r\n\r\n");
        refused(&lab, way.open(&lab).await, &request, (403, "host_not_allowed"), "AU-06 the credential's host").await;
    }
    assert!(lab.metrics().contains("stubgate_tripwires_total{reason=\"stub_over_plain\"} 4\n"), "{}", lab.metrics());
    lab.is_well("AU-06").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn headers_that_reroute_do_not_travel() {
    let lab = Lab::new().await;
    let names = [
        "x-forwarded-host",
        "x-forwarded-proto",
        "x-forwarded-for",
        "x-forwarded-port",
        "x-forwarded-server",
        "forwarded",
        "x-original-url",
        "x-rewrite-url",
        "x-original-host",
        "x-host",
        "x-http-host-override",
        "x-http-method-override",
        "x-http-method",
        "x-method-override",
    ];
    let lines: Vec<(&str, &str)> = names.iter().map(|name| (*name, "evil.example.test")).collect();
    assert_eq!(lab.get("open.example.test", "/x", &lines).await.status, 200);
    let seen = lab.origin.requests().pop().unwrap();
    assert_eq!(seen.head, "GET /x HTTP/1.1\r\nhost: open.example.test\r\n\r\n", "AU-13, PA-10");
}

#[tokio::test(flavor = "multi_thread")]
async fn who_asks_is_told_by_the_socket_alone() {
    let lab = Lab::new().await;
    // An address that is no agent's gets nothing, whatever it says it is.
    lab.refusals();
    let request =
        "GET /x HTTP/1.1\r\nhost: plain.example.test\r\nx-agent-id: devbot\r\nx-forwarded-for: 127.0.0.1\r\n\r\n";
    let answer = Conn::plain(lab.addresses.http[0], STRANGER).await.ask(request).await;
    assert_eq!((answer.status, &*answer.reason()), (403, "unknown_agent"), "CR-21");
    assert_eq!(lab.refusals(), ["unknown_agent"]);
    for way in Way::TUNNELS {
        assert_eq!(way.enter(&lab, "open.example.test", 443, STRANGER).await.err().unwrap(), "unknown_agent");
    }
    let refused = tls(tcp(lab.addresses.https[0], STRANGER).await, &lab.h1, "open.example.test").await;
    assert!(refused.is_err());
    assert_eq!(lab.refusals(), ["unknown_agent"]);
    // In quarantine likewise.
    let refused = tls(tcp(lab.addresses.https[0], "127.0.0.3").await, &lab.h1, "open.example.test").await;
    assert!(refused.is_err());
    assert_eq!(lab.refusals(), ["quarantined"]);
    // A host that another agent may reach.
    let refused = tls(tcp(lab.addresses.https[0], OTHERBOT).await, &lab.h1, "paths.example.test").await;
    assert!(refused.is_err());
    assert_eq!(lab.refusals(), ["connect_not_allowed"]);
    assert_eq!(lab.origin.connections(), 0);
    assert!(!lab.metrics().contains(REAL));
    lab.is_well("CR-21").await;
}
