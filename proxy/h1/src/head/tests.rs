use proptest::prelude::*;

use super::*;
use crate::framing;

fn request(bytes: &[u8]) -> Result<RequestHead, HeadError> {
    let end = EndFinder::default().find(bytes)?.ok_or(HeadError::TooLarge)?;
    RequestHead::parse(&Bytes::copy_from_slice(&bytes[..end]), &Limits::default())
}

fn response(bytes: &[u8]) -> Result<ResponseHead, HeadError> {
    let end = EndFinder::default().find(bytes)?.ok_or(HeadError::TooLarge)?;
    ResponseHead::parse(&Bytes::copy_from_slice(&bytes[..end]), &Limits::default())
}

#[test]
fn reads_a_plain_request() {
    let head = request(b"POST /a/b?c=d HTTP/1.1\r\nHost: x.test\r\nX-A:  b c \r\nX-A: \r\n\r\nrest").unwrap();
    assert_eq!(head.method, Method::POST);
    assert_eq!(&head.target[..], b"/a/b?c=d");
    assert_eq!(head.version, Version::Http11);
    assert_eq!(head.headers["host"], "x.test");
    let all: Vec<_> = head.headers.get_all("x-a").iter().map(|v| v.as_bytes()).collect();
    assert_eq!(all, [&b"b c"[..], b""]);
}

