//! That nothing on disk looks like a credential: the home in full, and of the workspace the files that configure something. The
//! agent owns what is walked, so no link is followed (each step opens one name below a folder that is held open), only regular
//! files are read, and depth, files, bytes and time are bounded; what was left out is said.

use std::io::Read;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;
use std::time::{Duration, Instant};

use rustix::fs::{AtFlags, Dir, FileType, Mode, OFlags};

use super::report::Finding;
use super::{Setting, shapes};

const CHECK: &str = "credentials.disk";
const DEEPEST: usize = 24;
const ENTRIES: usize = 200_000;
/// Bytes of one file that are looked at, and of all.
const OF_FILE: u64 = 4 * 1024 * 1024;
const OF_ALL: u64 = 1024 * 1024 * 1024;
/// For all of it, and left over for the rest of the report.
const TIME: Duration = Duration::from_secs(20);
const SPARE: Duration = Duration::from_secs(3);
const TOLD: usize = 20;

/// Folders of what others published: their examples and tests are full of what looks real.
const OF_OTHERS: [&str; 8] = [
    "node_modules",
    "site-packages",
    ".cache",
    ".cargo/registry",
    "go/pkg/mod",
    ".git/objects",
    "plugins/marketplaces",
    "plugins/cache",
];

/// Looks at everything.
pub(super) fn look(setting: &Setting, end: Instant) -> Vec<Finding> {
    let end = (Instant::now() + TIME).min(end.checked_sub(SPARE).unwrap_or(end));
    let mut walk =
        Walk { stubs: setting.mask.stubs(), end, files: 0, entries: 0, bytes: 0, cut: 0, why: None, found: Vec::new() };
    for (root, only_configuration) in [(&setting.place.home, false), (&setting.place.workspace, true)] {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        match rustix::fs::open(root, flags, Mode::empty()) {
            Ok(folder) => walk.folder(&folder, root, 0, only_configuration),
            Err(rustix::io::Errno::NOENT) => {}
            Err(error) => walk.found.push(Finding::warn(CHECK, format!("{}: {error}", root.display()))),
        }
    }
    walk.told()
}

struct Walk<'s> {
    stubs: &'s [String],
    end: Instant,
    files: usize,
    entries: usize,
    bytes: u64,
    /// Files that were looked at in part.
    cut: usize,
    /// Why it stopped.
    why: Option<&'static str>,
    found: Vec<Finding>,
}

