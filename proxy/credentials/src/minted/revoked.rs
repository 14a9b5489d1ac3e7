//! Stubs that were called back: a file with an id and a time a line.
//!
//! The command appends to it, the appliance reads it on each reload. The time, in seconds since 1970, is the end of the
//! stub, after which its line means nothing and may go. A list that was never read revokes all (law 5): nobody
//! knows then what it would have named. A list that can't be read any more stays as it was.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::fs::{File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use arc_swap::ArcSwapOption;

use super::StubId;
use crate::key_file::{make_folder, open_or_make};

/// Longest list that is read, in bytes: some 700,000 stubs.
const LONGEST_BYTES: u64 = 20 << 20;

/// Why a list can't be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RevokedError {
    /// The system failed.
    #[error("{}: {error}", path.display())]
    Io {
        /// At which file.
        path: PathBuf,
        /// How.
        error: io::Error,
    },
    /// A line is something else.
    #[error("{}: line {line} is no revocation; an id of 16 hexadecimal digits and a time in seconds are expected", path.display())]
    Malformed {
        /// Which file.
        path: PathBuf,
        /// Which line, from 1.
        line: usize,
    },
    /// It is longer than what is read.
    #[error("{}: is longer than 20 MiB", .0.display())]
    TooLong(PathBuf),
}

type List = HashMap<StubId, u64>;

/// The list in force.
pub struct Revoked {
    path: PathBuf,
    list: ArcSwapOption<List>,
}

impl Revoked {
    /// Reads nothing yet: until [`Revoked::reload`] did, every stub counts as revoked.
    pub fn new(path: PathBuf) -> Self {
        Revoked { path, list: ArcSwapOption::empty() }
    }

    /// The file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Reads the list again; whether it is another one now.
    ///
    /// # Errors
    /// Where it can't be read; the one of before stays in force.
    pub fn reload(&self) -> Result<bool, RevokedError> {
        let list = read(&self.path)?;
        if list.is_none() && !self.is_empty() {
            // Whoever is on it would be let in again.
            let error = io::Error::new(io::ErrorKind::NotFound, "it was there before");
            return Err(RevokedError::Io { path: self.path.clone(), error });
        }
        let list = list.unwrap_or_default();
        let is_new = self.list.load().as_deref() != Some(&list);
        if is_new {
            self.list.store(Some(list.into()));
        }
        Ok(is_new)
    }

    /// Whether a stub was called back.
    pub fn holds(&self, id: StubId) -> bool {
        self.list.load().as_ref().is_none_or(|list| list.contains_key(&id))
    }

    /// How many are on the list.
    pub fn len(&self) -> usize {
        self.list.load().as_ref().map_or(0, |list| list.len())
    }

    /// Whether none is.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// Calls a stub back, until `end`; lines whose time has passed go. Whether it was not called back before.
///
/// # Errors
/// Where the list can't be read or written.
pub fn revoke(path: &Path, id: StubId, end: SystemTime, now: SystemTime) -> Result<bool, RevokedError> {
    let failed = |error| RevokedError::Io { path: path.to_owned(), error };
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    make_folder(folder).map_err(failed)?;
    // Whoever appends or prunes holds the folder, so that no line is lost in between.
    let held = File::open(folder).map_err(failed)?;
    rustix::fs::flock(&held, rustix::fs::FlockOperation::LockExclusive).map_err(|error| failed(error.into()))?;
    let mut list = read(path)?.unwrap_or_default();
    let is_new = !list.contains_key(&id);
    let before = list.len();
    list.retain(|_, end| *end > seconds(now));
    // A line that somebody wrote by hand may lack its end.
    let is_whole = std::fs::read(path).map_or(true, |text| text.last().is_none_or(|last| *last == b'\n'));
    if list.len() < before || !is_whole {
        list.insert(id, seconds(end));
        replace(path, &list).map_err(failed)?;
    } else if is_new {
        append(path, format!("{id} {}\n", seconds(end)).as_bytes()).map_err(failed)?;
    }
    held.sync_all().map_err(failed)?;
    Ok(is_new)
}

fn append(path: &Path, line: &[u8]) -> io::Result<()> {
    let mut file = open_or_make(path, OpenOptions::new().append(true))?;
    file.write_all(line)?;
    file.sync_all()
}

fn replace(path: &Path, list: &List) -> io::Result<()> {
    let mut lines: Vec<(&StubId, &u64)> = list.iter().collect();
    lines.sort_unstable();
    let mut text = String::with_capacity(lines.len() * 30);
    for (id, end) in lines {
        // Writing to a String can't fail.
        let _ = writeln!(text, "{id} {end}");
    }
    let new = path.with_extension("new");
    // What an earlier one left when it was ended half-way.
    let _ = std::fs::remove_file(&new);
    append(&new, text.as_bytes())?;
    std::fs::rename(new, path)
}

/// What the file says; nothing where there is none.
fn read(path: &Path) -> Result<Option<List>, RevokedError> {
    let failed = |error| RevokedError::Io { path: path.to_owned(), error };
    let file = match File::open(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        other => other.map_err(failed)?,
    };
    let mut text = String::new();
    file.take(LONGEST_BYTES + 1).read_to_string(&mut text).map_err(failed)?;
    if text.len() as u64 > LONGEST_BYTES {
        return Err(RevokedError::TooLong(path.to_owned()));
    }
    let mut list = List::new();
    for (at, line) in text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty()) {
        let read = line.split_once(' ').and_then(|(id, end)| Some((id.parse().ok()?, end.trim().parse().ok()?)));
        let (id, end) = read.ok_or_else(|| RevokedError::Malformed { path: path.to_owned(), line: at + 1 })?;
        list.insert(id, end);
    }
    Ok(Some(list))
}

