//! `stubs`: the key that stubs are minted with, and the list of those that were called back.

use std::path::{Path, PathBuf};

use super::reader::{Map, Reader};

pub(super) const KEYS: &[&str] = &["key_file", "revoked_file"];

/// Where what minted stubs need is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stubs {
    /// The key. Default `stub.key` in `state_dir`.
    pub key_file: PathBuf,
    /// Whether the operator named the key, who then makes it too: for several replicas.
    pub has_own_key: bool,
    /// Stubs that were called back. Default `stubs/revoked` in `state_dir`: a folder of its own, which is watched.
    pub revoked_file: PathBuf,
}

impl Stubs {
    pub(super) fn read(reader: &mut Reader<'_>, section: Map<'_>, state_dir: &Path) -> Self {
        let mut path = |key: &str| section.get(key).and_then(|node| reader.path(node));
        let key = path("key_file");
        Stubs {
            has_own_key: key.is_some(),
            key_file: key.unwrap_or_else(|| state_dir.join("stub.key")),
            revoked_file: path("revoked_file").unwrap_or_else(|| state_dir.join("stubs/revoked")),
        }
    }
}
