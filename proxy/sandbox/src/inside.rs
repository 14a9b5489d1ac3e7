//! The processes inside.
//!
//! ```text
//! outside ── waiter ── watcher (1 of its pid namespace) ── command
//! ```
//!
//! The *waiter* is outside of the pid namespace and only passes a status on. The *watcher* makes network, listeners and mounts,
//! starts the command, takes in what it leaves behind and answers for its connections ([`crate::connect`]). When it ends
//! everything in the sandbox does. It is a copy of the process that was started, and has the variables of that one in its memory,
//! also those that the command does not get. Of what is stubgate's it has nothing secret. So it must not be looked into by what it
//! watches: it is made not dumpable before there is anybody to look.

use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener, UdpSocket};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::process::Command;
use std::sync::Arc;

use rustix::event::{PollFd, PollFlags, poll};
use rustix::fs::{Mode, OFlags};
use rustix::process::{
    DumpableBehavior, Pid, Signal, WaitOptions, WaitStatus, kill_process, kill_process_group, set_dumpable_behavior,
    set_parent_process_death_signal, setsid, wait, waitpid,
};
use rustix::pty::{OpenptFlags, ioctl_tiocgptpeer, unlockpt};
use rustix::thread::{
    CapabilitySet, CapabilitySets, UnshareFlags, capabilities, capability_is_in_bounding_set,
    clear_ambient_capability_set, remove_capability_from_bounding_set, set_capabilities, set_no_new_privs,
};

use crate::mounts::{self, Failed};
use crate::sys::{self, Side};
use crate::wire::{self, End, Kind};
use crate::{ADDRESS, PROXY_PORT, Plan, connect, filter};

/// The status of a sandbox that could not be made.
pub(crate) const BROKEN: u8 = 125;
/// The status of a command that could not be run, and of one that is not there, as shells have them.
const NOT_RUN: i32 = 126;
const NOT_FOUND: i32 = 127;
/// A command that was ended by a signal has this and its number, as in a shell.
const BY_SIGNAL: i32 = 128;

/// Numbers of capabilities that a kernel may know.
const CAPABILITIES: u32 = 64;

/// What an owner of number 0 keeps: files of other owners, and becoming another user. Of this sandbox's user namespace only.
const OF_ROOT: CapabilitySet = CapabilitySet::CHOWN
    .union(CapabilitySet::DAC_OVERRIDE)
    .union(CapabilitySet::FOWNER)
    .union(CapabilitySet::FSETID)
    .union(CapabilitySet::SETGID)
    .union(CapabilitySet::SETUID);

/// The waiter: the new process, until its end.
pub(crate) fn begin(plan: &Plan, outside: &End) -> u8 {
    match apart(plan, outside) {
        Ok(status) => status,
        Err(error) => fail(outside, &error),
    }
}

fn fail(outside: &End, error: &Failed) -> u8 {
    let number = error.source.raw_os_error().unwrap_or(0);
    // Where nobody hears it, nobody waits for it either.
    let _ = outside.send(Kind::Failed, format!("{number} {error}").as_bytes(), &[]);
    BROKEN
}

fn at<E: Into<io::Error>>(what: &str) -> impl FnOnce(E) -> Failed {
    move |error| Failed { what: what.to_owned(), source: error.into() }
}

fn apart(plan: &Plan, outside: &End) -> Result<u8, Failed> {
    // Keys of the terminal are for the process outside, which passes on what they mean.
    setsid().map_err(at("a session"))?;
    let flags = UnshareFlags::NEWUSER
        | UnshareFlags::NEWNET
        | UnshareFlags::NEWNS
        | UnshareFlags::NEWPID
        | UnshareFlags::NEWIPC
        | UnshareFlags::NEWUTS
        | UnshareFlags::NEWCGROUP;
    sys::unshare(flags).map_err(at("new namespaces"))?;
    set_parent_process_death_signal(Some(Signal::KILL)).map_err(at("the end"))?;
    outside.say(Kind::Apart).map_err(at("outside"))?;
    match outside.receive() {
        Some(message) if message.kind == Kind::Mapped => {}
        _ => return Ok(BROKEN),
    }
    match sys::fork().map_err(at("a process"))? {
        Side::Child => std::process::exit(watch(plan, outside).into()),
        Side::Parent(watcher) => Ok(status_of(watcher)),
    }
}

/// The status of a child, once it has ended.
pub(crate) fn status_of(child: Pid) -> u8 {
    loop {
        match waitpid(Some(child), WaitOptions::empty()) {
            Ok(Some((_, status))) => return code_of(status),
            Ok(None) | Err(rustix::io::Errno::INTR) => {}
            Err(_) => return BROKEN,
        }
    }
}

