//! Keys of our own in files: 32 bytes, as 64 hexadecimal digits.
//!
//! Made where there is none, readable by its owner alone. It refuses a file that others can read, or that is cut short.
//! What a key is for is the business of whoever loads it.

use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _, fchown};
use std::path::{Path, PathBuf};

use zeroize::Zeroizing;

/// Rights of the group to write, and any of others.
const TOO_OPEN: u32 = 0o037;
const HEX_DIGITS: usize = 64;

/// Why there is no key. The operator's doing, or the system's.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum KeyError {
    /// The system failed.
    #[error("{}: {error}", path.display())]
    Io {
        /// At which file.
        path: PathBuf,
        /// How.
        error: io::Error,
    },
    /// Others can read it, or change it.
    #[error("{}: others can use it; run chmod 600 on it", .0.display())]
    Open(PathBuf),
    /// It holds something else.
    #[error("{}: is no key; 64 hexadecimal digits are expected", .0.display())]
    Malformed(PathBuf),
    /// No key could be drawn.
    #[error("the system has no randomness")]
    NoRandomness,
}

/// Reads the key in a file.
///
/// # Errors
/// Where there is none, or it can't be trusted.
pub(crate) fn load(path: &Path) -> Result<Zeroizing<[u8; 32]>, KeyError> {
    let failed = |error| KeyError::Io { path: path.to_owned(), error };
    let file = File::open(path).map_err(failed)?;
    if file.metadata().map_err(failed)?.mode() & TOO_OPEN != 0 {
        return Err(KeyError::Open(path.to_owned()));
    }
    let mut text = Zeroizing::new(Vec::with_capacity(HEX_DIGITS + 3));
    file.take(HEX_DIGITS as u64 + 3).read_to_end(&mut text).map_err(failed)?;
    bytes_of(text.trim_ascii_end()).ok_or_else(|| KeyError::Malformed(path.to_owned()))
}

/// Reads the key in a file, or makes one there.
///
/// # Errors
/// As [`load`], and where it can't be written.
pub(crate) fn load_or_create(path: &Path) -> Result<Zeroizing<[u8; 32]>, KeyError> {
    match load(path) {
        Err(KeyError::Io { error, .. }) if error.kind() == io::ErrorKind::NotFound => {
            create(path)?;
            // As it is there now, whoever was first.
            load(path)
        }
        other => other,
    }
}

/// Draws a key.
///
/// # Errors
/// Where the system has no randomness.
pub(crate) fn random() -> Result<Zeroizing<[u8; 32]>, KeyError> {
    let mut bytes = Zeroizing::new([0_u8; 32]);
    aws_lc_rs::rand::fill(&mut *bytes).map_err(|_| KeyError::NoRandomness)?;
    Ok(bytes)
}

/// Writes a new key beside its place and moves it there, unless one is there by then.
fn create(path: &Path) -> Result<(), KeyError> {
    let failed = |error| KeyError::Io { path: path.to_owned(), error };
    let bytes = random()?;
    let mut text = Zeroizing::new(String::with_capacity(HEX_DIGITS + 1));
    for byte in bytes.iter() {
        for half in [byte >> 4, byte & 15] {
            text.push(char::from_digit(half.into(), 16).unwrap_or('0'));
        }
    }
    text.push('\n');
    if let Some(folder) = path.parent() {
        make_folder(folder).map_err(failed)?;
    }
    let new = path.with_extension(format!("new.{}", std::process::id()));
    let written = write(&new, text.as_bytes()).and_then(|()| match std::fs::hard_link(&new, path) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        other => other,
    });
    let removed = std::fs::remove_file(&new);
    written.and(removed).map_err(failed)
}

fn write(path: &Path, text: &[u8]) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    give_to_owner_of_folder(path, &file)?;
    file.write_all(text)?;
    file.sync_all()
}

/// Makes a folder of our own, with mode 0700, and those above it that are missing.
///
/// # Errors
/// Where the system refuses.
pub fn make_folder(folder: &Path) -> io::Result<()> {
    if folder.is_dir() {
        return Ok(());
    }
    DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
    give_to_owner_of_folder(folder, &File::open(folder)?)
}

/// What root makes belongs to whom the folder belongs: the command is run as root, the appliance is not.
pub(crate) fn give_to_owner_of_folder(path: &Path, file: &File) -> io::Result<()> {
    if !rustix::process::geteuid().is_root() {
        return Ok(());
    }
    let Some(folder) = path.parent() else { return Ok(()) };
    let of = std::fs::metadata(if folder.as_os_str().is_empty() { Path::new(".") } else { folder })?;
    fchown(file, Some(of.uid()), Some(of.gid()))
}

/// Opens a file as these options say, made where it is not there, and then the appliance's also where root asks for it. One
/// that is there is never given to anybody, and no link is followed: it could lead to what belongs to somebody else.
pub(crate) fn open_or_make(path: &Path, options: &OpenOptions) -> io::Result<File> {
    let mut options = options.clone();
    options.mode(0o600).custom_flags(rustix::fs::OFlags::NOFOLLOW.bits().cast_signed());
    match options.clone().create_new(true).open(path) {
        Ok(file) => give_to_owner_of_folder(path, &file).map(|()| file),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => options.open(path),
        Err(error) => Err(error),
    }
}

fn bytes_of(text: &[u8]) -> Option<Zeroizing<[u8; 32]>> {
    if text.len() != HEX_DIGITS {
        return None;
    }
    let mut bytes = Zeroizing::new([0; 32]);
    for (to, pair) in bytes.iter_mut().zip(text.chunks_exact(2)) {
        let mut digits = pair.iter().map(|digit| char::from(*digit).to_digit(16));
        let (high, low) = (digits.next()??, digits.next()??);
        *to = u8::try_from(high << 4 | low).ok()?;
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn a_key_is_made_once_for_its_owner_alone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("stubs/key");
        load_or_create(&path).unwrap();
        let text = std::fs::read(&path).unwrap();
        assert_eq!(std::fs::metadata(&path).unwrap().mode() & 0o777, 0o600);
        assert_eq!(std::fs::metadata(path.parent().unwrap()).unwrap().mode() & 0o777, 0o700);
        load_or_create(&path).unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), text);
        assert_eq!(std::fs::read_dir(path.parent().unwrap()).unwrap().count(), 1, "nothing is left beside it");
    }

    #[test]
    fn a_key_that_is_open_or_cut_short_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("key");
        load_or_create(&path).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o644)).unwrap();
        assert!(matches!(load_or_create(&path), Err(KeyError::Open(_))));
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o440)).unwrap();
        load(&path).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
        for text in ["", "00", &"0".repeat(63), &"0".repeat(65), &"g".repeat(64), &"0".repeat(200)] {
            std::fs::write(&path, text).unwrap();
            assert!(matches!(load_or_create(&path), Err(KeyError::Malformed(_))), "{text}");
        }
    }
}
