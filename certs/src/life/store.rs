//! The CAs in the state folder: `ca/state.json` says which is which, and each has a certificate and, while it signs or comes, a key.
//!
//! Only replacing `state.json` changes anything. What a CA needs is written before, what is no longer needed is removed after,
//! and what a killed process left of either is removed by the next one. Where there is no `state.json`, `certificate.pem` and
//! `key.pem` are the only CA. Whoever changes something holds a lock on the folder: a command may do so beside the appliance.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::fs::{FlockOperation, OFlags};

use super::record::{Audience, Record, VERSION};
use crate::CaError;
use crate::authority::store::{FILE_MAXIMUM_BYTES, at, read, read_pair_of, sync};
use crate::authority::{Anchor, CertificateAuthority};

const STATE: &str = "state.json";
const CERTIFICATE: &str = "certificate.pem";
const KEY: &str = "key.pem";
/// Permission bits that a key file may not have.
const PRIVATE: u32 = 0o077;
/// Whoever holds the lock is done within milliseconds.
const LOCK: Duration = Duration::from_secs(5);

/// The folder.
#[derive(Clone, Debug)]
pub(super) struct Store {
    folder: PathBuf,
    /// Whose keys are taken besides root's and our own.
    user: Option<u32>,
}

/// The folder, and nobody else changes it.
pub(super) struct Locked<'s> {
    folder: &'s Path,
    /// Whom a file that root makes is given to.
    owner: Option<(u32, u32)>,
    _lock: File,
}

impl Store {
    pub(super) fn new(state_dir: &Path) -> Self {
        Self { folder: state_dir.join("ca"), user: None }
    }

    /// For a command beside an appliance: root takes what is of the folder's owner.
    pub(super) fn beside(state_dir: &Path) -> Self {
        let store = Self::new(state_dir);
        Self { user: store.owner(), ..store }
    }

    /// Whose the folder is, where we are root.
    pub(super) fn owner(&self) -> Option<u32> {
        let owner = fs::metadata(&self.folder).ok().map(|found| found.uid());
        owner.filter(|_| rustix::process::geteuid().is_root())
    }

    pub(super) fn folder(&self) -> &Path {
        &self.folder
    }

    pub(super) fn make_folder(&self) -> Result<(), CaError> {
        fs::DirBuilder::new().recursive(true).mode(0o700).create(&self.folder).map_err(at(&self.folder))
    }

    /// What the folder says; `None` where there is no `state.json`.
    pub(super) fn record(&self) -> Result<Option<Record>, CaError> {
        let path = self.folder.join(STATE);
        let text = match read(&path, |_| Ok(())) {
            Ok(text) => text,
            Err(CaError::Io { error, .. }) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error),
        };
        let broken = |why: String| CaError::State { path: path.clone(), why };
        let record: Record = serde_json::from_slice(&text).map_err(|error| broken(error.to_string()))?;
        if record.version != VERSION {
            return Err(broken(format!("it is of version {}, and this stubgate knows {VERSION}", record.version)));
        }
        if let Some(odd) = record.entries().find(|entry| !is_id(&entry.id)) {
            return Err(broken(format!("`{}` is no name of a CA", odd.id.escape_default())));
        }
        Ok(Some(record))
    }

    /// Whether there is a folder.
    pub(super) fn is_made(&self) -> bool {
        self.folder.is_dir()
    }

    pub(super) fn has_record(&self) -> bool {
        self.folder.join(STATE).exists()
    }

    /// Whether the first CA, or one of before there was a `state.json`, is there.
    pub(super) fn has_first(&self) -> bool {
        self.folder.join(CERTIFICATE).exists() || self.folder.join(KEY).exists()
    }

    /// Without a record: whether a CA was rotated to here, of which the record is lost. What a killed process leaves before its
    /// first record is a key, or both where the CA is the operator's.
    pub(super) fn check_lost(&self) -> Result<(), CaError> {
        if self.has_first() {
            return Ok(());
        }
        for entry in fs::read_dir(&self.folder).map_err(at(&self.folder))? {
            let present = entry.map_err(at(&self.folder))?.path();
            let name = present.file_name().and_then(|name| name.to_str()).unwrap_or_default();
            if let Some(Kind::Certificate(_)) = kind_of(name) {
                return Err(CaError::Half { missing: self.folder.join(STATE), present });
            }
        }
        Ok(())
    }

    /// A CA that can sign.
    pub(super) fn authority(&self, id: &str) -> Result<CertificateAuthority, CaError> {
        let pair = read_pair_of(&self.path(id, CERTIFICATE), &self.path(id, KEY), PRIVATE, self.user)?;
        Ok(pair.authority)
    }

    /// A CA that is only trusted.
    pub(super) fn anchor(&self, id: &str) -> Result<Anchor, CaError> {
        Anchor::load(&read(&self.path(id, CERTIFICATE), |_| Ok(()))?)
    }

    pub(super) fn lock(&self) -> Result<Locked<'_>, CaError> {
        let folder = File::open(&self.folder).map_err(at(&self.folder))?;
        let until = std::time::Instant::now() + LOCK;
        while let Err(error) = rustix::fs::flock(&folder, FlockOperation::NonBlockingLockExclusive) {
            if error != rustix::io::Errno::WOULDBLOCK || std::time::Instant::now() >= until {
                return Err(at(&self.folder)(error.into()));
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        let found = folder.metadata().map_err(at(&self.folder))?;
        let is_of_another = found.uid() != 0 && rustix::process::geteuid().is_root();
        let owner = is_of_another.then(|| (found.uid(), found.gid()));
        Ok(Locked { folder: &self.folder, owner, _lock: folder })
    }

    /// The key of a CA.
    pub(super) fn key_file(&self, id: &str) -> PathBuf {
        self.path(id, KEY)
    }

    fn path(&self, id: &str, kind: &str) -> PathBuf {
        self.folder.join(file_name(id, kind))
    }
}

