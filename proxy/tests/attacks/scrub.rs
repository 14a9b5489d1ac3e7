//! A credential never comes in (law 4; CR-03, CR-08, MI-14, WS-04, RE-08): origins that send one back, in whatever form
//! and place, and origins that hide one in a coding.

use std::io::Write as _;
use std::sync::Mutex;

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use bytes::Bytes;
use flate2::Compression;
use flate2::write::{DeflateEncoder, GzEncoder, ZlibEncoder};
use http::Request;
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http2;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::sync::mpsc;

use crate::client::{Answer, Conn, tcp, tls};
use crate::lab::{DEVBOT, KEYED_REAL, Lab, OTHER_REAL, REAL, STUB, Setup};
use crate::origin::Reply;

const API: &str = "api.example.test";
const OPEN: &str = "open.example.test";
/// The stub, as long as the credential.
const SHOWN: &str = "proxy-token-api**************";

fn bearer() -> (&'static str, String) {
    ("authorization", format!("Bearer {STUB}"))
}

async fn swapped(lab: &Lab, path: &str) -> Answer {
    let (name, value) = bearer();
    lab.get(API, path, &[(name, &value)]).await
}

fn hex(text: &str) -> String {
    text.bytes().map(|byte| format!("{byte:02x}")).collect()
}

fn percent(text: &str) -> String {
    text.bytes().map(|byte| format!("%{byte:02X}")).collect()
}

fn json(text: &str) -> String {
    text.bytes().map(|byte| format!("\\u{byte:04x}")).collect()
}

/// Every form that is claimed, of a credential that is not the whole of what is encoded.
fn forms(secret: &str) -> Vec<String> {
    let mut forms = vec![secret.to_owned(), hex(secret), hex(secret).to_uppercase(), percent(secret), json(secret)];
    for before in ["", "a", "ab", "user:"] {
        let pair = format!("{before}{secret}:tail");
        forms.extend([STANDARD.encode(&pair), URL_SAFE_NO_PAD.encode(&pair)]);
    }
    forms.push(secret.replace('-', "%2D").replacen('e', "\\u0065", 1));
    forms
}

fn has_none_of(what: &[u8], case: &str) {
    let text = String::from_utf8_lossy(what).to_lowercase();
    for secret in [REAL, KEYED_REAL, OTHER_REAL] {
        for form in forms(secret) {
            assert!(!text.contains(&form.to_lowercase()), "{case}: {form} in {text}");
        }
        // The middle of base64, whatever stands at its ends.
        for before in 0..3 {
            let base64 = STANDARD.encode(format!("{}{secret}", &"xx"[..before]));
            let middle = &base64[4..base64.len() - 4];
            assert!(!String::from_utf8_lossy(what).contains(middle), "{case}: base64 at {before}");
        }
    }
}

fn response(lines: &str, body: &[u8]) -> Vec<u8> {
    let mut bytes = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n{lines}\r\n", body.len()).into_bytes();
    bytes.extend_from_slice(body);
    bytes
}

fn chunked(lines: &str, chunks: &[&[u8]], trailers: &str) -> Vec<u8> {
    let mut bytes = format!("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n{lines}\r\n").into_bytes();
    for chunk in chunks.iter().filter(|chunk| !chunk.is_empty()) {
        bytes.extend(format!("{:x}\r\n", chunk.len()).bytes());
        bytes.extend_from_slice(chunk);
        bytes.extend_from_slice(b"\r\n");
    }
    bytes.extend(format!("0\r\n{trailers}\r\n").bytes());
    bytes
}

/// The end record of the last request.
async fn end(lab: &Lab, path: &str) -> serde_json::Value {
    let find = || lab.records().into_iter().rfind(|record| record["event"] == "end" && record["path"] == path);
    lab.until("the end is recorded", || find().is_some()).await;
    find().unwrap()
}

pub(crate) fn gzip(text: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(text).unwrap();
    encoder.finish().unwrap()
}

pub(crate) fn zlib(text: &[u8]) -> Vec<u8> {
    let mut encoder = ZlibEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(text).unwrap();
    encoder.finish().unwrap()
}

fn deflate(text: &[u8]) -> Vec<u8> {
    let mut encoder = DeflateEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(text).unwrap();
    encoder.finish().unwrap()
}