fn seconds(time: SystemTime) -> u64 {
    time.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn at(seconds: u64) -> SystemTime {
        UNIX_EPOCH + Duration::from_secs(seconds)
    }

    #[test]
    fn a_stub_is_revoked_until_its_end_and_then_its_line_goes() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("stubs/revoked");
        let revoked = Revoked::new(path.clone());
        assert!(revoked.holds(StubId(1)), "nothing is known yet");
        assert!(revoked.reload().unwrap());
        assert!(!revoked.holds(StubId(1)));
        assert!(!revoked.reload().unwrap(), "nothing is new");
        assert!(revoke(&path, StubId(1), at(100), at(10)).unwrap());
        assert!(!revoke(&path, StubId(1), at(100), at(10)).unwrap(), "twice");
        assert!(revoke(&path, StubId(2), at(300), at(20)).unwrap());
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "0000000000000001 100\n0000000000000002 300\n");
        assert!(revoked.reload().unwrap());
        assert!(revoked.holds(StubId(1)) && revoked.holds(StubId(2)) && !revoked.holds(StubId(3)));
        assert!(revoke(&path, StubId(3), at(400), at(200)).unwrap());
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "0000000000000002 300\n0000000000000003 400\n");
    }

    #[test]
    fn a_list_that_goes_away_stays_in_force() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("revoked");
        let revoked = Revoked::new(path.clone());
        std::fs::write(&path, "0000000000000001 100\n").unwrap();
        assert!(revoked.reload().unwrap());
        std::fs::remove_file(&path).unwrap();
        assert!(revoked.reload().unwrap_err().to_string().contains("it was there before"));
        assert!(revoked.holds(StubId(1)));
        std::fs::write(&path, "").unwrap();
        assert!(revoked.reload().unwrap(), "an empty one is what somebody wrote");
        assert!(!revoked.holds(StubId(1)));
    }

    #[test]
    fn no_link_is_followed_when_a_stub_is_called_back() {
        let folder = tempfile::tempdir().unwrap();
        let (path, elsewhere) = (folder.path().join("revoked"), folder.path().join("elsewhere"));
        std::os::unix::fs::symlink(&elsewhere, &path).unwrap();
        assert!(revoke(&path, StubId(1), at(100), at(10)).is_err());
        assert!(!elsewhere.exists());
    }

    #[test]
    fn a_list_that_breaks_stays_as_it_was() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("revoked");
        let revoked = Revoked::new(path.clone());
        std::fs::write(&path, "0000000000000001 100\nnonsense\n").unwrap();
        assert!(matches!(revoked.reload(), Err(RevokedError::Malformed { line: 2, .. })));
        assert!(revoked.holds(StubId(7)), "never read: all are revoked");
        std::fs::write(&path, "0000000000000001 100\n").unwrap();
        assert!(revoked.reload().unwrap());
        std::fs::write(&path, "0000000000000001").unwrap();
        assert!(revoked.reload().is_err());
        assert!(revoked.holds(StubId(1)) && !revoked.holds(StubId(7)));
        assert!(revoke(&path, StubId(2), at(5), at(1)).is_err(), "what is broken is not written over");
    }
}
