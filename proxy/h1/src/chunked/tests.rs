use proptest::prelude::*;

use super::*;

fn decode(bytes: &[u8], pieces: usize) -> Result<(Vec<u8>, Option<HeaderMap>, usize), ChunkError> {
    let mut decoder = Decoder::default();
    let mut buf = BytesMut::new();
    let mut body = Vec::new();
    let mut rest = bytes.chunks(pieces.max(1));
    loop {
        match decoder.decode(&mut buf, &Limits::default())? {
            Decoded::Data(data) => body.extend_from_slice(&data),
            Decoded::End(trailers) => return Ok((body, trailers, buf.len() + rest.map(<[u8]>::len).sum::<usize>())),
            Decoded::More => match rest.next() {
                Some(piece) => buf.extend_from_slice(piece),
                None => return Ok((body, None, usize::MAX)),
            },
        }
    }
}

#[test]
fn reads_chunks_extensions_and_trailers() {
    let (body, trailers, left) = decode(b"3\r\nabc\r\n00A;x=\"y\"\r\n0123456789\r\n0\r\nX: y\r\n\r\nnext", 1).unwrap();
    assert_eq!(body, b"abc0123456789");
    assert_eq!(trailers.unwrap()["x"], "y");
    assert_eq!(left, 4);
}

#[test]
fn refuses_odd_sizes_and_endings() {
    for bytes in [
        &b"0x1\r\na\r\n0\r\n\r\n"[..],
        b"+1\r\na\r\n",
        b" 1\r\na\r\n",
        b"1 \r\na\r\n",
        b"\r\na\r\n",
        b"10000000000000000\r\n",
        b"ffffffffffffffff\r\n",
        b"1\na\r\n",
        b"1\r\nab\r\n",
        b"1\r\na\n0\r\n\r\n",
        b"1\r\na0\r\n\r\n",
        b"1;a\rb\r\na\r\n",
        b"1;a\x00\r\na\r\n",
        b"0\r\nA : b\r\n\r\n",
        b"0\r\n a: b\r\n\r\n",
        b"0\r\nA: b\n\n",
        b"0\r\n\rX",
    ] {
        assert!(decode(bytes, 1).is_err(), "{}", bytes.escape_ascii());
        assert!(decode(bytes, bytes.len()).is_err(), "{}", bytes.escape_ascii());
    }
}

#[test]
fn extensions_are_bounded_over_the_whole_body() {
    let chunk = format!("1;{}\r\na\r\n", "x".repeat(1000));
    assert!(matches!(decode(chunk.repeat(20).as_bytes(), 4096), Err(ChunkError::Extension)));
    let line = format!("1;{}", "x".repeat(5000));
    assert!(matches!(decode(line.as_bytes(), 512), Err(ChunkError::Size)));
}

proptest! {
    #[test]
    fn never_panics(bytes in proptest::collection::vec(any::<u8>(), 0..200), pieces in 1usize..20) {
        let _ = decode(&bytes, pieces);
    }

    #[test]
    fn what_is_written_is_read_back(parts in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 1..5000), 0..6), pieces in 1usize..5000) {
        let mut wire = BytesMut::new();
        for part in &parts {
            write_size_line(&mut wire, part.len());
            wire.extend_from_slice(part);
            wire.extend_from_slice(b"\r\n");
        }
        wire.extend_from_slice(b"0\r\n\r\n");
        let (body, trailers, left) = decode(&wire, pieces).unwrap();
        prop_assert_eq!(body, parts.concat());
        prop_assert!(trailers.is_none());
        prop_assert_eq!(left, 0);
    }

    #[test]
    fn sizes_are_plain_hexadecimal(n in 0usize..1_000_000_000) {
        let mut out = BytesMut::new();
        write_size_line(&mut out, n);
        let expected = format!("{n:x}\r\n");
        prop_assert_eq!(&out[..], expected.as_bytes());
    }
}
