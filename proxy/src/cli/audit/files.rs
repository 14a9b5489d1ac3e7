//! Which files hold the records of an appliance: the first one that it writes, and what was rotated beside it.
//!
//! They are opened before any is read, the newest first, so that one which is rotated meanwhile is neither missed nor read
//! twice.

use std::fs::File;
use std::io::{self, ErrorKind};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use crate::config::{AuditFile, AuditSink};

/// The first file among destinations, all of which hold the same; none where all are standard output.
pub(super) fn first(destinations: &[AuditFile]) -> Option<&Path> {
    destinations.iter().find_map(|file| match &file.sink {
        AuditSink::File(path) => Some(path.as_path()),
        AuditSink::Stdout => None,
    })
}

/// Opens a file and its rotated ones (`….1` is the newest of them), and gives them oldest first.
///
/// # Errors
/// Where one is there and can't be read, or none is there.
pub(super) fn open(path: &Path) -> io::Result<Vec<(PathBuf, File)>> {
    let mut found: Vec<(PathBuf, File)> = Vec::new();
    let mut seen = Vec::new();
    let mut missing = 0;
    for number in 0_usize.. {
        let name = if number == 0 { path.to_owned() } else { rotated(path, number) };
        match File::open(&name) {
            Ok(file) => {
                missing = 0;
                let metadata = file.metadata()?;
                let file_id = (metadata.dev(), metadata.ino());
                if !seen.contains(&file_id) {
                    seen.push(file_id);
                    found.push((name, file));
                }
            }
            // While it is rotated there is a gap of one.
            Err(error) if error.kind() == ErrorKind::NotFound && missing == 0 => missing = 1,
            Err(error) if error.kind() == ErrorKind::NotFound && !found.is_empty() => break,
            Err(error) if error.kind() == ErrorKind::NotFound => {
                let why = "no such file, nor one rotated beside it: nothing was recorded yet, or name the files instead of --config";
                return Err(io::Error::new(error.kind(), format!("{}: {why}", path.display())));
            }
            Err(error) => return Err(io::Error::new(error.kind(), format!("{}: {error}", name.display()))),
        }
    }
    found.reverse();
    Ok(found)
}

fn rotated(path: &Path, number: usize) -> PathBuf {
    let mut name = path.to_owned().into_os_string();
    name.push(format!(".{number}"));
    PathBuf::from(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(path: &Path) -> Vec<String> {
        let names = open(path).unwrap();
        names.iter().map(|(name, _)| name.file_name().unwrap().to_string_lossy().into_owned()).collect()
    }

    #[test]
    fn rotated_files_come_first_and_the_oldest_of_them_before_all() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("audit");
        assert!(open(&path).unwrap_err().to_string().contains("audit"));
        for name in ["audit", "audit.1", "audit.2", "audit.3", "audit.10", "audit.gz", "audited"] {
            std::fs::write(folder.path().join(name), "").unwrap();
        }
        assert_eq!(names(&path), ["audit.3", "audit.2", "audit.1", "audit"]);
        std::fs::remove_file(folder.path().join("audit.1")).unwrap();
        assert_eq!(names(&path), ["audit.3", "audit.2", "audit"], "one is missing while they are moved");
        std::fs::remove_file(&path).unwrap();
        std::fs::hard_link(folder.path().join("audit.2"), folder.path().join("audit.1")).unwrap();
        assert_eq!(names(&path), ["audit.3", "audit.1"], "no file is read twice");
    }
}
