use std::future::poll_fn;

use proptest::prelude::*;
use stubgate_credentials::minted;
use stubgate_policy::{SourceFile, compile};

use super::*;
use crate::metrics::Metrics;
use crate::snapshot::Snapshot;

fn scanner() -> StubScanner {
    let text = "version: 1\nagents:\n  a: { sources: [\"10.0.0.1/32\"] }\ncredentials:\n  c:\n    stub: proxy-token-github\n    slots: [bearer]\n    hosts: [api.example.com]\n    source: { env: TOKEN }\nrules:\n  - { name: r, agents: [a], hosts: [api.example.com], methods: [GET], credentials: [c] }\n";
    let files = [SourceFile { name: "p.yaml".into(), text: text.into() }];
    Snapshot::new(compile(&files).unwrap().policy, 1, &Metrics::new()).stubs
}

fn pass(watched: &mut Watched, text: &[u8], cuts: &[usize]) -> Result<(), RequestBodyError> {
    let mut rest = text;
    for &cut in cuts {
        let (front, back) = rest.split_at(cut.min(rest.len()));
        watched.look(front)?;
        rest = back;
    }
    watched.look(rest)
}

proptest! {
    #[test]
    fn a_stub_is_seen_once_wherever_the_body_is_cut(before in "[a-z ]{0,60}", after in "[a-z ]{0,60}", cuts in proptest::collection::vec(0usize..30, 0..12)) {
        let text = format!("{before}proxy-token-github{after}");
        let mut watched = Watched::new(RequestBody::Empty, scanner(), false);
        pass(&mut watched, text.as_bytes(), &cuts).unwrap();
        prop_assert_eq!(watched.passed().stubs.load(Ordering::Relaxed), 1);
        prop_assert_eq!(watched.passed().bytes.load(Ordering::Relaxed), text.len() as u64);
        let mut denied = Watched::new(RequestBody::Empty, scanner(), true);
        prop_assert!(pass(&mut denied, text.as_bytes(), &cuts).is_err());
    }
}

proptest! {
    #[test]
    fn a_minted_stub_is_seen_once_wherever_the_body_is_cut(before in "[a-z -]{0,60}", after in "[a-z -]{0,60}", cuts in proptest::collection::vec(0usize..80, 0..12), shape in 0..7_usize) {
        let expiry = minted::Expiry::at(std::time::UNIX_EPOCH + std::time::Duration::from_secs(1_800_000_000)).unwrap();
        let shape = minted::Shape::ALL[shape];
        let stub = minted::mint(&minted::StubKey::new(&[1; 32]), "a", "c", expiry, [0; 3], shape);
        let text = format!("{before}{stub}{after}sk-SGMx ghp_SGM proxy-token-githu");
        let mut watched = Watched::new(RequestBody::Empty, scanner(), false);
        pass(&mut watched, text.as_bytes(), &cuts).unwrap();
        prop_assert_eq!(watched.passed().stubs.load(Ordering::Relaxed), 1);
    }
}

#[tokio::test]
async fn nothing_is_read_of_a_body_whose_exchange_is_over() {
    let mut watched = Watched::new(RequestBody::Empty, scanner(), false);
    let passed = watched.passed();
    passed.end();
    let frame = poll_fn(|cx| Pin::new(&mut watched).poll_frame(cx)).await;
    assert!(matches!(frame, Some(Err(RequestBodyError::Over))));
}

#[tokio::test]
async fn the_end_of_an_exchange_lets_the_agents_connection_go_even_where_nobody_reads() {
    let sockets = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let mut agent = tokio::net::TcpStream::connect(sockets.local_addr().unwrap()).await.unwrap();
    let (ours, _) = sockets.accept().await.unwrap();
    let stream = Stream::Plain(crate::stream::Socket::new(ours));
    let conn = SharedConn::new(stubgate_h1::Conn::new(stream, bytes::BytesMut::new(), stubgate_h1::Limits::default()));
    let body = RequestBody::H1(conn.body(stubgate_h1::Framing::Chunked));
    drop(conn);
    // Whoever sends it holds on to it and never asks for more.
    let held = Watched::new(body, scanner(), false);
    assert!(!held.passed().is_whole());
    held.passed().end();
    let mut end = [0];
    let read = tokio::io::AsyncReadExt::read(&mut agent, &mut end);
    let read = tokio::time::timeout(std::time::Duration::from_secs(10), read).await.expect("the connection ends");
    assert!(matches!(read, Ok(0) | Err(_)));
    drop(held);
}

#[tokio::test]
async fn an_empty_body_ends_at_once() {
    let mut watched = Watched::new(RequestBody::Empty, scanner(), true);
    assert!(watched.is_end_stream());
    assert!(poll_fn(|cx| Pin::new(&mut watched).poll_frame(cx)).await.is_none());
}
