//! A text that comes in pieces, and leaves in pieces.

use std::collections::VecDeque;
use std::fmt;
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use zeroize::Zeroizing;

use crate::engine::{Engine, Found};
use crate::{Scrubber, Tally};

/// A tail that is shorter is let go when the source pauses.
const PAUSE_RELEASES_BELOW: usize = 8;

/// One text on its way.
///
/// What is pushed is searched at once and can be taken, but for a suffix that has the shape of a needle's beginning, be it
/// one or not. That leaves with what follows, at a [`Stream::pause`] if it is shorter than 8 bytes, at [`Stream::let_go`] or at
/// [`Stream::finish`].
#[derive(Default)]
pub struct Stream {
    engine: Option<Arc<Engine>>,
    /// What has the shape of a needle's beginning.
    held: Zeroizing<Vec<u8>>,
    /// So many bytes of it were let go already.
    released: usize,
    ready: VecDeque<Bytes>,
    found: u64,
    tally: Tally,
}

impl Stream {
    pub(crate) fn new(engine: Option<Arc<Engine>>) -> Self {
        Stream { engine, ..Stream::default() }
    }

    /// Takes the next piece.
    pub fn push(&mut self, chunk: Bytes) {
        self.take_in(chunk, Engine::search_flowing);
    }

    /// Takes the last piece. All leaves, in one if nothing was held.
    pub fn push_last(&mut self, chunk: Bytes) {
        self.take_in(chunk, Engine::search_whole);
        self.released = 0;
    }

    fn take_in(&mut self, chunk: Bytes, search: impl Fn(&Engine, &[u8]) -> Found) {
        let Some(engine) = &self.engine else { return self.ready.push_back(chunk) };
        if !self.held.is_empty() {
            let mut joined = BytesMut::with_capacity(self.held.len() + chunk.len());
            joined.extend_from_slice(&self.held);
            joined.extend_from_slice(&chunk);
            self.held.clear();
            let found = search(engine, &joined);
            return self.settle(joined.freeze(), &found);
        }
        let found = search(engine, &chunk);
        if found.found.is_empty() && found.settled == chunk.len() {
            self.ready.push_back(chunk);
        } else {
            self.settle(chunk, &found);
        }
    }

    /// What may leave now; to be asked until there is nothing more.
    pub fn take(&mut self) -> Option<Bytes> {
        self.ready.pop_front()
    }

    /// Whether nothing can be taken.
    pub fn is_drained(&self) -> bool {
        self.ready.is_empty()
    }

    /// The source has no more at the moment: what is held leaves if it is shorter than 8 bytes. Whether something stays, so that
    /// [`Stream::let_go`] must be called soon.
    #[must_use]
    pub fn pause(&mut self) -> bool {
        if self.held.len() < PAUSE_RELEASES_BELOW {
            self.let_go();
        }
        self.held.len() > self.released
    }

    /// The source has had no more for as long as it was waited for. What is held leaves, with the needles in it overwritten; if
    /// the end of it turns out to be the beginning of a needle, the rest of that is still overwritten.
    pub fn let_go(&mut self) {
        let Some(engine) = self.engine.as_ref().filter(|_| self.held.len() > self.released) else { return };
        let mut shown = BytesMut::from(self.held.as_slice());
        let found = engine.search_whole(&shown).found;
        // It is counted when it is settled.
        engine.write(&mut shown, &found, &mut Tally::default());
        self.ready.push_back(shown.freeze().split_off(self.released));
        self.released = self.held.len();
    }

    /// There will be no more. All leaves.
    pub fn finish(&mut self) {
        if !self.held.is_empty() {
            self.push_last(Bytes::new());
        }
    }

    /// Goes on with other needles; what is held is looked at again.
    pub fn renew(&mut self, scrubber: &Scrubber) {
        if scrubber.is_empty() {
            self.let_go();
            self.held.clear();
            self.released = 0;
        }
        self.engine.clone_from(&scrubber.0);
    }

    /// How many needles were found.
    pub fn found(&self) -> u64 {
        self.found
    }

    /// Whose needles were found since this was asked last.
    pub fn take_tally(&mut self) -> Tally {
        std::mem::take(&mut self.tally)
    }

    /// Overwrites what was found, lets what is settled go, and holds the rest. Of `text`, the first `released` bytes are
    /// gone already.
    fn settle(&mut self, mut text: Bytes, found: &Found) {
        let Some(engine) = &self.engine else { return };
        // The held bytes live in memory of one size, as long as they last.
        self.held.extend_from_slice(text.get(found.settled..).unwrap_or_default());
        text.truncate(found.settled);
        let gone = self.released.min(found.settled);
        self.released -= gone;
        if !found.found.is_empty() {
            let mut writable = text.try_into_mut().unwrap_or_else(|shared| BytesMut::from(&*shared));
            engine.write(&mut writable, &found.found, &mut self.tally);
            self.found += found.found.len() as u64;
            text = writable.freeze();
        }
        let text = text.split_off(gone);
        if !text.is_empty() {
            self.ready.push_back(text);
        }
    }
}

impl fmt::Debug for Stream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Stream({} held, {} found)", self.held.len(), self.found())
    }
}
