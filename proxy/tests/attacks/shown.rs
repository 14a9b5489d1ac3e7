//! Responses that show a known kind of credential which is none of the policy's (MI-02, MI-03, MI-11): what a request made
//! does not come in; what somebody left in a file is read, and recorded.

use http::Request;
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http2;
use hyper_util::rt::{TokioExecutor, TokioIo};

use crate::client::{Answer, Conn, tcp, tls};
use crate::lab::{DEVBOT, Lab, POLICY, REAL, STUB, Setup};
use crate::scrub::gzip;

const API: &str = "api.example.test";
const OPEN: &str = "open.example.test";
/// With a right checksum; GitHub published it.
const TOKEN: &str = "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";

fn answer(lines: &str, body: &[u8]) -> Vec<u8> {
    let head = format!("HTTP/1.1 201 Created\r\ncontent-length: {}\r\n{lines}\r\n", body.len());
    [head.as_bytes(), body].concat()
}

fn minted() -> String {
    format!("{{\"id\":1,\"token\":\"{TOKEN}\",\"expires_at\":null}}")
}

async fn ask(lab: &Lab, method: &str, host: &str, path: &str, with_stub: bool) -> Answer {
    let line = if with_stub { format!("authorization: Bearer {STUB}\r\n") } else { String::new() };
    let mut conn = Conn::sni(lab, host, DEVBOT).await;
    conn.ask(&format!("{method} {path} HTTP/1.1\r\nhost: {host}\r\n{line}content-length: 0\r\n\r\n")).await
}

async fn end(lab: &Lab, path: &str) -> serde_json::Value {
    let find = || lab.records().into_iter().rfind(|record| record["event"] == "end" && record["path"] == path);
    lab.until("the end is recorded", || find().is_some()).await;
    find().unwrap()
}

