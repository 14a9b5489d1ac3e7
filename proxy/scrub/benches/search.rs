//! What a byte of a response costs: text, JSON full of escapes, random bytes and what a compressor makes, with one, ten
//! and three hundred credentials of eight forms each; aho-corasick beside it, which keeps copies of what it looks for.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::hint::black_box;

use aho_corasick::AhoCorasick;
use bytes::Bytes;
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use stubgate_scrub::{Builder, Letters, Scrubber};

const PIECE: usize = 16 * 1024;
const TEXT: usize = 64 * PIECE;
const BASE64: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
const HEX: &[u8; 16] = b"0123456789abcdef";

struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn of(&mut self, alphabet: &[u8], length: usize) -> Vec<u8> {
        let size = alphabet.len() as u64;
        (0..length).map(|_| alphabet.get(usize::try_from(self.next() % size).unwrap()).copied().unwrap()).collect()
    }
}

/// As many needles as that many credentials have, of the lengths that tokens of forty bytes have.
fn needles(credentials: usize) -> Vec<(Letters, Vec<u8>)> {
    let random = &mut Random(1);
    let mut needles = Vec::new();
    for _ in 0..credentials {
        needles.push((Letters::Exact, [b"ghp_".to_vec(), random.of(BASE64, 36)].concat()));
        needles.push((Letters::AnyCase, random.of(HEX, 80)));
        for _ in 0..6 {
            needles.push((Letters::Exact, random.of(BASE64, 53)));
        }
    }
    needles
}

fn scrubber(needles: &[(Letters, Vec<u8>)]) -> Scrubber {
    let mut builder = Builder::default();
    let owner = builder.owner("credential".into());
    for (letters, needle) in needles {
        builder.needle(owner, *letters, needle.clone().into(), vec![b'*'; needle.len()]).unwrap();
    }
    builder.build()
}

fn texts() -> Vec<(&'static str, Vec<u8>)> {
    let random = &mut Random(2);
    let words: Vec<Vec<u8>> = (0..2000)
        .map(|_| {
            let length = usize::try_from(2 + random.next() % 9).unwrap();
            random.of(b"etaoinshrdlucmfwypvbgk", length)
        })
        .collect();
    let mut text = Vec::new();
    let mut json = Vec::new();
    while text.len() < TEXT {
        let word = words.get(usize::try_from(random.next() % 2000).unwrap()).unwrap();
        text.extend_from_slice(word);
        text.push(b' ');
        json.extend_from_slice(word);
        json.extend_from_slice(
            [&b"\\n"[..], b" ", b"\\\"", b" ", b"\\/"].get(usize::try_from(random.next() % 5).unwrap()).unwrap(),
        );
    }
    let percent = text.iter().flat_map(|byte| format!("%{byte:02X}").into_bytes()).take(TEXT).collect();
    let bytes: Vec<u8> = (0..TEXT).map(|_| random.next().to_le_bytes().first().copied().unwrap()).collect();
    vec![("text", text), ("json", json), ("percent", percent), ("random", bytes), ("base64", random.of(BASE64, TEXT))]
}

fn search(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("search");
    for (kind, text) in texts() {
        let pieces: Vec<Bytes> = text.chunks(PIECE).map(Bytes::copy_from_slice).collect();
        group.throughput(Throughput::Bytes(text.len() as u64));
        for credentials in [1, 10, 300] {
            let needles = needles(credentials);
            let scrubber = scrubber(&needles);
            group.bench_function(BenchmarkId::new(kind, credentials), |bench| {
                bench.iter(|| {
                    let mut stream = scrubber.stream();
                    for piece in &pieces {
                        stream.push(piece.clone());
                        while let Some(out) = stream.take() {
                            black_box(out);
                        }
                    }
                    stream.finish();
                    assert_eq!(stream.found(), 0);
                });
            });
            let automaton = AhoCorasick::new(needles.iter().map(|(_, needle)| needle)).unwrap();
            group.bench_function(BenchmarkId::new(format!("{kind}, aho-corasick"), credentials), |bench| {
                bench.iter(|| pieces.iter().map(|piece| automaton.find_iter(piece).count()).sum::<usize>());
            });
        }
    }
    group.finish();
}

fn short(criterion: &mut Criterion) {
    let scrubber = scrubber(&needles(10));
    criterion.bench_function("a header of 30 bytes", |bench| {
        bench.iter(|| {
            let mut tally = stubgate_scrub::Tally::default();
            scrubber.scrubbed(black_box(b"Sat, 21 Nov 2026 09:35:06 GMT."), &mut tally).is_none()
        });
    });
}

criterion_group!(benches, search, short);
criterion_main!(benches);
