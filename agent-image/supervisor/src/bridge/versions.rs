//! Versions of a bridge's package, each an environment of Python of its own in a folder of its own. `current` is the one that runs;
//! it is switched in one step, and only to one whose probe passed; `last-good` is what ran before. What fails leaves what ran.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::fs::{FlockOperation, flock};
use sha2::{Digest, Sha256};
use thiserror::Error;

use super::child::{Child, Output};
use super::file::{Package, is_version};
use super::one::Bridge;
use super::probe::{self, Found};
use crate::files;

const CURRENT: &str = "current";
const LAST_GOOD: &str = "last-good";
/// Which pin was last put in place, so that a version that a person chose stays until the pin changes.
const PINNED: &str = ".pinned";
/// In a version that is whole.
const WHOLE: &str = ".whole";

/// What is called so in an error.
const PIP: &str = "pip install";

/// Copies an environment's packages into another one, if those that are named are there.
const ADOPT: &str = r#"
import importlib.metadata, shutil, sys, sysconfig
environment, *pins = sys.argv[1:]
own = sysconfig.get_path("purelib", "venv")
plain = lambda name: name.lower().replace("_", "-").replace(".", "-")
found = {plain(one.metadata["Name"]): one.version for one in importlib.metadata.distributions(path=[own])}
for pin in pins:
    name, _, version = pin.partition("==")
    if found.get(plain(name.partition("[")[0])) != version:
        sys.exit(3)
places = {"base": environment, "platbase": environment}
shutil.copytree(own, sysconfig.get_path("purelib", "venv", places), dirs_exist_ok=True)
"#;

/// How long an installation may take.
const INSTALLATION: Duration = Duration::from_secs(600);

/// Why there is no other version now.
#[derive(Debug, Error)]
pub enum Failed {
    /// Nothing of it is installed here.
    #[error(
        "the bridge has no package: nothing of it is installed here; `package: {{ python: NAME==VERSION }}` in bridges.yaml pins one"
    )]
    NoPackage,
    /// No version.
    #[error("{0:?} is no version as 1.30.0")]
    Version(String),
    /// Somebody else does.
    #[error("its versions are being changed by another process")]
    Busy,
    /// Nothing to go back to.
    #[error("there is no other version that was good")]
    Nothing,
    /// The disk.
    #[error("{}: {source}", path.display())]
    Disk {
        /// Where.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Python, or pip.
    #[error("{0} failed; what it printed is in the log{hint}", hint = if *.0 == PIP { ", and policy must let it reach your index (packages@1)" } else { "" })]
    Installation(&'static str),
    /// It was installed, and does not work.
    #[error("{version} does not work, and is not used: {why}")]
    Probe {
        /// Which.
        version: String,
        /// Why.
        why: probe::Failed,
    },
}

/// The versions of a bridge.
pub struct Versions<'b> {
    bridge: &'b Bridge,
    folder: &'b Path,
    /// What environments are made with.
    python: String,
}

impl<'b> Versions<'b> {
    /// Of this bridge.
    pub fn of(bridge: &'b Bridge) -> Self {
        Versions { bridge, folder: bridge.kept(), python: interpreter() }
    }

    /// The environment that runs now, by the folder that it really is; none without a package, or before the first one.
    pub fn current(&self) -> Option<PathBuf> {
        self.bridge.entry.package.as_ref()?;
        Some(self.folder.join(self.link(CURRENT)?))
    }

    /// The version that runs now.
    pub fn version(&self) -> Option<String> {
        self.bridge.entry.package.as_ref()?;
        self.link(CURRENT).map(|folder| version_of(&folder))
    }

    /// The version to go back to.
    pub fn last_good(&self) -> Option<String> {
        self.link(LAST_GOOD).map(|folder| version_of(&folder))
    }

    /// Whether the pin of the file was put in place already, or a person chose another since.
    pub fn is_settled(&self) -> bool {
        let Some(package) = &self.bridge.entry.package else { return true };
        let pinned = files::read_bounded(&self.folder.join(PINNED), 4096).unwrap_or_default();
        self.current().is_some() && pinned == folder_of(package, package.version()).into_bytes()
    }

