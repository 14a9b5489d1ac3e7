//! The newest file of a folder, line by line, as it grows. The folder belongs to the agent: what is no regular file is not opened,
//! nothing blocks, and neither a long line nor a long file costs more than its bound.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom};
use std::os::unix::fs::OpenOptionsExt;
use std::path::PathBuf;
use std::time::SystemTime;

/// Bytes of a line at most; longer ones are skipped. Read, a line may take thirty times its length for a moment (`[0,0,0,…`).
pub(super) const LONGEST: usize = 256 * 1024;
/// Bytes read in one poll at most.
pub(super) const MOST: usize = 1024 * 1024;
/// Files of a folder that are looked at.
const FILES: usize = 10_000;

/// Follows the newest file.
#[derive(Debug)]
pub(super) struct Tail {
    folder: PathBuf,
    /// Of files that are not followed now: how far they were read, or how long they were when it began.
    known: BTreeMap<OsString, u64>,
    current: Option<Current>,
    too_long: u64,
}

#[derive(Debug)]
struct Current {
    name: OsString,
    offset: u64,
    /// The beginning of a line whose end has not come yet.
    line: Vec<u8>,
    /// Whether the line under way is one to skip.
    skips: bool,
}

impl Tail {
    /// Whatever is there already is taken as read.
    pub(super) fn new(folder: PathBuf) -> Self {
        let mut tail = Tail { folder, known: BTreeMap::new(), current: None, too_long: 0 };
        let files = tail.files();
        tail.known = files.into_iter().map(|(_, name, length)| (name, length)).collect();
        tail
    }

    /// Lines that were too long.
    pub(super) fn too_long(&self) -> u64 {
        self.too_long
    }

    /// Gives every line that was completed since, without its end.
    pub(super) fn poll(&mut self, mut each: impl FnMut(&[u8])) {
        let mut left = MOST;
        self.read_on(&mut left, &mut each);
        let files = self.files();
        let Some((_, newest, _)) = files.iter().max().cloned() else { return };
        if left == 0 || self.current.as_ref().is_some_and(|current| current.name == newest) {
            return;
        }
        let offset = self.known.remove(&newest).unwrap_or(0);
        let next = Current { name: newest, offset, line: Vec::new(), skips: false };
        if let Some(last) = self.current.replace(next) {
            // Half a line there is read again if the file is ever the newest again.
            let read = last.offset.saturating_sub(u64::try_from(last.line.len()).unwrap_or(0));
            self.known.insert(last.name, read);
            // Names are the agent's to make: of those that are gone none is kept.
            let there: BTreeSet<&OsString> = files.iter().map(|(_, name, _)| name).collect();
            self.known.retain(|name, _| there.contains(name));
        }
        self.read_on(&mut left, &mut each);
    }

    /// By age: when each was written, its name and length.
    fn files(&self) -> Vec<(SystemTime, OsString, u64)> {
        let Ok(entries) = fs::read_dir(&self.folder) else { return Vec::new() };
        let files = entries.flatten().take(FILES).filter(|entry| {
            let name = entry.file_name();
            name.as_encoded_bytes().ends_with(b".jsonl") && entry.file_type().is_ok_and(|kind| kind.is_file())
        });
        let stated = files.filter_map(|entry| {
            let metadata = entry.metadata().ok()?;
            Some((metadata.modified().ok()?, entry.file_name(), metadata.len()))
        });
        stated.collect()
    }

    fn read_on(&mut self, left: &mut usize, each: &mut impl FnMut(&[u8])) {
        let Some(current) = &mut self.current else { return };
        // A file that can't be read now may be readable at the next poll.
        let _ = current.read_on(&self.folder, left, &mut self.too_long, each);
    }
}

impl Current {
    fn read_on(
        &mut self,
        folder: &std::path::Path,
        left: &mut usize,
        too_long: &mut u64,
        each: &mut impl FnMut(&[u8]),
    ) -> io::Result<()> {
        let mut file = open(&folder.join(&self.name))?;
        if file.metadata()?.len() < self.offset {
            // Written anew.
            (self.offset, self.skips) = (0, false);
            self.line = Vec::new();
        }
        file.seek(SeekFrom::Start(self.offset))?;
        let mut buffer = vec![0; 64 * 1024];
        while *left > 0 {
            let most = buffer.len().min(*left);
            let length = file.read(buffer.get_mut(..most).unwrap_or_default())?;
            if length == 0 {
                break;
            }
            *left -= length;
            self.offset += u64::try_from(length).unwrap_or(0);
            self.take(buffer.get(..length).unwrap_or_default(), too_long, each);
        }
        Ok(())
    }

    fn take(&mut self, bytes: &[u8], too_long: &mut u64, each: &mut impl FnMut(&[u8])) {
        for part in bytes.split_inclusive(|&byte| byte == b'\n') {
            let (part, is_end) = part.strip_suffix(b"\n").map_or((part, false), |part| (part, true));
            if !self.skips && self.line.len() + part.len() > LONGEST {
                self.skips = true;
                self.line = Vec::new();
                *too_long += 1;
            }
            if !self.skips {
                self.line.extend_from_slice(part);
            }
            if is_end {
                if !self.skips && !self.line.is_empty() {
                    each(&self.line);
                }
                self.skips = false;
                // A long one's memory is not kept.
                self.line = Vec::new();
            }
        }
    }
}

/// A regular file and nothing else; a pipe of that name would otherwise wait for ever.
fn open(path: &std::path::Path) -> io::Result<File> {
    let flags = libc::O_NONBLOCK | libc::O_NOFOLLOW | libc::O_CLOEXEC;
    let file = OpenOptions::new().read(true).custom_flags(flags).open(path)?;
    if file.metadata()?.is_file() { Ok(file) } else { Err(io::ErrorKind::InvalidInput.into()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_that_are_gone_are_forgotten() {
        let folder = tempfile::tempdir().unwrap();
        let mut tail = Tail::new(folder.path().to_owned());
        let mut lines = 0;
        for number in 0..50 {
            let path = folder.path().join(format!("{number}.jsonl"));
            fs::write(&path, "a line\n").unwrap();
            tail.poll(|_| lines += 1);
            fs::remove_file(&path).unwrap();
        }
        assert_eq!(lines, 50);
        assert!(tail.known.len() <= 1, "{:?}", tail.known);
    }
}
