//! The file system of the sandbox: what the user sees outside, without what leads out.
//!
//! - `/run` and `/dev/shm` are the sandbox's own; `/dev` has terminals and the devices that every program expects;
//! - `/proc` shows the sandbox's processes, and its settings can be read only; so can `/sys`;
//! - what the appliance must be alone with (keys, credentials) is hidden, and what it reads (policy) is read-only. The folders
//!   above it can't be renamed, so that nothing else can be put in the place of either;
//! - the resolver and the stores of certificates are those of stubgate.
//!
//! Sockets anywhere in it are closed by [`crate::connect`], not here.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::fs;
use std::io;
use std::net::Ipv4Addr;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStringExt;
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::CWD;
use rustix::mount::{
    MountFlags, MountPropagationFlags, MoveMountFlags, OpenTreeFlags, mount, mount_bind, mount_bind_recursive,
    mount_change, move_mount, open_tree,
};

use crate::trust;
use crate::{Plan, sys};

/// Devices that every program expects, and that lead nowhere.
const DEVICES: [&str; 6] = ["null", "zero", "full", "random", "urandom", "tty"];
/// Folders of `/run` that hold programs, on systems that keep them there, and disks of users.
const KEPT_OF_RUN: [&str; 4] = ["/run/current-system", "/run/booted-system", "/run/opengl-driver", "/run/media"];
/// Kinds of file systems that show the machine or its processes, wherever they are mounted.
const TELLING: [&str; 10] =
    ["proc", "devtmpfs", "nsfs", "debugfs", "tracefs", "bpf", "binfmt_misc", "configfs", "securityfs", "efivarfs"];

/// What could not be done, and to what.
#[derive(Debug, thiserror::Error)]
#[error("{what}: {source}")]
pub(crate) struct Failed {
    pub(crate) what: String,
    pub(crate) source: io::Error,
}

trait Context<T> {
    fn at(self, what: impl std::fmt::Display) -> Result<T, Failed>;
}

impl<T, E: Into<io::Error>> Context<T> for Result<T, E> {
    fn at(self, what: impl std::fmt::Display) -> Result<T, Failed> {
        self.map_err(|error| Failed { what: what.to_string(), source: error.into() })
    }
}

/// Makes it, in the mount namespace that this process has to itself.
pub(crate) fn make(plan: &Plan) -> Result<(), Failed> {
    mount_change("/", MountPropagationFlags::PRIVATE | MountPropagationFlags::REC).at("the mounts")?;
    let telling = telling_mounts()?;
    if let Some(writable) = &plan.system_is_read_only_but {
        make_system_read_only(writable)?;
    }
    make_run(plan)?;
    make_proc()?;
    // The folder of the user's cgroup may be the user's.
    sys::make_read_only(Path::new("/sys"), true).at("/sys")?;
    make_dev()?;
    for path in telling {
        cover(&path)?;
    }
    protect(plan)
}

/// Mounts that tell of the machine, beside those that are replaced anyway.
fn telling_mounts() -> Result<Vec<PathBuf>, Failed> {
    let listed = fs::read("/proc/self/mountinfo").at("/proc/self/mountinfo")?;
    let mut found = telling(&listed);
    // Where this user can't come, nobody of the sandbox can; and what another mount covers is not there.
    found.retain(|path| {
        let seen = path.symlink_metadata();
        !seen.is_err_and(|error| [io::ErrorKind::PermissionDenied, io::ErrorKind::NotFound].contains(&error.kind()))
    });
    Ok(found)
}

fn telling(listed: &[u8]) -> Vec<PathBuf> {
    let found = listed.split(|byte| *byte == b'\n').filter_map(|line| {
        let mut fields = line.split(|byte| *byte == b' ');
        let path = PathBuf::from(OsString::from_vec(unescaped(fields.nth(4)?)));
        // Behind the dash, which stands after as many options as there are.
        fields.find(|field| *field == b"-")?;
        let kind = fields.next()?;
        let is_replaced = ["/proc", "/sys", "/dev", "/run"].iter().any(|known| path.starts_with(known));
        (TELLING.iter().any(|known| known.as_bytes() == kind) && !is_replaced).then_some(path)
    });
    found.collect()
}

/// A path of `mountinfo`, where blanks are written as octal numbers.
fn unescaped(text: &[u8]) -> Vec<u8> {
    let mut found = Vec::new();
    let mut left = text;
    while let Some((&first, rest)) = left.split_first() {
        let number = rest.get(..3).and_then(|digits| u8::from_str_radix(str::from_utf8(digits).ok()?, 8).ok());
        match number.filter(|_| first == b'\\') {
            Some(byte) => {
                found.push(byte);
                left = rest.get(3..).unwrap_or_default();
            }
            None => {
                found.push(first);
                left = rest;
            }
        }
    }
    found
}

fn clone_of(path: &Path) -> Result<OwnedFd, Failed> {
    let flags = OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC | OpenTreeFlags::AT_RECURSIVE;
    open_tree(CWD, path, flags).at(path.display())
}

