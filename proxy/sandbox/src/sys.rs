//! What takes unsafe code: `fork`, filters of system calls, and the calls that no library of ours wraps.
//!
//! Each function does one call and says what it returned. It decides nothing.

use std::io;
use std::mem::{MaybeUninit, size_of};
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::path::Path;

use rustix::process::Pid;
use rustix::thread::UnshareFlags;

/// Which side of a `fork` this is.
pub(crate) enum Side {
    /// The process that called, with its child.
    Parent(Pid),
    /// The new process.
    Child,
}

/// Makes a copy of this process. Must be called while it has one thread, so that no lock is held by a thread that the copy
/// does not have.
pub(crate) fn fork() -> io::Result<Side> {
    // SAFETY: all callers run before this process starts its first thread; the crate starts threads only in the process that
    // watches over a sandbox, after its last fork.
    match unsafe { libc::fork() } {
        -1 => Err(io::Error::last_os_error()),
        0 => Ok(Side::Child),
        child => Pid::from_raw(child).map(Side::Parent).ok_or_else(|| io::ErrorKind::InvalidData.into()),
    }
}

/// Moves this process into new namespaces.
pub(crate) fn unshare(flags: UnshareFlags) -> io::Result<()> {
    // SAFETY: `CLONE_FILES` is not among the flags that are used here, and the process has one thread.
    Ok(unsafe { rustix::thread::unshare_unsafe(flags) }?)
}

/// Makes a mount read-only; with `recursive` those below it too.
pub(crate) fn make_read_only(path: &Path, recursive: bool) -> io::Result<()> {
    #[repr(C)]
    struct MountAttributes {
        set: u64,
        clear: u64,
        propagation: u64,
        namespace: u64,
    }
    const READ_ONLY: u64 = 1;
    let attributes = MountAttributes { set: READ_ONLY, clear: 0, propagation: 0, namespace: 0 };
    let path = c_path(path)?;
    let flags = if recursive { libc::AT_RECURSIVE } else { 0 };
    // SAFETY: path and structure are there for the length of the call, and the size is that of the structure.
    let answer = unsafe {
        libc::syscall(
            libc::SYS_mount_setattr,
            libc::AT_FDCWD,
            path.as_ptr(),
            flags,
            &raw const attributes,
            size_of::<MountAttributes>(),
        )
    };
    if answer == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

fn c_path(path: &Path) -> io::Result<std::ffi::CString> {
    use std::os::unix::ffi::OsStrExt;
    Ok(std::ffi::CString::new(path.as_os_str().as_bytes())?)
}

/// Puts a filter on the calling thread and on what it becomes, and gives what hears of the calls that it asks about.
pub(crate) fn listen_to_calls(program: &[libc::sock_filter]) -> io::Result<OwnedFd> {
    let length = u16::try_from(program.len()).map_err(io::Error::other)?;
    let program = libc::sock_fprog { len: length, filter: program.as_ptr().cast_mut() };
    let listener = libc::SECCOMP_FILTER_FLAG_NEW_LISTENER;
    // With the second flag a call that is being answered is not begun anew because of a signal; kernels before 5.19 lack it.
    for flags in [listener | libc::SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV, listener] {
        // SAFETY: the program is there for the length of the call, and the kernel only reads it.
        let answer =
            unsafe { libc::syscall(libc::SYS_seccomp, libc::SECCOMP_SET_MODE_FILTER, flags, &raw const program) };
        if let Ok(number) = RawFd::try_from(answer)
            && number >= 0
        {
            // SAFETY: the call has just made it, for this process.
            return Ok(unsafe { OwnedFd::from_raw_fd(number) });
        }
        if io::Error::last_os_error().raw_os_error() != Some(libc::EINVAL) {
            break;
        }
    }
    Err(io::Error::last_os_error())
}

/// A call that waits for an answer.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Call {
    /// What the answer is for.
    pub(crate) id: u64,
    /// The thread that called.
    pub(crate) thread: u32,
    /// Its arguments.
    pub(crate) arguments: [u64; 6],
}

