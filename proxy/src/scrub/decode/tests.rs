use std::io::Write as _;

use flate2::Compression;
use flate2::write::{GzEncoder, ZlibEncoder};

use super::*;

fn gzip(text: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(text).unwrap();
    encoder.finish().unwrap()
}

fn encoded(coding: Coding, text: &[u8]) -> Vec<u8> {
    match coding {
        Coding::Gzip => gzip(text),
        Coding::Deflate => {
            let mut encoder = ZlibEncoder::new(Vec::new(), Compression::default());
            encoder.write_all(text).unwrap();
            encoder.finish().unwrap()
        }
        Coding::Brotli => {
            let mut out = Vec::new();
            brotli::BrotliCompress(&mut &text[..], &mut out, &brotli::enc::BrotliEncoderParams::default()).unwrap();
            out
        }
        Coding::Zstandard => ruzstd::encoding::compress_to_vec(text, ruzstd::encoding::CompressionLevel::Fastest),
        Coding::Messages(_) => {
            let folded = gzip(text);
            [&[1], &u32::try_from(folded.len()).unwrap().to_be_bytes()[..], &folded].concat()
        }
    }
}

const CODINGS: [Coding; 4] = [Coding::Gzip, Coding::Deflate, Coding::Brotli, Coding::Zstandard];

/// The text, and the longest piece of it.
fn decoded(coding: Coding, bytes: &[u8], piece: usize) -> Result<(Vec<u8>, usize), Undecodable> {
    let mut decoder = Decoder::new(coding);
    let (mut text, mut longest) = (Vec::new(), 0);
    for piece in bytes.chunks(piece) {
        let mut input = Bytes::copy_from_slice(piece);
        while let Some(given) = decoder.step(&mut input)? {
            longest = longest.max(given.len());
            text.extend_from_slice(&given);
        }
        assert!(input.is_empty());
    }
    decoder.finish().map(|()| (text, longest))
}

fn varied(length: usize) -> Vec<u8> {
    (0..length).map(|n| u8::try_from((n * n / 7 + n / 3) % 97).unwrap()).collect()
}

#[test]
fn every_coding_is_undone_in_whatever_pieces_it_comes() {
    for coding in CODINGS {
        for length in [0, 1, 1_000, 300_000] {
            let text = varied(length);
            let bytes = encoded(coding, &text);
            for piece in [1, 7, 16 * 1024, usize::MAX] {
                let (out, _) = decoded(coding, &bytes, piece).unwrap();
                assert!(out == text, "{coding:?} of {length} in pieces of {piece}");
            }
        }
    }
}

#[test]
fn a_body_of_nothing_is_whole_and_one_cut_short_is_not() {
    for coding in CODINGS {
        assert_eq!(decoded(coding, b"", 1), Ok((Vec::new(), 0)));
        let bytes = encoded(coding, &varied(5_000));
        for cut in 1..bytes.len() {
            assert_eq!(decoded(coding, &bytes[..cut], usize::MAX), Err(Undecodable), "{coding:?} at {cut}");
        }
    }
}

#[test]
fn what_flushes_is_given_at_once() {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    let mut decoder = Decoder::new(Coding::Gzip);
    let mut seen = 0;
    for number in 0..5 {
        let event = format!("data: {number}\n\n");
        encoder.write_all(event.as_bytes()).unwrap();
        encoder.flush().unwrap();
        let mut input = Bytes::copy_from_slice(&encoder.get_ref()[seen..]);
        seen = encoder.get_ref().len();
        assert_eq!(decoder.step(&mut input).unwrap().unwrap(), event.as_bytes());
    }
}

#[test]
fn a_bomb_is_noticed_before_much_of_it_is_unfolded() {
    for coding in CODINGS {
        let bytes = encoded(coding, &vec![0; 100 << 20]);
        let mut decoder = Decoder::new(coding);
        let mut input = Bytes::from(bytes);
        let mut given = 0;
        let failed = loop {
            match decoder.step(&mut input) {
                Ok(Some(text)) => given += text.len(),
                Ok(None) => break false,
                Err(Undecodable) => break true,
            }
        };
        assert!(failed && given <= 10 << 20, "{coding:?}: {given}");
    }
}

#[test]
fn a_window_counts_as_its_own_header_says() {
    let text = varied(300_000);
    for bits in [16, 17, 18, 22, 24] {
        let params = brotli::enc::BrotliEncoderParams { lgwin: bits, quality: 5, ..Default::default() };
        let mut bytes = Vec::new();
        brotli::BrotliCompress(&mut &text[..], &mut bytes, &params).unwrap();
        let mut decoder = Decoder::new(Coding::Brotli);
        let mut input = Bytes::from(bytes);
        while decoder.step(&mut input).unwrap().is_some() {}
        decoder.finish().unwrap();
        // The encoder may take another one than it was asked for, for so little text; never a larger one.
        assert!(decoder.window() <= text.len().min(1 << bits), "{bits}: {}", decoder.window());
        assert!(decoder.window() >= 1 << 10);
    }
    assert_eq!([0x00, 0x01, 0x21, 0x71, 0x03, 0x0f].map(brotli_window), [16, 17, 10, 15, 18, 24].map(|bits| 1 << bits));
}

proptest::proptest! {
    #[test]
    fn no_bytes_make_a_decoder_panic(bytes in proptest::collection::vec(0u8.., 0..300), piece in 1usize..50) {
        for coding in CODINGS.into_iter().chain([Coding::Messages(Fold::Gzip)]) {
            let _ = decoded(coding, &bytes, piece);
            // And what begins well.
            let mut damaged = encoded(coding, &varied(400));
            for (at, byte) in bytes.iter().enumerate().take(3) {
                let at = (at * 131 + usize::from(*byte) * 7) % damaged.len();
                damaged[at] ^= byte | 1;
            }
            let _ = decoded(coding, &damaged, piece);
        }
    }
}
