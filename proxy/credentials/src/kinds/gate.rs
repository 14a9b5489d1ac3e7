//! A text that comes in pieces, kept from showing known credentials.
//!
//! Where one is replaced or ends the text, what may become one is held back until it is known: its shape alone says so,
//! and nothing secret is compared. [`Gate::let_go`] lets it leave when the source is silent. Whatever the pieces, the same
//! bytes leave, if nothing was let go.

use std::collections::VecDeque;

use bytes::{Bytes, BytesMut};
use stubgate_policy::OnCredential;

use super::{BEFORE, Seen, Sights, mask, search};

/// What is held and shorter is let go when the source pauses.
const PAUSE_RELEASES_BELOW: usize = 8;

/// One text on its way.
pub struct Gate {
    act: OnCredential,
    /// What stands before `held`.
    before: Vec<u8>,
    /// What may become a credential.
    held: Vec<u8>,
    /// So many bytes of it have left already.
    released: usize,
    ready: VecDeque<Bytes>,
    seen: Sights,
    is_shut: bool,
}

impl Gate {
    /// Does this about every credential.
    pub fn new(act: OnCredential) -> Self {
        Gate {
            act,
            before: Vec::new(),
            held: Vec::new(),
            released: 0,
            ready: VecDeque::new(),
            seen: Sights::default(),
            is_shut: false,
        }
    }

    /// Takes the next piece. `ours` says what is none of anybody's credentials: a stub.
    pub fn push(&mut self, chunk: Bytes, ours: impl Fn(&[u8]) -> bool) {
        self.take_in(chunk, false, &ours);
    }

    /// Takes the last piece. All leaves, in one if nothing was held.
    pub fn push_last(&mut self, chunk: Bytes, ours: impl Fn(&[u8]) -> bool) {
        self.take_in(chunk, true, &ours);
    }

    /// What may leave now; to be asked until there is nothing more.
    pub fn take(&mut self) -> Option<Bytes> {
        self.ready.pop_front()
    }

    /// Whether the text ended with the first credential in it. Everything before that has left or can be taken.
    pub fn is_shut(&self) -> bool {
        self.is_shut
    }

    /// Whether something is held that has not left.
    pub fn is_open(&self) -> bool {
        !self.is_shut && !self.held.is_empty()
    }

    /// The source has no more at the moment: what is held leaves if it is shorter than 8 bytes. Whether something stays, so that
    /// [`Gate::let_go`] must be called soon.
    #[must_use]
    pub fn pause(&mut self) -> bool {
        if self.held.len() < PAUSE_RELEASES_BELOW {
            self.let_go();
        }
        self.held.len() > self.released
    }

    /// The source has had no more for as long as it was waited for. What is held leaves; if it turns out to be the beginning of a
    /// credential, the rest of that does not.
    pub fn let_go(&mut self) {
        if let Some(held) = self.held.get(self.released..).filter(|held| !held.is_empty()) {
            self.ready.push_back(Bytes::copy_from_slice(held));
            self.released = self.held.len();
        }
    }

    /// What was seen since this was asked last.
    pub fn take_seen(&mut self) -> Sights {
        std::mem::take(&mut self.seen)
    }

    fn take_in(&mut self, chunk: Bytes, is_ended: bool, ours: &impl Fn(&[u8]) -> bool) {
        if self.is_shut || (chunk.is_empty() && self.held.is_empty()) {
            return;
        }
        let is_watched_only = self.act == OnCredential::Allow;
        if is_watched_only && !chunk.is_empty() {
            self.ready.push_back(chunk.clone());
        }
        let text = if self.held.is_empty() {
            chunk
        } else {
            let mut joined = BytesMut::with_capacity(self.held.len() + chunk.len());
            joined.extend_from_slice(&self.held);
            joined.extend_from_slice(&chunk);
            self.held.clear();
            joined.freeze()
        };
        let seen = search(&self.before, &text, is_ended, ours);
        seen.sights.iter().for_each(|sight| self.seen.count(sight.kind));
        self.remember(&text, seen.settled);
        if is_watched_only {
            self.released = self.held.len();
        } else {
            self.settle(text, &seen);
        }
    }

    /// Keeps what must be seen again, and what stands before it.
    fn remember(&mut self, text: &[u8], settled: usize) {
        self.held.extend_from_slice(text.get(settled..).unwrap_or_default());
        let settled = text.get(..settled).unwrap_or_default();
        let last = settled.get(settled.len().saturating_sub(BEFORE)..).unwrap_or_default();
        self.before.extend_from_slice(last);
        self.before.drain(..self.before.len().saturating_sub(BEFORE));
    }

    /// Lets go what is settled.
    fn settle(&mut self, mut text: Bytes, seen: &Seen) {
        text.truncate(seen.settled);
        let gone = self.released.min(seen.settled);
        self.released -= gone;
        match (seen.sights.first(), self.act) {
            (Some(first), OnCredential::Deny) => {
                text.truncate(first.span.start.max(gone));
                self.is_shut = true;
                self.held.clear();
                self.released = 0;
            }
            (Some(_), OnCredential::Replace) => {
                let mut writable = text.try_into_mut().unwrap_or_else(|shared| BytesMut::from(&*shared));
                seen.sights.iter().for_each(|sight| mask(&mut writable, sight));
                text = writable.freeze();
            }
            (Some(_), OnCredential::Allow) | (None, _) => {}
        }
        let text = text.split_off(gone);
        if !text.is_empty() {
            self.ready.push_back(text);
        }
    }
}
