//! Bodies under rules that look into them: what reaches the origin is what was looked at, whole, with one length; all
//! else is refused before a byte leaves.

use std::sync::Mutex;

use bytes::Bytes;
use http::Request;
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http2;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::sync::mpsc;

use crate::client::{Answer, Conn, tcp, tls};
use crate::lab::{DEVBOT, KEYED_REAL, KEYED_STUB, Lab, OTHERBOT, POLICY, Setup};
use crate::origin::{Reply, ok};

const HOST: &str = "keyed.example.test";
const JSON: &str = "content-type: application/json\r\n";

const BODIES: &str = r#"  - name: talks
    agents: [devbot, otherbot]
    hosts: [keyed.example.test]
    methods: [POST]
    paths: ["/v1/messages"]
    credentials: [keyed]
    body:
      json:
        allow_keys: [model, messages, tools]
        allow_values: { "/tools/*/type": [custom] }
        deny_values: { "/messages/*/content/*/source/type": [url, file] }
      max_bytes: 200000
  - name: graph
    agents: [devbot]
    hosts: [keyed.example.test]
    methods: [POST, GET]
    paths: ["/graphql"]
    credentials: [keyed]
    graphql: { operations: [query, mutation], fields: [viewer], mutations: [addComment] }
"#;

/// The policy of all, with rules that look in the place of the one that does not.
fn policy(rules: &str) -> String {
    let (before, rest) = POLICY.split_once("  - name: keyed\n").unwrap();
    let (_, after) = rest.split_once("  - name: lost\n").unwrap();
    format!("{before}{rules}  - name: lost\n{after}")
}

async fn lab() -> Lab {
    Lab::with(Setup { policy: policy(BODIES), ..Setup::default() }).await
}

async fn post(lab: &Lab, path: &str, lines: &str, body: impl AsRef<[u8]>) -> Answer {
    let body = body.as_ref();
    let mut conn = Conn::sni(lab, HOST, DEVBOT).await;
    let head = format!(
        "POST {path} HTTP/1.1\r\nhost: {HOST}\r\nx-api-key: {KEYED_STUB}\r\n{lines}content-length: {}\r\n\r\n",
        body.len()
    );
    conn.send([head.as_bytes(), body].concat()).await;
    conn.answer(false).await
}