/// The policy of all, with this line in the rules for the API and for the open host.
fn saying(line: &str) -> Setup {
    let policy = POLICY
        .replacen("    credentials: [api]\n", &format!("    credentials: [api]\n    {line}\n"), 1)
        .replacen("  - name: open\n", &format!("  - name: open\n    {line}\n"), 1);
    Setup { policy, ..Setup::default() }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_request_with_a_credential_minted_is_cut_off_and_is_a_tripwire() {
    let lab = Lab::new().await;
    let body = minted();
    let (before, _) = body.split_once(TOKEN).unwrap();
    let chunks: Vec<u8> = body.bytes().flat_map(|byte| [b"1\r\n".as_slice(), &[byte], b"\r\n"].concat()).collect();
    let head = b"HTTP/1.1 201 Created\r\ntransfer-encoding: chunked\r\n\r\n";
    lab.origin.answer_bytes("/whole", answer("", body.as_bytes()));
    lab.origin.answer_bytes("/bytes", [&head[..], &chunks, b"0\r\n\r\n"].concat());
    lab.origin.answer_bytes("/gzip", answer("content-encoding: gzip\r\n", &gzip(body.as_bytes())));
    for path in ["/whole", "/bytes", "/gzip"] {
        let answer = ask(&lab, "POST", API, path, true).await;
        assert!(!answer.is_whole, "{path}");
        assert_eq!(answer.text(), before, "{path}");
        let end = end(&lab, path).await;
        assert_eq!((&end["decision"], &end["reason"]), (&"deny".into(), &"credential_in_response".into()), "{end}");
        assert_eq!((&end["tripwire"], &end["credentials_shown"]), (&true.into(), &1.into()), "{end}");
        assert_eq!((&end["outcome"], &end["credential"]), (&"aborted".into(), &"api".into()), "{end}");
    }
    let metrics = lab.metrics();
    assert!(metrics.contains("stubgate_tripwires_total{reason=\"credential_in_response\"} 3"), "{metrics}");
    assert!(metrics.contains("stubgate_credentials_shown_total{done=\"deny\",kind=\"github\"} 3"), "{metrics}");
    assert!(metrics.contains("reason=\"credential_in_response\",rule=\"api\"} 3"), "counted once each: {metrics}");
    lab.is_well("MI-02").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_is_quarantined_for_what_others_wrote_into_responses() {
    let setup = saying("credential_in_response: deny");
    let line = "devbot: { sources: [\"127.0.0.1/32\"]";
    let policy = setup.policy.replacen(line, &format!("{line}, limits: {{ quarantine_after_tripwires: 1 }}"), 1);
    let lab = Lab::with(Setup { policy, ..setup }).await;
    lab.origin.answer_bytes("/issue", answer("", minted().as_bytes()));
    for _ in 0..3 {
        assert!(!ask(&lab, "GET", OPEN, "/issue", false).await.is_whole);
    }
    assert_eq!(ask(&lab, "GET", OPEN, "/x", false).await.status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_may_not_be_shown_is_not_fetched_in_two_parts() {
    for (line, ranges) in [("credential_in_response: deny", 0), ("credential_in_response: allow", 1)] {
        let lab = Lab::with(saying(line)).await;
        let mut conn = Conn::sni(&lab, OPEN, DEVBOT).await;
        let get = format!("GET /x HTTP/1.1\r\nhost: {OPEN}\r\nrange: bytes=0-20\r\n\r\n");
        assert_eq!(conn.ask(&get).await.status, 200);
        let head = lab.origin.requests().pop().unwrap().head;
        assert_eq!(head.matches("range: bytes").count(), ranges, "{line}: {head}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn one_in_a_head_is_refused_and_one_in_trailers_never_comes() {
    let lab = Lab::new().await;
    lab.origin.answer_bytes("/head", answer(&format!("location: https://x.test/?access_token={TOKEN}\r\n"), b"made"));
    let refused = ask(&lab, "PUT", API, "/head", true).await;
    assert_eq!((refused.status, &*refused.reason()), (403, "credential_in_response"));
    assert!(!refused.head.contains("ghp_") && !refused.text().contains("ghp_"));
    let end = end(&lab, "/head").await;
    assert_eq!((&end["tripwire"], &end["credentials_shown"]), (&true.into(), &1.into()), "{end}");

    let text = format!(
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\ntrailer: x-token\r\n\r\n4\r\nbody\r\n0\r\nx-token: {TOKEN}\r\n\r\n"
    );
    lab.origin.answer_bytes("/trailers", text);
    let cut = ask(&lab, "POST", API, "/trailers", true).await;
    assert!(!cut.is_whole && !cut.trailers.contains("ghp_"), "{cut:?}");
    assert_eq!(self::end(&lab, "/trailers").await["reason"], "credential_in_response");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_read_passes_and_is_recorded() {
    let lab = Lab::new().await;
    let file = format!("# left here by mistake\nTOKEN={TOKEN}\nOTHER={TOKEN}\n");
    lab.origin.answer_bytes("/file", answer("", file.as_bytes()));
    for (number, (method, host, with_stub)) in
        [("GET", API, true), ("GET", OPEN, false), ("POST", OPEN, false)].into_iter().enumerate()
    {
        let answer = ask(&lab, method, host, "/file", with_stub).await;
        assert_eq!((answer.status, answer.text()), (201, file.clone()), "{method} {host}");
        let ends = || lab.records().into_iter().filter(|record| record["event"] == "end").collect::<Vec<_>>();
        lab.until("the end is recorded", || ends().len() > number).await;
        let end = ends().pop().unwrap();
        assert_eq!((&end["credentials_shown"], &end["outcome"]), (&2.into(), &"complete".into()), "{end}");
        assert!(end["tripwire"].is_null() && end["reason"].is_null(), "{end}");
    }
    assert!(lab.metrics().contains("stubgate_credentials_shown_total{done=\"allow\",kind=\"github\"} 6"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rule_says_what_is_done() {
    let body = minted();
    let shown = body.replace(&TOKEN[4..], &"*".repeat(36));
    let reply = answer(&format!("x-token: {TOKEN}\r\n"), body.as_bytes());
    for (line, status, text, header) in [
        ("credential_in_response: allow", 201, Some(&body), Some(TOKEN.to_owned())),
        ("credential_in_response: replace", 201, Some(&shown), Some(format!("ghp_{}", "*".repeat(36)))),
        ("credential_in_response: deny", 403, None, None),
    ] {
        let lab = Lab::with(saying(line)).await;
        lab.origin.answer_bytes("/token", reply.clone());
        for (method, host, with_stub) in [("POST", API, true), ("GET", API, true), ("GET", OPEN, false)] {
            let answer = ask(&lab, method, host, "/token", with_stub).await;
            assert_eq!((answer.status, answer.header("x-token")), (status, header.clone()), "{line}: {method} {host}");
            if let Some(text) = text {
                assert!(answer.is_whole && answer.text() == **text, "{line}: {}", answer.text());
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn stubs_are_none_whatever_they_look_like() {
    // In the shape that gh wants, as an operator may well write it.
    let policy =
        saying("credential_in_response: deny").policy.replacen("stub: proxy-token-api", &format!("stub: {TOKEN}"), 1);
    let lab = Lab::with(Setup { policy, ..Setup::default() }).await;
    let minted = stubgate_credentials::minted::mint(
        &stubgate_credentials::minted::StubKey::new(&[7; 32]),
        "devbot",
        "api",
        stubgate_credentials::minted::Expiry::at(std::time::SystemTime::now()).unwrap(),
        [1, 2, 3],
        stubgate_credentials::minted::Shape::Ghp,
    );
    // The credential comes back as its stub, which is cut to its length.
    let body = format!("{TOKEN}\n{minted}\n{REAL}\n");
    lab.origin.answer_bytes("/stubs", answer("", body.as_bytes()));
    let answer = ask(&lab, "GET", OPEN, "/stubs", false).await;
    assert!(answer.is_whole, "{answer:?}");
    assert_eq!(answer.text(), format!("{TOKEN}\n{minted}\n{}\n", &TOKEN[..REAL.len()]));
    assert!(end(&lab, "/stubs").await["credentials_shown"].is_null());
}

#[tokio::test(flavor = "multi_thread")]
async fn over_http2_the_stream_is_reset_in_front_of_it() {
    let lab = Lab::new().await;
    lab.origin.answer_bytes("/token", answer("", minted().as_bytes()));
    let io = tls(tcp(lab.addresses.https[0], DEVBOT).await, &lab.h2, API).await.unwrap();
    let (mut sender, driver) = http2::handshake(TokioExecutor::new(), TokioIo::new(io)).await.unwrap();
    tokio::spawn(driver);
    let request = Request::post(format!("https://{API}/token"))
        .header("authorization", format!("Bearer {STUB}"))
        .body(Full::new(bytes::Bytes::from_static(b"{}")))
        .unwrap();
    let mut text = Vec::new();
    let mut over = match sender.send_request(request).await {
        Ok(response) => Ok(response.into_body()),
        // The reset may overtake the head.
        Err(error) => Err(error),
    };
    while let Ok(body) = &mut over {
        match body.frame().await {
            Some(Ok(frame)) => text.extend(frame.into_data().unwrap()),
            Some(Err(error)) => over = Err(error),
            None => panic!("it ended as if it were whole: {}", text.escape_ascii()),
        }
    }
    assert!(minted().as_bytes().starts_with(&text) && text.len() <= minted().find("ghp_").unwrap());
    assert_eq!(end(&lab, "/token").await["reason"], "credential_in_response");
}
