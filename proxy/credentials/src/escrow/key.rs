//! The key that states are sealed with: where it comes from, and what it must look like.
//!
//! It is read once, at the start. A file is what a systemd credential or a Kubernetes Secret is, too; a program asks a key
//! service; a passphrase is stretched with scrypt, for one machine. Where nothing is configured a key is made beside the
//! states, which protects a copy of the database alone and not one of the folder: that is said to the operator.

use std::fs::{File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD, URL_SAFE, URL_SAFE_NO_PAD};
use zeroize::Zeroizing;

use super::seal::{KEY_BYTES, SealingKey};
use crate::minted::{give_to_owner_of_folder, make_folder};

/// The most that is read of a key, or of a passphrase.
const LONGEST: u64 = 4096;
/// How long a program may take.
const PATIENCE: Duration = Duration::from_secs(30);
/// How often is looked whether it has ended, once it has closed its output.
const LOOK: Duration = Duration::from_millis(5);
/// All that it gets for an environment.
const ENVIRONMENT: [(&str, &str); 2] = [("PATH", "/usr/bin:/bin"), ("LANG", "C.UTF-8")];
/// The shortest passphrase that is taken.
const PASSPHRASE_BYTES: usize = 16;
/// What scrypt costs: 2^17 rounds of 1 KiB, 128 MiB for less than a second.
const COST: u8 = 17;
const SALT_BYTES: usize = 16;

/// Where the key comes from.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub enum KeySource {
    /// 32 bytes, or those in base64, in a file.
    File(PathBuf),
    /// The same, as the standard output of a program, which is started without a shell before the appliance is locked down.
    Exec(Vec<String>),
    /// A passphrase in a file, stretched with a salt that lies in the state folder. For one machine.
    Passphrase(PathBuf),
    /// A file in the state folder, made where it is not there.
    #[default]
    Made,
}

/// Why there is no key. Never a byte of it.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum KeyError {
    /// The file can't be read or made.
    #[error("the key of the escrow, {0}: {1}")]
    Io(PathBuf, #[source] io::Error),
    /// What was read is no key.
    #[error(
        "the key of the escrow, {0}, is not 32 bytes, nor 32 bytes in base64; make one with `head -c 32 /dev/urandom`"
    )]
    NotAKey(String),
    /// The program did not give it.
    #[error("the key of the escrow: {0} {1}")]
    Program(String, String),
    /// Too easily guessed.
    #[error("the passphrase of the escrow, {0}, is shorter than 16 bytes")]
    Short(PathBuf),
    /// The system's cryptography fails.
    #[error("the key of the escrow can't be used")]
    Unusable,
}

/// A key, and whether it was made just now.
pub struct Keyed {
    /// The key.
    pub key: SealingKey,
    /// The file that it was made in.
    pub made: Option<PathBuf>,
}

impl KeySource {
    /// Gets the key, blocking. `folder` is where a key or a salt is kept that is made.
    ///
    /// # Errors
    /// Where there is none.
    pub fn load(&self, folder: &Path) -> Result<Keyed, KeyError> {
        let mut made = None;
        let bytes = match self {
            KeySource::File(path) => key_of(&read(path)?, &path.display().to_string())?,
            KeySource::Exec(command) => {
                let name = command.first().map_or("", String::as_str);
                key_of(&output(command, PATIENCE)?, &format!("the output of {name}"))?
            }
            KeySource::Passphrase(path) => stretched(path, folder)?,
            KeySource::Made => {
                let path = folder.join("key");
                if !path.exists() && make(&path, random::<KEY_BYTES>()?.as_slice())? {
                    made = Some(path.clone());
                }
                key_of(&read(&path)?, &path.display().to_string())?
            }
        };
        Ok(Keyed { key: SealingKey::new(&bytes).ok_or(KeyError::Unusable)?, made })
    }
}

fn key_of(given: &[u8], named: &str) -> Result<Zeroizing<[u8; KEY_BYTES]>, KeyError> {
    if let Ok(raw) = <[u8; KEY_BYTES]>::try_from(given) {
        return Ok(Zeroizing::new(raw));
    }
    let text = given.trim_ascii();
    for base64 in [STANDARD, STANDARD_NO_PAD, URL_SAFE, URL_SAFE_NO_PAD] {
        let mut key = Zeroizing::new([0; 2 * KEY_BYTES]);
        if base64.decode_slice(text, key.as_mut_slice()).is_ok_and(|length| length == KEY_BYTES)
            && let Some(key) = key.first_chunk()
        {
            return Ok(Zeroizing::new(*key));
        }
    }
    Err(KeyError::NotAKey(named.into()))
}