const RECEIVE: libc::c_ulong = 0xc050_2100;
const SEND: libc::c_ulong = 0xc018_2101;
const IS_VALID: libc::c_ulong = 0x4008_2102;
const ADD_FD: libc::c_ulong = 0x4018_2103;
/// Of [`ADD_FD`]: in the place of a certain number.
const SET_FD: u32 = 1;

/// Waits for the next call.
pub(crate) fn next_call(listener: BorrowedFd<'_>) -> io::Result<Call> {
    let mut found = MaybeUninit::<libc::seccomp_notif>::zeroed();
    // SAFETY: the kernel wants a structure of zeroes, and fills it where it returns 0; zeroes are one too.
    let (answer, found) = unsafe {
        let answer = libc::ioctl(listener.as_raw_fd(), RECEIVE as _, found.as_mut_ptr());
        (answer, found.assume_init())
    };
    if answer < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(Call { id: found.id, thread: found.pid, arguments: found.data.args })
}

/// Whether a call still waits, so that its thread is still who it was.
pub(crate) fn still_waits(listener: BorrowedFd<'_>, id: u64) -> bool {
    // SAFETY: the number is there for the length of the call.
    unsafe { libc::ioctl(listener.as_raw_fd(), IS_VALID as _, &raw const id) == 0 }
}

/// Answers a call: it returned 0, or failed. A caller that has gone needs no answer.
pub(crate) fn answer(listener: BorrowedFd<'_>, id: u64, error: i32) {
    let mut answer = libc::seccomp_notif_resp { id, val: 0, error: -error.abs(), flags: 0 };
    // SAFETY: the structure is there for the length of the call.
    unsafe { libc::ioctl(listener.as_raw_fd(), SEND as _, &raw mut answer) };
}

