//! UTF-8 that arrives in pieces: a character may be cut anywhere, and nothing is kept but its beginning.

/// Checks text piece by piece. Fails at the first byte that no valid text can have there.
#[derive(Clone, Copy, Debug, Default)]
pub struct Utf8 {
    /// The beginning of a character that the last piece cut.
    begun: [u8; 4],
    length: usize,
}

impl Utf8 {
    /// Takes the next piece; whether the text can still be valid.
    #[must_use]
    pub fn push(&mut self, mut piece: &[u8]) -> bool {
        while self.length > 0 {
            let Some((&byte, rest)) = piece.split_first() else { return true };
            let Some(place) = self.begun.get_mut(self.length) else { return false };
            *place = byte;
            self.length += 1;
            piece = rest;
            match std::str::from_utf8(self.begun.get(..self.length).unwrap_or_default()) {
                Ok(_) => self.length = 0,
                Err(error) if error.error_len().is_some() => return false,
                Err(_) => {}
            }
        }
        let Err(error) = std::str::from_utf8(piece) else { return true };
        let tail = piece.get(error.valid_up_to()..).unwrap_or_default();
        let Some(begun) = self.begun.get_mut(..tail.len()).filter(|_| error.error_len().is_none()) else {
            return false;
        };
        begun.copy_from_slice(tail);
        self.length = tail.len();
        true
    }

    /// Whether the text may end here; begins the next one.
    #[must_use]
    pub fn finish(&mut self) -> bool {
        std::mem::take(&mut self.length) == 0
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_can_never_become_valid_fails_at_its_first_wrong_byte() {
        // Overlong forms, surrogates, beyond U+10FFFF, and continuations of nothing.
        for wrong in ["c0", "c1", "e080", "f08080", "eda0", "f490", "f5", "80", "bf", "fe", "ff", "c328", "e28228"] {
            let bytes: Vec<u8> =
                (0..wrong.len() / 2).map(|at| u8::from_str_radix(&wrong[2 * at..2 * at + 2], 16).unwrap()).collect();
            let mut text = Utf8::default();
            let failed = bytes.iter().position(|&byte| !text.push(&[byte])).map(|at| at + 1);
            let earliest = (1..=bytes.len())
                .find(|&end| std::str::from_utf8(&bytes[..end]).is_err_and(|error| error.error_len().is_some()));
            assert_eq!(failed, earliest, "{wrong}");
            assert!(failed.is_some(), "{wrong}");
        }
    }

    #[test]
    fn text_that_ends_inside_a_character_is_not_text() {
        let mut text = Utf8::default();
        assert!(text.push("é".as_bytes().split_at(1).0));
        assert!(!text.finish());
        assert!(text.finish(), "the next text begins anew");
    }

    proptest! {
        #[test]
        fn pieces_say_what_the_whole_says(
            text in prop_oneof![
                any::<String>().prop_map(String::into_bytes),
                proptest::collection::vec(prop_oneof![Just(0xe2u8), Just(0x82), Just(0xf0), Just(0x61), any::<u8>()], 0..20),
            ],
            cuts in proptest::collection::vec(1..6usize, 1..40),
        ) {
            let mut pieces = Utf8::default();
            let mut rest = &text[..];
            let mut valid = true;
            for cut in cuts.iter().cycle() {
                if rest.is_empty() {
                    break;
                }
                let (piece, after) = rest.split_at((*cut).min(rest.len()));
                rest = after;
                if !pieces.push(piece) {
                    valid = false;
                    break;
                }
            }
            prop_assert_eq!(valid && pieces.finish(), std::str::from_utf8(&text).is_ok());
        }
    }
}
