//! Takes out of the client's bytes what costs far more than its length: `CSI n b`, which repeats a character up to 65 535 times.
//! The client never writes it. Its last byte becomes CAN, which ends a sequence without effect, wherever the bytes are cut.

/// CAN: a sequence under way is dropped.
const CANCEL: u8 = 0x18;

/// Where in a sequence the bytes so far end.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Disarm {
    #[default]
    Outside,
    Escape,
    Control,
}

impl Disarm {
    /// Takes the repetitions out.
    pub(super) fn pass(&mut self, bytes: &mut [u8]) {
        for byte in bytes {
            let ends_repetition = *self == Disarm::Control && *byte == b'b';
            *self = self.after(*byte);
            if ends_repetition {
                *byte = CANCEL;
            }
        }
    }

    fn after(self, byte: u8) -> Self {
        match (self, byte) {
            (_, 0x1b) => Disarm::Escape,
            (_, 0x18 | 0x1a) => Disarm::Outside,
            // Control characters take effect within a sequence, and it goes on.
            (state, 0x00..=0x1f | 0x7f) => state,
            (Disarm::Escape, b'[') => Disarm::Control,
            (Disarm::Control, 0x40..=0x7e) => Disarm::Outside,
            (Disarm::Control, _) => Disarm::Control,
            (Disarm::Escape | Disarm::Outside, _) => Disarm::Outside,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn passed(pieces: &[&[u8]]) -> Vec<u8> {
        let mut disarm = Disarm::default();
        let pass = |piece: &&[u8]| {
            let mut piece = piece.to_vec();
            disarm.pass(&mut piece);
            piece
        };
        pieces.iter().flat_map(pass).collect()
    }

    #[test]
    fn a_repetition_loses_its_end_wherever_it_is_cut() {
        let bytes = b"a\x1b[65535b\x1b[1mb";
        for cut in 0..=bytes.len() {
            let (left, right) = bytes.split_at(cut);
            assert_eq!(passed(&[left, right]), b"a\x1b[65535\x18\x1b[1mb", "cut at {cut}");
        }
    }

    #[test]
    fn nothing_else_is_changed() {
        for bytes in [&b"bob \x1b[2Jb\x1b]0;b\x07b"[..], b"\x1bb", b"\x1b[?25lb\x1b(Bb", b"\x9bb"] {
            assert_eq!(passed(&[bytes]), bytes);
        }
    }
}
