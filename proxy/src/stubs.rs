//! Stubs in what streams by: bodies and the frames of a WebSocket.
//!
//! Whatever the pieces, a stub is counted once, with the piece that completes it (law 3: counted and recorded, or stopped
//! there where a rule says so). Nothing but the last bytes is kept.

use crate::snapshot::StubScanner;

/// Watches one stream for stubs.
pub struct StubWatch {
    stubs: StubScanner,
    /// The last bytes, which a stub may begin in.
    carry: Vec<u8>,
}

impl StubWatch {
    /// Watches for these.
    pub fn new(stubs: StubScanner) -> Self {
        StubWatch { stubs, carry: Vec::new() }
    }

    /// How many stubs the next piece completes.
    pub fn look(&mut self, data: &[u8]) -> u64 {
        let keep = self.stubs.longest().saturating_sub(1);
        if keep == 0 {
            return 0;
        }
        let mut seen = self.stubs.count_after(data, 0);
        // What stands across the border of two pieces.
        let head = data.get(..keep.min(data.len())).unwrap_or_default();
        let before = self.carry.len();
        self.carry.extend_from_slice(head);
        if before > 0 {
            seen += self.stubs.count_after(&self.carry, before).saturating_sub(self.stubs.count_after(head, 0));
        }
        let tail = data.get(data.len().saturating_sub(keep)..).unwrap_or_default();
        if tail.len() == keep {
            self.carry.clear();
            self.carry.extend_from_slice(tail);
        } else {
            let excess = self.carry.len().saturating_sub(keep);
            self.carry.drain(..excess);
        }
        seen
    }

    /// How many stubs stand in something that is whole, and apart from the stream.
    pub fn look_apart(&self, whole: &[u8]) -> u64 {
        self.stubs.count_after(whole, 0)
    }
}