/// As a shell has it.
fn code_of(status: WaitStatus) -> u8 {
    let code = status.exit_status().or_else(|| status.terminating_signal().map(|signal| BY_SIGNAL + signal));
    code.and_then(|code| u8::try_from(code).ok()).unwrap_or(BROKEN)
}

/// The watcher: until the command has ended.
fn watch(plan: &Plan, outside: &End) -> u8 {
    match try_watch(plan, outside) {
        Ok(status) => status,
        Err(error) => fail(outside, &error),
    }
}

fn try_watch(plan: &Plan, outside: &End) -> Result<u8, Failed> {
    set_parent_process_death_signal(Some(Signal::KILL)).map_err(at("the end"))?;
    let signals = sys::hear(&[libc::SIGCHLD]).map_err(at("signals"))?;
    give_listeners(outside)?;
    mounts::make(plan)?;
    mounts::resolve_by(ADDRESS)?;
    let Some(message) = outside.receive().filter(|message| message.kind == Kind::Trust) else {
        // Whoever was to serve could not, and says why.
        return Ok(BROKEN);
    };
    mounts::trust(&read_all(message.descriptors.first())?)?;
    // Until now the old folder was held, and with it all that is above it.
    std::env::set_current_dir("/").map_err(at("/"))?;
    std::env::set_current_dir(&plan.folder).map_err(|source| Failed {
        what: format!("{}, the folder to start in, is none inside", plan.folder.display()),
        source,
    })?;
    let terminal = if plan.has_terminal() { Some(open_terminal(outside)?) } else { None };
    // From here on nobody of the same user may look into this process.
    set_dumpable_behavior(DumpableBehavior::NotDumpable).map_err(at("this process"))?;
    let (ours, theirs) = wire::pair().map_err(at("a socket"))?;
    let command = match sys::fork().map_err(at("a process"))? {
        Side::Child => {
            drop(ours);
            let error = become_command(plan, terminal.as_ref(), &theirs);
            eprintln!("stubgate: {error}");
            let missing = error.source.kind() == io::ErrorKind::NotFound;
            std::process::exit(if missing { NOT_FOUND } else { NOT_RUN });
        }
        Side::Parent(command) => command,
    };
    drop((theirs, terminal));
    if let Some(mut message) = ours.receive().filter(|message| message.kind == Kind::Calls)
        && let Some(listener) = message.descriptors.pop()
    {
        let listener = Arc::new(listener);
        let started = std::thread::Builder::new().name("calls".into()).spawn(move || connect::serve(&listener));
        started.map_err(at("a thread"))?;
        outside.say(Kind::Started).map_err(at("outside"))?;
    }
    Ok(follow(outside, &signals, command))
}

/// The network, and on it what the appliance accepts from.
fn give_listeners(outside: &End) -> Result<(), Failed> {
    sys::bring_up("lo", Ipv4Addr::LOCALHOST).map_err(at("the interface lo"))?;
    sys::bring_up("lo:0", ADDRESS).map_err(at("the address of stubgate"))?;
    let on = |port: u16| SocketAddr::from((ADDRESS, port));
    let tcp = |port| -> Result<OwnedFd, Failed> {
        let socket = TcpListener::bind(on(port)).map_err(at(&format!("listening on {}", on(port))))?;
        socket.set_nonblocking(true).map_err(at("a socket"))?;
        Ok(socket.into())
    };
    let names = UdpSocket::bind(on(53)).map_err(at("listening on port 53"))?;
    names.set_nonblocking(true).map_err(at("a socket"))?;
    let all = [names.into(), tcp(53)?, tcp(80)?, tcp(443)?, tcp(PROXY_PORT)?];
    let all: Vec<BorrowedFd<'_>> = all.iter().map(AsFd::as_fd).collect();
    outside.send(Kind::Listeners, &[], &all).map_err(at("outside"))
}

fn read_all(file: Option<&OwnedFd>) -> Result<Vec<u8>, Failed> {
    use std::os::unix::fs::FileExt;
    let read = || -> io::Result<Vec<u8>> {
        let file = std::fs::File::from(file.ok_or(io::ErrorKind::InvalidData)?.try_clone()?);
        let length = usize::try_from(file.metadata()?.len()).map_err(io::Error::other)?;
        let mut bytes = vec![0; length];
        file.read_exact_at(&mut bytes, 0)?;
        Ok(bytes)
    };
    read().map_err(at("the certificates to trust"))
}