    /// Installs a version (by default the pinned one), asks it, and switches to it if it works.
    ///
    /// # Errors
    ///
    /// It can't be installed or does not work: then nothing has changed.
    pub async fn upgrade(&self, version: Option<&str>, find_links: Option<&Path>) -> Result<Found, Failed> {
        let package = self.bridge.entry.package.as_ref().ok_or(Failed::NoPackage)?;
        let version = version.unwrap_or(package.version());
        if !is_version(version) {
            return Err(Failed::Version(version.into()));
        }
        let _lock = self.lock()?;
        let name = folder_of(package, version);
        let folder = self.folder.join(&name);
        let is_kept = |kept: &str| self.link(kept).as_deref() == Some(name.as_str());
        if !folder.join(WHOLE).exists() {
            let installed = self.install(&folder, &package.pins(version), find_links).await;
            installed.inspect_err(|_| remove(&folder))?;
        }
        let found = self.bridge.probe_installed(&folder, probe::DEADLINE).await.map_err(|why| {
            if !is_kept(CURRENT) && !is_kept(LAST_GOOD) {
                remove(&folder);
            }
            Failed::Probe { version: version.into(), why }
        })?;
        if let Some(previous) = self.link(CURRENT).filter(|previous| *previous != name) {
            self.point(LAST_GOOD, &previous)?;
        }
        self.point(CURRENT, &name)?;
        let pinned = self.folder.join(PINNED);
        let pin = folder_of(package, package.version());
        files::replace(&pinned, pin.as_bytes(), 0o600).map_err(|source| Failed::Disk { path: pinned, source })?;
        self.prune();
        Ok(found)
    }

    /// Goes back to the version that ran before, without asking it: what runs now is worse, or nobody would.
    ///
    /// # Errors
    ///
    /// There is none.
    pub fn rollback(&self) -> Result<String, Failed> {
        self.bridge.entry.package.as_ref().ok_or(Failed::NoPackage)?;
        let _lock = self.lock()?;
        let last_good = self.link(LAST_GOOD).filter(|name| self.link(CURRENT).as_ref() != Some(name));
        let name = last_good.filter(|name| self.folder.join(name).join(WHOLE).exists()).ok_or(Failed::Nothing)?;
        self.point(CURRENT, &name)?;
        let _ = fs::remove_file(self.folder.join(LAST_GOOD));
        Ok(version_of(&name))
    }

    async fn install(&self, folder: &Path, pins: &[String], find_links: Option<&Path>) -> Result<(), Failed> {
        remove(folder);
        let python = &self.python;
        let environment = folder.display().to_string();
        let own = format!("{environment}/bin/python");
        let words = |program: &str, words: &str| -> Vec<String> {
            std::iter::once(program).chain(words.split(' ')).map(str::to_owned).collect()
        };
        let mut venv = words(python, "-m venv --without-pip");
        venv.push(environment.clone());
        self.run("python3 -m venv", venv).await?;
        let whole = folder.join(WHOLE);
        let is_whole = || files::append(&whole, b"").map_err(|source| Failed::Disk { path: whole.clone(), source });
        if find_links.is_none() && self.adopts(&environment, pins).await {
            return is_whole();
        }
        // The image's Python has pip for all of them; where there is none, this one gets its own.
        let has_pip =
            self.run("import pip", [python.as_str(), "-c", "import pip"].map(str::to_owned).into()).await.is_ok();
        let mut pip = match has_pip {
            true => words(python, "-m pip --python").into_iter().chain([own]).collect(),
            false => {
                self.run("ensurepip", words(&own, "-m ensurepip")).await?;
                words(&own, "-m pip")
            }
        };
        let fixed = "install --no-input --disable-pip-version-check --no-cache-dir --quiet --only-binary :all:";
        pip.extend(fixed.split(' ').map(str::to_owned));
        if let Some(links) = find_links {
            pip.extend(["--no-index".into(), "--find-links".into(), links.display().to_string()]);
        }
        pip.push("--".into());
        pip.extend(pins.iter().cloned());
        self.run(PIP, pip).await?;
        is_whole()
    }

