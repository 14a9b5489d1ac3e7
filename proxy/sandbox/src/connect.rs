//! `connect`, done for a process of the sandbox by the one that watches over it.
//!
//! A socket file is a way out through whoever listens behind it: a container runtime, the user's message bus, an agent that
//! holds keys, a display. Where it stands says nothing (they are in `/run`, `/tmp`, homes, projects), and some appear later. So
//! it is asked who listens: only a process of the sandbox's own pid namespace may be connected to. The kernel tells that of a
//! connection alone, and must not tell it of one that the caller has already; so a socket of our own is connected first, asked
//! (`SO_PEERCRED`), and put in the place of the caller's where it leads inside.
//!
//! Nothing is ever let through to the kernel as the caller wrote it: its memory and its descriptors may change while it is
//! looked at. Internet sockets are connected here too, by a copy of the address; they are of the sandbox's network, whatever
//! they are told to connect to.

use std::fs::{self, File};
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::FileExt;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use rustix::fs::{FileType, Mode, OFlags, ResolveFlags, openat2};
use rustix::io::Errno;
use rustix::net::sockopt::{self, Timeout};
use rustix::net::{AddressFamily, SocketFlags, SocketType};
use rustix::process::{Gid, Pid, PidfdFlags, PidfdGetfdFlags, Uid, getegid, geteuid, pidfd_getfd, pidfd_open};
use rustix::thread::{set_thread_groups, set_thread_res_gid, set_thread_res_uid};

use crate::sys::{self, Call};

/// The longest address of any family.
const LONGEST: u64 = 128;
/// Calls that are answered at once. One that waits, because a listener's queue is full, holds a thread; one more than these is told
/// to come again, as where the kernel lacks something.
const AT_ONCE: usize = 256;
/// How long a caller waits for a queue until it is looked whether there still is a caller.
const PATIENCE: Duration = Duration::from_secs(1);

/// Answers calls until nobody is left to make one. Each in a thread of its own, which becomes who calls.
pub(crate) fn serve(listener: &Arc<OwnedFd>) {
    let under_way = Arc::new(AtomicUsize::new(0));
    while let Ok(call) = next(listener.as_fd()) {
        let (shared, count) = (Arc::clone(listener), Arc::clone(&under_way));
        let answer = move || {
            let done = connect(shared.as_fd(), call);
            sys::answer(shared.as_fd(), call.id, done.err().map_or(0, |error| error.raw_os_error()));
            count.fetch_sub(1, Ordering::Relaxed);
        };
        if under_way.fetch_add(1, Ordering::Relaxed) < AT_ONCE {
            let name = std::thread::Builder::new().name("connect".into()).stack_size(128 << 10);
            if name.spawn(answer).is_ok() {
                continue;
            }
        }
        under_way.fetch_sub(1, Ordering::Relaxed);
        sys::answer(listener.as_fd(), call.id, libc::EAGAIN);
    }
}

fn next(listener: BorrowedFd<'_>) -> io::Result<Call> {
    loop {
        match sys::next_call(listener) {
            Err(error) if matches!(error.raw_os_error(), Some(libc::EINTR | libc::ENOENT)) => {}
            other => return other,
        }
    }
}

fn connect(listener: BorrowedFd<'_>, call: Call) -> Result<(), Errno> {
    let [number, at, length, ..] = call.arguments;
    // The kernel takes the lower halves, and a length that is negative is none.
    let lower = |argument: u64| u32::try_from(argument & u64::from(u32::MAX)).map_err(|_| Errno::INVAL);
    let number = lower(number)?;
    let length = u64::from(lower(length)?);
    if length > LONGEST {
        return Err(Errno::INVAL);
    }
    let mut address = vec![0; usize::try_from(length).map_err(|_| Errno::INVAL)?];
    let memory = File::open(format!("/proc/{}/mem", call.thread)).map_err(errno)?;
    memory.read_exact_at(&mut address, at).map_err(|_| Errno::FAULT)?;
    let caller = Caller::of(call.thread)?;
    let theirs = socket_of(caller.process, number)?;
    let close_on_exec = is_closed_on_exec(call.thread, number);
    let folder = working_folder(call.thread)?;
    // What was looked at is of the thread that called, and of no other that got its number since.
    if !sys::still_waits(listener, call.id) {
        return Err(Errno::INTR);
    }
    if sockopt::socket_domain(&theirs)? != AddressFamily::UNIX {
        return sys::connect(theirs.as_fd(), &address).map_err(errno);
    }
    let Some((family, path)) = address.split_first_chunk() else { return Err(Errno::INVAL) };
    if u16::from_ne_bytes(*family) != AddressFamily::UNIX.as_raw() || path.is_empty() {
        return Err(Errno::INVAL);
    }
    if path.first() == Some(&0) {
        // Abstract names are the network namespace's own.
        return sys::connect(theirs.as_fd(), &address).map_err(errno);
    }
    let path = path.split(|byte| *byte == 0).next().unwrap_or_default();
    // With the rights of who calls, by whose name the listener knows whom it speaks with.
    caller.act_as()?;
    let file = socket_file(&folder, path)?;
    let ours = connected_inside(&theirs, &file, || sys::still_waits(listener, call.id))?;
    if sockopt::socket_passcred(&theirs)? {
        sockopt::set_socket_passcred(&ours, true)?;
    }
    sys::put_in_place(listener, call.id, ours.as_fd(), number, close_on_exec).map_err(errno)
}

/// A socket of the caller.
fn socket_of(process: Pid, number: u32) -> Result<OwnedFd, Errno> {
    let process = pidfd_open(process, PidfdFlags::empty())?;
    let number = i32::try_from(number).map_err(|_| Errno::BADF)?;
    pidfd_getfd(process, number, PidfdGetfdFlags::empty())
}

