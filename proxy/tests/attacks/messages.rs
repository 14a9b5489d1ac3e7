//! Messages that are compressed one by one inside of a body (law 4, law 9): gRPC's and those of the Connect protocol. A
//! server answers in the coding that its client used, whatever it was told to accept.

use crate::client::{Answer, Conn};
use crate::lab::{DEVBOT, Lab, REAL, Setup};
use crate::scrub::{gzip, zlib};

const OPEN: &str = "open.example.test";
/// The stub, as long as the credential.
const SHOWN: &str = "proxy-token-api**************";
const GRPC: &str = "content-type: application/grpc+proto\r\ngrpc-encoding: gzip\r\n";

fn message(flags: u8, payload: &[u8]) -> Vec<u8> {
    [&[flags], &u32::try_from(payload.len()).unwrap().to_be_bytes()[..], payload].concat()
}

fn chunked(lines: &str, body: &[u8], size: usize) -> Vec<u8> {
    let mut bytes = format!("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n{lines}\r\n").into_bytes();
    for chunk in body.chunks(size) {
        bytes.extend(format!("{:x}\r\n", chunk.len()).bytes());
        bytes.extend_from_slice(chunk);
        bytes.extend_from_slice(b"\r\n");
    }
    bytes.extend_from_slice(b"0\r\n\r\n");
    bytes
}

