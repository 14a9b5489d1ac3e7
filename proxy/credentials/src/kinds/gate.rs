//! A text that comes in pieces, kept from showing known credentials.
//!
//! Where one is replaced or ends the text, what may become one is held back until it is known: its shape alone says so,
//! and nothing secret is compared. [`Gate::let_go`] lets it leave when the source is silent. Whatever the pieces, the same
//! bytes leave, if nothing was let go.

use bytes::{Bytes, BytesMut};
use stubgate_policy::OnCredential;
use stubgate_scrub::Held;

use super::{BEFORE, Seen, Sights, mask, search};

/// One text on its way.
pub struct Gate {
    act: OnCredential,
    /// What stands before `held`.
    before: Vec<u8>,
    /// What may become a credential.
    held: Held,
    seen: Sights,
    is_shut: bool,
}

impl Gate {
    /// Does this about every credential.
    pub fn new(act: OnCredential) -> Self {
        Gate { act, before: Vec::new(), held: Held::default(), seen: Sights::default(), is_shut: false }
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
        self.held.take()
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
        self.held.pause(|_| {})
    }

    /// The source has had no more for as long as it was waited for. What is held leaves; if it turns out to be the beginning of a
    /// credential, the rest of that does not.
    pub fn let_go(&mut self) {
        self.held.let_go(|_| {});
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
            self.held.pass(chunk.clone());
        }
        let text = self.held.join(chunk);
        let Seen { sights, settled } = search(&self.before, &text, is_ended, ours);
        sights.iter().for_each(|sight| self.seen.count(sight.kind));
        self.remember(text.get(..settled).unwrap_or_default());
        match (self.act, sights.first()) {
            (OnCredential::Allow, _) => self.held.settle_left(&text, settled),
            (OnCredential::Deny, Some(first)) => {
                self.held.end(text, first.span.start);
                self.is_shut = true;
            }
            (OnCredential::Deny | OnCredential::Replace, first) => {
                let masked = first.map(|_| |text: &mut BytesMut| sights.iter().for_each(|sight| mask(text, sight)));
                self.held.settle(text, settled, masked);
            }
        }
    }

    /// Keeps the last of what is settled, which tells whether what follows is the middle of a word.
    fn remember(&mut self, settled: &[u8]) {
        let last = settled.get(settled.len().saturating_sub(BEFORE)..).unwrap_or_default();
        self.before.extend_from_slice(last);
        self.before.drain(..self.before.len().saturating_sub(BEFORE));
    }
}