fn working_folder(thread: u32) -> Result<OwnedFd, Errno> {
    let flags = OFlags::PATH | OFlags::CLOEXEC | OFlags::DIRECTORY;
    rustix::fs::open(format!("/proc/{thread}/cwd"), flags, Mode::empty())
}

/// Who calls. Root inside may have become somebody else, who must not connect as root.
#[derive(Debug, PartialEq, Eq)]
struct Caller {
    process: Pid,
    user: Uid,
    group: Gid,
    groups: Vec<Gid>,
}

impl Caller {
    fn of(thread: u32) -> Result<Caller, Errno> {
        let status = fs::read_to_string(format!("/proc/{thread}/status")).map_err(errno)?;
        Caller::parse(&status).ok_or(Errno::SRCH)
    }

    fn parse(status: &str) -> Option<Caller> {
        let numbers = |field: &str| -> Option<Vec<u32>> {
            let text = status.lines().find_map(|line| line.strip_prefix(field))?;
            text.split_whitespace().map(|number| number.parse().ok()).collect()
        };
        // Real, effective, saved and that of files.
        let effective = |field| numbers(field)?.get(1).copied();
        Some(Caller {
            process: numbers("Tgid:")?.first().and_then(|number| Pid::from_raw(i32::try_from(*number).ok()?))?,
            user: Uid::from_raw(effective("Uid:")?),
            group: Gid::from_raw(effective("Gid:")?),
            groups: numbers("Groups:")?.into_iter().map(Gid::from_raw).collect(),
        })
    }

    /// Has this thread, and no other, act as the caller from now on.
    fn act_as(&self) -> Result<(), Errno> {
        if self.user == geteuid() && self.group == getegid() {
            return Ok(());
        }
        set_thread_groups(&self.groups)?;
        set_thread_res_gid(self.group, self.group, self.group)?;
        set_thread_res_uid(self.user, self.user, self.user)
    }
}

/// The file that a path means to the caller in its folder. A link of `/proc` would lead to files of this process.
fn socket_file(folder: &OwnedFd, path: &[u8]) -> Result<OwnedFd, Errno> {
    let file = openat2(folder, path, OFlags::PATH | OFlags::CLOEXEC, Mode::empty(), ResolveFlags::NO_MAGICLINKS)?;
    if FileType::from_raw_mode(rustix::fs::fstat(&file)?.st_mode) != FileType::Socket {
        return Err(Errno::CONNREFUSED);
    }
    Ok(file)
}

/// A new socket like theirs, connected to the listener of this file, who is inside.
fn connected_inside(theirs: &OwnedFd, file: &OwnedFd, still_waits: impl Fn() -> bool) -> Result<OwnedFd, Errno> {
    let kind = sockopt::socket_type(theirs)?;
    if kind != SocketType::STREAM && kind != SocketType::SEQPACKET {
        return Err(Errno::ACCESS);
    }
    let ours = rustix::net::socket_with(AddressFamily::UNIX, kind, SocketFlags::CLOEXEC, None)?;
    let flags = rustix::fs::fcntl_getfl(theirs)?;
    rustix::fs::fcntl_setfl(&ours, flags & OFlags::NONBLOCK)?;
    let mut address = AddressFamily::UNIX.as_raw().to_ne_bytes().to_vec();
    address.extend(format!("/proc/self/fd/{}\0", std::os::fd::AsRawFd::as_raw_fd(file)).bytes());
    let patience = sockopt::socket_timeout(theirs, Timeout::Send)?;
    let is_patient = !flags.contains(OFlags::NONBLOCK) && patience.is_none();
    sockopt::set_socket_timeout(&ours, Timeout::Send, if is_patient { Some(PATIENCE) } else { patience })?;
    loop {
        match sys::connect(ours.as_fd(), &address).map_err(errno) {
            Err(Errno::AGAIN) if is_patient && still_waits() => {}
            Err(Errno::AGAIN) if is_patient => return Err(Errno::INTR),
            other => break other?,
        }
    }
    sockopt::set_socket_timeout(&ours, Timeout::Send, patience)?;
    match sys::peer_process(ours.as_fd()).map_err(errno)? {
        // Of no process here: whoever listens is outside.
        0 => Err(Errno::ACCESS),
        _ => Ok(ours),
    }
}

fn is_closed_on_exec(thread: u32, number: u32) -> bool {
    let text = fs::read_to_string(format!("/proc/{thread}/fdinfo/{number}")).unwrap_or_default();
    let flags = text.lines().find_map(|line| line.strip_prefix("flags:"));
    let flags = flags.and_then(|text| i32::from_str_radix(text.trim(), 8).ok());
    flags.is_none_or(|flags| flags & libc::O_CLOEXEC != 0)
}

fn errno(error: io::Error) -> Errno {
    error.raw_os_error().map_or(Errno::IO, Errno::from_raw_os_error)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_caller_is_who_it_acts_as() {
        let status = "Name:\tx\nTgid:\t12\nPid:\t13\nUid:\t0\t7\t0\t7\nGid:\t0\t8\t0\t8\nGroups:\t8 9 \n";
        let expected = Caller {
            process: Pid::from_raw(12).unwrap(),
            user: Uid::from_raw(7),
            group: Gid::from_raw(8),
            groups: vec![Gid::from_raw(8), Gid::from_raw(9)],
        };
        assert_eq!(Caller::parse(status), Some(expected));
        assert_eq!(Caller::parse("Tgid:\t12\n"), None);
    }
}
