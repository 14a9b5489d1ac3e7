//! The engine against a naive oracle: random needles, texts, escapes and pieces.
//!
//! `STUBGATE_ORACLE_CASES=100000 cargo test -p stubgate-scrub --test oracle` runs more of them.
#![allow(
    missing_docs,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::cast_possible_truncation
)]

mod naive;

use bytes::Bytes;
use naive::Needle;

/// A small generator, so that a failing case is one number.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, bound: usize) -> usize {
        usize::try_from(self.next() % bound as u64).unwrap()
    }

    fn pick<T: Copy>(&mut self, of: &[T]) -> T {
        of[self.below(of.len())]
    }

    fn bytes(&mut self, alphabet: &[u8], length: usize) -> Vec<u8> {
        (0..length).map(|_| self.pick(alphabet)).collect()
    }
}

/// Few letters, so that needles overlap, contain each other, and look like escapes.
const ALPHABETS: [&[u8]; 5] =
    [b"ab", b"abcdefghijklmnopqrstuvwxyz0123456789ABCDEF-_+/", b"%25\\/u0", b"aA0\"\\/%", b"0123456789abcdef"];

fn needles(random: &mut Random, alphabet: &[u8]) -> Vec<Needle> {
    let mut needles: Vec<Needle> = Vec::new();
    for _ in 0..1 + random.below(5) {
        let length = 8 + random.below(12);
        let mut needle = random.bytes(alphabet, length);
        if let Some(other) = needles.first().filter(|_| random.below(3) == 0) {
            // One inside another, or one that goes on.
            needle = [random.bytes(alphabet, random.0 as usize % 3), other.needle.clone(), needle].concat();
            needle.truncate(length.max(other.needle.len()));
        }
        // No alphabet has these, so no replacement makes a needle.
        let replacement = random.bytes(b"XYZ", needle.len());
        needles.push(Needle { any_case: random.below(4) == 0, needle, replacement });
    }
    needles
}

/// Each byte as it is, or as one of its escapes, by a probability.
fn escaped(random: &mut Random, bytes: &[u8], of_ten: usize) -> Vec<u8> {
    let mut out = Vec::new();
    for &byte in bytes {
        if random.below(10) >= of_ten {
            out.push(byte);
            continue;
        }
        match random.below(5) {
            0 => out.extend(format!("%{byte:02X}").bytes()),
            1 => out.extend(format!("%{byte:02x}").bytes()),
            2 => out.extend(format!("\\u00{byte:02x}").bytes()),
            3 => out.extend(format!("\\u00{byte:02X}").bytes()),
            _ if b"/\"\\".contains(&byte) => out.extend([b'\\', byte]),
            _ => out.push(byte),
        }
    }
    out
}

fn text(random: &mut Random, needles: &[Needle], alphabet: &[u8]) -> Vec<u8> {
    let mut text = Vec::new();
    for _ in 0..random.below(8) {
        match random.below(4) {
            0 => {
                let length = random.below(30);
                text.extend(random.bytes(alphabet, length));
            }
            1 => {
                let length = random.below(60);
                text.extend((0..length).map(|_| random.next() as u8));
            }
            whole => {
                let index = random.below(needles.len());
                let mut bytes = needles[index].needle.clone();
                if needles[index].any_case && random.below(2) == 0 {
                    bytes.make_ascii_uppercase();
                }
                let of_ten = random.pick(&[0, 0, 1, 5, 10]);
                let mut bytes = escaped(random, &bytes, of_ten);
                if whole == 2 {
                    bytes.truncate(random.below(bytes.len() + 1));
                }
                text.extend(bytes);
            }
        }
    }
    text
}

fn pieces(random: &mut Random, text: &[u8]) -> Vec<Bytes> {
    let longest = random.pick(&[1, 2, 7, 16, 1000]);
    let mut rest = text;
    let mut pieces = Vec::new();
    while !rest.is_empty() {
        let (piece, after) = rest.split_at((1 + random.below(longest)).min(rest.len()));
        pieces.push(Bytes::copy_from_slice(piece));
        rest = after;
    }
    pieces
}

#[test]
fn every_needle_and_nothing_else_is_overwritten_in_whatever_pieces_it_comes() {
    let cases = std::env::var("STUBGATE_ORACLE_CASES").map_or(4_000, |cases| cases.parse().unwrap());
    let mut found = 0;
    for seed in 0..cases {
        let random = &mut Random(seed);
        let alphabet = random.pick(&ALPHABETS);
        let needles = needles(random, alphabet);
        let scrubber = naive::scrubber(&needles);
        let text = text(random, &needles, alphabet);
        let case = std::panic::AssertUnwindSafe(|| {
            let mut whole = text.clone();
            let in_whole = scrubber.scrub(&mut whole);
            let expected = naive::check(&text, &whole, &needles, 0);
            assert_eq!(in_whole, expected as u64, "counted");

            let mut stream = scrubber.stream();
            let mut out = Vec::new();
            let pieces = pieces(random, &text);
            // The end may be known with the last piece, or only after it.
            let last = if random.below(2) == 0 { pieces.len() } else { 0 };
            for (number, piece) in pieces.into_iter().enumerate() {
                if number + 1 == last {
                    stream.push_last(piece)
                } else {
                    stream.push(piece)
                }
                out.extend(std::iter::from_fn(|| stream.take()).flatten());
            }
            stream.finish();
            out.extend(std::iter::from_fn(|| stream.take()).flatten());
            assert_eq!(naive::check(&text, &out, &needles, 0), expected);
            assert_eq!(stream.found(), expected as u64, "counted in pieces");
            expected
        });
        found += std::panic::catch_unwind(case).unwrap_or_else(|_| panic!("seed {seed}: {}", text.escape_ascii()));
    }
    assert!(found as u64 > cases / 2, "only {found} needles in {cases} cases");
}