fn put(tree: &OwnedFd, path: &Path) -> Result<(), Failed> {
    move_mount(tree, "", CWD, path, MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH).at(path.display())
}

/// For an owner of number 0, whom the system's own files belong to: read-only but for these folders.
fn make_system_read_only(writable: &[PathBuf]) -> Result<(), Failed> {
    let mut folders: Vec<PathBuf> = writable.iter().filter_map(|path| path.canonicalize().ok()).collect();
    folders.retain(|path| path != Path::new("/"));
    folders.sort();
    let trees: Vec<(OwnedFd, PathBuf)> =
        folders.into_iter().map(|path| Ok((clone_of(&path)?, path))).collect::<Result<_, Failed>>()?;
    sys::make_read_only(Path::new("/"), true).at("/")?;
    for (tree, path) in &trees {
        put(tree, path)?;
    }
    Ok(())
}

fn make_run(plan: &Plan) -> Result<(), Failed> {
    let mut kept: BTreeSet<PathBuf> = KEPT_OF_RUN.iter().map(PathBuf::from).filter(|path| path.is_dir()).collect();
    // Whoever works in a folder of /run goes on to see it.
    kept.extend(plan.folder.starts_with("/run").then(|| plan.folder.clone()).filter(|path| path.is_dir()));
    let trees: Vec<(OwnedFd, PathBuf)> =
        kept.into_iter().map(|path| Ok((clone_of(&path)?, path))).collect::<Result<_, Failed>>()?;
    memory("/run", "mode=755")?;
    if Path::new("/var/run").symlink_metadata().is_ok_and(|found| found.is_dir()) {
        cover(Path::new("/var/run"))?;
    }
    // Before what is put back, which may lie in them.
    let own = runtime_folder();
    fs::DirBuilder::new().recursive(true).mode(0o755).create("/run/user").at("/run/user")?;
    fs::DirBuilder::new().mode(0o700).create(&own).at(own.display())?;
    fs::create_dir_all("/run/lock").at("/run/lock")?;
    fs::create_dir(trust::FOLDER).at(trust::FOLDER)?;
    memory(trust::FOLDER, "mode=755")?;
    for (tree, path) in &trees {
        fs::create_dir_all(path).at(path.display())?;
        put(tree, path)?;
    }
    Ok(())
}

/// Whether a folder can be worked in: in some the sandbox has its own.
///
/// # Errors
/// In words for a person.
pub(crate) fn refuse_to_work_in(folder: &Path) -> Result<(), String> {
    let own = [PathBuf::from("/run"), PathBuf::from("/run/user"), runtime_folder()];
    let is_kernels = ["/proc", "/sys", "/dev", trust::FOLDER].iter().any(|known| folder.starts_with(known));
    if is_kernels || own.iter().any(|known| known == folder) {
        return Err(format!(
            "{} is another folder inside than outside: start it in a folder of its own",
            folder.display()
        ));
    }
    Ok(())
}

/// The folder that stands in for the user's own of `/run/user`.
pub(crate) fn runtime_folder() -> PathBuf {
    Path::new("/run/user").join(rustix::process::getuid().as_raw().to_string())
}

fn make_proc() -> Result<(), Failed> {
    mount("proc", "/proc", "proc", MountFlags::NOSUID | MountFlags::NODEV | MountFlags::NOEXEC, None).at("/proc")?;
    // What is of no process is of the machine, which an owner of number 0 could change by it.
    for entry in fs::read_dir("/proc").at("/proc")? {
        let entry = entry.at("/proc")?;
        let is_process = entry.file_name().as_encoded_bytes().iter().all(u8::is_ascii_digit);
        if !is_process && !entry.file_type().at("/proc")?.is_symlink() {
            read_only(&entry.path())?;
        }
    }
    Ok(())
}

fn make_dev() -> Result<(), Failed> {
    let kept: Vec<(OwnedFd, PathBuf)> = DEVICES
        .iter()
        .map(|name| Path::new("/dev").join(name))
        .filter(|path| path.exists())
        .map(|path| {
            let flags = OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC;
            Ok((open_tree(CWD, &path, flags).at(path.display())?, path))
        })
        .collect::<Result<_, Failed>>()?;
    let flags = MountFlags::NOSUID | MountFlags::NOEXEC;
    mount("stubgate", "/dev", "tmpfs", flags, Some(c"mode=755,size=64k")).at("/dev")?;
    for (device, path) in &kept {
        fs::write(path, "").at(path.display())?;
        put(device, path)?;
    }
    for name in ["pts", "shm", "mqueue"] {
        let path = Path::new("/dev").join(name);
        fs::create_dir(&path).at(path.display())?;
    }
    let options = c"newinstance,ptmxmode=0666,mode=620";
    mount("devpts", "/dev/pts", "devpts", MountFlags::NOSUID | MountFlags::NOEXEC, Some(options)).at("/dev/pts")?;
    memory("/dev/shm", "mode=1777")?;
    // Not every kernel has them.
    let _ = mount("mqueue", "/dev/mqueue", "mqueue", flags | MountFlags::NODEV, None);
    let links = [
        ("ptmx", "pts/ptmx"),
        ("fd", "/proc/self/fd"),
        ("stdin", "/proc/self/fd/0"),
        ("stdout", "/proc/self/fd/1"),
        ("stderr", "/proc/self/fd/2"),
    ];
    for (name, to) in links {
        std::os::unix::fs::symlink(to, Path::new("/dev").join(name)).at(name)?;
    }
    // The mount itself, not those on it: terminals are made there.
    sys::make_read_only(Path::new("/dev"), false).at("/dev")
}

