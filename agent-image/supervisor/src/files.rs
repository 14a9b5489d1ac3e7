//! Files are replaced whole or not at all, so that a process which is killed leaves no half of one.

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
        && fs::read(path).is_ok_and(|found| found == content);
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
    // A pipe would never end.
    if !fs::metadata(path)?.is_file() {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "it is no file"));
    }
    let mut bytes = Vec::new();
    File::open(path)?.take(largest.saturating_add(1)).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > largest {
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, format!("longer than {largest} bytes")));
    }
    Ok(bytes)
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
