//! A file, read whole or not at all: bounded, only a regular one, and again later if it was written to meanwhile (CR-19).
//!
//! Reading may hang where a file system does. Then one thread hangs, however often the file is asked for.

use std::fs::Metadata;
use std::io::Read as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use stubgate_policy::Source;
use zeroize::Zeroizing;

use super::{Given, SourceError, json_key};
use crate::fetch::{Fetch, Fetching};

/// The most that is read of a file, and one byte that shows there is more: JSON has room for other keys beside the secret's.
const BUFFER_BYTES: usize = json_key::DOCUMENT_MAXIMUM_BYTES + 1;

/// How often a file that changes while it is read is read again.
const AGAIN: usize = 3;

/// A file as a source.
pub(crate) struct File {
    path: Arc<Path>,
    json_key: Option<Box<str>>,
    is_busy: Arc<AtomicBool>,
}

impl File {
    pub(crate) fn new(path: &Path, json_key: Option<&str>) -> Self {
        File { path: path.into(), json_key: json_key.map(Box::from), is_busy: Arc::default() }
    }

    pub(crate) async fn given(&self) -> Result<Given, SourceError> {
        if self.is_busy.swap(true, Ordering::AcqRel) {
            return Err(SourceError::Stuck);
        }
        let (path, is_busy) = (Arc::clone(&self.path), Arc::clone(&self.is_busy));
        let reading = tokio::task::spawn_blocking(move || {
            let read = read(&path);
            is_busy.store(false, Ordering::Release);
            read
        });
        let bytes = reading.await.map_err(std::io::Error::other)??;
        Ok(json_key::inside(bytes, self.json_key.as_deref())?.into())
    }
}

impl Fetch for File {
    fn fetch(&self) -> Fetching<'_> {
        Box::pin(async { self.given().await?.fetched() })
    }
}

/// What a file holds, blocking. Read again at once where it changed meanwhile, or another one took its place: who
/// rotates secrets writes for a moment only.
pub(crate) fn read(path: &Path) -> Result<Zeroizing<Vec<u8>>, SourceError> {
    let mut read = read_once(path);
    for _ in 0..AGAIN {
        if !matches!(read, Err(SourceError::Changed)) {
            break;
        }
        read = read_once(path);
    }
    read
}

fn read_once(path: &Path) -> Result<Zeroizing<Vec<u8>>, SourceError> {
    // Asked before opening: opening a pipe would wait for a writer.
    if !std::fs::metadata(path)?.is_file() {
        return Err(SourceError::NotAFile);
    }
    let file = std::fs::File::open(path)?;
    let metadata = file.metadata()?;
    let before = Stamp::of(&metadata);
    // Reserved up front: growing would leave copies in freed memory.
    let room = usize::try_from(metadata.len()).unwrap_or(BUFFER_BYTES).saturating_add(1).min(BUFFER_BYTES);
    let mut bytes = Zeroizing::new(Vec::with_capacity(room.max(64)));
    let limit = u64::try_from(room).unwrap_or(u64::MAX);
    (&file).take(limit).read_to_end(&mut bytes)?;
    if Stamp::of(&file.metadata()?) != before {
        return Err(SourceError::Changed);
    }
    Ok(bytes)
}

/// Whether every user of the machine can read the file of a source: its own mode says so, and no folder above it keeps
/// them out. Behind a symlink this is not asked: Kubernetes mounts secrets that way, readable by all in a container
/// that has one user. What can't be looked at is not exposed; reading it says what is wrong.
pub(crate) fn is_exposed(source: &Source) -> bool {
    let Source::File(path) = source else { return false };
    let mode = |path: &Path| std::fs::symlink_metadata(path).map_or(0, |found| found.mode());
    let is_open_file = std::fs::symlink_metadata(path).is_ok_and(|found| found.is_file() && found.mode() & 0o004 != 0);
    let Ok(real) = path.canonicalize() else { return false };
    is_open_file && real.ancestors().skip(1).all(|folder| mode(folder) & 0o001 != 0)
}

/// What changes when someone writes to a file.
#[derive(PartialEq, Eq)]
struct Stamp {
    length: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

impl Stamp {
    fn of(metadata: &Metadata) -> Self {
        Self {
            length: metadata.len(),
            modified: (metadata.mtime(), metadata.mtime_nsec()),
            changed: (metadata.ctime(), metadata.ctime_nsec()),
        }
    }
}

#[cfg(test)]
mod tests;