/// Puts a descriptor into the caller's table under a number that it has.
pub(crate) fn put_in_place(
    listener: BorrowedFd<'_>,
    id: u64,
    ours: BorrowedFd<'_>,
    theirs: u32,
    close_on_exec: bool,
) -> io::Result<()> {
    let newfd_flags = if close_on_exec { libc::O_CLOEXEC.unsigned_abs() } else { 0 };
    let srcfd = ours.as_raw_fd().unsigned_abs();
    let put = libc::seccomp_notif_addfd { id, flags: SET_FD, srcfd, newfd: theirs, newfd_flags };
    // SAFETY: the structure is there for the length of the call.
    let answer = unsafe { libc::ioctl(listener.as_raw_fd(), ADD_FD as _, &raw const put) };
    if answer < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// `connect` to an address as a program wrote it.
pub(crate) fn connect(socket: BorrowedFd<'_>, address: &[u8]) -> io::Result<()> {
    let length = libc::socklen_t::try_from(address.len()).map_err(io::Error::other)?;
    // SAFETY: the kernel reads that many bytes, which are there.
    let answer = unsafe { libc::connect(socket.as_raw_fd(), address.as_ptr().cast(), length) };
    if answer == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// The process on the other side of a Unix socket, as this pid namespace numbers it: 0 where it is in none of ours.
pub(crate) fn peer_process(socket: BorrowedFd<'_>) -> io::Result<i32> {
    let mut peer = libc::ucred { pid: 0, uid: 0, gid: 0 };
    let mut length = libc::socklen_t::try_from(size_of::<libc::ucred>()).map_err(io::Error::other)?;
    // SAFETY: the structure is there for the length of the call, and the length is its own.
    let answer = unsafe {
        libc::getsockopt(
            socket.as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_PEERCRED,
            (&raw mut peer).cast(),
            &raw mut length,
        )
    };
    if answer == 0 { Ok(peer.pid) } else { Err(io::Error::last_os_error()) }
}

/// Keeps these signals from ending this thread and those that it starts, and gives what hears of them instead.
pub(crate) fn hear(signals: &[i32]) -> io::Result<OwnedFd> {
    // SAFETY: an empty set is made before it is used, and the calls read it or write it only while they last.
    let number = unsafe {
        let mut set = MaybeUninit::<libc::sigset_t>::uninit();
        libc::sigemptyset(set.as_mut_ptr());
        let mut set = set.assume_init();
        for &signal in signals {
            libc::sigaddset(&raw mut set, signal);
        }
        if libc::sigprocmask(libc::SIG_BLOCK, &raw const set, std::ptr::null_mut()) != 0 {
            return Err(io::Error::last_os_error());
        }
        libc::signalfd(-1, &raw const set, libc::SFD_CLOEXEC | libc::SFD_NONBLOCK)
    };
    if number < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the call has just made it.
    Ok(unsafe { OwnedFd::from_raw_fd(number) })
}

/// Lets all signals through again, as a new program expects.
pub(crate) fn hear_all() {
    // SAFETY: the set is made before it is read.
    unsafe {
        let mut set = MaybeUninit::<libc::sigset_t>::uninit();
        libc::sigemptyset(set.as_mut_ptr());
        libc::sigprocmask(libc::SIG_SETMASK, set.as_ptr(), std::ptr::null_mut());
    }
}

/// The signal that [`hear`]'s descriptor has next, if there is one.
pub(crate) fn heard(signals: BorrowedFd<'_>) -> Option<i32> {
    let mut record = [0_u8; size_of::<libc::signalfd_siginfo>()];
    match rustix::io::read(signals, &mut record) {
        Ok(length) if length == record.len() => {
            // The number of the signal is the first field.
            record.first_chunk().and_then(|number| i32::try_from(u32::from_ne_bytes(*number)).ok())
        }
        _ => None,
    }
}

/// What every descriptor from this one on is: closed when a program is run.
pub(crate) fn close_from_on_exec(first: u32) -> io::Result<()> {
    // SAFETY: nothing is closed now; the call takes numbers only.
    let answer = unsafe { libc::syscall(libc::SYS_close_range, first, u32::MAX, libc::CLOSE_RANGE_CLOEXEC) };
    if answer == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// `IFF_UP`, as wide as the field that it goes into.
const IFF_UP: libc::c_short = 1;

/// Asks for an IPv4 address and the state "up" for an interface.
pub(crate) fn bring_up(interface: &str, address: std::net::Ipv4Addr) -> io::Result<()> {
    let socket = rustix::net::socket(rustix::net::AddressFamily::INET, rustix::net::SocketType::DGRAM, None)?;
    // SAFETY: zeroes are an `ifreq`. It is there for the length of each call, of which each reads or writes the part of the
    // union that its request is defined with.
    unsafe {
        let mut request: libc::ifreq = std::mem::zeroed();
        for (to, from) in request.ifr_name.iter_mut().zip(interface.bytes().take(libc::IFNAMSIZ - 1)) {
            *to = from.cast_signed() as libc::c_char;
        }
        let mut flagged = request;
        if libc::ioctl(socket.as_raw_fd(), libc::SIOCGIFFLAGS as _, &raw mut flagged) != 0 {
            return Err(io::Error::last_os_error());
        }
        let inet = libc::sockaddr_in {
            sin_family: libc::sa_family_t::try_from(libc::AF_INET).map_err(io::Error::other)?,
            sin_port: 0,
            sin_addr: libc::in_addr { s_addr: u32::from_ne_bytes(address.octets()) },
            sin_zero: [0; 8],
        };
        if !address.is_loopback() {
            std::ptr::copy_nonoverlapping(
                (&raw const inet).cast::<u8>(),
                (&raw mut request.ifr_ifru).cast::<u8>(),
                size_of::<libc::sockaddr_in>(),
            );
            if libc::ioctl(socket.as_raw_fd(), libc::SIOCSIFADDR as _, &raw mut request) != 0 {
                return Err(io::Error::last_os_error());
            }
        }
        flagged.ifr_ifru.ifru_flags |= IFF_UP;
        if libc::ioctl(socket.as_raw_fd(), libc::SIOCSIFFLAGS as _, &raw mut flagged) != 0 {
            return Err(io::Error::last_os_error());
        }
    }
    Ok(())
}
