//! HTTP/2 towards agents (H2-*): raw frames for what no honest client sends, hyper for what it does.

use bytes::Bytes;
use http::Request;
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http2::{self, SendRequest};
use hyper_util::rt::{TokioExecutor, TokioIo};

use crate::client::{Conn, PATIENCE, tcp, tls};
use crate::lab::{DEVBOT, Lab, REAL, STUB, Setup};

pub(crate) const HOST: &str = "open.example.test";
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

pub(crate) const DATA: u8 = 0;
pub(crate) const HEADERS: u8 = 1;
pub(crate) const RST_STREAM: u8 = 3;
pub(crate) const SETTINGS: u8 = 4;
pub(crate) const GOAWAY: u8 = 7;

pub(crate) fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    [&length[1..], &[kind, flags], &stream.to_be_bytes(), payload].concat()
}

/// Header fields as literals, never indexed and not Huffman coded (RFC 7541 section 6.2.2).
pub(crate) fn fields(lines: &[(&str, &str)]) -> Vec<u8> {
    let mut out = Vec::new();
    for (name, value) in lines {
        out.push(0);
        for text in [name, value] {
            assert!(text.len() < 127);
            out.push(u8::try_from(text.len()).unwrap());
            out.extend_from_slice(text.as_bytes());
        }
    }
    out
}

pub(crate) async fn h2_conn(lab: &Lab, host: &str) -> Conn {
    let mut conn = Conn::over(tls(tcp(lab.addresses.https[0], DEVBOT).await, &lab.h2, host).await.unwrap());
    conn.send([PREFACE, &frame(SETTINGS, 0, 0, &[])].concat()).await;
    conn
}

/// What came back on stream 1.
#[derive(Debug, PartialEq, Eq)]
enum Back {
    Headers,
    Reset,
    GoneAway,
}

