//! Origins that lie, stall, hang up or say too much (H1-27, H1-28, TL-17, H2-22), and honest exchanges that must survive.

use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::sync::mpsc;

use crate::client::{Conn, Way};
use crate::lab::{DEVBOT, Lab, OTHERBOT, Setup};
use crate::origin::Reply;

const HOST: &str = "open.example.test";

#[tokio::test(flavor = "multi_thread")]
async fn a_body_that_breaks_off_is_seen_as_broken_off() {
    let lab = Lab::new().await;
    for (name, response) in [
        ("short of its length", "HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nhello"),
        ("no last chunk", "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n"),
        ("a malformed chunk", "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\nzz\r\n"),
        ("a chunk too long", "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhelloworld\r\n0\r\n\r\n"),
    ] {
        lab.origin.answer("/cut", move |_| Reply::Close(response.into()));
        let mut conn = Conn::sni(&lab, HOST, DEVBOT).await;
        let answer = conn.ask(&format!("GET /cut HTTP/1.1\r\nhost: {HOST}\r\n\r\n")).await;
        assert_eq!(answer.status, 200);
        assert!(!answer.is_whole, "{name}: {answer:?}");
        assert!(conn.is_over().await, "{name}");
        lab.is_well(name).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn bytes_behind_a_response_reach_nobody() {
    let lab = Lab::new().await;
    let poison = "HTTP/1.1 200 OK\r\ncontent-length: 6\r\n\r\npoison";
    lab.origin.answer_bytes("/extra", format!("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok{poison}"));
    lab.origin.answer_bytes("/none", format!("HTTP/1.1 204 No Content\r\n\r\n{poison}"));
    lab.origin.answer_bytes("/same", format!("HTTP/1.1 304 Not Modified\r\ncontent-length: 100\r\n\r\n{poison}"));
    lab.origin
        .answer_bytes("/chunked", format!("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n{poison}"));
    let mut conn = Conn::sni(&lab, HOST, DEVBOT).await;
    for path in ["/extra", "/none", "/same", "/chunked"] {
        let answer = conn.ask(&format!("GET {path} HTTP/1.1\r\nhost: {HOST}\r\n\r\n")).await;
        assert!(!answer.text().contains("poison"), "H1-28 {path}");
        let lied = lab.origin.requests().pop().unwrap().connection;
        let answer = conn.ask(&format!("GET /next HTTP/1.1\r\nhost: {HOST}\r\n\r\n")).await;
        assert_eq!(answer.text(), "ok", "H1-28 after {path}");
        assert_ne!(lab.origin.requests().pop().unwrap().connection, lied, "{path}: a new connection");
    }
    // HEAD with a body that should not be there.
    lab.origin.answer_bytes("/head", poison);
    assert_eq!(conn.ask(&format!("HEAD /head HTTP/1.1\r\nhost: {HOST}\r\n\r\n")).await.status, 200);
    let answer = conn.ask(&format!("GET /next HTTP/1.1\r\nhost: {HOST}\r\n\r\n")).await;
    assert_eq!(answer.text(), "ok");
    lab.is_well("H1-28").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn two_agents_never_share_a_connection_to_an_origin() {
    let lab = Lab::new().await;
    let request = format!("GET /x HTTP/1.1\r\nhost: {HOST}\r\n\r\n");
    let mut connections = [Vec::new(), Vec::new()];
    for _ in 0..3 {
        for (agent, from) in [DEVBOT, OTHERBOT].iter().enumerate() {
            let mut conn = Conn::sni(&lab, HOST, from).await;
            assert_eq!(conn.ask(&request).await.status, 200);
            connections[agent].push(lab.origin.requests().pop().unwrap().connection);
        }
    }
    let [devbot, otherbot] = connections;
    assert!(devbot.windows(2).all(|pair| pair[0] == pair[1]), "one agent's are used again: {devbot:?}");
    assert!(otherbot.windows(2).all(|pair| pair[0] == pair[1]));
    assert_ne!(devbot[0], otherbot[0], "H1-29");
    // Nor two hosts.
    lab.get("a.wild.example.test", "/x", &[]).await;
    let other = lab.origin.requests().pop().unwrap();
    assert!(other.connection != devbot[0] && other.sni == "a.wild.example.test");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stale_connection_costs_a_safe_request_nothing_and_others_are_not_sent_twice() {
    let lab = Lab::new().await;
    // Each connection serves one request, and hangs up when the second comes.
    let served = std::sync::Arc::new(std::sync::Mutex::new(std::collections::HashSet::new()));
    let hangs_up = move |seen: &crate::origin::Seen| {
        if served.lock().unwrap().insert(seen.connection) {
            crate::origin::ok("fresh")
        } else {
            Reply::Close(Vec::new())
        }
    };
    lab.origin.answer("/once", hangs_up);
    let mut conn = Conn::sni(&lab, HOST, DEVBOT).await;
    let get = format!("GET /once HTTP/1.1\r\nhost: {HOST}\r\n\r\n");
    assert_eq!(conn.ask(&get).await.text(), "fresh");
    assert_eq!(conn.ask(&get).await.text(), "fresh", "sent again on a new connection");
    assert_eq!(lab.origin.requests().len(), 3);
    let begun = lab.records().iter().filter(|record| record["event"] == "begin").count();
    assert_eq!(begun, 2, "one decision, one begin");
    lab.refusals();
    let post = format!("POST /once HTTP/1.1\r\nhost: {HOST}\r\ncontent-length: 3\r\n\r\nabc");
    assert_eq!(conn.ask(&post).await.status, 502, "H2-22: not sent again");
    assert_eq!(lab.origin.requests().len(), 4);
    assert_eq!(lab.refusals(), ["upstream_unreachable"]);
    // A safe request with a body that went out in part is not sent again either.
    assert_eq!(conn.ask(&get).await.text(), "fresh");
    let put = format!("PUT /once HTTP/1.1\r\nhost: {HOST}\r\ncontent-length: 3\r\n\r\nabc");
    assert_eq!(conn.ask(&put).await.status, 502);
    assert_eq!(lab.origin.requests().len(), 6);
    lab.is_well("a stale connection").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_origin_that_always_hangs_up_is_asked_at_most_twice() {
    let lab = Lab::new().await;
    lab.get(HOST, "/warm", &[]).await;
    lab.origin.answer("/never", |_| Reply::Close(Vec::new()));
    let answer = lab.get(HOST, "/never", &[]).await;
    assert_eq!((answer.status, &*answer.reason()), (502, "upstream_unreachable"));
    let asked = lab.origin.requests().iter().filter(|seen| seen.path() == "/never").count();
    assert_eq!(asked, 2, "once on the pooled connection, once on a new one");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_origin_that_can_not_be_reached_is_a_502() {
    let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = closed.local_addr().unwrap();
    drop(closed);
    let elsewhere = [("open.example.test:443".to_owned(), address)].into();
    let lab = Lab::with(Setup { elsewhere, ..Setup::default() }).await;
    let answer = lab.get(HOST, "/x", &[]).await;
    assert_eq!((answer.status, &*answer.reason()), (502, "upstream_unreachable"));
    lab.is_well("an unreachable origin").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn expect_continue_is_answered_by_the_origin_before_the_body_is_sent() {
    let lab = Lab::new().await;
    for way in Way::ALL {
        let before = lab.origin.requests().len();
        let mut conn = way.open(&lab).await;
        conn.send(
            way.fill("POST {at}/x HTTP/1.1\r\nhost: {host}\r\nexpect: 100-continue\r\ncontent-length: 4\r\n\r\n"),
        )
        .await;
        assert_eq!(conn.head().await.status, 100, "{way:?}");
        assert_eq!(lab.origin.requests().len(), before, "the origin still waits for the body");
        conn.send("body").await;
        assert_eq!(conn.answer(false).await.status, 200);
        assert_eq!(lab.origin.requests().pop().unwrap().body, b"body");
        // A refusal is told without asking for the body, and the connection ends.
        conn.send(
            way.fill("DELETE {at}/x HTTP/1.1\r\nhost: {host}\r\nexpect: 100-continue\r\ncontent-length: 4\r\n\r\n"),
        )
        .await;
        assert_eq!(conn.answer(false).await.status, 403);
        assert!(conn.is_over().await);
        lab.origin.kept_nothing_more().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn responses_without_a_body_keep_the_connection_in_step() {
    let lab = Lab::new().await;
    lab.origin.answer_bytes("/204", "HTTP/1.1 204 No Content\r\n\r\n");
    lab.origin.answer_bytes("/304", "HTTP/1.1 304 Not Modified\r\netag: \"x\"\r\ncontent-length: 50\r\n\r\n");
    lab.origin.answer_bytes(
        "/hints",
        "HTTP/1.1 103 Early Hints\r\nlink: </x>\r\n\r\nHTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok",
    );
    for way in Way::ALL {
        let mut conn = way.open(&lab).await;
        for _ in 0..2 {
            let head = conn.ask(&way.fill("HEAD {at}/x HTTP/1.1\r\nhost: {host}\r\n\r\n")).await;
            assert_eq!((head.status, head.header("content-length")), (200, Some("2".into())), "{way:?}");
            let none = conn.ask(&way.fill("GET {at}/204 HTTP/1.1\r\nhost: {host}\r\n\r\n")).await;
            assert_eq!((none.status, none.header("content-length")), (204, None));
            let same = conn.ask(&way.fill("GET {at}/304 HTTP/1.1\r\nhost: {host}\r\n\r\n")).await;
            assert_eq!((same.status, same.header("content-length")), (304, Some("50".into())));
            let hints = conn.ask(&way.fill("GET {at}/hints HTTP/1.1\r\nhost: {host}\r\n\r\n")).await;
            assert_eq!((hints.status, hints.text()), (200, "ok".into()));
            let whole = conn.ask(&way.fill("GET {at}/x HTTP/1.1\r\nhost: {host}\r\n\r\n")).await;
            assert_eq!(whole.text(), "ok");
        }
    }
    assert_eq!(lab.origin.connections(), 2, "one for each agent and authority, used again and again");
}

#[tokio::test(flavor = "multi_thread")]
async fn trailers_of_a_response_arrive_and_what_must_not_travel_does_not() {
    let lab = Lab::new().await;
    lab.origin.answer_bytes(
        "/t",
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\nalt-svc: h3=\":443\"\r\nkeep-alive: 5\r\nproxy-authenticate: Basic\r\n\
         connection: keep-alive, x-hop\r\nx-hop: 1\r\n\r\n2\r\nok\r\n0\r\ngrpc-status: 0\r\n\r\n",
    );
    let answer = lab.get(HOST, "/t", &[]).await;
    assert_eq!((answer.text(), &*answer.trailers), ("ok".into(), "grpc-status: 0\n"));
    assert_eq!(answer.head, "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n", "TL-25");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_response_until_close_and_a_client_of_http_1_0_work() {
    let lab = Lab::new().await;
    lab.origin.answer("/close", |_| Reply::Close(b"HTTP/1.0 200 OK\r\n\r\nuntil the end".into()));
    let answer = lab.get(HOST, "/close", &[]).await;
    assert_eq!((answer.text(), answer.is_whole), ("until the end".into(), true));
    lab.origin.answer_bytes("/chunked", "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n");
    let mut conn = Conn::sni(&lab, HOST, DEVBOT).await;
    let answer = conn.ask(&format!("GET /chunked HTTP/1.0\r\nhost: {HOST}\r\n\r\n")).await;
    assert_eq!((answer.text(), answer.header("transfer-encoding")), ("ok".into(), None), "no chunks for HTTP/1.0");
    assert!(conn.is_over().await);
}

#[tokio::test(flavor = "multi_thread")]
async fn events_arrive_as_they_are_sent() {
    let lab = Lab::new().await;
    let (events, receiver) = mpsc::unbounded_channel();
    let receiver = std::sync::Mutex::new(Some(receiver));
    lab.origin.answer("/events", move |_| Reply::Stream(receiver.lock().unwrap().take().unwrap()));
    let mut conn = Conn::sni(&lab, HOST, DEVBOT).await;
    conn.send(format!("GET /events HTTP/1.1\r\nhost: {HOST}\r\n\r\n")).await;
    events
        .send(b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n".into())
        .unwrap();
    assert_eq!(conn.head().await.status, 200);
    for number in 0..5 {
        events.send(format!("9\r\ndata: {number}\n\n\r\n").into_bytes()).unwrap();
        let piece = conn.some().await;
        assert!(String::from_utf8_lossy(&piece).contains(&format!("data: {number}\n\n")), "{piece:?}");
    }
    // The agent leaves: the origin is let go.
    drop(conn);
    lab.until("the origin is let go", || lab.origin.is_closed(0)).await;
    let ended = || lab.records().iter().any(|record| record["event"] == "end" && record["outcome"] == "aborted");
    lab.until("the end is recorded", ended).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn many_requests_share_few_connections_and_leave_nothing_behind() {
    let lab = std::sync::Arc::new(Lab::new().await);
    let done = std::sync::Arc::new(AtomicUsize::new(0));
    let mut tasks = Vec::new();
    for _ in 0..8 {
        let (lab, done) = (std::sync::Arc::clone(&lab), std::sync::Arc::clone(&done));
        tasks.push(tokio::spawn(async move {
            let mut conn = Conn::sni(&lab, HOST, DEVBOT).await;
            for _ in 0..50 {
                assert_eq!(conn.ask(&format!("GET /x HTTP/1.1\r\nhost: {HOST}\r\n\r\n")).await.text(), "ok");
                done.fetch_add(1, Ordering::SeqCst);
            }
        }));
    }
    for task in tasks {
        task.await.unwrap();
    }
    assert_eq!(done.load(Ordering::SeqCst), 400);
    assert!(lab.origin.connections() <= 8);
    lab.until("nothing is under way", || lab.appliance.live.is_empty()).await;
    let ends = || lab.records().iter().filter(|record| record["event"] == "end").count();
    lab.until("every begin has its end", || ends() == 400).await;
}
