//! From needles to an engine.

use std::sync::Arc;

use zeroize::Zeroizing;

use crate::engine::{Engine, Mode, wiped};
use crate::filter::Filter;
use crate::tail::Shape;
use crate::trie::{Place, Trie};
use crate::{SHORTEST, Scrubber};

/// Bytes of all needles together.
const LONGEST_ARENA: usize = 256 * 1024 * 1024;
/// What is written instead of a replacement that holds a needle itself.
const FILLERS: [u8; 4] = [b'*', b'-', b'x', b'0'];

/// Gathers needles.
#[derive(Default)]
pub struct Builder {
    owners: Vec<Arc<str>>,
    needles: Vec<Draft>,
}

struct Draft {
    owner: Arc<str>,
    letters: Letters,
    needle: Zeroizing<Vec<u8>>,
    replacement: Vec<u8>,
}

/// Whom a needle belongs to.
#[derive(Clone, Copy, Debug)]
pub struct Owner(usize);

/// Whether the case of letters matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Letters {
    /// It does.
    Exact,
    /// It does not, as in hexadecimal digits.
    AnyCase,
}

/// Why a needle was not taken. The caller is at fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NeedleError {
    /// Shorter than [`SHORTEST`].
    TooShort,
    /// The replacement has another length.
    Length,
    /// More than 256 MiB of needles.
    TooMany,
}

impl std::fmt::Display for NeedleError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            NeedleError::TooShort => "the needle is shorter than 8 bytes",
            NeedleError::Length => "the replacement is not as long as the needle",
            NeedleError::TooMany => "there are too many needles",
        })
    }
}

impl std::error::Error for NeedleError {}

impl Builder {
    /// Names an owner, for counts.
    pub fn owner(&mut self, name: Arc<str>) -> Owner {
        self.owners.push(name);
        Owner(self.owners.len() - 1)
    }

    /// Adds a needle. Each of its bytes is found as it is, percent-escaped (`%2F`), or as JSON escapes it (`\u002f`, `\/`,
    /// `\"`, `\\`), in any mixture. In a match, each byte is replaced by that of the same place of `replacement`, escaped
    /// alike; what stands as one of the two-byte escapes becomes `\/`.
    ///
    /// Needles that were added earlier win over equal ones. Where a replacement holds a needle itself, `*` is written
    /// instead of it.
    ///
    /// # Errors
    /// Where the needle is too short or the replacement has another length.
    pub fn needle(
        &mut self,
        owner: Owner,
        letters: Letters,
        needle: Zeroizing<Vec<u8>>,
        replacement: Vec<u8>,
    ) -> Result<(), NeedleError> {
        if needle.len() < SHORTEST {
            return Err(NeedleError::TooShort);
        }
        if needle.len() != replacement.len() {
            return Err(NeedleError::Length);
        }
        let before: usize = self.needles.iter().map(|draft| draft.needle.len()).sum();
        if before + needle.len() > LONGEST_ARENA {
            return Err(NeedleError::TooMany);
        }
        let owner = self.owners.get(owner.0).cloned().unwrap_or_default();
        self.needles.push(Draft { owner, letters, needle, replacement });
        Ok(())
    }

    /// Makes the tables.
    pub fn build(self) -> Scrubber {
        if self.needles.is_empty() {
            return Scrubber::none();
        }
        let mut engine = self.engine();
        // A replacement must not be a match itself.
        for needle in 0..u32::try_from(engine.needles()).unwrap_or(u32::MAX) {
            let is_clean = |text: &[u8]| engine.search(text, Mode::Ended, true).found.is_empty();
            if is_clean(engine.replacement(needle)) {
                continue;
            }
            let length = engine.replacement(needle).len();
            let filler = FILLERS.into_iter().chain(b'!'..=b'~').find(|filler| is_clean(&vec![*filler; length]));
            if let Some(place) = engine.places.get(needle as usize).copied() {
                let start = place.start as usize;
                if let Some(replacement) = engine.replacements.get_mut(start..start + length) {
                    replacement.fill(filler.unwrap_or(0));
                }
            }
        }
        Scrubber(Some(Arc::new(engine)))
    }

    fn engine(self) -> Engine {
        let total = self.needles.iter().map(|draft| draft.needle.len()).sum();
        // Of the exact size: one that grows would leave copies behind.
        let mut arena = wiped(total);
        let mut replacements = Vec::with_capacity(total);
        let mut places = Vec::with_capacity(self.needles.len());
        for draft in &self.needles {
            let start = arena.len();
            match draft.letters {
                Letters::Exact => arena.extend_from_slice(&draft.needle),
                Letters::AnyCase => arena.extend(draft.needle.iter().map(u8::to_ascii_lowercase)),
            }
            replacements.extend_from_slice(&draft.replacement);
            let small = |number: usize| u32::try_from(number).unwrap_or(u32::MAX);
            places.push(Place { start: small(start), length: small(draft.needle.len()) });
        }
        let named = |letters: Letters| {
            let of = self.needles.iter().zip(0..).filter(move |(draft, _)| draft.letters == letters);
            of.map(|(_, needle)| needle).collect::<Vec<u32>>()
        };
        let exact = Trie::new(&arena, &places, named(Letters::Exact));
        let folded = Trie::new(&arena, &places, named(Letters::AnyCase));
        let filter = Filter::new(self.needles.iter().map(|draft| draft.needle.as_slice()));
        let shape = Shape::new(self.needles.iter().map(|draft| draft.needle.as_slice()));
        let is_folded = self.needles.iter().map(|draft| draft.letters == Letters::AnyCase).collect();
        let owners = self.needles.iter().map(|draft| Arc::clone(&draft.owner)).collect();
        Engine { arena, places, replacements, owners, exact, folded, is_folded, filter, shape }
    }
}