fn read(path: &Path) -> Result<Zeroizing<Vec<u8>>, KeyError> {
    let at = |error| KeyError::Io(path.into(), error);
    if !std::fs::metadata(path).map_err(at)?.is_file() {
        return Err(at(io::Error::other("is not a regular file")));
    }
    bounded(File::open(path).map_err(at)?).map_err(at)
}

fn bounded(from: impl io::Read) -> io::Result<Zeroizing<Vec<u8>>> {
    let mut bytes = Zeroizing::new(Vec::with_capacity(usize::try_from(LONGEST).unwrap_or(4096) + 1));
    from.take(LONGEST).read_to_end(&mut bytes)?;
    Ok(bytes)
}

fn output(command: &[String], patience: Duration) -> Result<Zeroizing<Vec<u8>>, KeyError> {
    let (program, arguments) = command.split_first().ok_or(KeyError::Unusable)?;
    let failed = |why: String| KeyError::Program(program.clone(), why);
    let mut command = Command::new(program);
    // Credentials may be in our environment, and what a program complains of may show a key.
    command.args(arguments).env_clear().envs(ENVIRONMENT).current_dir("/");
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
    let mut child = command.spawn().map_err(|error| failed(format!("can't be started: {error}")))?;
    let deadline = Instant::now() + patience;
    let Some(stdout) = child.stdout.take() else { return Err(KeyError::Unusable) };
    let (send, receive) = mpsc::sync_channel(1);
    let reading = std::thread::spawn(move || send.send(bounded(stdout)));
    let read = receive.recv_timeout(patience);
    if read.is_ok() {
        // Gone before the process is locked down, which takes one thread alone.
        let _ = reading.join();
    }
    let status = ended_by(&mut child, deadline);
    let late = |what: &str| failed(format!("{what} in {} seconds", patience.as_secs()));
    let read = read.map_err(|_| late("gave nothing"))?;
    match status {
        Ok(Some(status)) if status.success() => read.map_err(|error| failed(error.to_string())),
        Ok(Some(status)) => Err(failed(format!("ended with {status}"))),
        Ok(None) => Err(late("did not end")),
        Err(error) => Err(failed(error.to_string())),
    }
}

/// How a program ended; nothing where it was still there at the deadline, and is killed.
fn ended_by(child: &mut Child, deadline: Instant) -> io::Result<Option<ExitStatus>> {
    while Instant::now() < deadline {
        if let Some(status) = child.try_wait()? {
            return Ok(Some(status));
        }
        std::thread::sleep(LOOK);
    }
    child.kill()?;
    child.wait()?;
    Ok(None)
}

fn stretched(path: &Path, folder: &Path) -> Result<Zeroizing<[u8; KEY_BYTES]>, KeyError> {
    let passphrase = read(path)?;
    let passphrase = passphrase.trim_ascii();
    if passphrase.len() < PASSPHRASE_BYTES {
        return Err(KeyError::Short(path.into()));
    }
    let file = folder.join("salt");
    if !file.exists() {
        make(&file, random::<SALT_BYTES>()?.as_slice())?;
    }
    let salt = read(&file)?;
    if salt.len() != SALT_BYTES {
        return Err(KeyError::Io(file, io::Error::other("is not a salt of 16 bytes")));
    }
    let parameters = scrypt::Params::new(COST, 8, 1, KEY_BYTES).map_err(|_| KeyError::Unusable)?;
    let mut key = Zeroizing::new([0; KEY_BYTES]);
    scrypt::scrypt(passphrase, &salt, &parameters, key.as_mut_slice()).map_err(|_| KeyError::Unusable)?;
    Ok(key)
}

fn random<const N: usize>() -> Result<Zeroizing<[u8; N]>, KeyError> {
    let mut bytes = Zeroizing::new([0; N]);
    aws_lc_rs::rand::fill(bytes.as_mut_slice()).map_err(|_| KeyError::Unusable)?;
    Ok(bytes)
}