async fn back(conn: &mut Conn) -> Back {
    let mut read = Vec::new();
    loop {
        while read.len() >= 9 {
            let length = usize::from(read[0]) << 16 | usize::from(read[1]) << 8 | usize::from(read[2]);
            if read.len() < 9 + length {
                break;
            }
            let frame: Vec<u8> = read.drain(..9 + length).collect();
            match frame[3] {
                HEADERS => return Back::Headers,
                RST_STREAM => return Back::Reset,
                GOAWAY => return Back::GoneAway,
                _ => {}
            }
        }
        let more = conn.some().await;
        if more.is_empty() {
            return Back::GoneAway;
        }
        read.extend(more);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fragment_is_neither_decided_on_nor_sent() {
    let lab = Lab::new().await;
    // hyper takes it off before we see it; over HTTP/1.1 it is a 400.
    let mut conn = h2_conn(&lab, "paths.example.test").await;
    let lines =
        [(":method", "GET"), (":scheme", "https"), (":path", "/exact#/../admin"), (":authority", "paths.example.test")];
    conn.send(frame(HEADERS, 0x5, 1, &fields(&lines))).await;
    assert_eq!(back(&mut conn).await, Back::Headers);
    assert_eq!(lab.origin.requests().pop().unwrap().path(), "/exact", "H2-06");
}

async fn sender(lab: &Lab, host: &str) -> SendRequest<Full<Bytes>> {
    let io = tls(tcp(lab.addresses.https[0], DEVBOT).await, &lab.h2, host).await.unwrap();
    let (sender, connection) = http2::handshake(TokioExecutor::new(), TokioIo::new(io)).await.unwrap();
    tokio::spawn(connection);
    sender
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_pass_whichever_version_either_side_speaks() {
    for origin_h2 in [false, true] {
        let lab = Lab::with(Setup { origin_h2, ..Setup::default() }).await;
        lab.origin.answer("/echo", |seen| crate::origin::ok(&String::from_utf8_lossy(&seen.body)));
        let mut sender = sender(&lab, "api.example.test").await;
        for _ in 0..3 {
            let request = Request::post("https://api.example.test/echo?q=1")
                .header("authorization", format!("Bearer {STUB}"))
                .header("te", "trailers")
                .header("x-forwarded-host", "evil")
                .body(Full::from("body"))
                .unwrap();
            sender.ready().await.unwrap();
            let response = sender.send_request(request).await.unwrap();
            assert_eq!(response.status(), 200, "origin_h2 {origin_h2}");
            assert_eq!(response.into_body().collect().await.unwrap().to_bytes(), "body");
        }
        let seen = lab.origin.requests();
        assert_eq!(seen.len(), 3);
        for seen in seen {
            assert_eq!(seen.header("authorization").unwrap(), format!("Bearer {REAL}"));
            assert_eq!(
                (seen.header("host").as_deref(), seen.body.as_slice()),
                (Some("api.example.test"), &b"body"[..])
            );
            assert!(seen.header("te").is_none() && seen.header("x-forwarded-host").is_none(), "{}", seen.head);
            assert_eq!(seen.path(), "/echo?q=1");
        }
        assert_eq!(lab.origin.connections(), 1, "one connection is used again");
        // A refusal over HTTP/2 says the same as over HTTP/1.1.
        lab.refusals();
        let request =
            Request::get("https://api.example.test/x").header("authorization", "Bearer mine").body(Full::default());
        let response = sender.send_request(request.unwrap()).await.unwrap();
        assert_eq!(
            (response.status().as_u16(), response.headers()["x-stubgate-reason"].to_str().unwrap()),
            (403, "foreign_credential")
        );
        let request = Request::get("https://open.example.test/x").body(Full::default()).unwrap();
        let response = sender.send_request(request).await.unwrap();
        assert_eq!(response.status(), 421, "H2-04: no coalescing");
        assert_eq!(lab.refusals(), ["foreign_credential", "authority_mismatch"]);
        assert_eq!(lab.origin.requests().len(), 3);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn trailers_of_a_request_end_here() {
    let lab = Lab::with(Setup { origin_h2: true, ..Setup::default() }).await;
    let mut conn = h2_conn(&lab, HOST).await;
    let post = fields(&[(":method", "POST"), (":scheme", "https"), (":path", "/x"), (":authority", HOST)]);
    let trailers = fields(&[("authorization", "Bearer proxy-token-api"), ("host", "evil.example.test"), ("x-t", "1")]);
    conn.send([frame(HEADERS, 0x4, 1, &post), frame(DATA, 0, 1, b"abc"), frame(HEADERS, 0x5, 1, &trailers)].concat())
        .await;
    assert_eq!(back(&mut conn).await, Back::Headers);
    let seen = lab.origin.requests().pop().unwrap();
    assert_eq!(seen.body, b"abc");
    assert!(!seen.head.contains("evil") && !seen.head.contains("x-t"), "H2-10: {}", seen.head);
    assert!(!String::from_utf8_lossy(&lab.origin.bytes()).contains(STUB));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_that_a_reload_no_longer_allows_is_cut_and_its_connection_goes_on() {
    let lab = Lab::new().await;
    let (events, receiver) = tokio::sync::mpsc::unbounded_channel();
    events.send(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nhi\r\n".to_vec()).unwrap();
    let receiver = std::sync::Mutex::new(Some(receiver));
    lab.origin.answer("/gone/events", move |_| crate::origin::Reply::Stream(receiver.lock().unwrap().take().unwrap()));
    let mut sender = sender(&lab, "paths.example.test").await;
    let with = crate::lab::POLICY.replace("\"/exact\"]", "\"/exact\", \"/gone/*\"]");
    assert_eq!(lab.reload(&with).await, "taken");
    let request = Request::get("https://paths.example.test/gone/events").body(Full::default()).unwrap();
    let mut body = sender.send_request(request).await.unwrap().into_body();
    assert_eq!(body.frame().await.unwrap().unwrap().into_data().unwrap(), "hi");
    assert_eq!(lab.reload(crate::lab::POLICY).await, "taken");
    let ended = tokio::time::timeout(PATIENCE, body.frame()).await.expect("an end in time");
    assert!(ended.is_none_or(|frame| frame.is_err()), "PO-13");
    let cut = || lab.records().iter().any(|record| record["outcome"] == "cut");
    lab.until("the cut is recorded", cut).await;
    let request = Request::get("https://paths.example.test/exact").body(Full::default()).unwrap();
    assert_eq!(sender.send_request(request).await.unwrap().status(), 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_stalls_on_http_2_is_ended_at_the_deadline() {
    let timeouts = "drain_seconds: 1, idle_seconds: 1, body_idle_seconds: 1, upstream_header_seconds: 1".into();
    let lab = Lab::with(Setup { timeouts, ..Setup::default() }).await;
    // H2-20: no stream at all.
    let mut idle = h2_conn(&lab, HOST).await;
    tokio::time::timeout(PATIENCE, idle.rest()).await.expect("an idle connection ends");
    // RE-03: a body that stops.
    lab.refusals();
    let mut slow = h2_conn(&lab, HOST).await;
    let post = fields(&[(":method", "POST"), (":scheme", "https"), (":path", "/x"), (":authority", HOST)]);
    slow.send([frame(HEADERS, 0x4, 1, &post), frame(DATA, 0, 1, b"half")].concat()).await;
    assert_eq!(back(&mut slow).await, Back::Headers, "a refusal");
    assert_eq!(lab.refusals().len(), 1);
    lab.until("the origin is let go", || lab.origin.is_closed(0)).await;
    // RE-11: an origin that stalls in its body.
    lab.origin.answer_bytes("/half", "HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nhalf");
    let mut sender = sender(&lab, HOST).await;
    let request = Request::get(format!("https://{HOST}/half")).body(Full::default()).unwrap();
    let body = sender.send_request(request).await.unwrap().into_body();
    let collected = tokio::time::timeout(PATIENCE, body.collect()).await.expect("an end in time");
    assert!(collected.is_err(), "a body cut short is seen as such");
    lab.until("the origin is let go", || lab.origin.is_closed(1)).await;
    lab.is_well("H2-20").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_origin_that_lies_is_a_502_over_http_2_too() {
    let lab = Lab::new().await;
    lab.origin.answer_bytes("/lie", "HTTP/1.1 200 OK\r\ncontent-length: 2\r\ncontent-length: 3\r\n\r\nok");
    lab.origin.answer("/cut", |_| {
        crate::origin::Reply::Close(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nok\r\n".into())
    });
    let mut sender = sender(&lab, HOST).await;
    let request = Request::get(format!("https://{HOST}/lie")).body(Full::default()).unwrap();
    assert_eq!(sender.send_request(request).await.unwrap().status(), 502, "H1-27");
    // Where the end follows at once it may overtake the head.
    let request = Request::get(format!("https://{HOST}/cut")).body(Full::default()).unwrap();
    if let Ok(cut) = sender.send_request(request).await {
        assert!(cut.into_body().collect().await.is_err(), "a body cut short is seen as such");
    }
    let request = Request::get(format!("https://{HOST}/x")).body(Full::default()).unwrap();
    let whole = sender.send_request(request).await.unwrap().into_body();
    assert_eq!(whole.collect().await.unwrap().to_bytes(), "ok", "the connection goes on");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_of_ours_that_nobody_reads_is_given_up_on() {
    let timeouts = "drain_seconds: 1, body_idle_seconds: 1".into();
    let lab = Lab::with(Setup { timeouts, ..Setup::default() }).await;
    let mut conn = h2_conn(&lab, HOST).await;
    // No byte of a body may be sent (RFC 9113 section 6.9.2).
    conn.send(frame(SETTINGS, 0, 0, &[0, 4, 0, 0, 0, 0])).await;
    let delete = fields(&[(":method", "DELETE"), (":scheme", "https"), (":path", "/x"), (":authority", HOST)]);
    conn.send(frame(HEADERS, 0x5, 1, &delete)).await;
    assert_eq!(back(&mut conn).await, Back::Headers);
    assert_eq!(back(&mut conn).await, Back::Reset, "RE-04");
    lab.is_well("RE-04").await;
}
