//! The console's socket: for the agent's user only.

use std::fs::{self, Permissions};
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use tokio::net::UnixListener;

use crate::agent::Place;

/// Where viewers come in.
pub(crate) fn path(place: &Place) -> PathBuf {
    place.run.join("console.sock")
}

/// Takes the place of a socket that nobody serves any more. It gets its name only when its mode is right.
pub(crate) fn bind(path: &Path) -> io::Result<UnixListener> {
    let beside = path.with_extension("new");
    let _ = fs::remove_file(&beside);
    let listener = UnixListener::bind(&beside)?;
    fs::set_permissions(&beside, Permissions::from_mode(0o600))?;
    fs::rename(&beside, path)?;
    Ok(listener)
}
