//! The CA on disk: `ca/certificate.pem` and `ca/key.pem` in the appliance's state folder.
//!
//! Both files appear at once, by renaming a folder that is complete and synced. So there is never a certificate
//! without its key, and of two processes that start together one makes the CA and the other takes it.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use rustix::fs::OFlags;
use zeroize::{Zeroize as _, Zeroizing};

use super::{CaError, CertificateAuthority};
use crate::constraints::Subtrees;

/// More than any certificate chain or key needs; a mistyped path must not fill memory.
pub(crate) const FILE_MAXIMUM_BYTES: usize = 256 * 1024;
const CERTIFICATE: &str = "certificate.pem";
const KEY: &str = "key.pem";
/// Making a CA takes milliseconds; a draft that is older was left behind.
const DRAFT_LIFETIME: Duration = Duration::from_secs(60);
/// Permission bits that a key file may not have: anything for group and others.
const PRIVATE: u32 = 0o077;
/// Every user may make, remove and rename files in the folder, ...
const OTHERS_MAY_WRITE: u32 = 0o002;
/// ... but only their own: so are folders of mounted secrets in Kubernetes.
const STICKY: u32 = 0o1000;
/// The same for an operator's own file, which Kubernetes mounts readable by the pod's group (`fsGroup`).
pub(crate) const GROUP_MAY_READ: u32 = 0o037;

impl CertificateAuthority {
    /// Reads the CA from the state folder, or makes one there (key mode 0600, folder mode 0700).
    ///
    /// # Errors
    /// Where files cannot be read or written, the key is open to other users, or the two do not fit.
    pub fn load_or_create(state_dir: &Path, now: SystemTime) -> Result<Self, CaError> {
        Self::load_or_create_within(state_dir, &Subtrees::default(), now)
    }

    /// The same; one that is made is held to these subtrees.
    pub(crate) fn load_or_create_within(
        state_dir: &Path,
        subtrees: &Subtrees,
        now: SystemTime,
    ) -> Result<Self, CaError> {
        let folder = state_dir.join("ca");
        let mut is_new = false;
        if !exists(&folder.join(CERTIFICATE))? && !exists(&folder.join(KEY))? {
            DirBuilder::new().recursive(true).mode(0o700).create(state_dir).map_err(at(state_dir))?;
            is_new = create_folder(state_dir, &folder, subtrees, now)?;
        }
        let Pair { authority, .. } = read_pair(&folder.join(CERTIFICATE), &folder.join(KEY), PRIVATE)?;
        remove_drafts(state_dir, now);
        Ok(Self { is_new, ..authority })
    }

    /// Reads a CA that the operator provides, for example from a mounted secret. The key file may be readable by its
    /// group, never by others, and writable by its owner only.
    ///
    /// # Errors
    /// As [`CertificateAuthority::load_or_create`].
    pub fn load_files(certificate_file: &Path, key_file: &Path) -> Result<Self, CaError> {
        read_pair(certificate_file, key_file, GROUP_MAY_READ).map(|pair| pair.authority)
    }
}

/// A CA, and its key as it was read.
pub(crate) struct Pair {
    pub(crate) authority: CertificateAuthority,
    pub(crate) key_pem: Zeroizing<Vec<u8>>,
}

impl std::fmt::Debug for Pair {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.authority.fmt(f)
    }
}

fn exists(path: &Path) -> Result<bool, CaError> {
    path.try_exists().map_err(at(path))
}

/// Whether the CA in the folder is the one made here.
fn create_folder(state_dir: &Path, folder: &Path, subtrees: &Subtrees, now: SystemTime) -> Result<bool, CaError> {
    let (authority, key_pem) = CertificateAuthority::create_new(subtrees, now)?;

    let draft = Draft(state_dir.join(format!(".ca-{}", authority.id())));
    DirBuilder::new().mode(0o700).create(&draft.0).map_err(at(&draft.0))?;
    write_new(&draft.0.join(CERTIFICATE), authority.certificate_pem().as_bytes(), 0o644)?;
    write_new(&draft.0.join(KEY), key_pem.as_bytes(), 0o600)?;
    sync(&draft.0)?;
    match fs::rename(&draft.0, folder) {
        Ok(()) => sync(state_dir).map(|()| true),
        // Another process was first: rename(2) replaces no folder but an empty one. Its CA is the CA.
        Err(_) if exists(&folder.join(CERTIFICATE))? => Ok(false),
        Err(error) => Err(at(folder)(error)),
    }
}

