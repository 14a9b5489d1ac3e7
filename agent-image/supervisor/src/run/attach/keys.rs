//! What is typed: the key that leaves, and input of a script, which must look as if it were typed.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// The client takes text and its line end in one piece for pasted, and sends nothing.
const ENTER: Duration = Duration::from_millis(300);

/// Ctrl-], as terminals send it: by itself, or as the keyboard protocols that a client may have switched on write it.
const LEAVE: [&[u8]; 4] = [b"\x1d", b"\x1b[93;5u", b"\x1b[93;5:1u", b"\x1b[27;5;93~"];

/// Whether the key that leaves is among these bytes.
pub(super) fn leave(typed: &[u8]) -> bool {
    LEAVE.iter().any(|key| typed.windows(key.len()).any(|part| part == *key))
}

/// Input of a script: every carriage return comes a while after what stands before it.
#[derive(Debug, Default)]
pub(super) struct Paced {
    bytes: VecDeque<u8>,
    due: Option<Instant>,
}

impl Paced {
    pub(super) fn put(&mut self, bytes: &[u8]) {
        self.bytes.extend(bytes);
    }

    pub(super) fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// When more may be taken than now.
    pub(super) fn due(&self) -> Option<Instant> {
        self.due.filter(|_| !self.bytes.is_empty())
    }

    /// What can be sent now.
    pub(super) fn take(&mut self, now: Instant) -> Vec<u8> {
        if self.due.is_some_and(|due| now < due) {
            return Vec::new();
        }
        let until_return = self.bytes.iter().position(|byte| *byte == b'\r');
        let length = match until_return {
            Some(0) => 1,
            Some(length) => length,
            None => self.bytes.len(),
        };
        self.due = until_return.map(|_| now + ENTER);
        self.bytes.drain(..length).collect()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn knows_the_key_that_leaves_in_every_keyboard_protocol() {
        for typed in [&b"\x1d"[..], b"a\x1db", b"\x1b[93;5u", b"\x1b[27;5;93~"] {
            assert!(leave(typed), "{typed:?}");
        }
        for typed in [&b""[..], b"]", b"\x1b", b"\x1b[93u", b"\x1b[A"] {
            assert!(!leave(typed), "{typed:?}");
        }
    }

    #[test]
    fn a_line_end_comes_after_its_text() {
        let (mut paced, start) = (Paced::default(), Instant::now());
        paced.put(b"hello\rmore");
        assert_eq!(paced.take(start), b"hello");
        assert_eq!(paced.take(start), b"");
        assert_eq!(paced.due(), Some(start + ENTER));
        assert_eq!(paced.take(start + ENTER), b"\r");
        assert_eq!(paced.take(start + ENTER), b"");
        assert_eq!(paced.take(start + ENTER * 2), b"more");
        assert!(paced.is_empty() && paced.due().is_none());
    }

    proptest! {
        #[test]
        fn nothing_is_lost_or_turned_around(bytes in prop::collection::vec(prop_oneof![Just(b'\r'), any::<u8>()], 0..100)) {
            let (mut paced, mut now, mut sent) = (Paced::default(), Instant::now(), Vec::new());
            paced.put(&bytes);
            while !paced.is_empty() {
                sent.extend(paced.take(now));
                now += ENTER;
            }
            prop_assert_eq!(sent, bytes);
        }
    }
}
