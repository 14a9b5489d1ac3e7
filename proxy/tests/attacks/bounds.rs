//! Bounds (RE-*, law 7): whoever stalls or piles up is ended, and only its own share is used.

use std::time::{Duration, Instant};

use crate::client::{Conn, Way, socks_name, tcp};
use crate::lab::{DEVBOT, Lab, OTHERBOT, Setup};
use crate::origin::Reply;

fn short() -> Setup {
    Setup {
        timeouts: "drain_seconds: 1, handshake_seconds: 1, header_seconds: 1, idle_seconds: 1, body_idle_seconds: 1, \
                   upstream_header_seconds: 1, tunnel_idle_seconds: 1"
            .into(),
        ..Setup::default()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn endless_heads_end_at_their_bound_on_every_way_in() {
    let lab = Lab::new().await;
    for way in Way::ALL {
        lab.refusals();
        let mut conn = way.open(&lab).await;
        conn.send(way.fill("GET {at}/x HTTP/1.1\r\nhost: {host}\r\n")).await;
        for _ in 0..80 {
            conn.send(format!("x: {}\r\n", "y".repeat(1000))).await;
        }
        assert_eq!(conn.answer(false).await.status, 431, "RE-01 {way:?}");
        assert!(conn.is_over().await);
        assert_eq!(lab.refusals().len(), 1);
        // A line without an end.
        let mut conn = way.open(&lab).await;
        conn.send("GET /").await;
        for _ in 0..80 {
            conn.send("x".repeat(1000)).await;
        }
        assert!(matches!(conn.answer(false).await.status, 414 | 431), "RE-01 {way:?}");
    }
    assert_eq!(lab.origin.connections(), 0);
    lab.is_well("RE-01").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_stalls_is_ended_at_the_deadline() {
    let lab = Lab::with(short()).await;
    let start = Instant::now();
    let https = lab.addresses.https[0];
    // RE-02, TL-08: nothing, three bytes of TLS, half a head, half a CONNECT, an idle connection.
    let mut nothing = Conn::plain(https, DEVBOT).await;
    let mut three = Conn::plain(https, DEVBOT).await;
    three.send(b"\x16\x03\x01").await;
    let mut silent_http = Conn::plain(lab.addresses.http[0], DEVBOT).await;
    let mut silent_proxy = Conn::plain(lab.addresses.proxy[0], DEVBOT).await;
    let mut half_connect = Conn::plain(lab.addresses.proxy[0], DEVBOT).await;
    half_connect.send("CONNECT open.example.test:443 HTTP/1.1\r\n").await;
    let mut no_hello = Conn::plain(lab.addresses.proxy[0], DEVBOT).await;
    assert_eq!(no_hello.connect("open.example.test:443").await.status, 200);
    let mut half_socks = Conn::plain(lab.addresses.proxy[0], DEVBOT).await;
    half_socks.send([5, 1, 0, 5, 1]).await;
    let mut silent_socks = Conn::plain(lab.addresses.proxy[0], DEVBOT).await;
    assert_eq!(silent_socks.socks(&socks_name("open.example.test", 443)).await, 0);
    for (name, conn) in [
        ("half a SOCKS", &mut half_socks),
        ("nothing behind SOCKS", &mut silent_socks),
        ("nothing", &mut nothing),
        ("three bytes", &mut three),
        ("silent http", &mut silent_http),
        ("silent proxy", &mut silent_proxy),
        ("half a CONNECT", &mut half_connect),
        ("no ClientHello", &mut no_hello),
    ] {
        conn.rest().await;
        assert!(start.elapsed() < Duration::from_secs(4), "{name}: {:?}", start.elapsed());
    }
    let mut refusals = lab.refusals();
    refusals.sort();
    assert_eq!(
        refusals,
        ["bad_request", "limit_reached", "limit_reached", "limit_reached", "limit_reached", "limit_reached"],
        "each that began is recorded"
    );
    let counted = "stubgate_limits_reached_total{limit=\"handshake_seconds\"} 5\n";
    assert!(lab.metrics().contains(counted), "and counted");
    for way in Way::ALL {
        let start = Instant::now();
        let mut half = way.open(&lab).await;
        half.send(way.fill("GET {at}/x HTTP/1.1\r\nhost:")).await;
        assert_eq!(half.answer(false).await.status, 408, "RE-02 {way:?}");
        assert!(half.is_over().await && start.elapsed() < Duration::from_secs(4), "RE-02 {way:?}");
    }
    assert_eq!(lab.origin.connections(), 0);
    lab.is_well("RE-02").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_that_stalls_is_given_up_on() {
    let lab = Lab::with(short()).await;
    for head in ["content-length: 10\r\n\r\nhalf", "transfer-encoding: chunked\r\n\r\n4\r\nhalf\r\n"] {
        let start = Instant::now();
        let mut conn = Conn::sni(&lab, "open.example.test", DEVBOT).await;
        let made = lab.origin.connections();
        conn.send(format!("POST /slow HTTP/1.1\r\nhost: open.example.test\r\n{head}")).await;
        let answer = conn.answer(false).await;
        assert!(answer.status >= 400, "RE-03: {answer:?}");
        assert!(start.elapsed() < Duration::from_secs(5), "RE-03: {:?}", start.elapsed());
        assert!(conn.is_over().await);
        for connection in made..lab.origin.connections() {
            lab.until("the origin is let go", || lab.origin.is_closed(connection)).await;
        }
    }
    lab.is_well("RE-03").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_that_does_not_read_is_given_up_on_and_holds_little() {
    let lab = Lab::with(short()).await;
    let body = vec![b'x'; 32 << 20];
    let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n", body.len());
    lab.origin.answer_bytes("/large", [head.as_bytes(), &body].concat());
    let mut conn = Conn::sni(&lab, "open.example.test", DEVBOT).await;
    conn.send("GET /large HTTP/1.1\r\nhost: open.example.test\r\n\r\n").await;
    let ended = || lab.records().iter().any(|record| record["event"] == "end" && record["path"] == "/large");
    lab.until("RE-04: it is given up on", ended).await;
    let end = lab.records().into_iter().find(|record| record["event"] == "end" && record["path"] == "/large").unwrap();
    assert_eq!(end["outcome"], "aborted");
    assert!(end["bytes_out"].as_u64().unwrap() < 16 << 20, "no more than socket buffers: {end}");
    lab.until("the origin is let go", || lab.origin.is_closed(0)).await;
    lab.is_well("RE-04").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_origin_that_stalls_is_a_504_or_a_body_cut_short() {
    let lab = Lab::with(short()).await;
    lab.origin.answer("/silent", |_| Reply::Silence);
    lab.refusals();
    let answer = lab.get("open.example.test", "/silent", &[]).await;
    assert_eq!((answer.status, &*answer.reason()), (504, "upstream_timeout"), "RE-11");
    assert_eq!(lab.refusals(), ["upstream_timeout"]);
    lab.origin.answer_bytes("/half", "HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nhalf");
    let answer = lab.get("open.example.test", "/half", &[]).await;
    assert!(answer.status == 200 && !answer.is_whole, "RE-11");
    lab.until("the origins are let go", || lab.origin.is_closed(0) && lab.origin.is_closed(1)).await;
    lab.is_well("RE-11").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tunnel_where_nothing_moves_ends() {
    let lab = Lab::with(short()).await;
    let _says = crate::websocket::switches(&lab.origin, "/ws");
    let mut conn = Way::Sni.open(&lab).await;
    assert_eq!(conn.ask(&crate::websocket::handshake(Way::Sni, "/ws")).await.status, 101);
    assert!(conn.is_over().await, "WS-07");
    lab.until("the origin is let go", || lab.origin.is_closed(0)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_agent_uses_up_only_its_own_connections() {
    let limits = "connections_per_agent: 20, refusals_per_second: 100000".into();
    let lab = Lab::with(Setup { limits, ..Setup::default() }).await;
    let mut held = Vec::new();
    for _ in 0..20 {
        held.push(tcp(lab.addresses.http[0], DEVBOT).await);
    }
    let counted = || lab.metrics().contains("stubgate_connections_open{listener=\"http\"} 20");
    lab.until("they are counted", counted).await;
    lab.refusals();
    for _ in 0..5 {
        let mut more = Conn::plain(lab.addresses.http[0], DEVBOT).await;
        assert!(more.is_over().await, "RE-05: one too many");
    }
    assert_eq!(lab.refusals(), ["limit_reached"; 5]);
    let refused = |record: &&serde_json::Value| record["event"] == "refused";
    assert!(lab.records().iter().filter(refused).all(|record| record["policy"].is_string()));
    let mut other = Conn::sni(&lab, "open.example.test", OTHERBOT).await;
    assert_eq!(
        other.ask("GET /x HTTP/1.1\r\nhost: open.example.test\r\n\r\n").await.status,
        200,
        "another agent is served"
    );
    drop(held);
    let back = || lab.metrics().contains("stubgate_connections_open{listener=\"http\"} 0");
    lab.until("RE-07: the count is back", back).await;
    lab.is_well("RE-05").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn connections_that_come_and_go_leave_nothing_behind() {
    let lab = Lab::new().await;
    for _ in 0..100 {
        let mut conn = Conn::plain(lab.addresses.proxy[0], DEVBOT).await;
        assert_eq!(conn.connect("open.example.test:443").await.status, 200);
        drop(tcp(lab.addresses.https[0], DEVBOT).await);
    }
    let none = || {
        ["http", "https", "proxy"]
            .iter()
            .all(|listener| lab.metrics().contains(&format!("stubgate_connections_open{{listener=\"{listener}\"}} 0")))
    };
    lab.until("RE-07: the counts are back", none).await;
    assert!(lab.appliance.tasks.is_empty());
    lab.is_well("RE-07").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_that_leaves_requests_behind_it_is_noticed_before_its_origin_answers() {
    let lab = Lab::new().await;
    lab.origin.answer("/silent", |_| Reply::Silence);
    let mut conn = Conn::sni(&lab, "open.example.test", DEVBOT).await;
    let one = |path: &str| format!("GET {path} HTTP/1.1\r\nhost: open.example.test\r\n\r\n");
    conn.send([one("/silent"), one("/next")].concat()).await;
    lab.until("the origin has it", || !lab.origin.requests().is_empty()).await;
    drop(conn);
    let none = || lab.metrics().contains("stubgate_connections_open{listener=\"https\"} 0");
    lab.until("its connection is over", none).await;
    lab.until("the origin's too", || lab.origin.is_closed(0)).await;
    let aborted = || lab.records().iter().any(|record| record["outcome"] == "aborted");
    lab.until("it is recorded", aborted).await;
    assert_eq!(lab.origin.requests().len(), 1, "the next was not sent");
}

#[tokio::test(flavor = "multi_thread")]
async fn large_bodies_stream_through_both_ways() {
    let lab = Lab::new().await;
    let body = vec![b'x'; 24 << 20];
    lab.origin.answer("/echo", |seen| {
        let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n", seen.body.len());
        Reply::Bytes([head.as_bytes(), &seen.body].concat())
    });
    let mut conn = Conn::sni(&lab, "open.example.test", DEVBOT).await;
    let head = format!("POST /echo HTTP/1.1\r\nhost: open.example.test\r\ncontent-length: {}\r\n\r\n", body.len());
    conn.send(head).await;
    conn.send(&body).await;
    let answer = conn.answer(false).await;
    assert!(answer.status == 200 && answer.body == body, "RE-09: {} bytes", answer.body.len());
    lab.is_well("RE-09").await;
}
