//! Requests that two parsers could read in two ways (H1-*): refused, the connection ended, and nothing of them sent.

use crate::client::{Conn, Way};
use crate::lab::{DEVBOT, Lab, REAL, STUB};
use crate::origin::Reply;

/// A request that is refused before anything is sent: its name, its bytes, the statuses that are right.
struct Case(&'static str, String, u16);

/// Headers put into an otherwise fine POST.
fn post(name: &'static str, lines: &str, status: u16) -> Case {
    Case(name, format!("POST {{at}}/x HTTP/1.1\r\nhost: {{host}}\r\n{lines}\r\n0\r\n\r\n"), status)
}

fn get(name: &'static str, lines: &str, status: u16) -> Case {
    Case(name, format!("GET {{at}}/x HTTP/1.1\r\nhost: {{host}}\r\n{lines}\r\n"), status)
}

fn raw(name: &'static str, text: &str, status: u16) -> Case {
    Case(name, text.to_owned(), status)
}

async fn refuses_all(cases: &[Case]) {
    let lab = Lab::new().await;
    for Case(name, template, status) in cases {
        for way in Way::ALL {
            let case = format!("{name} by {way:?}");
            lab.refusals();
            let before = lab.origin.byte_count();
            let mut conn = way.open(&lab).await;
            conn.send(way.fill(template)).await;
            let answer = conn.answer(false).await;
            assert_eq!(answer.status, *status, "{case}: {answer:?}");
            assert!(conn.is_over().await, "{case}: the connection stays open");
            assert_eq!(lab.refusals().len(), 1, "{case}");
            assert_eq!(lab.origin.byte_count(), before, "{case}: {:?}", String::from_utf8_lossy(&lab.origin.bytes()));
        }
        lab.is_well(name).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn framing_with_two_readings_is_refused() {
    let cl = "content-length";
    let te = "transfer-encoding";
    refuses_all(&[
        post("H1-01 CL and TE", &format!("{cl}: 5\r\n{te}: chunked\r\n"), 400),
        post("H1-01 TE and CL", &format!("{te}: chunked\r\n{cl}: 5\r\n"), 400),
        post("H1-02 two lengths", &format!("{cl}: 5\r\n{cl}: 6\r\n"), 400),
        post("H1-03 two equal lengths", &format!("{cl}: 5\r\n{cl}: 5\r\n"), 400),
        post("H1-03 a list of lengths", &format!("{cl}: 5, 5\r\n"), 400),
        post("H1-03 a leading zero", &format!("{cl}: 05\r\n"), 400),
        post("H1-04 a plus", &format!("{cl}: +5\r\n"), 400),
        post("H1-04 a minus", &format!("{cl}: -5\r\n"), 400),
        post("H1-04 hexadecimal", &format!("{cl}: 0x5\r\n"), 400),
        post("H1-04 an underscore", &format!("{cl}: 1_0\r\n"), 400),
        post("H1-04 empty", &format!("{cl}:\r\n"), 400),
        post("H1-04 2^64 + 1", &format!("{cl}: 18446744073709551617\r\n"), 400),
        post("H1-05 a space before the colon", &format!("{cl} : 5\r\n"), 400),
        post("H1-05 a space before the colon of TE", &format!("{te} : chunked\r\n"), 400),
        post("H1-06 xchunked", &format!("{te}: xchunked\r\n"), 501),
        post("H1-06 chunked, identity", &format!("{te}: chunked, identity\r\n"), 501),
        post("H1-06 chunked;x", &format!("{te}: chunked;x\r\n"), 501),
        post("H1-06 a vertical tab", &format!("{te}: \x0bchunked\r\n"), 400),
        post("H1-06 a second header", &format!("{te}: chunked\r\n{te}: identity\r\n"), 400),
        post("H1-07 gzip, chunked", &format!("{te}: gzip, chunked\r\n"), 501),
        post("H1-07 identity, chunked", &format!("{te}: identity, chunked\r\n"), 501),
        post("H1-07 chunked, chunked", &format!("{te}: chunked, chunked\r\n"), 501),
        post("H1-07 x and chunked", &format!("{te}: x\r\n{te}: chunked\r\n"), 400),
        raw(
            "H1-08 chunked in HTTP/1.0",
            &format!("POST {{at}}/x HTTP/1.0\r\nhost: {{host}}\r\n{te}: chunked\r\n\r\n0\r\n\r\n"),
            400,
        ),
        post("H1-26 Connection names a framing header", &format!("connection: content-length\r\n{cl}: 5\r\n"), 400),
    ])
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn heads_that_break_the_grammar_are_refused() {
    refuses_all(&[
        raw("H1-09 bare LF", "GET {at}/x HTTP/1.1\nhost: {host}\n\n", 400),
        raw("H1-09 bare LF in the middle", "GET {at}/x HTTP/1.1\r\nhost: {host}\nx: y\r\n\r\n", 400),
        get("H1-10 bare CR in a value", "x: a\rb\r\n", 400),
        get("H1-10 NUL in a value", "x: a\0b\r\n", 400),
        get("H1-10 0x01 in a value", "x: a\x01b\r\n", 400),
        get("H1-10 DEL in a value", "x: a\x7fb\r\n", 400),
        get("H1-10 an empty name", ": y\r\n", 400),
        get("H1-10 a name with a space", "x y: z\r\n", 400),
        get("H1-10 a name with a control byte", "x\x01: z\r\n", 400),
        get("H1-10 no colon", "nothing\r\n", 400),
        get("H1-11 a folded line", "x: a\r\n b\r\n", 400),
        raw("H1-11 a folded first line", "GET {at}/x HTTP/1.1\r\n host: {host}\r\n\r\n", 400),
        raw("H1-22 HTTP/0.9", "GET {at}/x\r\n\r\n", 400),
        raw("H1-22 HTTP/1.2", "GET {at}/x HTTP/1.2\r\nhost: {host}\r\n\r\n", 505),
        raw("H1-22 HTTP/2.0", "GET {at}/x HTTP/2.0\r\nhost: {host}\r\n\r\n", 505),
        raw("H1-22 lower case", "GET {at}/x http/1.1\r\nhost: {host}\r\n\r\n", 400),
        raw("H1-22 two spaces", "GET  {at}/x HTTP/1.1\r\nhost: {host}\r\n\r\n", 400),
        raw("H1-22 tabs", "GET\t{at}/x\tHTTP/1.1\r\nhost: {host}\r\n\r\n", 400),
        raw("H1-22 an empty line first", "\r\nGET {at}/x HTTP/1.1\r\nhost: {host}\r\n\r\n", 400),
        raw("H1-23 a long method", &format!("{} {{at}}/x HTTP/1.1\r\nhost: {{host}}\r\n\r\n", "G".repeat(10_000)), 400),
        raw(
            "H1-24 a long target",
            &format!("GET {{at}}/{} HTTP/1.1\r\nhost: {{host}}\r\n\r\n", "x".repeat(60_000)),
            414,
        ),
        get("H1-24 a long value", &format!("x: {}\r\n", "y".repeat(100_000)), 431),
        get("H1-24 too many headers", &"x: y\r\n".repeat(101), 431),
        raw("H1-25 UTF-8 in the target", "GET {at}/ä HTTP/1.1\r\nhost: {host}\r\n\r\n", 400),
        raw("H1-25 a quote in the target", "GET {at}/\" HTTP/1.1\r\nhost: {host}\r\n\r\n", 400),
        raw("H1-25 a brace in the target", "GET {at}/{x} HTTP/1.1\r\nhost: {host}\r\n\r\n", 400),
        raw("H1-25 a fragment", "GET {at}/x#y HTTP/1.1\r\nhost: {host}\r\n\r\n", 400),
        get("H1-20 a junk expectation", "expect: 100-continue, x\r\n", 417),
        get("H1-20 two expectations", "expect: 100-continue\r\nexpect: 100-continue\r\n", 417),
        get(
            "H1-21 h2c",
            "connection: upgrade, http2-settings\r\nupgrade: h2c\r\nhttp2-settings: AAMAAABkAARAAAAAAAIAAAAA\r\n",
            400,
        ),
        raw("H1-21 the preface of HTTP/2", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 505),
    ])
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_malformed_chunk_ends_both_connections() {
    let lab = Lab::new().await;
    for (name, body) in [
        ("H1-14 hexadecimal prefix", "0x1\r\na\r\n0\r\n\r\n"),
        ("H1-14 a plus", "+1\r\na\r\n0\r\n\r\n"),
        ("H1-14 a leading space", " 1\r\na\r\n0\r\n\r\n"),
        ("H1-15 a trailing space", "1 \r\na\r\n0\r\n\r\n"),
        ("H1-14 overflow", "10000000000000001\r\na\r\n0\r\n\r\n"),
        ("H1-15 many zeros", "000000000000000000000000000001\r\na\r\n0\r\n\r\n"),
        ("H1-14 no size", "\r\na\r\n0\r\n\r\n"),
        ("H1-14 no CRLF after the data", "1\r\naX0\r\n\r\n"),
        ("H1-14 more data than the size", "1\r\nabc\r\n0\r\n\r\n"),
        ("H1-14 bare LF after the size", "1\na\r\n0\r\n\r\n"),
        ("H1-14 bare LF in an extension", "1;x\ny\r\na\r\n0\r\n\r\n"),
        ("H1-14 bare CR in an extension", "1;x\ry\r\na\r\n0\r\n\r\n"),
        ("H1-17 a malformed trailer", "1\r\na\r\n0\r\nbad\x01: x\r\n\r\n"),
        ("H1-17 a bare LF in the trailers", "1\r\na\r\n0\r\nx: y\n\r\n"),
    ] {
        for way in Way::ALL {
            let case = format!("{name} by {way:?}");
            lab.refusals();
            let (whole, made) = (lab.origin.requests().len(), lab.origin.connections());
            let mut conn = way.open(&lab).await;
            let head = "POST {at}/x HTTP/1.1\r\nhost: {host}\r\ntransfer-encoding: chunked\r\n\r\n";
            conn.send(way.fill(head) + body).await;
            let answer = conn.answer(false).await;
            assert_eq!((answer.status, &*answer.reason()), (400, "bad_request"), "{case}");
            assert!(conn.is_over().await, "{case}");
            assert_eq!(lab.origin.requests().len(), whole, "{case}: it must not be whole for the origin");
            assert_eq!(lab.refusals(), ["bad_request"], "{case}");
            for connection in made..lab.origin.connections() {
                lab.until("the connection to the origin ends", || lab.origin.is_closed(connection)).await;
            }
        }
        lab.is_well(name).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn endless_chunk_extensions_are_cut() {
    let lab = Lab::new().await;
    let mut conn = Conn::sni(&lab, "open.example.test", DEVBOT).await;
    conn.send("POST /x HTTP/1.1\r\nhost: open.example.test\r\ntransfer-encoding: chunked\r\n\r\n").await;
    let chunk = format!("1;{}\r\na\r\n", "e".repeat(1000));
    conn.send(chunk.repeat(20)).await;
    assert_eq!(conn.answer(false).await.status, 400);
    assert!(conn.is_over().await);
    lab.is_well("H1-16").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_sent_on_is_written_anew() {
    let lab = Lab::new().await;
    for way in Way::ALL {
        let mut conn = way.open(&lab).await;
        let answer = conn
            .ask(&way.fill(
                "POST {at}/x?a=b HTTP/1.1\r\nhOsT:  {host} \r\ntransfer-encoding: CHUNKED\r\nX-Odd:\t caf\u{e9} \t\r\n\
                 connection: keep-alive, x-drop\r\nx-drop: 1\r\nkeep-alive: 5\r\nte: trailers\r\ntrailer: x\r\n\
                 proxy-authorization: Basic eDp5\r\nproxy-connection: keep-alive\r\n\r\n\
                 3;ext=1\r\nabc\r\n0\r\nauthorization: Bearer proxy-token-api\r\nhost: evil\r\ncontent-length: 9\r\n\r\n",
            ))
            .await;
        assert_eq!(answer.status, 200, "{way:?} {answer:?}");
        let seen = lab.origin.requests().pop().unwrap();
        let expected = format!(
            "POST /x?a=b HTTP/1.1\r\nhost: {}\r\nx-odd: caf\u{e9}\r\ntransfer-encoding: chunked\r\n\r\n",
            way.host()
        );
        assert_eq!(seen.head, expected, "{way:?}");
        assert_eq!(seen.body, b"abc", "{way:?}");
        let bytes = String::from_utf8_lossy(&lab.origin.bytes()).into_owned();
        assert!(!bytes.contains("evil") && !bytes.contains(STUB) && !bytes.contains("ext=1"), "H1-17: {bytes}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn bodies_are_framed_exactly_whatever_the_method() {
    let lab = Lab::new().await;
    for way in Way::ALL {
        let mut conn = way.open(&lab).await;
        for method in ["GET", "OPTIONS", "PUT", "POST"] {
            let head = format!("{method} {{at}}/x HTTP/1.1\r\nhost: {{host}}\r\n");
            let with_length = format!("{head}content-length: 5\r\n\r\nGET /");
            assert_eq!(conn.ask(&way.fill(&with_length)).await.status, 200, "H1-18 {method} {way:?}");
            assert_eq!(lab.origin.requests().pop().unwrap().body, b"GET /");
            let chunked = format!("{head}transfer-encoding: chunked\r\n\r\n5\r\nGET /\r\n0\r\n\r\n");
            assert_eq!(conn.ask(&way.fill(&chunked)).await.status, 200, "H1-18 {method} {way:?}");
            assert_eq!(lab.origin.requests().pop().unwrap().body, b"GET /");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn each_pipelined_request_is_decided_alone() {
    let lab = Lab::new().await;
    let mut conn = Conn::sni(&lab, "open.example.test", DEVBOT).await;
    let one = |host: &str, path: &str| format!("GET {path} HTTP/1.1\r\nhost: {host}\r\n\r\n");
    lab.refusals();
    let all = [
        one("open.example.test", "/1"),
        one("api.example.test", "/2"),
        one("evil.example.test", "/3"),
        one("open.example.test", "/4"),
    ];
    conn.send(all.concat()).await;
    let mut statuses = Vec::new();
    for _ in &all {
        statuses.push(conn.answer(false).await.status);
    }
    assert_eq!(statuses, [200, 421, 421, 200], "H1-19");
    assert_eq!(lab.refusals(), ["authority_mismatch", "authority_mismatch"]);
    let paths: Vec<String> = lab.origin.requests().iter().map(|seen| seen.path().to_owned()).collect();
    assert_eq!(paths, ["/1", "/4"]);
    lab.is_well("H1-19").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn connection_cannot_strip_or_imitate_what_we_send() {
    let lab = Lab::new().await;
    for lines in [
        "connection: authorization\r\n",
        "connection: close, Authorization\r\n",
        "connection: host\r\n",
        "connection: close\r\nconnection: x-api-key\r\n",
        "transfer_encoding: chunked\r\n",
        "content_length: 5\r\n",
        "x_api_key: attacker\r\n",
    ] {
        lab.refusals();
        let before = lab.origin.byte_count();
        let answer = lab
            .get("api.example.test", "/x", &[("authorization", &format!("Bearer {STUB}\r\n{}", lines.trim_end()))])
            .await;
        assert_eq!(answer.status, 400, "H1-26, H1-13 {lines}");
        assert_eq!(lab.refusals(), ["bad_request"], "{lines}");
        assert_eq!(lab.origin.byte_count(), before, "{lines}");
    }
    lab.is_well("H1-26").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn underscores_cannot_imitate_a_header_that_is_taken_out_or_holds_a_credential() {
    let lab = Lab::new().await;
    for (host, line) in [
        ("open.example.test", "x_forwarded_host: evil.example.test"),
        ("open.example.test", "X_HTTP_Method-Override: DELETE"),
        ("open.example.test", "x_original_url: /admin"),
        ("open.example.test", "proxy_authorization: Basic eDp5"),
        ("keyed.example.test", "x_corp_token: attacker"),
        ("keyed.example.test", "x-corp_token: attacker"),
    ] {
        lab.refusals();
        let before = lab.origin.byte_count();
        let (name, value) = line.split_once(": ").unwrap();
        let answer = lab.get(host, "/x", &[(name, value)]).await;
        assert_eq!(answer.status, 400, "AU-13, CR-12 {line}");
        assert_eq!(lab.refusals(), ["bad_request"], "{line}");
        assert_eq!(lab.origin.byte_count(), before, "{line}");
    }
    lab.is_well("AU-13").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn connection_cannot_strip_a_declared_slot() {
    let lab = Lab::new().await;
    lab.refusals();
    let before = lab.origin.byte_count();
    let answer = lab
        .get("keyed.example.test", "/x", &[("connection", "x-corp-token"), ("x-corp-token", crate::lab::KEYED_STUB)])
        .await;
    assert_eq!(answer.status, 400, "{answer:?}");
    assert_eq!(lab.refusals(), ["bad_request"]);
    assert_eq!(lab.origin.byte_count(), before);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_method_that_no_rule_names_is_refused() {
    let lab = Lab::new().await;
    for method in ["get", "TRACE", "TRACK", "DEBUG", "G!#$%&'*+-.^_`|~", "DELETE", "Get"] {
        for way in Way::ALL {
            lab.refusals();
            let before = lab.origin.byte_count();
            let mut conn = way.open(&lab).await;
            let answer = conn.ask(&way.fill(&format!("{method} {{at}}/x HTTP/1.1\r\nhost: {{host}}\r\n\r\n"))).await;
            assert_eq!((answer.status, &*answer.reason()), (403, "method_not_allowed"), "H1-23 {method} {way:?}");
            assert_eq!(lab.refusals().len(), 1, "{method} {way:?}");
            assert_eq!(lab.origin.byte_count(), before, "{method} {way:?}");
        }
    }
    // Where any method may pass, those that reflect a head still may not (CR-04).
    let answer = Conn::sni(&lab, "api.example.test", DEVBOT)
        .await
        .ask(&format!("TRACE /x HTTP/1.1\r\nhost: api.example.test\r\nauthorization: Bearer {STUB}\r\n\r\n"))
        .await;
    assert_eq!(answer.status, 403);
    assert!(!answer.text().contains(REAL));
    assert_eq!(lab.origin.byte_count(), 0);
    lab.is_well("H1-23").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_before_the_body_ends_does_not_poison_the_connection() {
    let lab = Lab::new().await;
    lab.origin.answer("/early", |_| Reply::Close(b"HTTP/1.1 413 Too Large\r\ncontent-length: 0\r\n\r\n".into()));
    // Refused by us while the body is still to come: what follows must not be read as a request.
    let mut conn = Conn::sni(&lab, "open.example.test", DEVBOT).await;
    let hidden = "GET /hidden HTTP/1.1\r\nhost: open.example.test\r\n\r\n";
    let request =
        format!("DELETE /x HTTP/1.1\r\nhost: open.example.test\r\ncontent-length: {}\r\n\r\n{hidden}", hidden.len());
    assert_eq!(conn.ask(&request).await.status, 403);
    assert!(conn.is_over().await);
    assert!(!String::from_utf8_lossy(&lab.origin.bytes()).contains("/hidden"));
    lab.is_well("an early refusal").await;
}
