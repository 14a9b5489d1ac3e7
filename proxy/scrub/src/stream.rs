//! A text that comes in pieces, and leaves in pieces.

use std::fmt;
use std::sync::Arc;

use bytes::{Bytes, BytesMut};

use crate::engine::{Engine, Found};
use crate::held::Held;
use crate::{Scrubber, Tally};

/// One text on its way.
///
/// What is pushed is searched at once and can be taken, but for a suffix that has the shape of a needle's beginning, be it
/// one or not. That leaves with what follows, at a [`Stream::pause`] if it is shorter than 8 bytes, at [`Stream::let_go`] or at
/// [`Stream::finish`].
#[derive(Default)]
pub struct Stream {
    engine: Option<Arc<Engine>>,
    /// What has the shape of a needle's beginning.
    held: Held,
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
        self.held.forget();
    }

    fn take_in(&mut self, chunk: Bytes, search: impl Fn(&Engine, &[u8]) -> Found) {
        let Some(engine) = &self.engine else { return self.held.pass(chunk) };
        let text = self.held.join(chunk);
        let Found { found, settled } = search(engine, &text);
        self.found += found.len() as u64;
        let tally = &mut self.tally;
        let overwrite = (!found.is_empty()).then_some(|text: &mut BytesMut| engine.write(text, &found, tally));
        self.held.settle(text, settled, overwrite);
    }

    /// What may leave now; to be asked until there is nothing more.
    pub fn take(&mut self) -> Option<Bytes> {
        self.held.take()
    }

    /// Whether nothing can be taken.
    pub fn is_drained(&self) -> bool {
        self.held.is_drained()
    }

    /// The source has no more at the moment: what is held leaves if it is shorter than 8 bytes. Whether something stays, so that
    /// [`Stream::let_go`] must be called soon.
    #[must_use]
    pub fn pause(&mut self) -> bool {
        let Some(engine) = &self.engine else { return false };
        self.held.pause(|held| show(engine, held))
    }

    /// The source has had no more for as long as it was waited for. What is held leaves, with the needles in it overwritten; if
    /// the end of it turns out to be the beginning of a needle, the rest of that is still overwritten.
    pub fn let_go(&mut self) {
        if let Some(engine) = &self.engine {
            self.held.let_go(|held| show(engine, held));
        }
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
            self.held.forget();
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
}

/// Overwrites the needles in a text that is let go. They are counted when it is settled.
fn show(engine: &Engine, held: &mut BytesMut) {
    let found = engine.search_whole(held).found;
    engine.write(held, &found, &mut Tally::default());
}

impl fmt::Debug for Stream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Stream({} held, {} found)", self.held.len(), self.found())
    }
}