/// Removes what processes left that were killed while they made a CA: keys that were never used. Those of a process that
/// may still be at it stay.
fn remove_drafts(state_dir: &Path, now: SystemTime) {
    // What can't be looked at or removed does no harm but to lie there.
    for entry in fs::read_dir(state_dir).into_iter().flatten().flatten() {
        let is_draft = entry.file_name().as_encoded_bytes().starts_with(b".ca-");
        let modified = entry.metadata().and_then(|found| found.modified());
        let is_old = modified.is_ok_and(|at| now.duration_since(at).is_ok_and(|age| age > DRAFT_LIFETIME));
        if is_draft && is_old {
            let _ = fs::remove_dir_all(entry.path());
        }
    }
}

/// A folder that is removed unless it was renamed away.
struct Draft(PathBuf);

impl Drop for Draft {
    fn drop(&mut self) {
        // Nothing is left after a rename; after a failure a key that was never used must not stay.
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn write_new(path: &Path, bytes: &[u8], mode: u32) -> Result<(), CaError> {
    let mut file = OpenOptions::new().write(true).create_new(true).mode(mode).open(path).map_err(at(path))?;
    file.write_all(bytes).and_then(|()| file.sync_all()).map_err(at(path))
}

pub(crate) fn sync(folder: &Path) -> Result<(), CaError> {
    File::open(folder).and_then(|file| file.sync_all()).map_err(at(folder))
}

pub(crate) fn read_pair(certificate: &Path, key: &Path, forbidden: u32) -> Result<Pair, CaError> {
    read_pair_of(certificate, key, forbidden, None)
}

/// The same, where the key may be this user's as well: root reads beside an appliance what is the appliance's.
pub(crate) fn read_pair_of(certificate: &Path, key: &Path, forbidden: u32, user: Option<u32>) -> Result<Pair, CaError> {
    for (missing, present) in [(certificate, key), (key, certificate)] {
        if !exists(missing)? && exists(present)? {
            return Err(CaError::Half { missing: missing.to_owned(), present: present.to_owned() });
        }
    }
    let certificate_pem = read(certificate, |_| Ok(()))?;
    let key_pem = read(key, |file| check_key(key, file, forbidden, user))?;
    Ok(Pair { authority: CertificateAuthority::load(&certificate_pem, &key_pem)?, key_pem })
}

/// Whether nobody but root and this process's user (and a group, where `forbidden` lets it) can read the key or put
/// another in its place. Permissions are those of the open file; of the folders, of the one that is named and the one
/// that symlinks lead to. What is above them is not looked at.
fn check_key(path: &Path, file: &File, forbidden: u32, user: Option<u32>) -> Result<(), CaError> {
    let own = rustix::process::geteuid().as_raw();
    let check_owner = |path: &Path, owner| match owner {
        0 => Ok(()),
        owner if owner == own || Some(owner) == user => Ok(()),
        owner => Err(CaError::KeyOwner { path: path.to_owned(), owner }),
    };
    let found = file.metadata().map_err(at(path))?;
    let mode = found.mode() & 0o777;
    if mode & forbidden != 0 {
        return Err(CaError::KeyExposed { path: path.to_owned(), mode });
    }
    check_owner(path, found.uid())?;
    let real = path.canonicalize().map_err(at(path))?;
    for folder in [path, &real].into_iter().filter_map(Path::parent) {
        let folder = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
        let found = fs::metadata(folder).map_err(at(folder))?;
        let mode = found.mode() & 0o7777;
        if mode & OTHERS_MAY_WRITE != 0 && mode & STICKY == 0 {
            return Err(CaError::KeyFolderExposed { path: folder.to_owned(), mode });
        }
        check_owner(folder, found.uid())?;
    }
    Ok(())
}

/// Reads a file into memory that is wiped on drop, if the open file passes a check.
pub(crate) fn read(
    path: &Path,
    check: impl FnOnce(&File) -> Result<(), CaError>,
) -> Result<Zeroizing<Vec<u8>>, CaError> {
    // A pipe that somebody put there is not waited for.
    let flags = OFlags::NONBLOCK.bits().cast_signed();
    let file = OpenOptions::new().read(true).custom_flags(flags).open(path).map_err(at(path))?;
    if !file.metadata().map_err(at(path))?.is_file() {
        return Err(at(path)(io::Error::new(io::ErrorKind::InvalidInput, "it is no file")));
    }
    check(&file)?;
    // Reserved up front: growing would leave copies of the key in freed memory.
    let mut bytes = Zeroizing::new(Vec::with_capacity(FILE_MAXIMUM_BYTES + 1));
    let limit = u64::try_from(FILE_MAXIMUM_BYTES + 1).unwrap_or(u64::MAX);
    let length = file.take(limit).read_to_end(&mut bytes).map_err(at(path))?;
    if length > FILE_MAXIMUM_BYTES {
        bytes.zeroize();
        return Err(at(path)(io::Error::from(io::ErrorKind::FileTooLarge)));
    }
    Ok(bytes)
}

pub(crate) fn at(path: &Path) -> impl FnOnce(io::Error) -> CaError + '_ {
    move |error| CaError::Io { path: path.to_owned(), error }
}
