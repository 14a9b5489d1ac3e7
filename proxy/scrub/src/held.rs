//! The end of a text on its way that is held back, and what of the text may leave: the same for whatever looks through a text
//! that comes in pieces. It compares nothing and knows nothing; whoever searches says what is settled.

use std::collections::VecDeque;

use bytes::{Bytes, BytesMut};
use zeroize::Zeroizing;

/// An end that is shorter is let go when the source pauses.
const PAUSE_RELEASES_BELOW: usize = 8;

/// What is held of one text, and what of it may leave.
#[derive(Default)]
pub struct Held {
    /// In memory of one size, as long as it lasts.
    bytes: Zeroizing<Vec<u8>>,
    /// So many of them were let go already.
    released: usize,
    ready: VecDeque<Bytes>,
}

impl Held {
    /// Bytes that are held, those counted that were let go and are looked at again.
    pub fn len(&self) -> usize {
        self.bytes.len()
    }

    /// Whether nothing is held.
    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// What may leave now; to be asked until there is nothing more.
    pub fn take(&mut self) -> Option<Bytes> {
        self.ready.pop_front()
    }

    /// Whether nothing can be taken.
    pub fn is_drained(&self) -> bool {
        self.ready.is_empty()
    }

    /// Lets a piece leave that nobody looks through, or that leaves whatever is found in it.
    pub fn pass(&mut self, piece: Bytes) {
        self.ready.push_back(piece);
    }

    /// What was held, and this piece behind it, as one text. Nothing is held until it is settled.
    pub fn join(&mut self, piece: Bytes) -> Bytes {
        if self.bytes.is_empty() {
            return piece;
        }
        let mut joined = BytesMut::with_capacity(self.bytes.len() + piece.len());
        joined.extend_from_slice(&self.bytes);
        joined.extend_from_slice(&piece);
        self.bytes.clear();
        joined.freeze()
    }

    /// Lets the beginning of a joined text leave, so far as it has not, changed by `change` where something is to be, and
    /// holds the rest.
    pub fn settle(&mut self, mut text: Bytes, settled: usize, change: Option<impl FnOnce(&mut BytesMut)>) {
        self.bytes.extend_from_slice(text.get(settled..).unwrap_or_default());
        text.truncate(settled);
        let gone = self.released.min(text.len());
        self.released -= gone;
        if let Some(change) = change {
            let mut writable = text.try_into_mut().unwrap_or_else(|shared| BytesMut::from(&*shared));
            change(&mut writable);
            text = writable.freeze();
        }
        let text = text.split_off(gone);
        if !text.is_empty() {
            self.ready.push_back(text);
        }
    }

    /// Holds the end of a joined text that has left whole, to be looked at again.
    pub fn settle_left(&mut self, text: &[u8], settled: usize) {
        self.bytes.extend_from_slice(text.get(settled..).unwrap_or_default());
        self.released = self.bytes.len();
    }

    /// Ends a joined text there: what stands before leaves, so far as it has not, and nothing more.
    pub fn end(&mut self, mut text: Bytes, at: usize) {
        text.truncate(at);
        let text = text.split_off(self.released.min(text.len()));
        if !text.is_empty() {
            self.ready.push_back(text);
        }
        self.forget();
    }

    /// Holds nothing any more.
    pub fn forget(&mut self) {
        self.bytes.clear();
        self.released = 0;
    }

    /// The source has no more at the moment: what is held leaves if it is shorter than 8 bytes, as `show` leaves it. Whether
    /// something stays.
    #[must_use]
    pub fn pause(&mut self, show: impl FnOnce(&mut BytesMut)) -> bool {
        if self.bytes.len() < PAUSE_RELEASES_BELOW {
            self.let_go(show);
        }
        self.bytes.len() > self.released
    }

    /// Lets what is held leave, as `show` leaves it. It is looked at again with what follows.
    pub fn let_go(&mut self, show: impl FnOnce(&mut BytesMut)) {
        if self.bytes.len() > self.released {
            let mut shown = BytesMut::from(self.bytes.as_slice());
            show(&mut shown);
            self.ready.push_back(shown.freeze().split_off(self.released));
            self.released = self.bytes.len();
        }
    }
}
