//! Files are replaced whole or not at all, so that a process which is killed leaves no half of one. And most of them are where the
//! agent can put anything at any moment: nothing here waits for a pipe, and nothing is read beyond what was asked for.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

/// Replaces a file, and makes its folder where it is missing. Whether it changed: what has the right content and mode already is
/// left alone.
///
/// # Errors
///
/// A full disk, a folder that is not ours: the old file is as it was.
pub fn replace(path: &Path, content: &[u8], mode: u32) -> io::Result<bool> {
    let is_same = fs::symlink_metadata(path)
        .is_ok_and(|found| found.is_file() && found.permissions().mode() & 0o7777 == mode)
        && read_bounded(path, content.len() as u64).is_ok_and(|found| found == content);
    if is_same {
        return Ok(false);
    }
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    fs::create_dir_all(folder)?;
    let beside = Beside::new(path);
    let mut file = OpenOptions::new().write(true).create_new(true).mode(mode).open(&beside.0)?;
    file.set_permissions(fs::Permissions::from_mode(mode))?;
    file.write_all(content)?;
    file.sync_all()?;
    fs::rename(&beside.0, path)?;
    File::open(folder)?.sync_all()?;
    Ok(true)
}

/// Gives a file this mode, and whether it had another.
///
/// # Errors
///
/// It is not there, or not ours.
pub fn restrict(path: &Path, mode: u32) -> io::Result<bool> {
    if fs::metadata(path)?.permissions().mode() & 0o7777 == mode {
        return Ok(false);
    }
    fs::set_permissions(path, fs::Permissions::from_mode(mode))?;
    Ok(true)
}

/// Reads a file of so many bytes at most, so that no file of the agent's can fill the memory.
///
/// # Errors
///
/// It can't be read, is no file, or is longer.
pub fn read_bounded(path: &Path, largest: u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    open(path, OpenOptions::new().read(true))?.take(largest.saturating_add(1)).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > largest {
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, format!("longer than {largest} bytes")));
    }
    Ok(bytes)
}

/// Adds to the end of a file, which is made where it is missing.
///
/// # Errors
///
/// It can't be written, or is no file.
pub fn append(path: &Path, bytes: &[u8]) -> io::Result<()> {
    open(path, OpenOptions::new().append(true).create(true).mode(0o600))?.write_all(bytes)
}

/// Opens a file to be locked, which is made where it is missing; what it holds is left alone.
///
/// # Errors
///
/// It can't be written, or is no file.
pub fn to_lock(path: &Path) -> io::Result<File> {
    open(path, OpenOptions::new().write(true).create(true).truncate(false).mode(0o600))
}

/// Opens a regular file and nothing else. A pipe would wait for ever, so it is opened without waiting, and looked at then: what was a
/// file a moment ago may be a pipe now.
pub(crate) fn open(path: &Path, how: &mut OpenOptions) -> io::Result<File> {
    let file = how.custom_flags(libc::O_NONBLOCK).open(path)?;
    if !file.metadata()?.is_file() {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "it is no file"));
    }
    Ok(file)
}

/// A name in the same folder, removed again unless it was renamed.
struct Beside(PathBuf);

impl Beside {
    fn new(path: &Path) -> Self {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let beside = path.with_file_name(format!(".{name}.{}.new", std::process::id()));
        // Of a process of the same number that was killed.
        let _ = fs::remove_file(&beside);
        Beside(beside)
    }
}

impl Drop for Beside {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_waits_for_a_pipe_and_nothing_is_written_into_one() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("pipe");
        let mode = rustix::fs::Mode::RUSR | rustix::fs::Mode::WUSR;
        rustix::fs::mknodat(rustix::fs::CWD, &path, rustix::fs::FileType::Fifo, mode, 0).unwrap();
        let refused =
            |path: &Path| [read_bounded(path, 9).is_err(), append(path, b"x").is_err(), to_lock(path).is_err()];
        let (done, is_done) = std::sync::mpsc::channel();
        let (nobody, somebody) = (path.clone(), path.clone());
        std::thread::spawn(move || {
            let alone = refused(&nobody);
            // Where somebody reads, it can be opened to write.
            let _reader = OpenOptions::new().read(true).custom_flags(libc::O_NONBLOCK).open(&somebody).unwrap();
            let _ = done.send([alone, refused(&somebody)]);
        });
        assert_eq!(is_done.recv_timeout(std::time::Duration::from_secs(10)), Ok([[true; 3]; 2]));
        assert!(replace(&path, b"whole", 0o600).unwrap());
        assert_eq!(read_bounded(&path, 9).unwrap(), b"whole");
    }
}
