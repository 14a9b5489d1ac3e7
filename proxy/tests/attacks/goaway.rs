//! An HTTP/2 connection that has brought its requests loses none of them (RFC 9113 section 6.8).
//!
//! Frame by frame, because a client library hides which requests it took for unprocessed and sent again.

use std::sync::Mutex;

use tokio::sync::mpsc::{UnboundedSender, unbounded_channel};

use crate::client::{Conn, PATIENCE};
use crate::lab::{Lab, Setup};
use crate::origin::Reply;
use crate::streams::{DATA, GOAWAY, HEADERS, HOST, RST_STREAM, SETTINGS, fields, frame, h2_conn};

const PING: u8 = 6;
const ACK: u8 = 1;
const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;
/// The last stream of a warning: all that were opened will be served.
const ALL: u32 = (1 << 31) - 1;

/// One frame from the appliance.
struct Frame {
    kind: u8,
    flags: u8,
    stream: u32,
    payload: Vec<u8>,
}

impl Frame {
    fn is_end(&self) -> bool {
        matches!(self.kind, DATA | HEADERS) && self.flags & END_STREAM != 0
    }
}

fn number(bytes: &[u8]) -> u32 {
    u32::from_be_bytes(bytes[..4].try_into().unwrap())
}

/// The next frame; `None` at the end of the connection.
async fn next(conn: &mut Conn) -> Option<Frame> {
    let reading = async {
        let head = conn.exactly(9).await;
        if head.is_empty() {
            return None;
        }
        let length = number(&[0, head[0], head[1], head[2]]) as usize;
        let payload = conn.exactly(length).await;
        assert_eq!(payload.len(), length, "a frame is whole");
        Some(Frame { kind: head[3], flags: head[4], stream: number(&head[5..]), payload })
    };
    tokio::time::timeout(PATIENCE, reading).await.expect("a frame or the end in time")
}

/// The next frame of this kind; none that ends a stream may come before it.
async fn next_of(conn: &mut Conn, kind: u8, flags: u8) -> Frame {
    loop {
        let frame = next(conn).await.expect("the connection is open");
        if frame.kind == kind && frame.flags == flags {
            return frame;
        }
        assert!(!frame.is_end() && frame.kind != RST_STREAM && frame.kind != GOAWAY, "{} first", frame.kind);
    }
}

/// HEADERS of a request.
fn request(method: &str, path: &str, stream: u32) -> Vec<u8> {
    let flags = if method == "GET" { END_HEADERS | END_STREAM } else { END_HEADERS };
    let lines = [(":method", method), (":scheme", "https"), (":path", path), (":authority", HOST)];
    frame(HEADERS, flags, stream, &fields(&lines))
}

/// Has the origin answer a path when it is told to.
fn hold(lab: &Lab, path: &str) -> UnboundedSender<Vec<u8>> {
    let (sender, receiver) = unbounded_channel();
    let receiver = Mutex::new(Some(receiver));
    lab.origin.answer(path, move |_| Reply::Stream(receiver.lock().unwrap().take().unwrap()));
    sender
}

fn response(path: &str) -> Vec<u8> {
    format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{path}", path.len()).into_bytes()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_that_has_brought_its_requests_answers_all_that_are_under_way() {
    let limits = "refusals_per_second: 100000, requests_per_connection: 3".into();
    let lab = Lab::with(Setup { limits, ..Setup::default() }).await;
    let asked = [(1, "/one"), (3, "/three"), (5, "/five"), (7, "/seven")];
    let held = asked.map(|(_, path)| hold(&lab, path));
    let mut conn = h2_conn(&lab, HOST).await;
    conn.send([request("GET", "/one", 1), request("GET", "/three", 3), request("POST", "/five", 5)].concat()).await;
    conn.send(frame(DATA, 0, 5, b"begun, ")).await;

    let warning = next_of(&mut conn, GOAWAY, 0).await;
    assert_eq!((number(&warning.payload), number(&warning.payload[4..])), (ALL, 0), "a warning, and no error");
    // Opened before the client can have read the warning.
    conn.send(request("GET", "/seven", 7)).await;
    let ping = next_of(&mut conn, PING, 0).await;
    conn.send([frame(SETTINGS, ACK, 0, &[]), frame(PING, ACK, 0, &ping.payload)].concat()).await;
    let last = next_of(&mut conn, GOAWAY, 0).await;
    assert_eq!((number(&last.payload), number(&last.payload[4..])), (7, 0), "the last stream that is served");

    // Behind the last one: a client may send it again elsewhere, so nothing may have come of it here.
    conn.send(request("GET", "/nine", 9)).await;
    // What is under way goes on, in both directions.
    conn.send(frame(DATA, END_STREAM, 5, b"finished")).await;
    let all_came = || asked.iter().all(|(_, path)| lab.origin.requests().iter().any(|seen| seen.path() == *path));
    lab.until("the origin has all of them", all_came).await;
    for (sender, (_, path)) in held.iter().zip(asked).rev() {
        sender.send(response(path)).unwrap();
    }

    let mut bodies = [(1, Vec::new()), (3, Vec::new()), (5, Vec::new()), (7, Vec::new())];
    let mut ended = Vec::new();
    while let Some(frame) = next(&mut conn).await {
        assert!(frame.kind != RST_STREAM && frame.stream != 9, "{} on stream {}", frame.kind, frame.stream);
        if frame.is_end() {
            ended.push(frame.stream);
        }
        if frame.kind == DATA {
            let (_, body) = bodies.iter_mut().find(|(stream, _)| *stream == frame.stream).unwrap();
            body.extend(frame.payload);
        }
    }
    ended.sort_unstable();
    assert_eq!(ended, [1, 3, 5, 7], "every one is answered to its end, and then the connection ends");
    assert_eq!(
        bodies.map(|(stream, body)| (stream, String::from_utf8(body).unwrap())),
        asked.map(|(s, p)| (s, p.into()))
    );
    let seen = lab.origin.requests();
    assert_eq!(seen.len(), 4, "each once, and not the one behind the last");
    assert_eq!(seen.iter().find(|seen| seen.path() == "/five").unwrap().body, b"begun, finished");
    assert!(lab.metrics().contains("stubgate_limits_reached_total{limit=\"requests_per_connection\"} 1"));
    drop(held);
    lab.is_well("requests_per_connection").await;
}
