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

use rustix::fs::{CWD, FileType, Mode, OFlags, ResolveFlags, openat2};
use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketFlags, SocketType, sockopt};
use rustix::process::{Pid, PidfdFlags, PidfdGetfdFlags, pidfd_getfd, pidfd_open};

use crate::sys::{self, Call};

/// The longest address of any family.
const LONGEST: u64 = 128;
/// Calls that are answered at once. One that would wait, because a listener's queue is full, must not hold up the others.
const AT_ONCE: usize = 64;

/// Answers calls until nobody is left to make one.
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
            if name.spawn(answer.clone()).is_ok() {
                continue;
            }
        }
        answer();
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
    let theirs = socket_of(call.thread, number)?;
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
    let file = socket_file(call.thread, path)?;
    let ours = connected_inside(&theirs, &file)?;
    let close_on_exec = is_closed_on_exec(call.thread, number);
    if sockopt::socket_passcred(&theirs)? {
        sockopt::set_socket_passcred(&ours, true)?;
    }
    sys::put_in_place(listener, call.id, ours.as_fd(), number, close_on_exec).map_err(errno)
}

/// A socket of the caller.
fn socket_of(thread: u32, number: u32) -> Result<OwnedFd, Errno> {
    let process = process_of(thread)?;
    let process = pidfd_open(process, PidfdFlags::empty())?;
    let number = i32::try_from(number).map_err(|_| Errno::BADF)?;
    pidfd_getfd(process, number, PidfdGetfdFlags::empty())
}

/// The process of a thread.
fn process_of(thread: u32) -> Result<Pid, Errno> {
    let status = fs::read_to_string(format!("/proc/{thread}/status")).map_err(errno)?;
    let number = status.lines().find_map(|line| line.strip_prefix("Tgid:")).and_then(|text| text.trim().parse().ok());
    number.and_then(Pid::from_raw).ok_or(Errno::SRCH)
}

/// The file that a path means to the caller. A link of `/proc` would lead to files of this process.
fn socket_file(thread: u32, path: &[u8]) -> Result<OwnedFd, Errno> {
    let flags = OFlags::PATH | OFlags::CLOEXEC;
    let look = |from: BorrowedFd<'_>| openat2(from, path, flags, Mode::empty(), ResolveFlags::NO_MAGICLINKS);
    let file = if path.starts_with(b"/") {
        look(CWD)?
    } else {
        let folder = rustix::fs::open(format!("/proc/{thread}/cwd"), flags | OFlags::DIRECTORY, Mode::empty())?;
        look(folder.as_fd())?
    };
    if FileType::from_raw_mode(rustix::fs::fstat(&file)?.st_mode) != FileType::Socket {
        return Err(Errno::CONNREFUSED);
    }
    Ok(file)
}

/// A new socket like theirs, connected to the listener of this file, who is inside.
fn connected_inside(theirs: &OwnedFd, file: &OwnedFd) -> Result<OwnedFd, Errno> {
    let kind = sockopt::socket_type(theirs)?;
    if kind != SocketType::STREAM && kind != SocketType::SEQPACKET {
        return Err(Errno::ACCESS);
    }
    let ours = rustix::net::socket_with(AddressFamily::UNIX, kind, SocketFlags::CLOEXEC, None)?;
    let flags = rustix::fs::fcntl_getfl(theirs)?;
    rustix::fs::fcntl_setfl(&ours, flags & OFlags::NONBLOCK)?;
    let mut address = AddressFamily::UNIX.as_raw().to_ne_bytes().to_vec();
    address.extend(format!("/proc/self/fd/{}\0", std::os::fd::AsRawFd::as_raw_fd(file)).bytes());
    sys::connect(ours.as_fd(), &address).map_err(errno)?;
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
