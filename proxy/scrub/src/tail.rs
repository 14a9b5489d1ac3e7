//! How much of a text's end is held back: as much as could be the beginning of a needle by its shape alone.
//!
//! What is held shows in what has not come yet. Were it held only where a needle really begins so, whoever chooses the text
//! could ask for a needle byte by byte (CRIME's way of asking, CVE-2012-4929, with time in place of length). So this looks
//! at nothing of the needles but how long the longest is, and which marks any of them has: letters and digits always count as theirs.

use crate::escape;

/// What can be told of the needles.
#[derive(Debug)]
pub(crate) struct Shape {
    /// Which bytes stand in a needle, or in an escape of it.
    is_of_needle: [bool; 256],
    /// All but one byte of the longest needle.
    reach: usize,
}

impl Shape {
    pub(crate) fn new<'n>(needles: impl Iterator<Item = &'n [u8]>) -> Self {
        let mut is_of_needle = [false; 256];
        let mut mark = |byte: u8| {
            if let Some(is) = is_of_needle.get_mut(usize::from(byte)) {
                *is = true;
            }
        };
        (0..=u8::MAX).filter(|&byte| byte.is_ascii_alphanumeric() || escape::may_begin(byte)).for_each(&mut mark);
        let mut longest = 0;
        for needle in needles {
            longest = longest.max(needle.len());
            needle.iter().copied().for_each(&mut mark);
        }
        Shape { is_of_needle, reach: longest.saturating_sub(1) }
    }

    /// Where the end of `text` begins that is held back.
    pub(crate) fn tail(&self, text: &[u8]) -> usize {
        let is_of_needle = |byte: &u8| self.is_of_needle.get(usize::from(*byte)).copied().unwrap_or_default();
        // All of them escaped, and one escape more that is cut.
        let most = (self.reach + 1) * escape::LONGEST - 1;
        let mut length = 0;
        let mut most_now = self.reach;
        for byte in text.iter().rev().take(most) {
            if !is_of_needle(byte) {
                break;
            }
            length += 1;
            if escape::may_begin(*byte) {
                // Escapes take more bytes of text than they stand for.
                most_now = most;
            }
        }
        text.len() - length.min(most_now)
    }
}
