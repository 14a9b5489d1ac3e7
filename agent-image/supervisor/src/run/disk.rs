//! Disks that are full: nothing here fails of them, but the client does, in ways that tell nothing.

use std::path::Path;

use crate::agent::Place;

/// Bytes that must be free.
const LEAST: u64 = 16 * 1024 * 1024;

/// What a file system has left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Left {
    bytes: u64,
    /// `None` where files are not counted.
    files: Option<u64>,
}

/// What is full, in words; `None` if nothing is.
pub(crate) fn full(place: &Place) -> Option<String> {
    let folders =
        [("home", &*place.home), ("workspace", &place.workspace), ("run", &place.run), ("/tmp", Path::new("/tmp"))];
    let full: Vec<String> = folders
        .iter()
        .filter_map(|(name, folder)| Some((name, left(folder)?)))
        .filter_map(|(name, left)| word(name, left))
        .collect();
    (!full.is_empty()).then(|| full.join("; "))
}

fn left(folder: &Path) -> Option<Left> {
    let found = rustix::fs::statvfs(folder).ok()?;
    let files = (found.f_files > 0).then_some(found.f_favail);
    Some(Left { bytes: found.f_bavail.saturating_mul(found.f_frsize), files })
}

fn word(name: &str, left: Left) -> Option<String> {
    match left {
        Left { files: Some(0), .. } => Some(format!("{name}: no file can be made any more")),
        Left { bytes, .. } if bytes < LEAST => Some(format!("{name}: {} MiB free", bytes / 1024 / 1024)),
        Left { .. } => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tells_of_what_is_full() {
        let left = |bytes, files| Left { bytes, files };
        assert_eq!(word("home", left(LEAST, Some(1))), None);
        assert_eq!(word("home", left(LEAST, None)), None);
        assert_eq!(word("home", left(3 * 1024 * 1024, Some(1))).as_deref(), Some("home: 3 MiB free"));
        assert_eq!(word("home", left(LEAST, Some(0))).as_deref(), Some("home: no file can be made any more"));
    }
}
