//! Many byte strings, looked for in a stream, and overwritten where they stand.
//!
//! This is the engine of phase *scrub* (law 4: a credential never comes in). It is given *needles*, the forms of each
//! credential, and for each a replacement of exactly the same length, so that nothing around it moves. What it finds is
//! a needle in any mixture of its own bytes and percent or JSON escapes of them (see [`Builder::needle`]), in whatever
//! pieces it comes.
//!
//! - Nothing is held back but a suffix that could be the beginning of a needle by its [shape](tail) alone, so that what is
//!   held says nothing of the needles; [`Stream::pause`] lets a short one go, [`Stream::let_go`] any.
//! - What is not part of a needle passes byte for byte (law 9), and is hardly ever copied.
//! - The needles stand once, in memory that is wiped; tables beside them hold hashes only and are wiped too.
//! - The cost for a byte does not grow with the number of needles.
//!
//! It knows no HTTP, no policy and no encoding beyond these escapes; which forms a credential has is the business of
//! whoever builds the needles. It opens nothing, and reads no clock.
#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing))]

mod build;
mod engine;
mod escape;
mod filter;
mod held;
mod stream;
mod tail;
mod tally;
mod trie;
mod write;

use std::fmt;
use std::sync::Arc;

pub use build::{Builder, Letters, NeedleError, Owner};
pub use held::Held;
pub use stream::Stream;
pub use tally::Tally;

use engine::{Engine, Mode};

/// The shortest needle, in bytes.
pub const SHORTEST: usize = 8;

/// A set of needles, ready to be looked for; cheap to clone.
#[derive(Clone, Default)]
pub struct Scrubber(Option<Arc<Engine>>);

impl Scrubber {
    /// Without needles: finds nothing, costs nothing.
    pub const fn none() -> Self {
        Scrubber(None)
    }

    /// Whether there is nothing to find.
    pub fn is_empty(&self) -> bool {
        self.0.is_none()
    }

    /// Whether two are of the same building.
    pub fn is_same(&self, other: &Scrubber) -> bool {
        match (&self.0, &other.0) {
            (None, None) => true,
            (Some(one), Some(two)) => Arc::ptr_eq(one, two),
            (None, Some(_)) | (Some(_), None) => false,
        }
    }

    /// Overwrites all needles in a whole value, and says how many there were.
    pub fn scrub(&self, whole: &mut [u8]) -> u64 {
        let mut tally = Tally::default();
        if let Some(engine) = &self.0 {
            let found = engine.search_whole(whole).found;
            engine.write(whole, &found, &mut tally);
        }
        tally.total()
    }

    /// A scrubbed copy of a whole value; `None` where there is nothing to scrub.
    pub fn scrubbed(&self, whole: &[u8], tally: &mut Tally) -> Option<Vec<u8>> {
        self.copy(whole, false, tally)
    }

    /// The same where letters may have lost their case, as in names of headers.
    pub fn scrubbed_in_any_case(&self, whole: &[u8], tally: &mut Tally) -> Option<Vec<u8>> {
        self.copy(whole, true, tally)
    }

    /// Begins a stream.
    pub fn stream(&self) -> Stream {
        Stream::new(self.0.clone())
    }

    fn copy(&self, whole: &[u8], any_case: bool, tally: &mut Tally) -> Option<Vec<u8>> {
        let engine = self.0.as_ref()?;
        let found = engine.search(whole, Mode::Ended, any_case).found;
        if found.is_empty() {
            return None;
        }
        let mut copy = whole.to_vec();
        engine.write(&mut copy, &found, tally);
        Some(copy)
    }
}

impl fmt::Debug for Scrubber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Scrubber({} needles)", self.0.as_ref().map_or(0, |engine| engine.needles()))
    }
}
