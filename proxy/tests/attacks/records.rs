//! Records and metrics (LO-*): one line for each decision, whatever was sent; labels from closed sets.

use std::collections::HashSet;

use crate::client::{Conn, Way, tcp, tls};
use crate::lab::{DEVBOT, KEYED_REAL, Lab, OTHER_REAL, REAL, STUB, Setup};
use crate::origin::Reply;

#[tokio::test(flavor = "multi_thread")]
async fn odd_text_from_the_wire_stays_one_line_of_json() {
    let lab = Lab::new().await;
    for (name, request) in [
        (
            "LO-02 a forged field",
            "GET /x%22,%22decision%22:%22allow HTTP/1.1\r\nhost: evil.example.test\r\n\r\n".to_owned(),
        ),
        ("LO-01 escapes", "GET /%1b[31m%0a%0d%00%e2%80%a8 HTTP/1.1\r\nhost: plain.example.test\r\n\r\n".into()),
        ("LO-01 a raw escape", "GET /\x1b[31m HTTP/1.1\r\nhost: plain.example.test\r\n\r\n".into()),
        (
            "LO-01 a raw user agent",
            "GET /x HTTP/1.1\r\nhost: evil.example.test\r\nuser-agent: \u{202e}\u{2028}\t\r\n\r\n".into(),
        ),
        ("LO-01 an odd host", "GET /x HTTP/1.1\r\nhost: \u{202e}\u{1b}[31m\r\n\r\n".into()),
        ("LO-01 a quote in a method", "G'`|~ /x HTTP/1.1\r\nhost: plain.example.test\r\n\r\n".into()),
        ("LO-01 a long path", format!("GET /{} HTTP/1.1\r\nhost: evil.example.test\r\n\r\n", "'".repeat(10_000))),
    ] {
        lab.refusals();
        let refused = || lab.records().iter().filter(|record| record["event"] == "refused").count();
        let before = refused();
        let answer = Conn::plain(lab.addresses.http[0], DEVBOT).await.ask(&request).await;
        if answer.status == 200 {
            continue;
        }
        assert_eq!(lab.refusals().len(), 1, "{name}");
        assert_eq!(refused(), before + 1, "{name}: one record, one line");
        let text = std::fs::read_to_string(lab.audit_path()).unwrap();
        assert!(text.is_ascii() && text.lines().all(|line| line.len() < 8 * 1024), "{name}");
        assert!(!text.contains("\"decision\":\"allow\",\"reason\""), "{name}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_refused_before_any_request_is_recorded_too() {
    let lab = Lab::new().await;
    let https = lab.addresses.https[0];
    // A name that no rule grants, no TLS at all, half a TLS record.
    assert!(tls(tcp(https, DEVBOT).await, &lab.h1, "evil.example.test").await.is_err());
    assert_eq!(lab.refusals(), ["connect_not_allowed"], "LO-03");
    let record = lab.records().pop().unwrap();
    assert_eq!((&record["layer"], &record["agent"]), (&"tls".into(), &"devbot".into()));
    assert!(record["peer"].as_str().unwrap().starts_with("127.0.0.1:"));
    assert!(record["authority"].as_str().unwrap().contains("evil.example.test"));
    let mut conn = Conn::plain(https, DEVBOT).await;
    conn.send("GET / HTTP/1.1\r\n\r\n").await;
    conn.rest().await;
    assert_eq!(lab.refusals(), ["bad_request"], "LO-03");
    // A malformed head on each listener that reads heads.
    for way in Way::ALL {
        let mut conn = way.open(&lab).await;
        conn.send("nonsense\r\n\r\n").await;
        assert_eq!(conn.answer(false).await.status, 400);
        assert_eq!(lab.refusals(), ["bad_request"], "LO-03 {way:?}");
        assert_eq!(lab.records().pop().unwrap()["agent"], "devbot");
    }
    // Too much of a CONNECT's head, and one that is cut short by time.
    let mut conn = Conn::plain(lab.addresses.proxy[0], DEVBOT).await;
    conn.send(format!("CONNECT open.example.test:443 HTTP/1.1\r\nx: {}", "y".repeat(100_000))).await;
    assert_eq!(conn.answer(false).await.status, 431, "RE-01");
    assert_eq!(lab.refusals(), ["bad_request"], "RE-01");
    assert_eq!(lab.origin.connections(), 0);
    lab.is_well("LO-03").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sink_that_is_full_stops_requests_with_credentials_only() {
    let audit = Some("[{ path: \"/dev/full\" }]".into());
    let lab = Lab::with(Setup { audit, ..Setup::default() }).await;
    let answer = lab.get("api.example.test", "/x", &[("authorization", &format!("Bearer {STUB}"))]).await;
    assert_eq!((answer.status, &*answer.reason()), (503, "audit_full"), "LO-05");
    assert_eq!(lab.origin.byte_count(), 0);
    assert_eq!(lab.get("open.example.test", "/x", &[]).await.status, 200, "no credential is at stake");
    assert_eq!(lab.get("open.example.test", "/x", &[("authorization", &format!("Bearer {STUB}"))]).await.status, 403);
    let dropped = lab.metrics().lines().any(|line| {
        line.contains("audit") && line.contains("dropped") && !line.ends_with(" 0") && !line.starts_with('#')
    });
    assert!(dropped, "what is lost is counted: {}", lab.metrics());
}

#[tokio::test(flavor = "multi_thread")]
async fn metrics_take_no_label_from_the_wire() {
    let lab = Lab::new().await;
    let series = || {
        lab.metrics()
            .lines()
            .filter(|line| !line.starts_with('#'))
            .map(|line| line.rsplit_once(' ').unwrap().0.to_owned())
            .collect::<HashSet<_>>()
    };
    let storm = async |round: usize| {
        for number in 0..10 {
            let odd = format!("n{round}-{number}");
            for request in [
                format!("GET /{odd} HTTP/1.1\r\nhost: {odd}.example.test\r\n\r\n"),
                format!("{odd} /{odd} HTTP/1.1\r\nhost: plain.example.test\r\n\r\n"),
                format!("GET /{odd} HTTP/1.1\r\nhost: plain.example.test\r\nuser-agent: {odd}\r\n\r\n"),
            ] {
                Conn::plain(lab.addresses.http[0], DEVBOT).await.ask(&request).await;
            }
            assert!(tls(tcp(lab.addresses.https[0], DEVBOT).await, &lab.h1, &format!("{odd}.test")).await.is_err());
        }
    };
    storm(0).await;
    let before = series();
    storm(1).await;
    assert_eq!(series(), before, "LO-08");
    assert!(!lab.metrics().contains("n0-1"));
}

#[tokio::test(flavor = "multi_thread")]
async fn no_secret_is_in_anything_that_is_written() {
    let lab = Lab::new().await;
    let bearer = format!("Bearer {STUB}");
    lab.origin.answer("/lie", |_| Reply::Bytes(b"HTTP/1.1 200 OK\ncontent-length: 1\n\n".into()));
    lab.origin.answer("/hang-up", |_| Reply::Close(Vec::new()));
    for path in ["/x", "/lie", "/hang-up", "/x?token=secret"] {
        lab.get("api.example.test", path, &[("authorization", &bearer)]).await;
    }
    lab.stopped().await;
    let written = std::fs::read_to_string(lab.audit_path()).unwrap() + &lab.metrics();
    for secret in [REAL, KEYED_REAL, OTHER_REAL, "token=secret", STUB] {
        assert!(!written.contains(secret), "LO-07 {secret}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn records_say_what_the_origin_saw() {
    let lab = Lab::new().await;
    lab.origin.answer_bytes("/v", "HTTP/1.1 418 Tea\r\ncontent-length: 5\r\n\r\nshort");
    let mut conn = Conn::sni(&lab, "api.example.test", DEVBOT).await;
    let request = format!(
        "PUT /v?secret=1 HTTP/1.1\r\nhost: api.example.test\r\nauthorization: Bearer {STUB}\r\ncontent-length: 3\r\n\r\nabc"
    );
    assert_eq!(conn.ask(&request).await.status, 418);
    let ended = || lab.records().into_iter().find(|record| record["event"] == "end");
    lab.until("the end is recorded", || ended().is_some()).await;
    let (end, begin) = (ended().unwrap(), lab.records().into_iter().find(|record| record["event"] == "begin").unwrap());
    assert_eq!(begin["id"], end["id"], "LO-11");
    for (key, value) in [("status", 418), ("bytes_in", 3), ("bytes_out", 5)] {
        assert_eq!(end[key], value, "LO-11 {key}");
    }
    for (key, value) in [
        ("agent", "devbot"),
        ("method", "PUT"),
        ("path", "/v"),
        ("rule", "api"),
        ("credential", "api"),
        ("outcome", "complete"),
    ] {
        assert_eq!(end[key], value, "LO-11 {key}");
    }
    assert_eq!(end["upstream"].as_str().unwrap(), lab.origin.address.to_string());
    let sequence: Vec<u64> = lab.records().iter().map(|record| record["seq"].as_u64().unwrap()).collect();
    assert!(sequence.windows(2).all(|pair| pair[1] == pair[0] + 1), "no gap: {sequence:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn refusals_above_the_rate_are_counted_and_allows_never() {
    let lab = Lab::with(Setup { limits: "refusals_per_second: 5".into(), ..Setup::default() }).await;
    let mut conn = Conn::plain(lab.addresses.http[0], DEVBOT).await;
    for _ in 0..50 {
        assert_eq!(conn.ask("GET /x HTTP/1.1\r\nhost: evil.example.test\r\n\r\n").await.status, 403);
        assert_eq!(conn.ask("GET /x HTTP/1.1\r\nhost: plain.example.test\r\n\r\n").await.status, 200);
    }
    let told = || -> u64 {
        let records = lab.records();
        let single = records.iter().filter(|record| record["event"] == "refused").count() as u64;
        single
            + records
                .iter()
                .filter_map(|record| record["count"].as_u64().filter(|_| record["event"] == "suppressed"))
                .sum::<u64>()
    };
    lab.until("every refusal is told, alone or counted", || told() == 50).await;
    assert!(lab.records().iter().filter(|record| record["event"] == "refused").count() < 50, "LO-06");
    assert_eq!(lab.records().iter().filter(|record| record["event"] == "begin").count(), 50);
    // A flood of one shape hides no other: the first tripwires are told by themselves.
    for _ in 0..3 {
        lab.get("open.example.test", "/x", &[("authorization", &format!("Bearer {STUB}"))]).await;
    }
    assert_eq!(lab.records().iter().filter(|record| record["tripwire"] == true).count(), 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_that_leaves_while_its_origin_is_dialled_leaves_a_record() {
    // It takes connections and says nothing, so that the handshake with it has no end.
    let silent = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let elsewhere = [("open.example.test:443".to_owned(), silent.local_addr().unwrap())].into();
    let lab = Lab::with(Setup { elsewhere, ..Setup::default() }).await;
    let mut conn = Conn::sni(&lab, "open.example.test", DEVBOT).await;
    conn.send("GET /left HTTP/1.1\r\nhost: open.example.test\r\n\r\n").await;
    let _dialled = silent.accept().await.unwrap();
    drop(conn);
    let left = || lab.records().into_iter().find(|record| record["layer"] == "http" && record["path"] == "/left");
    lab.until("it is recorded", || left().is_some()).await;
    let record = left().unwrap();
    assert_eq!(
        (&record["decision"], &record["outcome"], &record["rule"]),
        (&"allow".into(), &"aborted".into(), &"open".into()),
        "LO-03"
    );
}
