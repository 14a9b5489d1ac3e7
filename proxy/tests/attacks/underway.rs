//! What is under way and stands still on one side only (law 7): bounds end what is stuck, and nothing else.

use std::time::Duration;

use bytes::Bytes;
use futures_util::future::join_all;
use http::Request;
use http_body_util::{BodyExt, Empty, StreamBody};
use hyper::body::Frame;
use hyper::client::conn::http2::{self, SendRequest};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::sync::mpsc;

use crate::client::{Conn, PATIENCE, tcp, tls};
use crate::lab::{DEVBOT, Lab, Setup};
use crate::origin::Reply;

const HOST: &str = "open.example.test";

type Pieces = mpsc::Sender<Result<Frame<Bytes>, std::convert::Infallible>>;

async fn upload(lab: &Lab, path: &str) -> (Pieces, hyper::body::Incoming) {
    let io = tls(tcp(lab.addresses.https[0], DEVBOT).await, &lab.h2, HOST).await.unwrap();
    let (mut sender, connection) = http2::handshake(TokioExecutor::new(), TokioIo::new(io)).await.unwrap();
    tokio::spawn(connection);
    let (pieces, mut receiver) = mpsc::channel(1);
    let body = StreamBody::new(futures_util::stream::poll_fn(move |cx| receiver.poll_recv(cx)));
    let request = Request::post(format!("https://{HOST}{path}")).body(body).unwrap();
    let response = tokio::time::timeout(PATIENCE, sender.send_request(request)).await.unwrap().unwrap();
    assert_eq!(response.status(), 200);
    (pieces, response.into_body())
}

/// Sends for three seconds; whether all of it is taken, and the response goes on all the time.
async fn goes_on(pieces: Pieces, mut response: hyper::body::Incoming, piece: &'static [u8]) -> bool {
    let sending = async {
        for _ in 0..30 {
            tokio::time::sleep(Duration::from_millis(100)).await;
            if pieces.send(Ok(Frame::data(Bytes::from_static(piece)))).await.is_err() {
                return false;
            }
        }
        true
    };
    tokio::select! {
        is_taken = sending => is_taken,
        _ = response.frame() => false,
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_live_upload_beside_a_silent_response_goes_on() {
    let timeouts = "drain_seconds: 1, body_idle_seconds: 1".into();
    let lab = Lab::with(Setup { timeouts, origin_h2: true, ..Setup::default() }).await;
    lab.origin.answer("/live", |_| Reply::Early(true));
    let (pieces, response) = upload(&lab, "/live").await;
    assert!(goes_on(pieces, response, &[b'x'; 1000]).await, "over HTTP/2");

    let mut conn = Conn::sni(&lab, HOST, DEVBOT).await;
    conn.send(format!("POST /live HTTP/1.1\r\nhost: {HOST}\r\ntransfer-encoding: chunked\r\n\r\n1\r\nx\r\n")).await;
    assert_eq!(conn.head().await.status, 200);
    for _ in 0..30 {
        conn.send(format!("3e8\r\n{}\r\n", "x".repeat(1000))).await;
        let more = tokio::time::timeout(Duration::from_millis(100), conn.some()).await;
        assert!(more.is_err(), "over HTTP/1.1");
    }
    // And what stands still on both sides is given up on.
    assert!(conn.is_over().await);
    lab.is_well("live uploads").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn no_rate_is_asked_of_a_body_whose_response_has_begun() {
    let limits = "refusals_per_second: 100000, body_bytes_per_second: 1000000".into();
    let timeouts = "drain_seconds: 1, body_idle_seconds: 1".into();
    let lab = Lab::with(Setup { limits, timeouts, origin_h2: true, ..Setup::default() }).await;
    lab.origin.answer("/talk", |_| Reply::Early(true));
    let (pieces, response) = upload(&lab, "/talk").await;
    assert!(goes_on(pieces, response, b"a word").await);
    assert!(lab.metrics().contains("stubgate_limits_reached_total{limit=\"body_bytes_per_second\"} 0"));
}

async fn sender(lab: &Lab, window: u32) -> SendRequest<Empty<Bytes>> {
    let io = tls(tcp(lab.addresses.https[0], DEVBOT).await, &lab.h2, HOST).await.unwrap();
    let mut builder = http2::Builder::new(TokioExecutor::new());
    let (sender, connection) = builder.initial_stream_window_size(window).handshake(TokioIo::new(io)).await.unwrap();
    tokio::spawn(connection);
    sender
}

fn get(path: &str) -> Request<Empty<Bytes>> {
    Request::get(format!("https://{HOST}{path}")).body(Empty::new()).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_that_come_at_once_share_the_connection_that_the_first_of_them_makes() {
    let lab = Lab::with(Setup { origin_h2: true, ..Setup::default() }).await;
    let sender = sender(&lab, 65_535).await;
    let asked = join_all((0..50).map(|_| sender.clone().send_request(get("/x")))).await;
    assert!(asked.into_iter().all(|response| response.unwrap().status() == 200));
    assert_eq!(lab.origin.connections(), 1);

    // No connection brings as many as origins end one after.
    for _ in 0..55 {
        let asked = join_all((0..10).map(|_| sender.clone().send_request(get("/x")))).await;
        assert!(asked.into_iter().all(|response| response.unwrap().status() == 200));
    }
    assert_eq!(lab.origin.connections(), 2);

    // An origin of HTTP/1.1 needs one for each, and none waits for another but the first.
    let lab = Lab::new().await;
    let gate = std::sync::Arc::new(std::sync::Barrier::new(5));
    lab.origin.answer("/together", move |_| {
        tokio::task::block_in_place(|| gate.wait());
        crate::origin::ok("fine")
    });
    let one = async || assert_eq!(lab.get(HOST, "/together", &[]).await.status, 200);
    tokio::join!(one(), one(), one(), one(), one());
    assert_eq!(lab.origin.connections(), 5);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_origin_that_can_not_be_reached_is_tried_once_for_all_who_wait() {
    let nobody = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let elsewhere = [(format!("{HOST}:443"), nobody.local_addr().unwrap())].into();
    let timeouts = "drain_seconds: 1, connect_seconds: 1".into();
    let lab = Lab::with(Setup { timeouts, elsewhere, ..Setup::default() }).await;
    let sender = sender(&lab, 65_535).await;
    let asked = join_all((0..20).map(|_| sender.clone().send_request(get("/x")))).await;
    assert!(asked.into_iter().all(|response| response.unwrap().status() == 504));
    let mut tried = 0;
    while tokio::time::timeout(Duration::from_millis(50), nobody.accept()).await.is_ok() {
        tried += 1;
    }
    assert_eq!(tried, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn responses_that_nobody_reads_hold_little_together() {
    let lab = Lab::with(Setup { origin_h2: true, ..Setup::default() }).await;
    lab.origin.answer("/endless", |_| Reply::Endless);
    let sender = sender(&lab, 1024).await;
    let unread = join_all((0..60).map(|_| sender.clone().send_request(get("/endless")))).await;
    assert!(unread.iter().all(|response| response.as_ref().unwrap().status() == 200));
    // What the origin could send so far, once that is no longer growing.
    let mut sent = usize::MAX;
    while sent != lab.origin.taken() {
        sent = lab.origin.taken();
        tokio::time::sleep(Duration::from_millis(300)).await;
    }
    // 4 MiB in the window of the connection, and a piece or two of each response on either side of it.
    assert!(sent > 0 && sent * crate::origin::PIECE <= 10 << 20, "{sent} pieces");
    drop(unread);
    lab.is_well("RE-04").await;
}
