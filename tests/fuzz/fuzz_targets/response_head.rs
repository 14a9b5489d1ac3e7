//! A response's head and framing, from an origin that may lie.
#![no_main]

use bytes::{Bytes, BytesMut};
use http::Method;
use http::header::{CONNECTION, CONTENT_LENGTH, TRANSFER_ENCODING};
use libfuzzer_sys::fuzz_target;
use stubgate_h1::head::{EndFinder, write_response};
use stubgate_h1::{Framing, Limits, ResponseHead, framing};

fuzz_target!(|data: &[u8]| {
    let Ok(Some(end)) = EndFinder::default().find(data) else { return };
    let Ok(head) = ResponseHead::parse(&Bytes::copy_from_slice(&data[..end]), &Limits::default()) else { return };
    assert!((100..600).contains(&head.status.as_u16()));
    let Ok(framed) = framing::of_response(&Method::GET, head.status, head.version, &head.headers) else { return };
    let to_head = framing::of_response(&Method::HEAD, head.status, head.version, &head.headers);
    assert_eq!(to_head, Ok(Framing::Length(0)));
    let mut headers = head.headers.clone();
    for name in [CONNECTION, CONTENT_LENGTH, TRANSFER_ENCODING] {
        headers.remove(name);
    }
    let mut out = BytesMut::new();
    write_response(&mut out, head.status, &headers, Some(framed), framed == Framing::Close);
    assert_eq!(EndFinder::default().find(&out), Ok(Some(out.len())), "one head, nothing behind it");
    let room = Limits { head_bytes: usize::MAX, headers: usize::MAX, target_bytes: 0 };
    let again = ResponseHead::parse(&out.freeze(), &room).unwrap();
    assert_eq!(again.status, head.status);
    assert_eq!(framing::of_response(&Method::GET, again.status, again.version, &again.headers), Ok(framed));
});
