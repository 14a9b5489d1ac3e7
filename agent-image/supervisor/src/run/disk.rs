//! Disks that are full: nothing here fails of them, but the client does, in ways that tell nothing.

use std::path::Path;
use std::time::Duration;

use tokio::time::{MissedTickBehavior, interval};
use tracing::{info, warn};

use crate::agent::Place;
use crate::state::State;

/// Bytes that must be free: room for a session's record and a login. Of a small disk a twentieth.
const LEAST: u64 = 16 * 1024 * 1024;

/// What a file system has left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Left {
    bytes: u64,
    of: u64,
    /// `None` where files are not counted.
    files: Option<u64>,
}

/// Looks at them so often, and says what is full. Ends only with its task.
pub(crate) async fn watch(place: Place, state: State, every: Duration) {
    let mut look = interval(every);
    look.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        look.tick().await;
        let full = full(&place);
        let is_news = state.facts().disk.is_some() != full.is_some();
        match &full {
            Some(full) if is_news => warn!(full, "a disk is full"),
            None if is_news => info!("no disk is full any more"),
            _ => {}
        }
        state.change(|facts| facts.disk = full);
    }
}

/// What is full, in words; `None` if nothing is.
fn full(place: &Place) -> Option<String> {
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
    let bytes = |blocks: u64| blocks.saturating_mul(found.f_frsize);
    Some(Left { bytes: bytes(found.f_bavail), of: bytes(found.f_blocks), files })
}

fn word(name: &str, left: Left) -> Option<String> {
    match left {
        Left { files: Some(0), .. } => Some(format!("{name}: no file can be made any more")),
        Left { bytes, of, .. } if bytes < LEAST.min(of / 20) => Some(format!("{name}: {} KiB are left", bytes / 1024)),
        Left { .. } => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tells_of_what_is_full() {
        let mib = 1024 * 1024;
        let said = |bytes, of, files| word("home", Left { bytes, of, files });
        assert_eq!(said(16 * mib, 1024 * mib, Some(1)), None);
        assert_eq!(said(16 * mib, 1024 * mib, None), None);
        assert_eq!(said(15 * mib, 1024 * mib, Some(1)).as_deref(), Some("home: 15360 KiB are left"));
        assert_eq!(said(16 * mib, 1024 * mib, Some(0)).as_deref(), Some("home: no file can be made any more"));
        assert_eq!(said(mib, mib, None), None, "a small one");
        assert_eq!(said(0, mib, None).as_deref(), Some("home: 0 KiB are left"));
    }

    #[test]
    fn a_folder_that_is_not_there_or_has_no_disk_is_not_full() {
        assert_eq!(left(Path::new("/nonexistent/folder")), None);
        assert_eq!(left(Path::new("/proc")).and_then(|left| word("proc", left)), None);
    }
}
