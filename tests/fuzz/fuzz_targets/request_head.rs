//! A request's head and framing: what passes is written again so that it reads the same, and nothing in it can end a
//! line early.
#![no_main]

use bytes::{Bytes, BytesMut};
use http::header::{CONTENT_LENGTH, HOST, TRANSFER_ENCODING};
use libfuzzer_sys::fuzz_target;
use stubgate_h1::head::{EndFinder, write_request};
use stubgate_h1::{Framing, Limits, RequestHead, framing};

fuzz_target!(|data: &[u8]| {
    let limits = Limits::default();
    // However the bytes are cut, the end is found in the same place.
    let whole = EndFinder::default().find(data);
    let mut piecewise = EndFinder::default();
    let mut found = Ok(None);
    for end in 1..=data.len().min(4096) {
        found = piecewise.find(&data[..end]);
        if found != Ok(None) {
            break;
        }
    }
    if data.len() <= 4096 && !data.is_empty() {
        assert_eq!(found, whole);
    }
    let Ok(Some(end)) = whole else { return };
    let Ok(head) = RequestHead::parse(&Bytes::copy_from_slice(&data[..end]), &limits) else { return };
    assert!(head.target.iter().all(|b| (0x21..0x7f).contains(b) && *b != b'#'));
    for value in head.headers.values() {
        assert!(!value.as_bytes().iter().any(|b| matches!(b, b'\r' | b'\n' | 0)));
    }
    let Ok(framed) = framing::of_request(head.version, &head.headers) else { return };
    let has = |name| head.headers.contains_key(name);
    match framed {
        Framing::Chunked => assert!(has(TRANSFER_ENCODING) && !has(CONTENT_LENGTH)),
        Framing::Length(_) => assert!(!has(TRANSFER_ENCODING)),
        Framing::Close => panic!("a request never ends with its connection"),
    }
    // As it would be sent on.
    let mut headers = head.headers.clone();
    for name in [HOST, CONTENT_LENGTH, TRANSFER_ENCODING] {
        headers.remove(name);
    }
    let target = std::str::from_utf8(&head.target).unwrap();
    let mut out = BytesMut::new();
    write_request(&mut out, &head.method, target, "host.test", &headers, framed);
    assert_eq!(EndFinder::default().find(&out), Ok(Some(out.len())), "one head, nothing behind it");
    let room = Limits { head_bytes: usize::MAX, headers: usize::MAX, ..limits };
    let again = RequestHead::parse(&out.freeze(), &room).unwrap();
    assert_eq!((&again.method, &again.target), (&head.method, &head.target));
    assert_eq!(framing::of_request(again.version, &again.headers), Ok(framed));
    let mut left = again.headers.clone();
    for name in [HOST, CONTENT_LENGTH, TRANSFER_ENCODING] {
        left.remove(name);
    }
    assert_eq!(left, headers);
});