/// An empty folder in memory.
fn memory(path: &str, options: &str) -> Result<(), Failed> {
    let options = std::ffi::CString::new(options).at(path)?;
    mount("stubgate", path, "tmpfs", MountFlags::NOSUID | MountFlags::NODEV, Some(&*options)).at(path)
}

/// Puts something empty over a file or folder.
fn cover(path: &Path) -> Result<(), Failed> {
    if path.is_dir() {
        let flags = MountFlags::NOSUID | MountFlags::NODEV | MountFlags::NOEXEC;
        mount("stubgate", path, "tmpfs", flags, Some(c"mode=755,size=4k")).at(path.display())?;
        return sys::make_read_only(path, false).at(path.display());
    }
    let empty = Path::new(trust::FOLDER).join("empty");
    if !empty.exists() {
        fs::write(&empty, "").at(empty.display())?;
    }
    mount_bind(&empty, path).at(path.display())?;
    sys::make_read_only(path, false).at(path.display())
}

fn read_only(path: &Path) -> Result<(), Failed> {
    if path.is_dir() {
        mount_bind_recursive(path, path).at(path.display())?;
    } else {
        mount_bind(path, path).at(path.display())?;
    }
    sys::make_read_only(path, true).at(path.display())
}

/// Hides and protects what the plan names. What is not there can't be, and needs not.
fn protect(plan: &Plan) -> Result<(), Failed> {
    for path in &plan.fixed {
        if path.is_dir() {
            mount_bind_recursive(path, path).at(path.display())?;
        }
    }
    for path in &plan.read_only {
        if path.exists() {
            read_only(path)?;
        }
    }
    for path in &plan.hidden {
        if path.exists() {
            cover(path)?;
        }
    }
    Ok(())
}

/// Has names resolved by stubgate at this address.
pub(crate) fn resolve_by(address: Ipv4Addr) -> Result<(), Failed> {
    let ours = Path::new(trust::FOLDER).join("resolv.conf");
    fs::write(&ours, format!("# Written by stubgate sandbox.\nnameserver {address}\n")).at(ours.display())?;
    let system = Path::new("/etc/resolv.conf");
    let target = match fs::read_link(system) {
        // It often leads into /run, of which nothing is left.
        Ok(link) => Path::new("/etc").join(link),
        Err(_) => system.to_owned(),
    };
    if !target.exists() {
        let folder = target.parent().unwrap_or(Path::new("/"));
        let made = fs::create_dir_all(folder).and_then(|()| fs::write(&target, ""));
        made.at(format!("{}: make one, a symlink into /run if need be", target.display()))?;
    }
    lay_over(&ours, &target.canonicalize().at(target.display())?)
}

/// Has everybody trust these certificates.
pub(crate) fn trust(bundle: &[u8]) -> Result<(), Failed> {
    let forms = trust::forms(bundle).map_err(io::Error::other).at("the certificates to trust")?;
    for (path, content) in forms {
        let folder = path.parent().unwrap_or(Path::new("/"));
        fs::create_dir_all(folder).at(folder.display())?;
        fs::write(&path, content).at(path.display())?;
        fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).at(path.display())?;
    }
    for (stores, ours) in [(trust::STORES, trust::bundle_file()), (trust::JAVA_STORES, trust::java_file())] {
        let there: BTreeSet<PathBuf> = stores.iter().filter_map(|path| Path::new(path).canonicalize().ok()).collect();
        for store in there.iter().filter(|path| path.is_file()) {
            lay_over(&ours, store)?;
        }
    }
    sys::make_read_only(Path::new(trust::FOLDER), false).at(trust::FOLDER)
}

fn lay_over(ours: &Path, theirs: &Path) -> Result<(), Failed> {
    mount_bind(ours, theirs).at(theirs.display())?;
    sys::make_read_only(theirs, false).at(theirs.display())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blanks_in_the_path_of_a_mount_are_read() {
        assert_eq!(unescaped(b"/a\\040b\\134c"), b"/a b\\c");
    }

    #[test]
    fn a_mount_that_tells_is_found_by_a_name_that_is_no_text_too() {
        let listed =
            b"22 1 0:5 / /jail/pr\xffoc rw,nosuid shared:12 - proc proc rw\n23 1 0:6 / /data rw - ext4 /dev/vda rw\n\
            24 1 0:7 / /proc rw - proc proc rw\n25 1 0:8 / /a\\040b rw - bpf bpf rw\n";
        let names = [&b"/jail/pr\xffoc"[..], b"/a b"].map(|name| PathBuf::from(OsString::from_vec(name.to_vec())));
        assert_eq!(telling(listed), names);
    }
}
