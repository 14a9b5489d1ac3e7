//! The scrubber against the naive oracle of its own tests: needles, text and pieces are taken from the input.
#![no_main]

#[path = "../../../proxy/scrub/tests/oracle/naive.rs"]
mod naive;

use bytes::Bytes;
use libfuzzer_sys::fuzz_target;
use naive::Needle;

fuzz_target!(|data: &[u8]| {
    // One byte a needle (its length, and whether case matters), the needles, then sizes of pieces up to a zero, then text.
    let Some((&count, mut rest)) = data.split_first() else { return };
    let mut needles: Vec<Needle> = Vec::new();
    for _ in 0..1 + count % 4 {
        let Some((&kind, after)) = rest.split_first() else { return };
        let length = 8 + usize::from(kind & 15);
        let Some((needle, after)) = after.split_at_checked(length) else { return };
        // Nothing that a replacement could make is a needle.
        if needle.iter().any(|byte| !byte.is_ascii_graphic() || b"XYxy".contains(byte)) {
            return;
        }
        let replacement = (0..length).map(|n| if n % 2 == 0 { b'X' } else { b'Y' }).collect();
        needles.push(Needle { any_case: kind & 16 != 0, needle: needle.to_vec(), replacement });
        rest = after;
    }
    let Some(end) = rest.iter().position(|byte| *byte == 0) else { return };
    let (sizes, text) = (&rest[..end], &rest[end + 1..]);
    // The oracle follows each reading of `\\\\\\` by itself.
    if text.iter().filter(|byte| matches!(byte, b'\\' | b'%')).count() > 24 {
        return;
    }
    let scrubber = naive::scrubber(&needles);
    let mut whole = text.to_vec();
    let found = scrubber.scrub(&mut whole);
    assert_eq!(found, naive::check(text, &whole, &needles, 0) as u64);

    let mut stream = scrubber.stream();
    let mut out = Vec::new();
    let mut left = text;
    let mut sizes = sizes.iter().cycle();
    while !left.is_empty() {
        let size = sizes.next().map_or(left.len(), |size| usize::from(*size));
        let (piece, after) = left.split_at(size.min(left.len()));
        stream.push(Bytes::copy_from_slice(piece));
        out.extend(std::iter::from_fn(|| stream.take()).flatten());
        left = after;
    }
    stream.finish();
    out.extend(std::iter::from_fn(|| stream.take()).flatten());
    assert_eq!(out, whole, "in pieces as in one");
    assert_eq!(stream.found(), found);
});
