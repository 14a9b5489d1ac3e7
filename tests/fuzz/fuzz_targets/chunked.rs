//! The chunked coding: however the bytes are cut, the same body comes out; and what is coded anew reads the same.
#![no_main]

use bytes::{Bytes, BytesMut};
use libfuzzer_sys::fuzz_target;
use stubgate_h1::Limits;
use stubgate_h1::chunked::{Decoded, Decoder, write_size_line};

/// The body and how many bytes were left, or `None` where it was refused or has no end.
fn decode(data: &[u8], step: usize) -> Option<(Vec<u8>, usize)> {
    let limits = Limits::default();
    let (mut decoder, mut buffer, mut body, mut given) = (Decoder::default(), BytesMut::new(), Vec::new(), 0);
    loop {
        match decoder.decode(&mut buffer, &limits).ok()? {
            Decoded::Data(data) => {
                assert!(!data.is_empty());
                body.extend_from_slice(&data);
            }
            Decoded::End(trailers) => {
                for value in trailers.iter().flat_map(|map| map.values()) {
                    assert!(!value.as_bytes().iter().any(|b| matches!(b, b'\r' | b'\n' | 0)));
                }
                return Some((body, buffer.len() + data.len() - given));
            }
            Decoded::More if given == data.len() => return None,
            Decoded::More => {
                let end = (given + step).min(data.len());
                buffer.extend_from_slice(&data[given..end]);
                given = end;
            }
        }
    }
}

fuzz_target!(|data: &[u8]| {
    let Some((&step, data)) = data.split_first() else { return };
    let whole = decode(data, usize::MAX - data.len());
    assert_eq!(decode(data, usize::from(step) + 1), whole);
    if let Some((body, _)) = whole {
        let mut out = BytesMut::new();
        for piece in body.chunks(usize::from(step) + 1) {
            write_size_line(&mut out, piece.len());
            out.extend_from_slice(piece);
            out.extend_from_slice(b"\r\n");
        }
        out.extend_from_slice(b"0\r\n\r\n");
        assert_eq!(decode(&Bytes::from(out), 7), Some((body, 0)));
    }
});
