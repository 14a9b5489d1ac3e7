//! What probes found, one JSON object a line, in a file that does not grow without end: the newer half is kept.

use std::fs::{self, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::agent::Place;
use crate::files;

/// Bytes of the file at most.
const LARGEST: u64 = 256 * 1024;

/// A probe, as it is kept.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Probed {
    /// When it ended.
    pub at: Timestamp,
    /// How long it took.
    pub milliseconds: u64,
    /// Version of the package, or else what the server said of itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// Tools that were offered, if it works.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tools: Option<usize>,
    /// Why it does not work, if it does not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failing: Option<String>,
}

/// The file of a bridge.
pub fn path(place: &Place, name: &str) -> PathBuf {
    place.kept().join("bridges").join(format!("{name}.jsonl"))
}

/// Adds one.
///
/// # Errors
///
/// A full disk.
pub fn add(path: &Path, probed: &Probed) -> io::Result<()> {
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder)?;
    }
    let mut line = serde_json::to_vec(probed)?;
    line.push(b'\n');
    if fs::metadata(path).is_ok_and(|file| file.len() + line.len() as u64 > LARGEST) {
        files::replace(path, &tail(path, LARGEST / 2)?, 0o600)?;
    }
    files::append(path, &line)
}

/// The last of them, if there is any that can be read.
pub fn last(path: &Path) -> Option<Probed> {
    let tail = tail(path, 4096).ok()?;
    let line = tail.trim_ascii_end().rsplit(|byte| *byte == b'\n').next()?;
    serde_json::from_slice(line).ok()
}

/// Whole lines at the end of it, so many bytes at most.
fn tail(path: &Path, bytes: u64) -> io::Result<Vec<u8>> {
    let mut file = files::open(path, OpenOptions::new().read(true))?;
    let length = file.metadata()?.len();
    let mut tail = Vec::new();
    if length <= bytes {
        file.take(bytes).read_to_end(&mut tail)?;
        return Ok(tail);
    }
    file.seek(SeekFrom::Start(length - bytes))?;
    file.take(bytes).read_to_end(&mut tail)?;
    let start = tail.iter().position(|byte| *byte == b'\n').map_or(tail.len(), |end| end + 1);
    Ok(tail.split_off(start))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn probed(milliseconds: u64) -> Probed {
        let failing = Some("x".repeat(100));
        Probed { at: Timestamp::UNIX_EPOCH, milliseconds, version: None, tools: None, failing }
    }

    #[test]
    fn the_newest_are_kept_whole_and_the_file_stays_small() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("bridges/nats.jsonl");
        assert_eq!(last(&path), None);
        for number in 0..4000 {
            add(&path, &probed(number)).unwrap();
            assert_eq!(last(&path), Some(probed(number)));
        }
        let text = fs::read_to_string(&path).unwrap();
        assert!(text.len() as u64 <= LARGEST);
        let kept: Vec<Probed> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        assert!(kept.len() > 500);
        let first = kept.first().unwrap().milliseconds;
        assert!(kept.iter().zip(first..).all(|(kept, number)| kept.milliseconds == number));
    }

    #[test]
    fn half_a_line_of_a_kill_is_none() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("nats.jsonl");
        fs::write(&path, "{\"at\":").unwrap();
        assert_eq!(last(&path), None);
    }
}