    /// Whether the Python that environments are made with has all of these in just these versions: they are copied then, and no
    /// index of packages is needed. A later image changes nothing about the copy.
    async fn adopts(&self, environment: &str, pins: &[String]) -> bool {
        let mut command: Vec<String> = [&self.python, "-c", ADOPT, environment].map(str::to_owned).into();
        command.extend(pins.iter().cloned());
        self.run("the image's own packages", command).await.is_ok()
    }

    async fn run(&self, what: &'static str, command: Vec<String>) -> Result<(), Failed> {
        let failed = |_| Failed::Installation(what);
        let mut child =
            Child::start(&command, self.bridge.environment(), Output::Logged, self.bridge.voice()).map_err(failed)?;
        match tokio::time::timeout(INSTALLATION, child.ended()).await {
            Ok(Ok(status)) if status.success() => Ok(()),
            _ => Err(Failed::Installation(what)),
        }
    }

    fn lock(&self) -> Result<File, Failed> {
        let path = self.folder.join(".lock");
        let disk = |source| Failed::Disk { path: path.clone(), source };
        fs::create_dir_all(self.folder).map_err(disk)?;
        let file = files::to_lock(&path).map_err(disk)?;
        flock(&file, FlockOperation::NonBlockingLockExclusive).map_err(|_| Failed::Busy)?;
        Ok(file)
    }

    /// Which folder a link names; nothing but a folder beside it.
    fn link(&self, link: &str) -> Option<String> {
        let target = fs::read_link(self.folder.join(link)).ok()?;
        let name = target.to_str()?;
        is_folder(name).then(|| name.to_owned())
    }

    fn point(&self, link: &str, to: &str) -> Result<(), Failed> {
        let path = self.folder.join(link);
        let beside = self.folder.join(format!(".{link}.new"));
        let _ = fs::remove_file(&beside);
        let pointed = symlink(to, &beside).and_then(|()| fs::rename(&beside, &path));
        pointed.map_err(|source| Failed::Disk { path, source })
    }

    /// Removes what neither runs nor ran before.
    fn prune(&self) {
        let kept = [self.link(CURRENT), self.link(LAST_GOOD)];
        let Ok(all) = fs::read_dir(self.folder) else { return };
        for name in all.flatten().filter_map(|entry| entry.file_name().into_string().ok()) {
            if is_folder(&name) && !kept.iter().flatten().any(|kept| *kept == name) {
                remove(&self.folder.join(name));
            }
        }
    }
}

/// The Python that environments are made with: the image's, which has pip, or the system's; `STUBGATE_PYTHON` wins.
fn interpreter() -> String {
    const IMAGE: &str = "/opt/bridges/bin/python";
    let system = if Path::new(IMAGE).exists() { IMAGE } else { "python3" };
    std::env::var("STUBGATE_PYTHON").unwrap_or_else(|_| system.into())
}

/// A version's folder: its name, and with more packages what tells one choice of them from another.
fn folder_of(package: &Package, version: &str) -> String {
    if package.with.is_empty() {
        return version.into();
    }
    let digest = Sha256::digest(package.with.join("\n"));
    let digest: String = digest.iter().take(4).map(|byte| format!("{byte:02x}")).collect();
    format!("{version}-{digest}")
}

fn version_of(folder: &str) -> String {
    folder.split('-').next().unwrap_or_default().into()
}

fn is_folder(name: &str) -> bool {
    let (version, digest) = name.split_once('-').unwrap_or((name, ""));
    is_version(version) && digest.bytes().all(|byte| byte.is_ascii_hexdigit())
}

fn remove(folder: &Path) {
    if let Err(error) = fs::remove_dir_all(folder)
        && error.kind() != io::ErrorKind::NotFound
    {
        tracing::warn!(folder = %folder.display(), %error, "a version of a bridge is not removed");
    }
}

#[cfg(test)]
mod tests;
