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
        raw("H1-24 a long target", &format!("GET {{at}}/{} HTTP/1.1\r\nhost: {{host}}\r\n\r\n", "x".repeat(60_000)), 414),
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
