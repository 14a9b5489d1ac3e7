//! Sealing of what lies in a store: AES-256-GCM with a random nonce, bound to where it lies.
//!
//! The name of the login, the number of its revision and of its generation are authenticated with the state, so that a row
//! is good in its own place only: one that is copied over another, or whose numbers are turned back, does not open. What
//! can't be seen from a row alone, a whole row of before put back, is seen by whoever remembers the last revision
//! ([`Shelf`](super::shelf::Shelf)).

use aws_lc_rs::aead::{AES_256_GCM, Aad, NONCE_LEN, Nonce, RandomizedNonceKey};
use zeroize::Zeroizing;

/// Bytes of a key.
pub(crate) const KEY_BYTES: usize = 32;
/// How sealed bytes are laid out: this, the nonce, the ciphertext with its tag.
const LAYOUT: u8 = 1;

/// The key that states are sealed with. There is no way to see it.
pub struct SealingKey(RandomizedNonceKey);

/// Where a state lies.
#[derive(Clone, Copy)]
pub(crate) struct Place<'p> {
    pub(crate) name: &'p str,
    pub(crate) revision: u64,
    pub(crate) generation: u64,
}

impl SealingKey {
    /// None where the system's cryptography does not take it.
    pub(crate) fn new(bytes: &Zeroizing<[u8; KEY_BYTES]>) -> Option<Self> {
        RandomizedNonceKey::new(&AES_256_GCM, bytes.as_slice()).ok().map(Self)
    }

    /// None where there is no randomness.
    pub(crate) fn seal(&self, place: Place<'_>, mut state: Zeroizing<Vec<u8>>) -> Option<Vec<u8>> {
        // The tag is appended in place; growing would leave a copy behind.
        let mut room = Zeroizing::new(Vec::with_capacity(state.len() + AES_256_GCM.tag_len()));
        room.append(&mut state);
        let nonce = self.0.seal_in_place_append_tag(Aad::from(place.bytes()), &mut *room).ok()?;
        let mut sealed = vec![LAYOUT];
        sealed.extend_from_slice(nonce.as_ref());
        sealed.extend_from_slice(&room);
        Some(sealed)
    }

    /// None where it was sealed with another key or for another place, or is not what was sealed.
    pub(crate) fn open(&self, place: Place<'_>, sealed: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
        let (layout, rest) = sealed.split_first()?;
        let (nonce, rest) = rest.split_first_chunk::<NONCE_LEN>()?;
        if *layout != LAYOUT {
            return None;
        }
        let mut state = Zeroizing::new(rest.to_vec());
        let nonce = Nonce::assume_unique_for_key(*nonce);
        let length = self.0.open_in_place(nonce, Aad::from(place.bytes()), &mut state).ok()?.len();
        state.truncate(length);
        Some(state)
    }
}

impl Place<'_> {
    fn bytes(&self) -> Vec<u8> {
        let mut bytes = b"stubgate escrow 1\0".to_vec();
        bytes.extend_from_slice(&self.revision.to_be_bytes());
        bytes.extend_from_slice(&self.generation.to_be_bytes());
        bytes.extend_from_slice(self.name.as_bytes());
        bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HERE: Place<'_> = Place { name: "claude", revision: 4, generation: 2 };

    fn key(byte: u8) -> SealingKey {
        SealingKey::new(&Zeroizing::new([byte; KEY_BYTES])).unwrap()
    }

    fn sealed() -> Vec<u8> {
        key(1).seal(HERE, Zeroizing::new(b"refresh-token".to_vec())).unwrap()
    }

    #[test]
    fn what_is_sealed_opens_in_its_place_with_its_key_alone() {
        assert_eq!(**key(1).open(HERE, &sealed()).unwrap(), *b"refresh-token");
        assert!(key(2).open(HERE, &sealed()).is_none());
        for elsewhere in [
            Place { name: "codex", ..HERE },
            Place { name: "claud", ..HERE },
            Place { revision: 3, ..HERE },
            Place { generation: 1, ..HERE },
        ] {
            assert!(key(1).open(elsewhere, &sealed()).is_none());
        }
    }

    #[test]
    fn a_changed_bit_or_a_missing_byte_does_not_open() {
        let whole = sealed();
        for at in 0..whole.len() {
            let mut changed = whole.clone();
            changed[at] ^= 1;
            assert!(key(1).open(HERE, &changed).is_none(), "{at}");
            assert!(key(1).open(HERE, &whole[..at]).is_none(), "{at}");
        }
    }

    #[test]
    fn nothing_of_the_state_is_seen_and_no_two_sealings_are_the_same() {
        assert!(!sealed().windows(7).any(|part| part == b"refresh"));
        assert_ne!(sealed(), sealed());
    }
}
