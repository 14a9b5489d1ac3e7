//! Between the parts: what one of them judged must be what the next one sends (laws 3, 4, 8 and 9).

use std::sync::Mutex;

use tokio::sync::mpsc;

use crate::client::Conn;
use crate::lab::{DEVBOT, Lab};
use crate::origin::Reply;

const OPEN: &str = "open.example.test";

/// Has an origin answer one request with what is sent here.
fn stream(lab: &Lab, path: &str) -> mpsc::UnboundedSender<Vec<u8>> {
    let (says, receiver) = mpsc::unbounded_channel();
    let receiver = Mutex::new(Some(receiver));
    lab.origin.answer(path, move |_| Reply::Stream(receiver.lock().unwrap().take().unwrap()));
    says
}

async fn credential_taken(lab: &Lab) {
    let taken = || lab.records().iter().any(|record| record["layer"] == "credential" && record["outcome"] == "taken");
    lab.until("the credential is taken", taken).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn trailers_are_held_against_the_value_of_now() {
    let lab = Lab::new().await;
    let rotated = "rotated-secret-of-api-9876543210";
    let says = stream(&lab, "/long");
    let mut conn = Conn::sni(&lab, OPEN, DEVBOT).await;
    says.send(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nfirst\r\n".to_vec()).unwrap();
    conn.send(format!("GET /long HTTP/1.1\r\nhost: {OPEN}\r\nte: trailers\r\n\r\n")).await;
    assert_eq!(conn.head().await.status, 200);
    assert_eq!(conn.some().await, b"5\r\nfirst\r\n");
    lab.write_secret("api", rotated);
    credential_taken(&lab).await;
    says.send(format!("0\r\nx-echo: {rotated}\r\n\r\n").into_bytes()).unwrap();
    drop(says);
    conn.send("GET /more HTTP/1.1\r\nhost: open.example.test\r\nconnection: close\r\n\r\n").await;
    let got = String::from_utf8(conn.rest().await).unwrap();
    assert!(got.starts_with("0\r\nx-echo: proxy-token-api*"), "{got}");
    assert!(!got.contains(rotated));
}