#[test]
fn refuses_what_two_parsers_read_differently() {
    use HeadError as E;
    let long = format!("GET /{} HTTP/1.1\r\n\r\n", "a".repeat(17 * 1024));
    let many = format!("GET / HTTP/1.1\r\n{}\r\n", "a: b\r\n".repeat(101));
    let method = format!("{} / HTTP/1.1\r\n\r\n", "M".repeat(33));
    for (bytes, error) in [
        (&b"GET / HTTP/1.1\nHost: a\n\n"[..], E::BareLineEnd),
        (b"GET / HTTP/1.1\r\nHost: a\n\r\n", E::BareLineEnd),
        (b"GET / HTTP/1.1\r\nA: b\rc\r\n\r\n", E::BareLineEnd),
        (b"\r\nGET / HTTP/1.1\r\n\r\n", E::StartLine),
        (b"GET  / HTTP/1.1\r\n\r\n", E::StartLine),
        (b"GET /  HTTP/1.1\r\n\r\n", E::StartLine),
        (b"GET\t/\tHTTP/1.1\r\n\r\n", E::StartLine),
        (b" GET / HTTP/1.1\r\n\r\n", E::StartLine),
        (b"GET /\r\n\r\n", E::StartLine),
        (b"GET / HTTP/1.2\r\n\r\n", E::Version),
        (b"GET / HTTP/2.0\r\n\r\n", E::Version),
        (b"GET / http/1.1\r\n\r\n", E::StartLine),
        (b"GET / HTTP/1.1 \r\n\r\n", E::Version),
        (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", E::Version),
        (b"G(T / HTTP/1.1\r\n\r\n", E::StartLine),
        (method.as_bytes(), E::StartLine),
        (b"GET /a#b HTTP/1.1\r\n\r\n", E::Target),
        (b"GET /\xc3\xa4 HTTP/1.1\r\n\r\n", E::Target),
        (b"GET /a\"b HTTP/1.1\r\n\r\n", E::Target),
        (b"GET /a{b HTTP/1.1\r\n\r\n", E::Target),
        (b"GET /a\\b HTTP/1.1\r\n\r\n", E::Target),
        (b"GET /a\x00b HTTP/1.1\r\n\r\n", E::Target),
        (long.as_bytes(), E::TargetTooLong),
        (many.as_bytes(), E::TooLarge),
        (b"GET / HTTP/1.1\r\nHost : a\r\n\r\n", E::HeaderName),
        (b"GET / HTTP/1.1\r\nTransfer-Encoding : chunked\r\n\r\n", E::HeaderName),
        (b"GET / HTTP/1.1\r\nHo st: a\r\n\r\n", E::HeaderName),
        (b"GET / HTTP/1.1\r\n: a\r\n\r\n", E::HeaderName),
        (b"GET / HTTP/1.1\r\nnocolon\r\n\r\n", E::HeaderName),
        (b"GET / HTTP/1.1\r\nA: b\r\n c\r\n\r\n", E::Folded),
        (b"GET / HTTP/1.1\r\n A: b\r\n\r\n", E::Folded),
        (b"GET / HTTP/1.1\r\nA: b\x00c\r\n\r\n", E::HeaderValue),
        (b"GET / HTTP/1.1\r\nA: b\x01c\r\n\r\n", E::HeaderValue),
        (b"GET / HTTP/1.1\r\nA: b\x7fc\r\n\r\n", E::HeaderValue),
    ] {
        assert_eq!(request(bytes).unwrap_err(), error, "{}", bytes.escape_ascii());
    }
}

#[test]
fn keeps_what_real_clients_send() {
    for target in
        ["/", "*", "/a|b", "/a[0]", "/?q={x}^`", "/a;b", "/%2F", "http://x.test/", "x.test:443", "/~a!$&'()*+,=:@"]
    {
        let head = request(format!("GET {target} HTTP/1.1\r\n\r\n").as_bytes()).unwrap();
        assert_eq!(&head.target[..], target.as_bytes());
    }
    let head = request(b"GET / HTTP/1.1\r\nA: \xe4\xff\r\n\r\n").unwrap();
    assert_eq!(head.headers["a"].as_bytes(), b"\xe4\xff");
}

#[test]
fn reads_and_refuses_responses() {
    assert_eq!(response(b"HTTP/1.1 200 OK\r\nA: b\r\n\r\n").unwrap().status, 200);
    assert_eq!(response(b"HTTP/1.0 404\r\n\r\n").unwrap().version, Version::Http10);
    for bytes in [
        &b"HTTP/1.1 99 x\r\n\r\n"[..],
        b"HTTP/1.1 2000 x\r\n\r\n",
        b"HTTP/1.1 600 x\r\n\r\n",
        b"HTTP/1.1  200 x\r\n\r\n",
        b"HTTP/1.1 200 a\x00b\r\n\r\n",
        b"HTTP/2 200 OK\r\n\r\n",
        b"ICY 200 OK\r\n\r\n",
        b"HTTP/1.1 200 OK\nA: b\n\n",
    ] {
        assert!(response(bytes).is_err(), "{}", bytes.escape_ascii());
    }
}

#[test]
fn a_bodiless_get_declares_no_length_and_a_post_does() {
    let mut out = BytesMut::new();
    write_request(&mut out, &Method::GET, "/x", "h", &HeaderMap::new(), Framing::Length(0));
    assert_eq!(&out[..], b"GET /x HTTP/1.1\r\nhost: h\r\n\r\n");
    out.clear();
    write_request(&mut out, &Method::POST, "/x", "h", &HeaderMap::new(), Framing::Length(0));
    assert_eq!(&out[..], b"POST /x HTTP/1.1\r\nhost: h\r\ncontent-length: 0\r\n\r\n");
}

proptest! {
    #[test]
    fn never_panics_and_never_lets_a_line_end_through(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        if let Ok(head) = request(&bytes) {
            prop_assert!(head.headers.values().all(|v| !v.as_bytes().iter().any(|b| matches!(b, b'\r' | b'\n' | 0))));
        }
        let _ = response(&bytes);
    }

    #[test]
    fn what_was_read_and_written_again_reads_the_same(
        method in "[A-Z]{1,10}", target in "/[a-z0-9/._~-]{0,40}",
        headers in proptest::collection::vec(("[a-z][a-z0-9-]{0,12}", "[!-~]([ -~]{0,20}[!-~])?"), 0..20),
    ) {
        let mut text = format!("{method} {target} HTTP/1.1\r\n");
        for (name, value) in headers.iter().filter(|(n, _)| n != "content-length" && n != "transfer-encoding") {
            text += &format!("{name}: {value}\r\n");
        }
        text += "\r\n";
        let mut first = request(text.as_bytes()).unwrap();
        first.headers.remove("host");
        prop_assert_eq!(framing::of_request(first.version, &first.headers), Ok(Framing::Length(0)));
        let mut out = BytesMut::new();
        write_request(&mut out, &first.method, &target, "h", &first.headers, Framing::Chunked);
        let mut second = request(&out).unwrap();
        prop_assert_eq!(second.headers.remove("host").unwrap(), "h");
        prop_assert_eq!(second.headers.remove("transfer-encoding").unwrap(), "chunked");
        prop_assert_eq!(first.headers, second.headers);
    }

    #[test]
    fn the_end_is_found_wherever_the_bytes_are_cut(cuts in proptest::collection::vec(1usize..50, 0..12)) {
        let text = b"GET / HTTP/1.1\r\nHost: a\r\nB: c\r\n\r\nGET /second";
        let mut finder = EndFinder::default();
        let mut have = 0;
        let mut found = None;
        for cut in cuts.into_iter().chain([text.len()]) {
            have = (have + cut).min(text.len());
            if let Some(end) = finder.find(&text[..have]).unwrap() { found = Some(end); break; }
        }
        prop_assert_eq!(found, Some(33));
    }
}