/// Makes a file that is there whole or not at all, also after the power went. Whether it was this call that made it.
fn make(path: &Path, bytes: &[u8]) -> Result<bool, KeyError> {
    let at = |error| KeyError::Io(path.into(), error);
    let folder = path.parent().unwrap_or(Path::new("."));
    make_folder(folder).map_err(at)?;
    let draft = path.with_extension(format!("{}.new", std::process::id()));
    // Left by who died with that number.
    let _ = std::fs::remove_file(&draft);
    let written = (|| {
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&draft)?;
        give_to_owner_of_folder(&draft, &file)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        // Of two that start at once, one makes it.
        match std::fs::hard_link(&draft, path) {
            Ok(()) => Ok(true),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(false),
            Err(error) => Err(error),
        }
    })();
    let _ = std::fs::remove_file(&draft);
    let made = written.map_err(at)?;
    File::open(folder).and_then(|folder| folder.sync_all()).map_err(at)?;
    Ok(made)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::super::seal::Place;
    use super::*;

    const PLACE: Place<'_> = Place { name: "a", revision: 1, generation: 1 };

    fn sealed(key: &SealingKey) -> Vec<u8> {
        key.seal(PLACE, Zeroizing::new(b"state".to_vec())).unwrap()
    }

    fn why(source: &KeySource, folder: &Path) -> String {
        source.load(folder).err().unwrap().to_string()
    }

    #[test]
    fn a_key_is_32_bytes_or_those_in_base64() {
        let folder = tempfile::tempdir().unwrap();
        let raw: Vec<u8> = (200..232).collect();
        let path = folder.path().join("given");
        let source = KeySource::File(path.clone());
        std::fs::write(&path, &raw).unwrap();
        let state = sealed(&source.load(folder.path()).unwrap().key);
        for text in [STANDARD.encode(&raw), format!("{}\n", URL_SAFE_NO_PAD.encode(&raw))] {
            std::fs::write(&path, text).unwrap();
            assert!(source.load(folder.path()).unwrap().key.open(PLACE, &state).is_some());
        }
        for wrong in [&b""[..], b"short", &[b'a'; 33], STANDARD.encode([1; 31]).as_bytes(), &[0; 5000]] {
            std::fs::write(&path, wrong).unwrap();
            assert!(why(&source, folder.path()).contains("is not 32 bytes"));
        }
        assert!(why(&KeySource::File("/nowhere/key".into()), folder.path()).contains("/nowhere/key"));
    }

    #[test]
    fn a_key_is_made_once_for_the_owner_alone_and_said() {
        let folder = tempfile::tempdir().unwrap();
        let first = KeySource::Made.load(folder.path()).unwrap();
        let made = first.made.unwrap();
        assert_eq!(made.metadata().unwrap().permissions().mode() & 0o777, 0o600);
        let again = KeySource::Made.load(folder.path()).unwrap();
        assert!(again.made.is_none());
        assert!(again.key.open(PLACE, &sealed(&first.key)).is_some());
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1, "no draft is left");
    }

    #[test]
    fn a_program_gives_the_key_or_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let exec = |script: &str| KeySource::Exec(["/bin/sh", "-c", script].map(str::to_owned).to_vec());
        let key = exec("printf 'AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA='").load(folder.path()).unwrap().key;
        assert!(SealingKey::new(&Zeroizing::new([0; 32])).unwrap().open(PLACE, &sealed(&key)).is_some());
        // What we were started with is nobody's business.
        let bare = r#"[ -z "$CARGO_MANIFEST_DIR" ] && [ "$(pwd)" = / ] && printf AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="#;
        assert!(std::env::var_os("CARGO_MANIFEST_DIR").is_some());
        assert!(exec(bare).load(folder.path()).is_ok());
        let stays = ["/bin/sh", "-c", "exec >&-; exec sleep 60"].map(str::to_owned);
        let why_stays = output(&stays, Duration::from_secs(1)).err().unwrap().to_string();
        assert!(why_stays.contains("did not end in 1 seconds"), "{why_stays}");
        assert!(why(&exec("exit 3"), folder.path()).contains("exit status: 3"));
        assert!(why(&exec("echo no"), folder.path()).contains("the output of /bin/sh"));
        assert!(why(&KeySource::Exec(vec!["/nowhere/program".into()]), folder.path()).contains("can't be started"));
    }

    #[test]
    fn a_passphrase_makes_one_key_for_one_salt() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("passphrase");
        let source = KeySource::Passphrase(path.clone());
        std::fs::write(&path, "too short\n").unwrap();
        assert!(why(&source, folder.path()).contains("shorter than 16"));
        std::fs::write(&path, "correct horse battery staple\n").unwrap();
        let state = sealed(&source.load(folder.path()).unwrap().key);
        assert!(source.load(folder.path()).unwrap().key.open(PLACE, &state).is_some());
        std::fs::remove_file(folder.path().join("salt")).unwrap();
        assert!(source.load(folder.path()).unwrap().key.open(PLACE, &state).is_none());
    }
}
