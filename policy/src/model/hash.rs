//! The hash of the rule index: fast, and the same in every process.
//!
//! Keys come from policy only. An agent chooses what is looked up, never what is stored, so it can't build collisions
//! and the table needs no secret seed.

use std::hash::{BuildHasher, Hasher};

/// Makes [`Fold`] hashers, all alike.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Folding;

impl BuildHasher for Folding {
    type Hasher = Fold;

    fn build_hasher(&self) -> Fold {
        Fold(0)
    }
}

/// Eight bytes at a time: rotate, xor, multiply; a last fold spreads the high bits that the table takes its tag from.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Fold(u64);

const ODD: u64 = 0x9e37_79b9_7f4a_7c15;

impl Fold {
    fn word(&mut self, word: u64) {
        self.0 = (self.0.rotate_left(23) ^ word).wrapping_mul(ODD);
    }
}

impl Hasher for Fold {
    fn write(&mut self, bytes: &[u8]) {
        let (words, rest) = bytes.as_chunks::<8>();
        for word in words {
            self.word(u64::from_le_bytes(*word));
        }
        if !rest.is_empty() {
            let mut last = [0; 8];
            for (to, from) in last.iter_mut().zip(rest) {
                *to = *from;
            }
            self.word(u64::from_le_bytes(last));
        }
    }

    fn write_u8(&mut self, n: u8) {
        self.word(n.into());
    }

    fn write_u32(&mut self, n: u32) {
        self.word(n.into());
    }

    fn write_u64(&mut self, n: u64) {
        self.word(n);
    }

    fn write_usize(&mut self, n: usize) {
        self.word(n as u64);
    }

    fn finish(&self) -> u64 {
        let wide = u128::from(self.0 ^ ODD) * u128::from(ODD);
        #[allow(clippy::cast_possible_truncation, reason = "both halves are taken")]
        let (low, high) = (wide as u64, (wide >> 64) as u64);
        low ^ high
    }
}