/// Refused, with this reason and status, and nothing arrived.
async fn refused(lab: &Lab, path: &str, lines: &str, body: impl AsRef<[u8]>, status: u16, reason: &str) -> Answer {
    let shown = String::from_utf8_lossy(body.as_ref()).chars().take(80).collect::<String>();
    let before = lab.origin.byte_count();
    let answer = post(lab, path, lines, body).await;
    assert_eq!((answer.status, answer.reason().as_str()), (status, reason), "{shown}: {}", answer.text());
    assert_eq!(answer.header("x-should-retry").as_deref(), Some("false"));
    assert_eq!(lab.origin.byte_count(), before, "{shown}");
    answer
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_looked_at_is_what_arrives() {
    let lab = lab().await;
    lab.origin.answer("/v1/messages", |_| ok("hello"));
    let body = " {\"model\" : \"m\\u0041\",\r\n\"messages\":[{\"content\":[{\"source\":{\"type\":\"base64\"}}]}] }\n";
    let answer = post(&lab, "/v1/messages", JSON, body).await;
    assert_eq!((answer.status, answer.text().as_str()), (200, "hello"));
    let large = format!("{{\"model\":\"{}\"}}", "x".repeat(190_000));
    assert_eq!(post(&lab, "/v1/messages", JSON, &large).await.status, 200);
    let seen = lab.origin.requests();
    assert_eq!(seen[0].body, body.as_bytes());
    assert_eq!(seen[0].header("content-length"), Some(body.len().to_string()));
    assert_eq!(seen[0].header("x-api-key").as_deref(), Some(KEYED_REAL));
    assert_eq!(seen[1].body, large.as_bytes());
    assert_eq!(seen[1].header("content-length"), Some(large.len().to_string()));
    lab.until("what was held is given back", || lab.appliance.held.bytes() == 0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_an_api_would_fetch_or_run_for_the_agent_never_leaves() {
    let lab = lab().await;
    for (body, hint) in [
        (r#"{"model":"m","mcp_servers":[{"url":"https://evil.example.test"}]}"#, "`mcp_servers`"),
        (r#"{"model":"m","mcp\u005fservers":[]}"#, "`mcp_servers`"),
        (r#"{"model":"m","Messages":[]}"#, "`Messages`"),
        (r#"{"tools":[{"type":"custom"},{"type":"web_fetch_20250910"}]}"#, "/tools/1/type"),
        (r#"{"messages":[{"content":[{"source":{"type":"url","url":"https://evil.example.test"}}]}]}"#, "`url`"),
        (r#"{"messages":[{"content":[{"source":{"Type":"URL"}}]}]}"#, "`URL`"),
    ] {
        let answer = refused(&lab, "/v1/messages", JSON, body, 403, "body_not_allowed").await;
        assert!(answer.text().contains(hint), "{}", answer.text());
        assert!(!answer.text().contains("talks"), "no rule is named");
    }
    let records = lab.records();
    let last = records.last().unwrap();
    assert_eq!((&last["rule"], &last["reason"]), (&"talks".into(), &"body_not_allowed".into()));
    lab.is_well("bodies that are not allowed").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_has_two_readings_is_not_forwarded_in_either() {
    let lab = lab().await;
    let plain = "{\"model\":\"m\"}";
    for (lines, body) in [
        (JSON, &b"{\"model\":1,\"model\":2}"[..]),
        (JSON, b"{\"model\":1}{\"mcp_servers\":[]}"),
        (JSON, b"\xef\xbb\xbf{\"model\":1}"),
        (JSON, b"{\"model\":\"\xff\"}"),
        (JSON, b"{\"model\":\"\\ud800\"}"),
        (JSON, b"{\"model\":1e999}"),
        (JSON, b"{\"model\":1"),
        (JSON, b"\x1f\x8b\x08\x00"),
        (JSON, b""),
        ("", plain.as_bytes()),
        ("content-type: text/plain\r\n", plain.as_bytes()),
        ("content-type: application/json; charset=utf-16\r\n", plain.as_bytes()),
        ("content-type: application/json\r\ncontent-type: application/json\r\n", plain.as_bytes()),
        ("content-type: application/json\r\ncontent-encoding: gzip\r\n", plain.as_bytes()),
    ] {
        refused(&lab, "/v1/messages", lines, body, 403, "body_not_inspectable").await;
    }
    lab.is_well("bodies with two readings").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_that_is_too_long_is_refused_and_never_cut() {
    let lab = lab().await;
    let long = format!("{{\"model\":\"{}\"}}", "x".repeat(200_000));
    // Said to be so, it is not even read.
    let mut conn = Conn::sni(&lab, HOST, DEVBOT).await;
    let lines = format!("POST /v1/messages HTTP/1.1\r\nhost: {HOST}\r\n{JSON}");
    let answer = conn.ask(&format!("{lines}expect: 100-continue\r\ncontent-length: 200001\r\n\r\n")).await;
    assert_eq!((answer.status, answer.reason().as_str()), (413, "body_not_inspectable"));
    assert_eq!(answer.interim, Vec::<u16>::new());
    // Found to be so.
    let mut conn = Conn::sni(&lab, HOST, DEVBOT).await;
    conn.send(format!("{lines}transfer-encoding: chunked\r\n\r\n{:x}\r\n{long}\r\n0\r\n\r\n", long.len())).await;
    let answer = conn.answer(false).await;
    assert_eq!((answer.status, answer.reason().as_str()), (413, "body_not_inspectable"));
    assert!(answer.text().contains("request_too_large"), "{}", answer.text());
    assert_eq!(lab.origin.byte_count(), 0);
    lab.is_well("bodies that are too long").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn chunks_trailers_and_expectations_end_where_the_body_is_looked_at() {
    let lab = lab().await;
    lab.origin.answer("/v1/messages", |_| ok("hello"));
    let mut conn = Conn::sni(&lab, HOST, DEVBOT).await;
    conn.send(format!(
        "POST /v1/messages HTTP/1.1\r\nhost: {HOST}\r\n{JSON}expect: 100-continue\r\ntransfer-encoding: chunked\r\n\r\n"
    ))
    .await;
    assert_eq!(conn.head().await.status, 100, "asked for before anything is dialled");
    assert_eq!(lab.origin.connections(), 0);
    conn.send("8\r\n{\"model\"\r\n5\r\n:\"m\"}\r\n0\r\nx-api-key: other\r\n\r\n").await;
    assert_eq!(conn.answer(false).await.status, 200);
    let seen = lab.origin.requests().pop().unwrap();
    assert_eq!(seen.body, b"{\"model\":\"m\"}");
    assert_eq!(seen.header("content-length").as_deref(), Some("13"));
    assert_eq!((seen.header("transfer-encoding"), seen.header("expect"), seen.header("x-api-key")), (None, None, None));
    // The connection goes on, and each of its requests is looked at by itself.
    let second = "{\"mcp_servers\":1}";
    let answer = conn
        .ask(&format!("POST /v1/messages HTTP/1.1\r\nhost: {HOST}\r\n{JSON}content-length: 17\r\n\r\n{second}"))
        .await;
    assert_eq!(answer.reason(), "body_not_allowed");
}

#[tokio::test(flavor = "multi_thread")]
async fn graphql_is_held_against_every_operation_and_never_asked_by_get() {
    let lab = lab().await;
    lab.origin.answer("/graphql", |_| ok("{}"));
    let body = |document: &str| serde_json::json!({ "query": document }).to_string();
    let good = post(&lab, "/graphql", JSON, body("query { viewer { login } }")).await;
    assert_eq!(good.status, 200);
    assert_eq!(post(&lab, "/graphql", JSON, body("mutation { addComment(input: {}) { id } }")).await.status, 200);
    for document in [
        "mutation { deleteRepository }",
        "mutation { addComment: deleteRepository }",
        "query A { viewer } mutation B { deleteRepository }",
        "{ ...F } fragment F on Query { gist }",
    ] {
        refused(&lab, "/graphql", JSON, body(document), 403, "body_not_allowed").await;
    }
    for text in [
        "[{\"query\":\"{viewer}\"}]".to_owned(),
        "{\"extensions\":{\"persistedQuery\":{\"sha256Hash\":\"00\"}}}".to_owned(),
        "{\"query\":\"{viewer}\",\"Query\":\"mutation{deleteRepository}\"}".to_owned(),
        body("{ viewer"),
    ] {
        refused(&lab, "/graphql", JSON, text, 403, "body_not_inspectable").await;
    }
    let query = "/graphql?query=mutation%7BdeleteRepository%7D";
    refused(&lab, query, JSON, body("{ viewer }"), 403, "body_not_inspectable").await;
    let before = lab.origin.byte_count();
    let got = lab.get(HOST, query, &[]).await;
    assert_eq!((got.status, got.reason().as_str()), (403, "body_not_inspectable"));
    assert_eq!(lab.origin.byte_count(), before);
}

#[tokio::test(flavor = "multi_thread")]
async fn bodies_over_http_2_are_looked_at_too() {
    let lab = lab().await;
    lab.origin.answer("/v1/messages", |_| ok("hello"));
    let stream = tls(tcp(lab.addresses.https[0], DEVBOT).await, &lab.h2, HOST).await.unwrap();
    let (mut sender, connection) =
        http2::handshake::<_, _, Full<Bytes>>(TokioExecutor::new(), TokioIo::new(stream)).await.unwrap();
    tokio::spawn(connection);
    for (body, status) in
        [("{\"model\":\"m\"}", 200), ("{\"mcp_servers\":[]}", 403), ("{\"model\":1,\"model\":2}", 403)]
    {
        let request = Request::post(format!("https://{HOST}/v1/messages")).header("content-type", "application/json");
        let response = sender.send_request(request.body(Full::from(body)).unwrap()).await.unwrap();
        assert_eq!(response.status(), status, "{body}");
        response.into_body().collect().await.unwrap();
    }
    let seen = lab.origin.requests();
    assert_eq!((seen.len(), seen[0].body.as_slice()), (1, &b"{\"model\":\"m\"}"[..]));
    assert_eq!(seen[0].header("content-length").as_deref(), Some("13"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_that_does_not_come_is_not_waited_for_long_and_costs_nobody_else() {
    let limits = "inspected_bytes: 1048576, inspected_bytes_per_agent: 600000".to_owned();
    let timeouts = "inspect_seconds: 2".to_owned();
    let lab = Lab::with(Setup { policy: policy(BODIES), limits, timeouts, ..Setup::default() }).await;
    lab.origin.answer("/v1/messages", |_| ok("hello"));
    let head = |length: usize| {
        format!("POST /v1/messages HTTP/1.1\r\nhost: {HOST}\r\n{JSON}content-length: {length}\r\n\r\n{{\"model\":\"")
    };
    let mut held = Vec::new();
    for _ in 0..8 {
        let mut conn = Conn::sni(&lab, HOST, DEVBOT).await;
        conn.send(head(199_999) + &"x".repeat(150_000)).await;
        held.push(conn);
    }
    // The other agent has its share.
    let mut other = Conn::sni(&lab, HOST, OTHERBOT).await;
    let body = format!("{{\"model\":\"{}\"}}", "y".repeat(60_000));
    other.send(head(body.len()) + body.trim_start_matches("{\"model\":\"")).await;
    assert_eq!(other.answer(false).await.status, 200);
    let mut reasons = Vec::new();
    for conn in &mut held {
        let answer = conn.answer(false).await;
        reasons.push(answer.reason());
        if answer.reason() == "limit_reached" {
            assert_eq!(answer.status, 429);
            assert_eq!(answer.header("x-stubgate-limit").as_deref(), Some("inspected_bytes_per_agent"));
            assert_eq!(answer.header("retry-after").as_deref(), Some("1"));
        }
    }
    let limited = reasons.iter().filter(|reason| *reason == "limit_reached").count();
    let counted = format!("stubgate_limits_reached_total{{limit=\"inspected_bytes_per_agent\"}} {limited}\n");
    assert!(lab.metrics().contains(&counted), "{limited}");
    assert!(reasons.iter().any(|reason| reason == "limit_reached"), "{reasons:?}");
    assert!(reasons.iter().any(|reason| reason == "bad_request"), "too slow: {reasons:?}");
    assert!(lab.origin.requests().iter().all(|seen| seen.body.len() == body.len()));
    lab.until("what was held is given back", || lab.appliance.held.bytes() == 0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_that_grows_counts_with_both_of_its_buffers() {
    // 131072 bytes grow to 200000, the most that the rule takes.
    for (most, status) in [(131_072 + 200_000, 200), (131_072 + 199_999, 429)] {
        let limits = format!("inspected_bytes_per_agent: {most}");
        let lab = Lab::with(Setup { policy: policy(BODIES), limits, ..Setup::default() }).await;
        lab.origin.answer("/v1/messages", |_| ok("hello"));
        let mut conn = Conn::sni(&lab, HOST, DEVBOT).await;
        conn.send(format!("POST /v1/messages HTTP/1.1\r\nhost: {HOST}\r\n{JSON}transfer-encoding: chunked\r\n\r\n"))
            .await;
        let body = format!("{{\"model\":\"{}\"}}", "x".repeat(199_988));
        assert_eq!(body.len(), 200_000);
        for chunk in body.as_bytes().chunks(1000) {
            conn.send([b"3e8\r\n", chunk, b"\r\n"].concat()).await;
        }
        conn.send("0\r\n\r\n").await;
        assert_eq!(conn.answer(false).await.status, status, "{most}");
        lab.until("it is given back", || lab.appliance.held.bytes() == 0).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_whose_body_a_new_policy_may_not_let_pass_is_cut() {
    let lab = lab().await;
    let body = "{\"model\":\"m\"}";
    for (rules, cut) in [
        // Lets pass what passed before.
        (BODIES.replace("tools]", "tools, metadata]"), false),
        // May not.
        (BODIES.replace("[model, messages, tools]", "[model, messages]"), true),
    ] {
        // The origin answers when the new policy is in force, or never.
        let (answers, receiver) = mpsc::unbounded_channel();
        let receiver = Mutex::new(Some(receiver));
        lab.origin.answer("/v1/messages", move |_| Reply::Stream(receiver.lock().unwrap().take().unwrap()));
        let seen = lab.origin.requests().len();
        let mut conn = Conn::sni(&lab, HOST, DEVBOT).await;
        conn.send(format!("POST /v1/messages HTTP/1.1\r\nhost: {HOST}\r\n{JSON}content-length: 13\r\n\r\n{body}"))
            .await;
        lab.until("the request arrives", || lab.origin.requests().len() > seen).await;
        assert_eq!(lab.reload(&policy(&rules)).await, "taken");
        if cut {
            assert_eq!(conn.answer(false).await.reason(), "policy_changed");
        } else {
            answers.send(b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nfine".to_vec()).unwrap();
            let answer = conn.answer(false).await;
            assert_eq!((answer.status, &*answer.text()), (200, "fine"), "it goes on");
            assert_eq!(lab.reload(&policy(BODIES)).await, "taken");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_rule_looks_for_in_the_body_may_not_stand_in_the_query() {
    let lab = lab().await;
    for (query, status) in [("?beta=true", 200), ("?tools%5B0%5D%5Btype%5D=bash", 403), ("?beta=1&Messages=x", 403)] {
        let mut conn = Conn::sni(&lab, HOST, DEVBOT).await;
        let head = format!("POST /v1/messages{query} HTTP/1.1\r\nhost: {HOST}\r\n{JSON}content-length: 13\r\n\r\n");
        let answer = conn.ask(&(head + "{\"model\":\"m\"}")).await;
        let reason = if status == 200 { "" } else { "body_not_allowed" };
        assert_eq!((answer.status, &*answer.reason()), (status, reason), "{query}");
    }
    assert_eq!(lab.origin.requests().len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn no_rate_is_asked_of_a_body_that_was_taken_in() {
    let silent = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let elsewhere = [(format!("{HOST}:443"), silent.local_addr().unwrap())].into();
    let limits = "body_bytes_per_second: 1000000000".to_owned();
    let timeouts = "body_idle_seconds: 1, connect_seconds: 3".to_owned();
    let lab = Lab::with(Setup { policy: policy(BODIES), limits, timeouts, elsewhere, ..Setup::default() }).await;
    let answer = post(&lab, "/v1/messages", JSON, "{\"model\":\"m\"}").await;
    assert_eq!((answer.status, &*answer.reason()), (504, "upstream_timeout"), "it waits for us, not for its agent");
}
