//! Where in a text a needle could begin: the quick look that nearly all bytes get and no more.
//!
//! Every needle that begins with `window` unescaped bytes has, at one of `stride` distances from its beginning, a block of
//! four bytes that stands at a multiple of `stride` in the text. So only every `stride`th block is looked up, in a table of
//! hashes. A hit says which distances are possible, and a second table whether the three bytes there begin any needle.
//! Needles with an escape among those first bytes are looked for beside each escape (see [`crate::engine`]).
//!
//! The tables are sparse hashes of the first bytes of needles; they are wiped nevertheless. Letters are folded, so one
//! table serves for all.

use zeroize::Zeroizing;

use crate::SHORTEST;
use crate::escape::{self, Escape};

/// Bytes of a block.
const BLOCK: usize = 4;
/// Bytes at the beginning of a needle that are used at most. More would skip further, and would make text with many
/// escapes slower.
const WINDOW: usize = 12;
/// Table places for each block that is in the table: so few blocks of other text are hits.
const SPARSE: usize = 32;
/// Bits of the hash that the table of distances is ordered by.
const DISTANCE_BITS: u32 = 15;
/// Bits of the hash of the first three bytes.
const START_BITS: u32 = 16;

/// The tables.
pub(crate) struct Filter {
    window: usize,
    stride: usize,
    bits: u32,
    blocks: Zeroizing<Vec<u64>>,
    distances: Zeroizing<Vec<u16>>,
    starts: Zeroizing<Vec<u64>>,
    /// For each byte, the distances from the beginning of a needle at which it occurs within the window.
    early: Zeroizing<Vec<u16>>,
}

/// Where a search for blocks stands.
#[derive(Default)]
pub(crate) struct Hits {
    next: usize,
    at: usize,
    distances: u16,
}