/// A terminal of the sandbox's own: its other side goes to the process outside, which has the user's.
fn open_terminal(outside: &End) -> Result<OwnedFd, Failed> {
    let flags = OFlags::RDWR | OFlags::NOCTTY | OFlags::CLOEXEC;
    let front = rustix::fs::open("/dev/pts/ptmx", flags, Mode::empty()).map_err(at("a terminal"))?;
    unlockpt(&front).map_err(at("a terminal"))?;
    let flags = OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC;
    let back = ioctl_tiocgptpeer(&front, flags).map_err(at("a terminal"))?;
    outside.send(Kind::Terminal, &[], &[front.as_fd()]).map_err(at("outside"))?;
    Ok(back)
}

/// Takes in what has ended, and passes signals on, until the command has ended.
fn follow(outside: &End, signals: &OwnedFd, command: Pid) -> u8 {
    let mut is_heard = true;
    loop {
        let mut ready = vec![PollFd::new(signals, PollFlags::IN)];
        if is_heard {
            ready.push(PollFd::new(outside, PollFlags::IN));
        }
        if poll(&mut ready, None).is_err() {
            continue;
        }
        let (has_ended, is_told) = (
            ready.first().is_some_and(|one| !one.revents().is_empty()),
            ready.get(1).is_some_and(|one| !one.revents().is_empty()),
        );
        if is_told {
            match outside.receive() {
                Some(message) if message.kind == Kind::Signal => pass_on(&message.text, command),
                Some(_) => {}
                None => is_heard = false,
            }
        }
        if has_ended {
            while sys::heard(signals.as_fd()).is_some() {}
            if let Some(status) = take_in(command) {
                return status;
            }
        }
    }
}

fn pass_on(text: &[u8], command: Pid) {
    let number = text.first().and_then(|number| Signal::from_named_raw(i32::from(*number)));
    if let Some(signal) = number {
        // Whoever has gone needs none.
        if kill_process_group(command, signal).is_err() {
            let _ = kill_process(command, signal);
        }
    }
}

fn take_in(command: Pid) -> Option<u8> {
    loop {
        match wait(WaitOptions::NOHANG) {
            Ok(Some((ended, status))) if ended == command => return Some(code_of(status)),
            Ok(Some(_)) => {}
            _ => return None,
        }
    }
}

/// The command: never returns but with what went wrong.
fn become_command(plan: &Plan, terminal: Option<&OwnedFd>, watcher: &End) -> Failed {
    match try_become(plan, terminal, watcher) {
        Err(error) => error,
        Ok(source) => {
            let name = plan.command.first().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
            Failed { what: name, source }
        }
    }
}

fn try_become(plan: &Plan, terminal: Option<&OwnedFd>, watcher: &End) -> Result<io::Error, Failed> {
    setsid().map_err(at("a session"))?;
    if let Some(terminal) = terminal {
        use rustix::stdio::{dup2_stderr, dup2_stdin, dup2_stdout};
        rustix::process::ioctl_tiocsctty(terminal).map_err(at("the terminal"))?;
        let [input, output, errors] = plan.terminals;
        if input {
            dup2_stdin(terminal).map_err(at("the terminal"))?;
        }
        if output {
            dup2_stdout(terminal).map_err(at("the terminal"))?;
        }
        if errors {
            dup2_stderr(terminal).map_err(at("the terminal"))?;
        }
    }
    give_up_rights().map_err(at("capabilities"))?;
    sys::hear_all();
    let listener = sys::listen_to_calls(&filter::program()).map_err(at("the filter of system calls"))?;
    watcher.send(Kind::Calls, &[], &[listener.as_fd()]).map_err(at("the watcher"))?;
    drop(listener);
    sys::close_from_on_exec(3).map_err(at("open files"))?;
    let Some((name, arguments)) = plan.command.split_first() else {
        return Ok(io::ErrorKind::InvalidInput.into());
    };
    let environment = plan.environment.iter().map(|(name, value)| (name, value));
    Ok(Command::new(name).args(arguments).env_clear().envs(environment).exec())
}

fn give_up_rights() -> rustix::io::Result<()> {
    let kept = if rustix::process::geteuid().is_root() { OF_ROOT } else { CapabilitySet::empty() };
    // Kernels before 4.3 have none.
    let _ = clear_ambient_capability_set();
    for number in 0..CAPABILITIES {
        let capability = CapabilitySet::from_bits_retain(1 << number);
        // The first number that the kernel does not know is an error.
        match capability_is_in_bounding_set(capability) {
            Ok(true) if !kept.contains(capability) => remove_capability_from_bounding_set(capability)?,
            Ok(_) => {}
            Err(_) => break,
        }
    }
    let held = capabilities(None)?.permitted & kept;
    set_capabilities(None, CapabilitySets { effective: held, permitted: held, inheritable: CapabilitySet::empty() })?;
    set_no_new_privs(true)
}
