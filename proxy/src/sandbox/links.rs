//! Which links lead to a file, and what of a path its user could exchange for something else.

use std::collections::VecDeque;
use std::ffi::{OsStr, OsString};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use rustix::fs::{Access, access};

/// Of a folder's mode: only its owner and that of an entry may rename or remove the entry.
const STICKY: u32 = 0o1000;

/// Every link that a path goes through, as it is written: at most as many as the kernel follows.
pub(super) fn links(path: &Path) -> Vec<PathBuf> {
    const MOST: usize = 40;
    let mut found = Vec::new();
    let mut at = PathBuf::from("/");
    let mut left: VecDeque<OsString> =
        std::path::absolute(path).unwrap_or_else(|_| path.to_owned()).iter().map(OsStr::to_owned).collect();
    while let Some(name) = left.pop_front().filter(|_| found.len() < MOST) {
        if name == "/" {
            at = PathBuf::from("/");
        } else if name == ".." {
            at.pop();
        } else if name != "." {
            let next = at.join(&name);
            match std::fs::read_link(&next) {
                Ok(target) => {
                    found.push(next);
                    for part in target.iter().collect::<Vec<_>>().into_iter().rev() {
                        left.push_front(part.to_owned());
                    }
                }
                Err(_) => at = next,
            }
        }
    }
    found
}

/// Whether this user can put something else in the place of a link: of itself, or of a folder above it.
pub(super) fn can_be_exchanged(link: &Path) -> bool {
    link.ancestors().any(|part| part.parent().is_some_and(|folder| can_rename(folder, part)))
}

fn can_rename(folder: &Path, part: &Path) -> bool {
    let user = rustix::process::geteuid().as_raw();
    let is_own = |found: &std::fs::Metadata| found.uid() == user;
    let is_kept = folder.metadata().is_ok_and(|found| found.mode() & STICKY != 0 && !is_own(&found))
        && part.symlink_metadata().is_ok_and(|found| !is_own(&found));
    is_changeable(folder) && !is_kept
}

/// Whether this user can make and remove what is in a folder, or could after a change of its mode.
pub(super) fn is_changeable(folder: &Path) -> bool {
    let is_own = |found: std::fs::Metadata| found.uid() == rustix::process::geteuid().as_raw();
    access(folder, Access::WRITE_OK).is_ok() || folder.metadata().is_ok_and(is_own)
}