impl Walk<'_> {
    fn told(self) -> Vec<Finding> {
        let mut found = self.found;
        let more = found.len().saturating_sub(TOLD);
        found.truncate(TOLD);
        if more > 0 {
            found.push(Finding::bad(CHECK, format!("and {more} more")));
        }
        let mut what = format!("{} files, {} MiB", self.files, self.bytes / 1024 / 1024);
        if self.cut > 0 {
            what.push_str(&format!(" ({} of them were too long and looked at in part)", self.cut));
        }
        match self.why {
            Some(why) => found.push(Finding::warn(CHECK, format!("it was not all looked at: {why}; {what}"))),
            None if found.is_empty() => found.push(Finding::ok(CHECK, format!("nothing looks real in {what}"))),
            None => {}
        }
        found
    }

    fn is_over(&mut self) -> bool {
        if self.why.is_none() {
            self.why = if Instant::now() >= self.end {
                Some("there was no time for it")
            } else if self.entries >= ENTRIES {
                Some("there are too many files")
            } else if self.bytes >= OF_ALL {
                Some("it is too much")
            } else {
                None
            };
        }
        self.why.is_some()
    }

    fn folder(&mut self, folder: &OwnedFd, path: &Path, depth: usize, only_configuration: bool) {
        let Ok(entries) = Dir::read_from(folder) else { return };
        let mut names: Vec<(Vec<u8>, FileType)> = Vec::new();
        for entry in entries.flatten() {
            let name = entry.file_name();
            if matches!(name.to_bytes(), b"." | b"..") {
                continue;
            }
            self.entries += 1;
            if self.is_over() {
                return;
            }
            let kind = match entry.file_type() {
                FileType::Unknown => rustix::fs::statat(folder, name, AtFlags::SYMLINK_NOFOLLOW)
                    .map_or(FileType::Unknown, |found| FileType::from_raw_mode(found.st_mode)),
                kind => kind,
            };
            names.push((name.to_bytes().to_vec(), kind));
        }
        // The same report for the same files.
        names.sort_unstable_by(|one, other| one.0.cmp(&other.0));
        for (name, kind) in names {
            if self.is_over() {
                return;
            }
            let shown = String::from_utf8_lossy(&name).into_owned();
            match kind {
                FileType::Directory if OF_OTHERS.iter().any(|others| path.join(&shown).ends_with(others)) => {}
                FileType::Directory if depth >= DEEPEST => self.why = Some("folders are too deep"),
                FileType::Directory => {
                    if let Some(inner) = open(folder, &name, OFlags::DIRECTORY) {
                        self.folder(&inner, &path.join(&shown), depth + 1, only_configuration);
                    }
                }
                FileType::RegularFile if !only_configuration || configures(&shown) => {
                    if let Some(file) = open(folder, &name, OFlags::NONBLOCK) {
                        self.file(file, &path.join(&shown), &shown);
                    }
                }
                // Links, pipes, sockets, devices.
                _ => {}
            }
        }
    }

    fn file(&mut self, file: OwnedFd, path: &Path, name: &str) {
        // What was a file may be something else by now.
        let Ok(about) = rustix::fs::fstat(file.as_fd()) else { return };
        if FileType::from_raw_mode(about.st_mode) != FileType::RegularFile {
            return;
        }
        let mut bytes = Vec::new();
        let mut file = std::fs::File::from(file).take(OF_FILE + 1);
        if file.read_to_end(&mut bytes).is_err() {
            return;
        }
        let length = u64::try_from(bytes.len()).unwrap_or(OF_FILE);
        self.files += 1;
        self.bytes += length;
        self.cut += usize::from(length > OF_FILE);
        for hit in shapes::find(&bytes, self.stubs, keeps_credentials(name)) {
            let before = bytes.get(..hit.at).unwrap_or_default();
            let line = 1 + before.iter().filter(|byte| **byte == b'\n').count();
            let what = format!("{}, line {line}: {}", path.display(), hit.kind);
            self.found.push(
                Finding::bad(CHECK, what)
                    .advise("put the stub in its place, and replace the credential: it was seen here"),
            );
            if self.found.len() > 10 * TOLD {
                self.why = Some("that is enough");
                return;
            }
        }
    }
}

/// Opens what has this name in the folder, and is no link.
fn open(folder: &OwnedFd, name: &[u8], flags: OFlags) -> Option<OwnedFd> {
    let flags = flags | OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    rustix::fs::openat(folder, name, flags, Mode::empty()).ok()
}

/// Whether a file of this name configures something.
fn configures(name: &str) -> bool {
    const ENDINGS: [&str; 16] = [
        "json",
        "yaml",
        "yml",
        "toml",
        "ini",
        "cfg",
        "conf",
        "config",
        "properties",
        "env",
        "envrc",
        "pem",
        "key",
        "netrc",
        "xml",
        "tfvars",
    ];
    let ending = name.rsplit_once('.').map_or(name, |(_, ending)| ending);
    name.starts_with('.') || ENDINGS.contains(&ending) || keeps_credentials(name)
}

/// Whether a file of this name is where credentials are kept.
fn keeps_credentials(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    let words = ["credential", "secret", "token", "passwd", "password", "netrc", "npmrc", "pypirc", "kubeconfig"];
    words.iter().any(|word| name.contains(word))
        || name.starts_with(".env")
        || matches!(
            &*name,
            "auth.json"
                | "hosts.yml"
                | "config"
                | "config.json"
                | ".claude.json"
                | "application_default_credentials.json"
        )
}

#[cfg(test)]
mod tests;