fn brotli(text: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    brotli::BrotliCompress(&mut &text[..], &mut out, &brotli::enc::BrotliEncoderParams::default()).unwrap();
    out
}

fn zstandard(text: &[u8]) -> Vec<u8> {
    ruzstd::encoding::compress_to_vec(text, ruzstd::encoding::CompressionLevel::Fastest)
}

#[tokio::test(flavor = "multi_thread")]
async fn an_echo_shows_the_stub_in_every_form_and_place() {
    let lab = Lab::new().await;
    lab.origin.answer("/anything", |seen| {
        let secret = seen.header("authorization").unwrap().strip_prefix("Bearer ").unwrap().to_owned();
        assert_eq!(secret, REAL, "it was swapped");
        let body = forms(&secret).join("\n");
        let lines = format!(
            "location: https://elsewhere.test/?token={secret}\r\nset-cookie: session={}; Path=/\r\n\
             www-authenticate: Bearer realm=\"{secret}\"\r\nlink: <https://x.test/{}>; rel=next\r\n\
             x-echo: Bearer {secret}\r\nx-{secret}: here\r\n",
            STANDARD.encode(format!("user:{secret}")),
            percent(&secret),
        );
        Reply::Bytes(response(&lines, body.as_bytes()))
    });
    let answer = swapped(&lab, "/anything").await;
    assert_eq!(answer.status, 200);
    has_none_of(answer.head.as_bytes(), "head");
    has_none_of(&answer.body, "body");
    assert_eq!(answer.body.len(), forms(REAL).join("\n").len(), "the length stays");
    assert_eq!(answer.header("location").unwrap(), format!("https://elsewhere.test/?token={SHOWN}"));
    assert_eq!(answer.header("x-echo").unwrap(), format!("Bearer {SHOWN}"));
    assert_eq!(answer.header(&format!("x-{SHOWN}")).unwrap(), "here");
    assert!(answer.text().starts_with(&format!("{SHOWN}\n{}\n", hex(SHOWN))));
    let count = 6 + forms(REAL).len();
    assert_eq!(end(&lab, "/anything").await["scrubbed"], count);
    assert!(lab.metrics().contains(&format!("stubgate_scrubbed_total{{credential=\"api\"}} {count}")));
    assert!(lab.metrics().contains("stubgate_scrubbed_total{credential=\"keyed\"} 0"));
    lab.is_well("CR-03").await;
    assert!(end(&lab, "/control").await["scrubbed"].is_null());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_another_request_or_agent_stored_is_scrubbed_too() {
    let lab = Lab::new().await;
    for (number, secret) in [REAL, KEYED_REAL, OTHER_REAL].into_iter().enumerate() {
        let path = format!("/stored{number}");
        lab.origin.answer_bytes(&path, response(&format!("x-stored: {secret}\r\n"), secret.as_bytes()));
        let answer = lab.get(OPEN, &path, &[]).await;
        has_none_of(&[answer.head.as_bytes(), &answer.body].concat(), secret);
        assert!(answer.text().starts_with("proxy-token-"), "{answer:?}");
        assert_eq!(end(&lab, &path).await["scrubbed"], 2);
    }
    lab.is_well("MI-14").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_credential_is_found_wherever_chunks_divide_it() {
    let lab = Lab::new().await;
    for form in [REAL.to_owned(), STANDARD.encode(format!("u:{REAL}")), percent(REAL), json(REAL)] {
        let mut chunks: Vec<&[u8]> = Vec::new();
        for at in 0..=form.len() {
            chunks.extend([&b"before "[..], &form.as_bytes()[..at], &form.as_bytes()[at..], b" after"]);
        }
        // And each byte by itself.
        chunks.extend(form.as_bytes().chunks(1));
        lab.origin.answer_bytes("/chunks", chunked("", &chunks, ""));
        let answer = swapped(&lab, "/chunks").await;
        assert!(answer.is_whole);
        has_none_of(&answer.body, &form);
        assert_eq!(answer.text().matches("before ").count(), form.len() + 1);
        assert_eq!(answer.body.len(), chunks.iter().map(|chunk| chunk.len()).sum::<usize>());
    }
    lab.is_well("divided credentials").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn trailers_interim_responses_and_error_pages_are_scrubbed() {
    let lab = Lab::new().await;
    lab.origin.answer_bytes("/trailers", chunked("trailer: x-sum\r\n", &[b"body"], &format!("x-sum: {REAL}\r\n")));
    let answer = swapped(&lab, "/trailers").await;
    assert_eq!((answer.text().as_str(), answer.trailers.trim()), ("body", format!("x-sum: {SHOWN}").as_str()));

    let hints = format!("HTTP/1.1 103 Early Hints\r\nlink: </{REAL}>\r\n\r\n");
    lab.origin.answer_bytes("/hints", [hints.into_bytes(), response("", b"ok")].concat());
    let mut conn = Conn::sni(&lab, OPEN, DEVBOT).await;
    conn.send(format!("GET /hints HTTP/1.1\r\nhost: {OPEN}\r\n\r\n")).await;
    let early = conn.head().await;
    assert_eq!((early.status, early.header("link")), (103, Some(format!("</{SHOWN}>"))));
    assert_eq!(conn.answer(false).await.status, 200);
    assert_eq!(end(&lab, "/hints").await["scrubbed"], 1);

    for status in ["500 Internal Server Error", "401 Unauthorized", "302 Found"] {
        let page = format!(
            "HTTP/1.1 {status} {REAL}\r\ncontent-length: {}\r\nwww-authenticate: Basic realm=\"{REAL}\"\r\n\r\n{REAL}",
            REAL.len()
        );
        lab.origin.answer_bytes("/error", page);
        let answer = swapped(&lab, "/error").await;
        assert_eq!(answer.status.to_string(), status[..3]);
        has_none_of(&[answer.head.as_bytes(), &answer.body].concat(), status);
    }
    lab.is_well("CR-03 in odd places").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_head_of_a_websocket_is_scrubbed() {
    let lab = Lab::new().await;
    let says = crate::websocket::switches_with(&lab.origin, "/ws", &format!("x-session: {REAL}\r\n"));
    let mut conn = Conn::sni(&lab, OPEN, DEVBOT).await;
    let answer = conn.ask(&crate::websocket::handshake(crate::client::Way::Sni, "/ws")).await;
    assert_eq!((answer.status, answer.header("x-session")), (101, Some(SHOWN.into())));
    drop(says);
}

#[tokio::test(flavor = "multi_thread")]
async fn events_are_not_held_back_and_no_more_than_seven_bytes_of_a_credential_leave_early() {
    let lab = Lab::new().await;
    let (says, receiver) = mpsc::unbounded_channel::<Vec<u8>>();
    let receiver = Mutex::new(Some(receiver));
    lab.origin.answer("/events", move |_| Reply::Stream(receiver.lock().unwrap().take().unwrap()));
    let mut conn = Conn::sni(&lab, OPEN, DEVBOT).await;
    says.send(b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n".into())
        .unwrap();
    conn.send(format!("GET /events HTTP/1.1\r\nhost: {OPEN}\r\n\r\n")).await;
    assert_eq!(conn.head().await.status, 200);
    let chunk = |text: &str| format!("{:x}\r\n{text}\r\n", text.len()).into_bytes();
    // Reads until so much text came, over however many chunks.
    let mut text = String::new();
    for (said, seen) in [
        ("data: one\n\n", "data: one\n\n"),
        // Might be the beginning of a credential, but an event waits for nothing.
        ("data: real-se", "data: real-se"),
        ("cret-of-api-0123456789\n\n", "oken-api**************\n\n"),
        ("data: r", "data: r"),
        ("eal\n\n", "eal\n\n"),
        // So much of one waits for what follows.
        ("data: real-secret-of", "data: "),
        ("-api-0123456789!", "proxy-token-api**************!"),
    ] {
        says.send(chunk(said)).unwrap();
        let mut got = String::new();
        while got.len() < seen.len() {
            let bytes = String::from_utf8(conn.some().await).unwrap();
            assert!(!bytes.is_empty(), "ended after {text:?} {got:?}");
            let mut rest = bytes.as_str();
            while let Some((size, after)) = rest.split_once("\r\n") {
                let size = usize::from_str_radix(size, 16).unwrap();
                got.push_str(&after[..size]);
                rest = &after[size + 2..];
            }
        }
        assert_eq!(got, seen, "after {text:?}");
        text.push_str(&got);
    }
    drop(says);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_coding_is_undone_where_an_origin_uses_one_all_the_same() {
    let lab = Lab::new().await;
    let text = format!("{} {REAL} {}", "before ".repeat(2_000), "after ".repeat(30_000));
    let expected = text.replace(REAL, SHOWN);
    for (coding, encoded) in [
        ("gzip", gzip(text.as_bytes())),
        ("x-gzip", [gzip(&text.as_bytes()[..20_000]), gzip(&text.as_bytes()[20_000..])].concat()),
        ("deflate", zlib(text.as_bytes())),
        ("deflate", deflate(text.as_bytes())),
        ("br", brotli(text.as_bytes())),
        ("zstd", zstandard(text.as_bytes())),
        ("zstd", [zstandard(b""), b"\x50\x2a\x4d\x18\x04\0\0\0skip".to_vec(), zstandard(text.as_bytes())].concat()),
        ("identity, gzip", gzip(text.as_bytes())),
    ] {
        let lines = format!("content-encoding: {coding}\r\nvary: accept-encoding\r\netag: \"v1\"\r\n");
        let in_bytes: Vec<&[u8]> = encoded.chunks(1).collect();
        for bytes in [response(&lines, &encoded), chunked(&lines, &in_bytes, "")] {
            lab.origin.answer_bytes("/coded", bytes);
            for answer in [swapped(&lab, "/coded").await, lab.get(OPEN, "/coded", &[]).await] {
                assert!(answer.is_whole, "{coding}");
                assert!(answer.text() == expected, "{coding}: {} bytes", answer.body.len());
                assert_eq!(answer.header("content-encoding"), None);
                assert_eq!(answer.header("vary").as_deref(), Some("accept-encoding"));
                assert_eq!(answer.header("etag").as_deref(), Some("W/\"v1\""));
            }
        }
    }
    lab.is_well("codings").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_can_not_be_decoded_is_refused() {
    let lab = Lab::new().await;
    let body = gzip(REAL.as_bytes());
    for lines in [
        "content-encoding: compress\r\n",
        "content-encoding: gzip, gzip\r\n",
        "content-encoding: gzip\r\ncontent-encoding: br\r\n",
        "content-encoding: dcb\r\n",
        "content-type: application/grpc\r\ngrpc-encoding: snappy\r\n",
    ] {
        lab.refusals();
        lab.origin.answer_bytes("/odd", response(&format!("x-token: {REAL}\r\n{lines}"), &body));
        let answer = lab.get(OPEN, "/odd", &[]).await;
        assert_eq!((answer.status, answer.reason().as_str()), (502, "response_not_inspectable"), "{lines}");
        has_none_of(&[answer.head.as_bytes(), &answer.body].concat(), lines);
        assert_eq!(lab.refusals(), ["response_not_inspectable"]);
        assert_eq!(end(&lab, "/odd").await["scrubbed"], 1, "counted though refused");
    }
    let part = "HTTP/1.1 206 Partial Content\r\ncontent-range: bytes 0-9/99\r\ncontent-encoding: gzip\r\n\
                content-length: 4\r\n\r\nabcd";
    lab.origin.answer_bytes("/part", part);
    let answer = lab.get(OPEN, "/part", &[("range", "bytes=0-9")]).await;
    assert_eq!(answer.reason(), "response_not_inspectable");
    lab.is_well("codings that are not known").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn lies_about_a_coding_and_bombs_are_cut_and_recorded() {
    let lab = Lab::new().await;
    let zeros = vec![0_u8; 64 << 20];
    let whole = gzip(&vec![b'x'; 100_000]);
    let mut wrong_sum = gzip(b"text of which the sum is wrong");
    let at = wrong_sum.len() - 6;
    wrong_sum[at] ^= 1;
    let rle = [&b"\x28\xb5\x2f\xfd\x00\x58"[..], &b"\x02\x00\x10\x00".repeat(4_000)].concat();
    // A window of 16 MiB, where a content coding may have 8 (RFC 9659).
    let wide = b"\x28\xb5\x2f\xfd\x00\x70\x01\x00\x00".to_vec();
    for (number, (coding, encoded)) in [
        ("gzip", REAL.as_bytes().to_vec()),
        ("gzip", whole[..whole.len() / 2].to_vec()),
        ("gzip", [whole.clone(), b"and more".to_vec()].concat()),
        ("gzip", wrong_sum),
        ("deflate", [zlib(b"text"), b"more".to_vec()].concat()),
        ("deflate", b"\xff\xff".to_vec()),
        ("br", [brotli(b"text"), b"more".to_vec()].concat()),
        ("br", b"\x91\x00\xff\xff\xff".to_vec()),
        ("zstd", b"not a frame".to_vec()),
        ("zstd", zstandard(&[b'x'; 1_000])[..12].to_vec()),
        ("zstd", wide),
        ("zstd", rle),
        ("gzip", gzip(&zeros)),
        ("br", brotli(&zeros)),
        ("deflate", zlib(&zeros)),
    ]
    .into_iter()
    .enumerate()
    {
        let path = format!("/lie{number}");
        lab.origin.answer_bytes(&path, chunked(&format!("content-encoding: {coding}\r\n"), &[&encoded], ""));
        let answer = lab.get(OPEN, &path, &[]).await;
        assert_eq!(answer.status, 200, "{path} {coding}");
        assert!(!answer.is_whole, "{path} {coding}: never a clean end, after {} bytes", answer.body.len());
        assert!(answer.body.len() < 4 << 20, "{path}: {}", answer.body.len());
        let end = end(&lab, &path).await;
        assert_eq!(
            (end["outcome"].as_str(), end["reason"].as_str()),
            (Some("aborted"), Some("response_not_inspectable"))
        );
    }
    lab.is_well("RE-08").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_response_without_a_body_keeps_its_coding() {
    let lab = Lab::new().await;
    for (method, status) in [("HEAD", "200 OK"), ("GET", "304 Not Modified"), ("GET", "204 No Content")] {
        let lines = "content-encoding: gzip\r\netag: \"v1\"\r\n";
        let length = if status.starts_with("204") { "" } else { "content-length: 77\r\n" };
        lab.origin.answer_bytes("/none", format!("HTTP/1.1 {status}\r\n{length}{lines}\r\n"));
        let mut conn = Conn::sni(&lab, OPEN, DEVBOT).await;
        let answer = conn.ask(&format!("{method} /none HTTP/1.1\r\nhost: {OPEN}\r\n\r\n")).await;
        assert_eq!(answer.header("content-encoding").as_deref(), Some("gzip"), "{method} {status}");
        assert_eq!(answer.header("etag").as_deref(), Some("\"v1\""));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_origin_is_asked_only_for_what_can_be_inspected() {
    let lab = Lab::new().await;
    let asked = |name: &str| lab.origin.requests().last().unwrap().header(name);
    let lines = [("accept-encoding", "gzip, zstd, compress"), ("grpc-accept-encoding", "gzip"), ("range", "bytes=0-9")];
    lab.get(OPEN, "/asked", &lines).await;
    assert_eq!(asked("accept-encoding").as_deref(), Some("gzip"));
    assert_eq!(asked("grpc-accept-encoding"), None);
    assert_eq!(asked("range").as_deref(), Some("bytes=0-9"), "no credential, no echo of one");
    let (name, value) = bearer();
    lab.get(API, "/asked", &[lines[0], lines[1], lines[2], (name, &value)]).await;
    assert_eq!(asked("accept-encoding").as_deref(), Some("identity"));
    assert_eq!(asked("range"), None, "CR-08");
}

#[tokio::test(flavor = "multi_thread")]
async fn without_credentials_nothing_is_touched() {
    let policy = "version: 1\nagents:\n  devbot: { sources: [\"127.0.0.1/32\"] }\nrules:\n  - name: open\n    \
                  agents: [devbot]\n    hosts: [open.example.test]\n    methods: [GET]\n";
    let lab = Lab::with(Setup { policy: policy.into(), ..Setup::default() }).await;
    lab.origin.answer_bytes("/coded", response("content-encoding: compress\r\netag: \"v1\"\r\n", REAL.as_bytes()));
    let answer = lab.get(OPEN, "/coded", &[("accept-encoding", "zstd, *"), ("grpc-accept-encoding", "gzip")]).await;
    assert_eq!((answer.text().as_str(), answer.header("content-encoding").as_deref()), (REAL, Some("compress")));
    let seen = lab.origin.requests().pop().unwrap();
    assert_eq!(seen.header("accept-encoding").as_deref(), Some("zstd, *"));
    assert_eq!(seen.header("grpc-accept-encoding").as_deref(), Some("gzip"));
}

#[tokio::test(flavor = "multi_thread")]
async fn bodies_without_a_credential_pass_byte_for_byte() {
    let lab = Lab::new().await;
    let mut state = 7_u64;
    let mut body = Vec::new();
    for _ in 0..1 << 20 {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        body.push(state.to_le_bytes()[7]);
        // What looks like the beginning of a credential, escaped or not.
        if state.is_multiple_of(5_000) {
            body.extend_from_slice(&REAL.as_bytes()[..12]);
            body.extend(percent(&REAL[..20]).bytes());
            body.extend_from_slice(b"\\u00");
        }
    }
    let chunks: Vec<&[u8]> = body.chunks(4_321).collect();
    for bytes in [response("", &body), chunked("", &chunks, "")] {
        lab.origin.answer_bytes("/bulk", bytes);
        let answer = lab.get(OPEN, "/bulk", &[]).await;
        assert!(answer.is_whole && answer.body == body);
    }
    assert!(end(&lab, "/bulk").await["scrubbed"].is_null());
}

#[tokio::test(flavor = "multi_thread")]
async fn responses_over_http2_are_scrubbed() {
    for origin_h2 in [false, true] {
        let lab = Lab::with(Setup { origin_h2, ..Setup::default() }).await;
        // Over HTTP/2 it echoes by itself.
        if !origin_h2 {
            lab.origin.answer("/echo", |seen| {
                Reply::Bytes(chunked(
                    &format!("x-echo: {REAL}\r\n"),
                    &[&seen.body[..20], &seen.body[20..]],
                    &format!("x-t: {REAL}\r\n"),
                ))
            });
        }
        let io = tls(tcp(lab.addresses.https[0], DEVBOT).await, &lab.h2, OPEN).await.unwrap();
        let (mut sender, connection) = http2::handshake(TokioExecutor::new(), TokioIo::new(io)).await.unwrap();
        tokio::spawn(connection);
        let said = format!("one {REAL} and {}", STANDARD.encode(format!("u:{REAL}")));
        let request = Request::post(format!("https://{OPEN}/echo")).body(Full::new(Bytes::from(said.clone()))).unwrap();
        let response = sender.send_request(request).await.unwrap();
        assert_eq!(response.status(), 200);
        has_none_of(format!("{:?}", response.headers()).as_bytes(), "headers");
        let body = response.into_body().collect().await.unwrap();
        has_none_of(format!("{:?}", body.trailers()).as_bytes(), "trailers");
        let body = body.to_bytes();
        has_none_of(&body, "body");
        assert_eq!(body.len(), said.len());
        assert!(body.starts_with(format!("one {SHOWN} and ").as_bytes()));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rotated_value_and_its_predecessor_are_both_scrubbed_also_under_way() {
    let lab = Lab::new().await;
    let rotated = "rotated-secret-of-api-9876543210";
    let (says, receiver) = mpsc::unbounded_channel::<Vec<u8>>();
    let receiver = Mutex::new(Some(receiver));
    lab.origin.answer("/long", move |_| Reply::Stream(receiver.lock().unwrap().take().unwrap()));
    let mut conn = Conn::sni(&lab, OPEN, DEVBOT).await;
    let length = REAL.len() + rotated.len() + 2;
    says.send(format!("HTTP/1.1 200 OK\r\ncontent-length: {length}\r\n\r\n").into()).unwrap();
    conn.send(format!("GET /long HTTP/1.1\r\nhost: {OPEN}\r\n\r\n")).await;
    assert_eq!(conn.head().await.status, 200);
    lab.write_secret("api", rotated);
    let taken = || lab.records().iter().any(|record| record["layer"] == "credential" && record["outcome"] == "taken");
    lab.until("the rotation", taken).await;
    says.send(format!("{REAL} {rotated}.").into()).unwrap();
    let mut got = Vec::new();
    while got.len() < length {
        got.extend(conn.some().await);
    }
    assert_eq!(String::from_utf8(got).unwrap(), format!("{SHOWN} proxy-token-api{}.", "*".repeat(17)));
}
