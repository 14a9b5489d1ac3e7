//! Overwriting what was found, byte for byte, escape for escape.

use crate::engine::Engine;
use crate::escape::{self, Escape};
use crate::tally::Tally;
use crate::trie::Match;

impl Engine {
    /// Overwrites what was found in `text`, and counts it.
    pub(crate) fn write(&self, text: &mut [u8], found: &[Match], tally: &mut Tally) {
        for found in found {
            if let Some(owner) = self.owners.get(found.needle as usize) {
                tally.count(owner, 1);
            }
            if let Some(matched) = text.get_mut(found.start..found.end) {
                self.overwrite(matched, found.needle);
            }
        }
    }

    fn overwrite(&self, matched: &mut [u8], needle: u32) {
        let replacement = self.replacement(needle);
        let any_case = self.is_folded.get(needle as usize).copied().unwrap_or_default();
        let is_upper = any_case && matched.iter().any(u8::is_ascii_uppercase);
        let written = |byte: u8| if is_upper { byte.to_ascii_uppercase() } else { byte };
        let lengths = lengths(matched, self.needle(needle));
        let mut rest = matched;
        for (byte, length) in replacement.iter().zip(lengths) {
            let Some((unit, after)) = rest.split_at_mut_checked(length) else { return };
            write_unit(unit, written(*byte));
            rest = after;
        }
    }
}

/// Writes one byte as what stood there: itself, or an escape.
fn write_unit(unit: &mut [u8], byte: u8) {
    match unit {
        [own] => *own = byte,
        // Nothing else is sure to be valid that has two bytes and stands for one.
        [b'\\', escaped] => *escaped = b'/',
        [.., high, low] => {
            // In the case of the digits that were there; those of a number alone tell none.
            let is_upper = high.is_ascii_uppercase() || low.is_ascii_uppercase();
            *high = digit(byte >> 4, is_upper);
            *low = digit(byte & 15, is_upper);
        }
        [] => {}
    }
}

fn digit(nibble: u8, is_upper: bool) -> u8 {
    match nibble {
        0..=9 => b'0' + nibble,
        _ if is_upper => b'A' + nibble - 10,
        _ => b'a' + nibble - 10,
    }
}

/// A reading of `matched` as `needle`: the length of what stands for each of its bytes.
fn lengths(matched: &[u8], needle: &[u8]) -> Vec<usize> {
    if matched.len() == needle.len() {
        return vec![1; needle.len()];
    }
    // Forwards, every place at which each byte may be read; then backwards from the end, one of them each.
    let mut reached: Vec<Vec<usize>> = vec![vec![0]];
    for expected in needle {
        let mut next = Vec::new();
        for &at in reached.last().into_iter().flatten() {
            for length in units(matched, at, *expected).into_iter().flatten() {
                if !next.contains(&(at + length)) {
                    next.push(at + length);
                }
            }
        }
        reached.push(next);
    }
    let mut end = matched.len();
    let mut lengths = Vec::with_capacity(needle.len());
    for (expected, places) in needle.iter().zip(&reached).rev() {
        let leads_here = |at: &&usize| units(matched, **at, *expected).contains(&Some(end.wrapping_sub(**at)));
        let Some(&at) = places.iter().find(leads_here) else { break };
        lengths.push(end - at);
        end = at;
    }
    lengths.reverse();
    lengths
}

/// As what stands at a place may be read to be `expected`, whatever its case: the length of a byte, of an escape.
fn units(text: &[u8], at: usize, expected: u8) -> [Option<usize>; 2] {
    let raw = text.get(at).filter(|byte| byte.eq_ignore_ascii_case(&expected)).map(|_| 1);
    let escaped = match escape::read(text.get(at..).unwrap_or_default()) {
        Escape::Whole(byte, length) if byte.eq_ignore_ascii_case(&expected) => Some(length),
        _ => None,
    };
    [raw, escaped]
}