impl Locked<'_> {
    /// Writes the files of a CA: they mean nothing until a record names them. Those that are there are replaced.
    pub(super) fn put(&self, id: &str, certificate_pem: &str, key_pem: &[u8]) -> Result<(), CaError> {
        self.replace(&file_name(id, KEY), key_pem, 0o600)?;
        self.replace(&file_name(id, CERTIFICATE), certificate_pem.as_bytes(), 0o644)
    }

    /// Makes a record the one that counts. Who was heard of is a help and which CA signs is what counts: an audience with which
    /// the file could not be read again is left out.
    pub(super) fn write(&self, record: &Record) -> Result<(), CaError> {
        let path = self.folder.join(STATE);
        let text = |record: &Record| serde_json::to_vec(record).map_err(|error| at(&path)(error.into()));
        let mut whole = text(record)?;
        if whole.len() > FILE_MAXIMUM_BYTES {
            whole = text(&Record { agents: Audience::new(), ..record.clone() })?;
        }
        self.replace(STATE, &whole, 0o600)
    }

    /// Removes what the record needs no more: keys of those that neither sign nor come, overwritten before; certificates of those
    /// that are not in the bundle; and what was left half written.
    pub(super) fn clean(&self, record: &Record) -> Result<(), CaError> {
        let mut is_changed = false;
        for entry in fs::read_dir(self.folder).map_err(at(self.folder))? {
            let entry = entry.map_err(at(self.folder))?;
            let name = entry.file_name();
            let Some(name) = name.to_str() else { continue };
            let path = entry.path();
            let signs =
                |id: &str| record.signing.id == id || record.next.as_ref().is_some_and(|next| next.entry.id == id);
            match kind_of(name) {
                Some(Kind::Key(id)) if !signs(id) => wipe(&path)?,
                Some(Kind::Certificate(id)) if !record.entries().any(|entry| entry.id == id) => {
                    step();
                    fs::remove_file(&path).map_err(at(&path))?;
                }
                // A draft may hold a key.
                Some(Kind::Draft) => wipe(&path)?,
                Some(Kind::Key(_) | Kind::Certificate(_)) | None => continue,
            }
            is_changed = true;
        }
        if is_changed { sync(self.folder) } else { Ok(()) }
    }

    fn replace(&self, name: &str, bytes: &[u8], mode: u32) -> Result<(), CaError> {
        let (path, draft) = (self.folder.join(name), self.folder.join(format!(".{name}.new")));
        match fs::remove_file(&draft) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(at(&draft)(error)),
            _ => {}
        }
        step();
        let mut file = OpenOptions::new().write(true).create_new(true).mode(mode).open(&draft).map_err(at(&draft))?;
        if let Some((user, group)) = self.owner {
            std::os::unix::fs::fchown(&file, Some(user), Some(group)).map_err(at(&draft))?;
        }
        step();
        file.write_all(bytes).and_then(|()| file.sync_all()).map_err(at(&draft))?;
        step();
        fs::rename(&draft, &path).map_err(at(&path))?;
        step();
        sync(self.folder)
    }
}

/// What a file of the folder is.
enum Kind<'n> {
    Certificate(&'n str),
    Key(&'n str),
    Draft,
}

/// `None` for what is not ours.
fn kind_of(name: &str) -> Option<Kind<'_>> {
    if name.starts_with('.') && name.ends_with(".new") {
        return Some(Kind::Draft);
    }
    let of = |kind: &str| {
        let id = name.strip_suffix(kind)?;
        let id = if id.is_empty() { id } else { id.strip_suffix('.')? };
        is_id(id).then_some(id)
    };
    of(CERTIFICATE).map(Kind::Certificate).or_else(|| of(KEY).map(Kind::Key))
}

fn file_name(id: &str, kind: &str) -> String {
    if id.is_empty() { kind.to_owned() } else { format!("{id}.{kind}") }
}

fn is_id(id: &str) -> bool {
    id.is_empty() || (id.len() == 16 && id.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f')))
}

/// Overwrites a file and removes it. What the disk or file system below has copied elsewhere is out of reach.
fn wipe(path: &Path) -> Result<(), CaError> {
    step();
    // The folder is the appliance's, and root may do this: nothing outside of it is written, whatever links lead there.
    let flags = (OFlags::NOFOLLOW | OFlags::NONBLOCK).bits().cast_signed();
    // One that can't be written can still be removed.
    if let Ok(mut file) = OpenOptions::new().write(true).custom_flags(flags).open(path) {
        let found = file.metadata().map_err(at(path))?;
        if found.is_file() && found.nlink() == 1 {
            let length = usize::try_from(found.len()).unwrap_or(usize::MAX).min(FILE_MAXIMUM_BYTES);
            file.write_all(&vec![0; length]).and_then(|()| file.sync_all()).map_err(at(path))?;
        }
    }
    step();
    fs::remove_file(path).map_err(at(path))
}

/// Between any two steps a process may be killed. A test counts them, and ends its process at each.
#[cfg(not(test))]
fn step() {}

#[cfg(test)]
pub(super) use tests_step::step;

#[cfg(test)]
pub(super) mod tests_step {
    use std::sync::atomic::{AtomicI64, Ordering};

    /// Steps that are left; negative: for ever.
    pub(crate) static LEFT: AtomicI64 = AtomicI64::new(-1);

    pub(crate) fn step() {
        if LEFT.load(Ordering::SeqCst) >= 0 && LEFT.fetch_sub(1, Ordering::SeqCst) == 0 {
            std::process::abort();
        }
    }
}
