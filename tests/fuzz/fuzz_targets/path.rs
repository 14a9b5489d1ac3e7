//! Paths and methods: the canonical form is a fixed point, is what is sent, and has one reading.
#![no_main]

use libfuzzer_sys::fuzz_target;
use stubgate_policy::{Method, Path, Target};

fuzz_target!(|data: &[u8]| {
    if let Ok(path) = Path::parse(data) {
        let text = path.as_str();
        assert_eq!(Path::parse(text.as_bytes()).as_ref(), Ok(&path), "{text:?}");
        assert!(text.starts_with('/') && text.bytes().all(|b| (0x21..0x7f).contains(&b)), "{text:?}");
        assert!(!text.contains("//") && !text.contains(['\\', ';', '#', '?']), "{text:?}");
        // However often it is decoded, no segment becomes one that leads elsewhere.
        let mut decoded = text.as_bytes().to_vec();
        for _ in 0..3 {
            decoded = percent_decoded(&decoded);
            let dots = |segment: &[u8]| segment == b"." || segment == b"..";
            assert!(!decoded.split(|&b| b == b'/' || b == b'\\').any(dots), "{text:?}");
            assert!(!decoded.iter().any(|b| matches!(b, 0 | b'\r' | b'\n' | b'\\')), "{text:?}");
        }
    }
    if let Ok(target) = Target::parse(data) {
        let text = target.as_str();
        assert!(text.bytes().all(|b| (0x21..0x7f).contains(&b) && b != b'#' && b != b'?'), "{text:?}");
        assert_eq!(Target::parse(text.as_bytes()).as_ref().map(Target::as_str), Ok(text));
    }
    if let Ok(method) = Method::parse(data) {
        assert_eq!(method.as_str().as_bytes(), data, "exact case");
        assert!(http::Method::from_bytes(data).is_ok());
    }
});

fn percent_decoded(bytes: &[u8]) -> Vec<u8> {
    let digit = |b: Option<&u8>| b.and_then(|b| char::from(*b).to_digit(16)).and_then(|d| u8::try_from(d).ok());
    let mut out = Vec::new();
    let mut at = 0;
    while let Some(&byte) = bytes.get(at) {
        match (byte, digit(bytes.get(at + 1)), digit(bytes.get(at + 2))) {
            (b'%', Some(high), Some(low)) => {
                out.push(high * 16 + low);
                at += 3;
            }
            _ => {
                out.push(byte);
                at += 1;
            }
        }
    }
    out
}
