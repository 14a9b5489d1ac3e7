//! Requests' bodies towards origins that answer before they have read them: what is over is over in both directions.

use std::time::Duration;

use tokio::io::AsyncWriteExt;

use crate::client::{Conn, PATIENCE};
use crate::lab::{DEVBOT, Lab, POLICY, Setup};
use crate::origin::Reply;

const HOST: &str = "open.example.test";

fn chunk(data: &str) -> String {
    format!("{:x}\r\n{data}\r\n", data.len())
}

/// Begins an upload that has no end, and waits for the head of its response.
async fn upload(lab: &Lab, path: &str) -> Conn {
    let mut conn = Conn::sni(lab, HOST, DEVBOT).await;
    conn.send(format!("POST {path} HTTP/1.1\r\nhost: {HOST}\r\ntransfer-encoding: chunked\r\n\r\n")).await;
    conn.send(chunk("BEFORE")).await;
    assert_eq!(conn.head().await.status, 200);
    conn
}

/// Writes until the other side refuses more.
async fn refused(conn: &mut Conn) {
    let piece = chunk(&"x".repeat(64 * 1024));
    while conn.io.write_all(piece.as_bytes()).await.is_ok() {}
}

async fn cut(lab: &Lab) {
    let without = POLICY.replace("hosts: [open.example.test, ", "hosts: [");
    assert_eq!(lab.reload(&without).await, "taken");
    let is_cut = || lab.records().iter().any(|record| record["outcome"] == "cut");
    lab.until("the cut is recorded", is_cut).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_of_an_upload_passes_after_it_was_cut() {
    let lab = Lab::with(Setup { origin_h2: true, ..Setup::default() }).await;
    lab.origin.answer("/early", |_| Reply::Early(true));
    let has = |what: &str| String::from_utf8_lossy(&lab.origin.bytes()).contains(what);
    let mut conn = upload(&lab, "/early").await;
    lab.until("the first piece arrives", || has("BEFORE")).await;
    cut(&lab).await;
    // The agent's end may be gone at any moment now.
    let _ = conn.io.write_all(chunk("AFTER").as_bytes()).await;
    assert!(conn.is_over().await, "the agent's connection ends");
    lab.is_well("a cut upload").await;
    assert!(!has("AFTER"));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upload_that_its_origin_does_not_read_holds_no_connection_after_its_end() {
    let lab = Lab::with(Setup { origin_h2: true, ..Setup::default() }).await;
    lab.origin.answer("/unread", |_| Reply::Early(false));
    for round in 0..3 {
        let mut conns = Vec::new();
        for _ in 0..2 {
            let mut conn = upload(&lab, "/unread").await;
            // Until the windows on the way are full.
            let _ = tokio::time::timeout(Duration::from_millis(300), refused(&mut conn)).await;
            conns.push(conn);
        }
        cut(&lab).await;
        for mut conn in conns {
            assert!(conn.is_over().await, "round {round}");
            // A socket that is still held takes what its buffers hold, and then stalls.
            tokio::time::timeout(PATIENCE, refused(&mut conn)).await.expect("the socket is closed, not only shut down");
        }
        assert_eq!(lab.reload(POLICY).await, "taken");
        lab.is_well("an upload that nobody read").await;
    }
}
