//! The key that stubs are minted with. Several replicas share one: they then take each other's stubs.

use std::path::Path;

use aws_lc_rs::hmac;

use crate::key_file::{self, KeyError};

/// Makes and recognises minted stubs. Has no `Debug`, and can't be written out.
pub struct StubKey {
    pub(super) tags: hmac::Key,
    pub(super) streams: hmac::Key,
}

impl StubKey {
    /// From its 32 bytes.
    pub fn new(bytes: &[u8; 32]) -> Self {
        let root = hmac::Key::new(hmac::HMAC_SHA256, bytes);
        let derived = |label: &[u8]| hmac::Key::new(hmac::HMAC_SHA256, hmac::sign(&root, label).as_ref());
        StubKey { tags: derived(b"stubgate minted stubs: tags"), streams: derived(b"stubgate minted stubs: streams") }
    }

    /// Reads the key in a file.
    ///
    /// # Errors
    /// Where there is none, or it can't be trusted.
    pub fn load(path: &Path) -> Result<Self, KeyError> {
        Ok(StubKey::new(&*key_file::load(path)?))
    }

    /// Reads the key in a file, or makes one there.
    ///
    /// # Errors
    /// As [`StubKey::load`], and where it can't be written.
    pub fn load_or_create(path: &Path) -> Result<Self, KeyError> {
        Ok(StubKey::new(&*key_file::load_or_create(path)?))
    }
}