/// Two sets of needles of one shape: what of a text that holds none of them leaves when, is the same for both.
#[test]
fn what_is_held_back_says_nothing_of_the_needles() {
    let cases = std::env::var("STUBGATE_ORACLE_CASES").map_or(4_000, |cases| cases.parse().unwrap());
    let (mut compared, mut held) = (0, 0);
    for seed in 0..cases {
        let random = &mut Random(seed ^ 0x07ac_1e00_0000);
        let alphabet = ALPHABETS[1];
        // Every mark stands in both.
        let real = needles(random, alphabet).into_iter().map(|needle| Needle {
            needle: [b"-_+/".as_slice(), &needle.needle].concat(),
            replacement: [b"XXXX".as_slice(), &needle.replacement].concat(),
            ..needle
        });
        let real: Vec<Needle> = real.collect();
        let other = real.iter().map(|needle| {
            let mut letters = needle.needle.clone();
            letters[4..].iter_mut().for_each(|byte| *byte = random.pick(b"abcdefghijklmnopqrstuvwxyz0123456789"));
            Needle { needle: letters, replacement: needle.replacement.clone(), any_case: needle.any_case }
        });
        let other: Vec<Needle> = other.collect();
        // What an agent would have said back to it: beginnings of the real ones.
        let mut text = Vec::new();
        for _ in 0..1 + random.below(6) {
            let needle = &real[random.below(real.len())].needle;
            let of_ten = random.pick(&[0, 0, 1, 5, 10]);
            let known = random.below(needle.len());
            text.extend(escaped(random, &needle[..known], of_ten));
            text.extend(random.pick(&[b"" as &[u8], b" ", b"\n", b"-", b"x"]));
        }
        let cut = pieces(random, &text);
        let pauses: Vec<usize> = cut.iter().map(|_| random.below(3)).collect();
        let shown = |needles: &[Needle]| {
            let mut stream = naive::scrubber(needles).stream();
            let mut shown = Vec::new();
            for (piece, pause) in cut.iter().zip(&pauses) {
                stream.push(piece.clone());
                let waits = *pause > 0 && stream.pause();
                if *pause > 1 {
                    stream.let_go();
                }
                shown.push((waits, std::iter::from_fn(|| stream.take()).collect::<Vec<_>>()));
            }
            stream.finish();
            shown.push((false, std::iter::from_fn(|| stream.take()).collect()));
            (stream.found() == 0).then_some(shown)
        };
        if let (Some(real), Some(other)) = (shown(&real), shown(&other)) {
            held += usize::from(real.iter().any(|(waits, _)| *waits));
            compared += 1;
            assert_eq!(real, other, "seed {seed}: {}", text.escape_ascii());
        }
    }
    assert!(compared as u64 > cases / 3 && held as u64 > cases / 10, "{compared} compared, {held} held");
}

#[test]
fn a_pause_lets_no_more_than_seven_bytes_of_a_needle_go() {
    let cases = std::env::var("STUBGATE_ORACLE_CASES").map_or(4_000, |cases| cases.parse().unwrap());
    for seed in 0..cases {
        let random = &mut Random(seed ^ 0x5eed_0000_0000);
        let alphabet = ALPHABETS[1];
        let mut needles = needles(random, alphabet);
        if random.below(2) == 0 {
            // One that begins another: a pause between their ends decides nothing.
            let more = 1 + random.below(12);
            let longer = [needles[0].needle.clone(), random.bytes(alphabet, more)].concat();
            let replacement = random.bytes(b"XYZ", longer.len());
            needles.push(Needle { any_case: needles[0].any_case, needle: longer, replacement });
        }
        let scrubber = naive::scrubber(&needles);
        let text = text(random, &needles, alphabet);
        let mut stream = scrubber.stream();
        let mut out = Vec::new();
        for piece in pieces(random, &text) {
            stream.push(piece);
            if random.below(2) == 0 {
                let _ = stream.pause();
            }
            out.extend(std::iter::from_fn(|| stream.take()).flatten());
        }
        stream.finish();
        out.extend(std::iter::from_fn(|| stream.take()).flatten());
        naive::check(&text, &out, &needles, 7);
    }
}