impl Filter {
    /// For needles that are given twice, in the same order.
    pub(crate) fn new<'n>(needles: impl Iterator<Item = &'n [u8]> + Clone) -> Self {
        let window = needles.clone().map(<[u8]>::len).min().unwrap_or(SHORTEST).clamp(SHORTEST, WINDOW);
        let stride = window - BLOCK + 1;
        let places = needles.clone().count().saturating_mul(stride * SPARSE).next_power_of_two();
        let bits = places.ilog2().clamp(DISTANCE_BITS - 2, 22);
        let mut filter = Filter {
            window,
            stride,
            bits,
            blocks: Zeroizing::new(vec![0; (1 << bits) / 64]),
            distances: Zeroizing::new(vec![0; 1 << DISTANCE_BITS.min(bits)]),
            starts: Zeroizing::new(vec![0; (1 << START_BITS) / 64]),
            early: Zeroizing::new(vec![0; 256]),
        };
        needles.for_each(|needle| filter.add(needle));
        filter
    }

    fn add(&mut self, needle: &[u8]) {
        for (distance, block) in needle.windows(BLOCK).take(self.stride).enumerate() {
            let hash = self.hash(word(block));
            set(&mut self.blocks, hash);
            let place = self.distances_of(hash);
            if let Some(distances) = self.distances.get_mut(place) {
                *distances |= 1 << distance;
            }
        }
        if let Some(start) = needle.first_chunk() {
            set(&mut self.starts, start_hash(*start));
        }
        for (distance, byte) in needle.iter().take(self.window).enumerate() {
            for byte in [byte.to_ascii_lowercase(), byte.to_ascii_uppercase()] {
                if let Some(early) = self.early.get_mut(usize::from(byte)) {
                    *early |= 1 << distance;
                }
            }
        }
    }

    /// How many bytes at the beginning of a needle are used.
    pub(crate) fn window(&self) -> usize {
        self.window
    }

    /// The distances from the beginning of a needle, below the window, at which this byte occurs; one bit for each.
    pub(crate) fn early(&self, byte: u8) -> u16 {
        self.early.get(usize::from(byte)).copied().unwrap_or_default()
    }

    /// Whether a needle may begin at the beginning of `text`, as far as its first three bytes tell, in any reading of
    /// escapes. Where the text ends, it may.
    pub(crate) fn may_start(&self, text: &[u8]) -> bool {
        match text.first_chunk::<3>() {
            Some(start) if !start.iter().any(|byte| escape::may_begin(*byte)) => {
                is_set(&self.starts, start_hash(*start))
            }
            _ => self.may_read([0; 3], 0, text),
        }
    }

    /// The same, where so many bytes were read already and `text` follows.
    fn may_read(&self, bytes: [u8; 3], count: usize, text: &[u8]) -> bool {
        if count == bytes.len() {
            return is_set(&self.starts, start_hash(bytes));
        }
        let Some((&byte, rest)) = text.split_first() else { return true };
        let reads_on = |byte: u8, rest: &[u8]| {
            let mut bytes = bytes;
            if let Some(next) = bytes.get_mut(count) {
                *next = byte;
            }
            self.early(byte) >> count & 1 == 1 && self.may_read(bytes, count + 1, rest)
        };
        if reads_on(byte, rest) {
            return true;
        }
        match escape::read(text) {
            Escape::Whole(byte, length) => reads_on(byte, text.get(length..).unwrap_or_default()),
            Escape::Cut(_) => true,
            Escape::None => false,
        }
    }

    /// The first place at or after `from` where a needle may begin that has no escape in its window. Places must not
    /// decrease from call to call.
    pub(crate) fn next_start(&self, text: &[u8], from: usize, hits: &mut Hits) -> Option<usize> {
        loop {
            while hits.distances != 0 {
                // The furthest distance is the earliest beginning.
                let distance = hits.distances.ilog2();
                match hits.at.checked_sub(distance as usize) {
                    Some(start) if start >= from && self.may_start(text.get(start..).unwrap_or_default()) => {
                        return Some(start);
                    }
                    _ => hits.distances &= !(1 << distance),
                }
            }
            hits.next = hits.next.max(from);
            hits.at = self.next_hit(text, hits.next)?;
            hits.next = hits.at + self.stride;
            hits.distances = text
                .get(hits.at..hits.at + BLOCK)
                .and_then(|block| self.distances.get(self.distances_of(self.hash(word(block)))))
                .copied()
                .unwrap_or_default();
        }
    }

    /// The first block of the table at or after `from`, in steps of `stride`.
    fn next_hit(&self, text: &[u8], from: usize) -> Option<usize> {
        // A stride that the compiler knows is what makes this fast.
        match self.stride {
            5 => self.next_hit_by::<5>(text, from),
            6 => self.next_hit_by::<6>(text, from),
            7 => self.next_hit_by::<7>(text, from),
            8 => self.next_hit_by::<8>(text, from),
            _ => self.next_hit_by::<{ WINDOW - BLOCK + 1 }>(text, from),
        }
    }

    fn next_hit_by<const STRIDE: usize>(&self, text: &[u8], from: usize) -> Option<usize> {
        let text = text.get(from..)?;
        let shift = 32 - self.bits;
        let blocks: &[u64] = &self.blocks;
        let mut strides = text.chunks_exact(STRIDE);
        let hit = strides.position(|stride| {
            stride.first_chunk().is_some_and(|&block| is_set(blocks, fold_hash(u32::from_le_bytes(block)) >> shift))
        });
        if let Some(hit) = hit {
            return Some(from + hit * STRIDE);
        }
        let last = text.len() - strides.remainder().len();
        let is_hit = text.get(last..last + BLOCK).is_some_and(|block| is_set(blocks, self.hash(word(block))));
        is_hit.then_some(from + last)
    }

    fn hash(&self, word: u32) -> u32 {
        fold_hash(word) >> (32 - self.bits)
    }

    fn distances_of(&self, hash: u32) -> usize {
        (hash >> self.bits.saturating_sub(DISTANCE_BITS)) as usize
    }
}

fn word(block: &[u8]) -> u32 {
    block.first_chunk().map_or(0, |block| u32::from_le_bytes(*block))
}

/// Multiplicative hashing; the bit that tells the case of letters is not looked at.
fn fold_hash(word: u32) -> u32 {
    (word | 0x2020_2020).wrapping_mul(0x9e37_79b1)
}

fn start_hash([a, b, c]: [u8; 3]) -> u32 {
    fold_hash(u32::from_le_bytes([a, b, c, 0])) >> (32 - START_BITS)
}

fn set(bits: &mut [u64], at: u32) {
    if let Some(word) = bits.get_mut(at as usize / 64) {
        *word |= 1 << (at % 64);
    }
}

#[inline(always)]
fn is_set(bits: &[u64], at: u32) -> bool {
    bits.get(at as usize / 64).is_some_and(|word| word >> (at % 64) & 1 == 1)
}