/// A call, whose message the client compressed.
async fn call(lab: &Lab, lines: &str) -> Answer {
    let body = message(1, &gzip(b"asked"));
    let mut conn = Conn::sni(lab, OPEN, DEVBOT).await;
    let head = format!("POST /lab.Calls/Ask HTTP/1.1\r\nhost: {OPEN}\r\n{lines}content-length: {}\r\n\r\n", body.len());
    conn.send([head.as_bytes(), &body].concat()).await;
    conn.answer(false).await
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_in_the_coding_of_its_call_is_unfolded_and_scrubbed() {
    let lab = Lab::new().await;
    let long = format!("{}{REAL}", "before ".repeat(20_000));
    for (lines, fold) in [
        (GRPC, gzip as fn(&[u8]) -> Vec<u8>),
        ("content-type: application/grpc\r\ngrpc-encoding: deflate\r\n", zlib),
        ("content-type: application/grpc-web+proto\r\ngrpc-encoding: gzip\r\n", gzip),
        ("content-type: application/connect+json\r\nconnect-content-encoding: gzip\r\n", gzip),
    ] {
        let folded = [
            message(1, &fold(format!("a {REAL} b").as_bytes())),
            message(0, format!("plain {REAL}").as_bytes()),
            message(0, b""),
            message(1, &fold(b"")),
            message(1, &fold(long.as_bytes())),
            message(3, &fold(b"{}")),
        ]
        .concat();
        let unfolded = [
            message(0, format!("a {SHOWN} b").as_bytes()),
            message(0, format!("plain {SHOWN}").as_bytes()),
            message(0, b""),
            message(0, b""),
            message(0, long.replace(REAL, SHOWN).as_bytes()),
            message(2, b"{}"),
        ]
        .concat();
        for size in [1, 7, usize::MAX] {
            lab.origin.answer_bytes("/lab.Calls/Ask", chunked(lines, &folded, size));
            let answer = call(&lab, lines).await;
            assert!(answer.status == 200 && answer.is_whole, "{lines} {size}: {answer:?}");
            assert!(answer.body == unfolded, "{lines} {size}: {} bytes", answer.body.len());
            assert_eq!((answer.header("grpc-encoding"), answer.header("connect-content-encoding")), (None, None));
        }
    }
    lab.is_well("messages that are compressed").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_whose_answer_could_not_be_let_in_does_not_go_out() {
    let lab = Lab::new().await;
    for lines in [
        "content-type: application/grpc\r\ngrpc-encoding: snappy\r\n",
        "content-type: application/grpc\r\ngrpc-encoding: gzip\r\ngrpc-encoding: zstd\r\n",
    ] {
        lab.refusals();
        let answer = call(&lab, lines).await;
        assert_eq!(answer.header("grpc-status").as_deref(), Some("12"), "{lines}: {answer:?}");
        assert_eq!(answer.header("grpc-accept-encoding").as_deref(), Some("identity,deflate,gzip"));
        assert_eq!(lab.refusals(), ["response_not_inspectable"]);
    }
    let answer = call(&lab, "content-type: application/connect+proto\r\nconnect-content-encoding: br\r\n").await;
    assert_eq!((answer.status, &*answer.reason()), (502, "response_not_inspectable"));
    assert_eq!(lab.origin.byte_count(), 0);
    lab.is_well("calls in other codings").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn messages_that_lie_and_bombs_are_cut() {
    let lab = Lab::new().await;
    let whole = gzip(b"text of a message");
    let bomb = gzip(&vec![0; 64 << 20]);
    // Not so well folded, and longer than a message may be.
    let large: Vec<u8> = (0..17_u32 << 20).map(|n| n.wrapping_mul(2_654_435_761).to_be_bytes()[0] & 0x1f).collect();
    for (case, body) in [
        ("not in its coding", message(1, REAL.as_bytes())),
        ("no message at all", message(1, b"")),
        ("ends early", message(1, &whole[..whole.len() - 3])),
        ("goes on behind its end", message(1, &[&whole[..], b"more"].concat())),
        ("the body ends in it", message(1, &whole)[..20].to_vec()),
        ("the body ends in its head", b"\x01\0\0".to_vec()),
        ("a bomb", message(1, &bomb)),
        ("too long", message(1, &gzip(&large))),
    ] {
        lab.origin.answer_bytes("/lab.Calls/Ask", chunked(GRPC, &body, 10_000));
        let answer = call(&lab, GRPC).await;
        assert!(answer.status == 200 && !answer.is_whole, "{case}: {answer:?}");
        assert!(answer.body.len() < 1 << 20, "{case}: {} bytes", answer.body.len());
        assert!(!answer.text().contains(REAL), "{case}");
    }
    // Of a type whose messages have no such heads.
    lab.origin.answer_bytes("/lab.Calls/Ask", chunked("grpc-encoding: gzip\r\n", &message(1, &whole), 100));
    assert_eq!(call(&lab, GRPC).await.header("grpc-status").as_deref(), Some("12"));
    lab.until("what was held is given back", || lab.appliance.held.bytes() == 0).await;
    lab.is_well("messages that lie").await;
}

/// Law 7, and whose matter it is: an agent that has too much of this at once, not its origin.
#[tokio::test(flavor = "multi_thread")]
async fn memory_for_decoding_that_is_used_up_is_a_limit_of_its_agent() {
    let limits = "inspected_bytes: 1048576, inspected_bytes_per_agent: 100000".into();
    let lab = Lab::with(Setup { limits, ..Setup::default() }).await;
    let text: Vec<u8> = (0..1_u32 << 20).map(|n| n.wrapping_mul(2_654_435_761).to_be_bytes()[0] & 0x1f).collect();
    let params = brotli::enc::BrotliEncoderParams { quality: 1, lgwin: 22, ..Default::default() };
    let mut coded = Vec::new();
    brotli::BrotliCompress(&mut &text[..], &mut coded, &params).unwrap();
    let cases = [("content-encoding: br\r\n", coded), (GRPC, message(1, &gzip(&text)))];
    for (number, (lines, body)) in cases.into_iter().enumerate() {
        let path = format!("/large{number}");
        lab.origin.answer_bytes(&path, chunked(lines, &body, 10_000));
        let answer = lab.get(OPEN, &path, &[]).await;
        assert!(answer.status == 200 && !answer.is_whole && answer.body.len() < text.len());
        let end = || lab.records().into_iter().find(|record| record["event"] == "end" && record["path"] == *path);
        lab.until("the end is recorded", || end().is_some()).await;
        assert_eq!(end().unwrap()["reason"], "limit_reached");
    }
    lab.until("what was held is given back", || lab.appliance.held.bytes() == 0).await;
}
