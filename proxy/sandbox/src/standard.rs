//! Standard input, output and error: the three descriptors of whoever starts a sandbox that go into it.
//!
//! A descriptor is of the mounts outside. What it leads to can be opened anew by `/proc/self/fd`, for writing too where it was
//! opened for reading, and below a folder everything can: the mounts inside, which hide and protect, are not asked. So none goes
//! in that leads to more than what it was opened for, and none that leads to what is hidden or protected.

use std::io::IsTerminal;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::path::{Path, PathBuf};

use rustix::fs::{FileType, OFlags, fcntl_getfl, fstat};
use rustix::net::{AddressFamily, SocketType, sockopt};

use crate::Plan;

/// To be asked outside, where paths are those of the plan.
///
/// # Errors
/// In words for a person.
pub(crate) fn refuse_ways_out(plan: &Plan) -> Result<(), String> {
    let all = [
        ("standard input", rustix::stdio::stdin()),
        ("standard output", rustix::stdio::stdout()),
        ("standard error", rustix::stdio::stderr()),
    ];
    for ((name, fd), is_replaced) in all.into_iter().zip(plan.terminals) {
        // The command gets a terminal of its own.
        if is_replaced && fd.is_terminal() {
            continue;
        }
        if let Some(what) = way_out(plan, fd) {
            return Err(format!("{name} {what}; put a pipe there"));
        }
    }
    Ok(())
}

fn way_out(plan: &Plan, fd: BorrowedFd<'_>) -> Option<&'static str> {
    // One that is closed leads nowhere.
    let (Ok(found), Ok(flags)) = (fstat(fd), fcntl_getfl(fd)) else { return None };
    if flags.contains(OFlags::PATH) {
        return Some("was opened as a path only, which could be opened for anything inside");
    }
    match FileType::from_raw_mode(found.st_mode) {
        FileType::Directory => Some("is a folder, below which all is as it is outside"),
        FileType::BlockDevice => Some("is a device, which could be opened for writing inside"),
        FileType::Symlink => Some("is a link, which could be followed to outside"),
        FileType::Socket => is_free(fd).then_some("is a socket, which could be connected elsewhere"),
        // One that has no name any more is nobody else's.
        FileType::RegularFile if found.st_nlink > 0 => file_way_out(plan, fd, flags),
        _ => None,
    }
}

/// Whether a socket can be connected anew: all can but pairs of the Unix family.
fn is_free(fd: BorrowedFd<'_>) -> bool {
    let is_pair = sockopt::socket_domain(fd) == Ok(AddressFamily::UNIX)
        && matches!(sockopt::socket_type(fd), Ok(SocketType::STREAM | SocketType::SEQPACKET))
        && rustix::net::getpeername(fd).is_ok();
    !is_pair
}

fn file_way_out(plan: &Plan, fd: BorrowedFd<'_>, flags: OFlags) -> Option<&'static str> {
    let Ok(path) = std::fs::read_link(format!("/proc/self/fd/{}", fd.as_raw_fd())) else {
        return Some("is a file that can't be told from others, because /proc is not there");
    };
    let is_in = |folders: &[PathBuf]| folders.iter().any(|folder| path.starts_with(folder));
    if is_in(&plan.read_only) || is_in(&plan.hidden) {
        return Some("is a file that the command must not see or change, which could be opened for writing inside");
    }
    // What whoever starts it opened for writing may be written.
    let is_read = flags & OFlags::ACCMODE == OFlags::RDONLY;
    let writable = plan.system_is_read_only_but.as_ref()?;
    let real: Vec<PathBuf> = writable.iter().filter_map(|path| path.canonicalize().ok()).collect();
    let is_writable = is_in(&real.into_iter().filter(|path| path != Path::new("/")).collect::<Vec<_>>());
    (is_read && !is_writable).then_some("is a file of the system, which root could open for writing inside")
}
