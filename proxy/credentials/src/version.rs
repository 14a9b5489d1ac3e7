//! Which value of a credential it was: a keyed hash, for records, so that two uses can be told to be of one value, and a
//! rotation can be seen, without a byte of the value.
//!
//! The first 64 bits of HMAC-SHA-256 under a key that stays in the state folder: who has records alone can't try guesses,
//! and can't compare values with those of another appliance. It is made once, when a value comes into the store, and never
//! per request.

use std::fmt;
use std::path::Path;

use aws_lc_rs::hmac;

use crate::key_file::{self, KeyError};
use crate::secret::Secret;

/// Names one value of a credential. Shown as 16 hexadecimal digits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Version(u64);

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

impl Version {
    /// The version that a record names.
    pub fn parse(text: &str) -> Option<Self> {
        let is_hex = text.len() == 16 && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
        u64::from_str_radix(text, 16).ok().filter(|_| is_hex).map(Version)
    }
}

impl From<u64> for Version {
    fn from(number: u64) -> Self {
        Version(number)
    }
}

/// What versions are made with. Has no `Debug`, and can't be written out.
pub struct VersionKey(hmac::Key);

impl VersionKey {
    /// From its 32 bytes.
    pub fn new(bytes: &[u8; 32]) -> Self {
        VersionKey(hmac::Key::new(hmac::HMAC_SHA256, bytes))
    }

    /// Reads the key in a file.
    ///
    /// # Errors
    /// Where there is none, or it can't be trusted.
    pub fn load(path: &Path) -> Result<Self, KeyError> {
        Ok(VersionKey::new(&*key_file::load(path)?))
    }

    /// Reads the key in a file, or makes one there.
    ///
    /// # Errors
    /// Where it can't be made, read or trusted.
    pub fn load_or_create(path: &Path) -> Result<Self, KeyError> {
        Ok(VersionKey::new(&*key_file::load_or_create(path)?))
    }

    /// One that nobody keeps: versions are then those of this process alone.
    ///
    /// # Errors
    /// Where the system has no randomness.
    pub fn random() -> Result<Self, KeyError> {
        Ok(VersionKey::new(&*key_file::random()?))
    }

    /// Which value this is.
    pub fn version(&self, secret: &Secret) -> Version {
        let hash = hmac::sign(&self.0, secret.reveal());
        // A hash has 32 bytes.
        Version(hash.as_ref().first_chunk().copied().map_or(0, u64::from_be_bytes))
    }
}

#[cfg(test)]
mod tests {
    use zeroize::Zeroizing;

    use super::*;

    fn version(key: u8, value: &str) -> String {
        let secret = Secret::new(Zeroizing::new(value.into())).ok().unwrap();
        VersionKey::new(&[key; 32]).version(&secret).to_string()
    }

    #[test]
    fn a_version_is_the_beginning_of_the_hash_that_any_other_tool_makes() {
        // printf ghp_real_value | openssl dgst -sha256 -mac HMAC -macopt hexkey:0b0b…
        assert_eq!(version(0x0b, "ghp_real_value"), "ed58d9b2aca21a14");
        assert_eq!(version(0x0b, "ghp_real_value\n"), "ed58d9b2aca21a14", "a line break at the end is no part of it");
    }

    #[test]
    fn another_value_and_another_key_have_another_version() {
        let versions = [version(1, "value-1-of-one"), version(1, "value-2-of-one"), version(2, "value-1-of-one")];
        assert!(versions.iter().all(|one| versions.iter().filter(|other| one == *other).count() == 1));
        assert!(versions.iter().all(|one| one.len() == 16));
    }

    #[test]
    fn a_version_is_read_as_it_is_shown() {
        for number in [0, 1, u64::MAX] {
            assert_eq!(Version::parse(&Version(number).to_string()), Some(Version(number)));
        }
        for bad in ["", "0", "+000000000000001", "000000000000000G", "000000000000000A", "00000000000000001"] {
            assert_eq!(Version::parse(bad), None, "{bad}");
        }
    }
}
