//! The pods that `stubgate policy check --cluster` looks at.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use stubgate_policy::pods::cluster::{ClusterPod, read};

/// The pods that a file lists; `-` is standard input.
///
/// # Errors
/// It can't be read, is too long, or lists something else; the sentence begins with its name.
pub(super) fn pods(path: &Path) -> Result<Vec<ClusterPod>, String> {
    let said = |error: &dyn std::fmt::Display| format!("{}: {error}", path.display());
    let text = if path == Path::new("-") { whole(io::stdin().lock()) } else { File::open(path).and_then(whole) };
    read(&text.map_err(|error| said(&error))?).map_err(|error| said(&error))
}

fn whole(from: impl Read) -> io::Result<Vec<u8>> {
    let mut text = Vec::new();
    if from.take(MOST_BYTES + 1).read_to_end(&mut text)? as u64 > MOST_BYTES {
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, format!("more than {} MiB", MOST_BYTES >> 20)));
    }
    Ok(text)
}

/// Ten thousand pods are some hundred mebibytes.
const MOST_BYTES: u64 = 1 << 30;
