use std::path::Path;

use tempfile::tempdir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use super::*;
use crate::bridge::one::Bridge;
use crate::bridge::testing;

const SOON: Duration = Duration::from_secs(20);

async fn found(bridge: &Bridge) -> Result<Found, Failed> {
    bridge.probe(None, SOON).await
}

#[tokio::test]
async fn a_server_on_stdio_is_asked_for_all_pages_of_its_tools() {
    let folder = tempdir().unwrap();
    let bridge = testing::stdio(folder.path(), ", --tools, \"a,b,c\", --version, \"2.5\"", "");
    let expected = Found {
        server: "double".into(),
        version: "2.5".into(),
        protocol: "2025-06-18".into(),
        tools: ["a", "b", "c"].map(str::to_owned).into(),
    };
    assert_eq!(found(&bridge).await.unwrap(), expected);
}

#[tokio::test]
async fn a_server_that_asks_first_gets_its_answer() {
    let folder = tempdir().unwrap();
    assert!(found(&testing::stdio(folder.path(), ", --asks", "")).await.is_ok());
}

#[tokio::test]
async fn a_server_over_http_is_asked_whether_it_answers_at_once_or_in_a_stream_that_stays_open() {
    let folder = tempdir().unwrap();
    for arguments in ["", ", --sse", ", --sse, --asks"] {
        let bridge = testing::http(folder.path(), testing::port(), arguments, "");
        let found = bridge.probe_installed(Path::new("/usr"), SOON).await;
        assert_eq!(found.unwrap().tools, ["echo"], "{arguments}");
    }
}

#[tokio::test]
async fn a_tool_that_must_be_there_and_is_not_is_a_failure() {
    let folder = tempdir().unwrap();
    let bridge = testing::stdio(folder.path(), "", ", probe: { tools: [echo, send] }");
    assert_eq!(found(&bridge).await.unwrap_err().to_string(), "does not offer send");
}

#[tokio::test]
async fn a_version_of_the_protocol_that_we_do_not_speak_is_a_failure() {
    let folder = tempdir().unwrap();
    let failed = found(&testing::stdio(folder.path(), ", --protocol, \"1999-01-01\"", "")).await;
    assert_eq!(failed.unwrap_err().to_string(), "speaks version 1999-01-01 of the protocol, which is none of ours");
}

#[tokio::test]
async fn a_child_that_says_too_much_too_little_or_nothing_is_a_failure() {
    let folder = tempdir().unwrap();
    for (script, why) in [
        ("exec cat /dev/zero", "what it says is too long"),
        ("read a; echo Starting server", "what it says is no message of JSON-RPC 2.0"),
        ("read a", "it ended before it answered"),
        ("exit 3", "it ended before it answered"),
    ] {
        let bridge =
            testing::bridge(folder.path(), &format!("{{ stdio: {{ command: [/bin/sh, -c, \"{script}\"] }} }}"));
        assert_eq!(found(&bridge).await.unwrap_err().to_string(), why, "{script}");
    }
    let bridge = testing::bridge(folder.path(), "{ stdio: { command: [/bin/sleep, \"100\"] } }");
    let failed = bridge.probe(None, Duration::from_millis(300)).await;
    assert!(matches!(failed, Err(Failed::Slow(_))), "{failed:?}");
    let bridge = testing::bridge(folder.path(), "{ stdio: { command: [/no/such/program] } }");
    assert!(matches!(found(&bridge).await, Err(Failed::Start(_))));
}

/// A server that answers every request with these bytes, until its connection ends.
async fn canned(answer: Vec<u8>) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            let answer = answer.clone();
            tokio::spawn(async move {
                let mut request = [0; 4096];
                let _ = stream.read(&mut request).await;
                let _ = stream.write_all(&answer).await;
                let _ = stream.read(&mut request).await;
            });
        }
    });
    port
}

#[tokio::test]
async fn a_server_over_http_that_answers_wrong_is_a_failure() {
    let folder = tempdir().unwrap();
    let answer = |head: &str, body: &str| format!("HTTP/1.1 {head}\r\ncontent-length: {}\r\n\r\n{body}", body.len());
    let json = "200 OK\r\ncontent-type: application/json";
    let stream = "200 OK\r\ncontent-type: text/event-stream";
    let refusal = r#"{"jsonrpc":"2.0","id":1,"error":{"code":-1,"message":"no"}}"#;
    let long = format!("{stream}\r\nx: y");
    let flood = "data: x\n\n".repeat(200_000);
    for (text, why) in [
        (answer("401 Unauthorized", ""), "answered 401"),
        (answer("200 OK\r\ncontent-type: text/html", "<html>"), "answers with neither"),
        (answer(json, "{}"), "no message of JSON-RPC"),
        (answer(json, r#"{"jsonrpc":"2.0","id":5,"result":{}}"#), "not what was asked for"),
        (answer(json, refusal), "initialize is refused: -1 no"),
        (answer(stream, "data: {\n\n"), "no message of JSON-RPC"),
        (answer(stream, ": nothing\n\n"), "it ended before it answered"),
        (answer(&long, &format!(":{}", flood.replace("data", "dat"))), "too long"),
        ("nonsense\r\n\r\n".into(), "no connection"),
    ] {
        let port = canned(text.clone().into_bytes()).await;
        let failed = found(&testing::http(folder.path(), port, "", "")).await.unwrap_err().to_string();
        assert!(failed.contains(why), "{failed}; {}", text.get(..60).unwrap_or(&text));
    }
}

#[tokio::test]
async fn a_server_over_http_that_never_ends_is_a_failure_in_time() {
    let folder = tempdir().unwrap();
    let port =
        canned(b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 50\r\n\r\n{".to_vec()).await;
    let failed = testing::http(folder.path(), port, "", "").probe(None, Duration::from_millis(300)).await;
    assert!(matches!(failed, Err(Failed::Slow(_))), "{failed:?}");
}
