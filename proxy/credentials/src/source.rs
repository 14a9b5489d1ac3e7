//! Where secrets come from: a file, or a variable of the appliance's own environment.
//!
//! A file is read whole or not at all: bounded, only a regular one, and again later if it was written to meanwhile
//! (CR-19). Nothing is cached here; keeping the last good value is the store's business.

use std::fs::{File, Metadata};
use std::io::{self, Read as _};
use std::os::unix::ffi::OsStringExt as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use stubgate_policy::Source;
use zeroize::Zeroizing;

use crate::secret::{MAXIMUM_BYTES, Secret, SecretError};

/// Room for the longest value, its line break, and one byte that shows there is more.
const BUFFER_BYTES: usize = MAXIMUM_BYTES + 3;

/// Why a source gives no secret. Always the operator's matter; the text never holds a byte of a value.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SourceError {
    /// The file is missing or can't be read.
    #[error("cannot be read: {0}")]
    Io(#[from] io::Error),
    /// A folder, pipe, socket or device.
    #[error("is not a regular file")]
    NotAFile,
    /// Someone wrote to it meanwhile; the next reload reads it again.
    #[error("changed while it was read")]
    Changed,
    /// The variable is not set.
    #[error("is not set")]
    Unset,
    /// It can't be read at once, as files and variables can.
    #[error("has not given a value yet")]
    Elsewhere,
    /// Any other kind of source, in its own words.
    #[error("{0}")]
    Other(String),
    /// What was read is no credential.
    #[error(transparent)]
    Value(#[from] SecretError),
}

/// Reads the secret of a source, blocking.
pub(crate) fn read(source: &Source) -> Result<Secret, SourceError> {
    match source {
        Source::File(path) => read_file(path),
        Source::Env(name) => read_variable(name),
        _ => Err(SourceError::Elsewhere),
    }
}

/// A source as an operator knows it.
pub(crate) fn describe(source: &Source) -> String {
    match source {
        Source::File(path) => format!("file {}", path.display()),
        Source::Env(name) => format!("environment variable {name}"),
        Source::Exec(exec) => format!("program {}", exec.program.display()),
        Source::Vault(vault) => format!("vault {} {}/{}", vault.server, vault.mount, vault.path),
        Source::Infisical(infisical) => format!("infisical {} {}", infisical.server, infisical.name),
        Source::GithubApp(app) => format!("GitHub App {} at {}", app.app_id, app.server),
        Source::Oauth(oauth) => format!("login {} of {}", oauth.login, oauth.provider.name),
    }
}

/// Whether every user of the machine can read the file of a source: its own mode says so, and no folder above it keeps
/// them out. Behind a symlink this is not asked: Kubernetes mounts secrets that way, readable by all in a container
/// that has one user. What can't be looked at is not exposed; reading it says what is wrong.
pub(crate) fn is_exposed(source: &Source) -> bool {
    let Source::File(path) = source else { return false };
    let mode = |path: &Path| std::fs::symlink_metadata(path).map_or(0, |found| found.mode());
    let is_open_file = std::fs::symlink_metadata(path).is_ok_and(|found| found.is_file() && found.mode() & 0o004 != 0);
    let Ok(real) = path.canonicalize() else { return false };
    is_open_file && real.ancestors().skip(1).all(|folder| mode(folder) & 0o001 != 0)
}

fn read_file(path: &Path) -> Result<Secret, SourceError> {
    // Asked before opening: opening a pipe would wait for a writer.
    if !std::fs::metadata(path)?.is_file() {
        return Err(SourceError::NotAFile);
    }
    let file = File::open(path)?;
    let before = Stamp::of(&file.metadata()?);
    // Reserved up front: growing would leave copies in freed memory.
    let mut bytes = Zeroizing::new(Vec::with_capacity(BUFFER_BYTES));
    let limit = u64::try_from(BUFFER_BYTES).unwrap_or(u64::MAX);
    (&file).take(limit).read_to_end(&mut bytes)?;
    if Stamp::of(&file.metadata()?) != before {
        return Err(SourceError::Changed);
    }
    Ok(Secret::new(bytes)?)
}

fn read_variable(name: &str) -> Result<Secret, SourceError> {
    let value = std::env::var_os(name).ok_or(SourceError::Unset)?;
    Ok(Secret::new(Zeroizing::new(value.into_vec()))?)
}

/// What changes when someone writes to a file.
#[derive(PartialEq, Eq)]
struct Stamp {
    length: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

impl Stamp {
    fn of(metadata: &Metadata) -> Self {
        Self {
            length: metadata.len(),
            modified: (metadata.mtime(), metadata.mtime_nsec()),
            changed: (metadata.ctime(), metadata.ctime_nsec()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn why(path: &Path) -> String {
        match read(&Source::File(path.into())) {
            Ok(_) => "good".into(),
            Err(error) => error.to_string(),
        }
    }

    #[test]
    fn reads_a_file_whole_or_says_why_not() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("secret");
        assert!(why(&path).starts_with("cannot be read"));
        for (content, expected) in [
            (&b"ghp_0123456789\n"[..], "good"),
            (b"", "is empty"),
            (b"short", "is shorter"),
            (&[b'a'; 8192], "good"),
            (&[b'a'; 8193], "is longer"),
            (&[b'a'; 100_000], "is longer"),
            (b"two\nlines\n", "has a line break"),
        ] {
            std::fs::write(&path, content).unwrap();
            assert!(why(&path).starts_with(expected), "{} for {} bytes", why(&path), content.len());
        }
    }

    #[test]
    fn takes_regular_files_only() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(why(folder.path()), "is not a regular file");
        assert_eq!(why(Path::new("/dev/zero")), "is not a regular file");
        let socket = folder.path().join("socket");
        let _listener = std::os::unix::net::UnixListener::bind(&socket).unwrap();
        assert_eq!(why(&socket), "is not a regular file");
    }

    #[test]
    fn follows_symlinks_as_kubernetes_makes_them() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join("..2026")).unwrap();
        std::fs::write(folder.path().join("..2026/github"), "ghp_0123456789").unwrap();
        std::os::unix::fs::symlink("..2026", folder.path().join("..data")).unwrap();
        std::os::unix::fs::symlink("..data/github", folder.path().join("github")).unwrap();
        assert_eq!(why(&folder.path().join("github")), "good");
    }

    #[test]
    fn a_file_is_exposed_where_neither_its_mode_nor_a_folder_keeps_others_out() {
        use std::os::unix::fs::PermissionsExt as _;
        let folder = tempfile::tempdir_in("/tmp").unwrap();
        let path = folder.path().join("secret");
        std::fs::write(&path, "ghp_0123456789").unwrap();
        let set = |path: &Path, mode| std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
        for (of_folder, of_file, expected) in
            [(0o755, 0o644, true), (0o711, 0o604, true), (0o700, 0o644, false), (0o755, 0o640, false)]
        {
            set(folder.path(), of_folder);
            set(&path, of_file);
            assert_eq!(is_exposed(&Source::File(path.as_path().into())), expected, "{of_folder:o} {of_file:o}");
        }
        set(folder.path(), 0o755);
        set(&path, 0o644);
        let link = folder.path().join("link");
        std::os::unix::fs::symlink("secret", &link).unwrap();
        assert!(!is_exposed(&Source::File(link.into())), "as Kubernetes mounts it");
        assert!(!is_exposed(&Source::File(folder.path().join("missing").into())));
        assert!(!is_exposed(&Source::Env("PATH".into())));
    }

    #[test]
    fn reads_variables() {
        let path = std::env::var("PATH").unwrap();
        let read_path = read(&Source::Env("PATH".into())).ok().unwrap();
        assert_eq!(read_path.reveal(), path.as_bytes());
        let unset = read(&Source::Env("STUBGATE_TEST_IS_NEVER_SET".into()));
        assert!(matches!(unset, Err(SourceError::Unset)));
    }
}
