//! The first process of a container: one thread, no runtime. It starts the supervisor, hands signals on to it, takes in whatever
//! lost its parent, and ends as the supervisor ends. The kernel then ends the rest.

use std::ffi::OsStr;
use std::os::unix::process::CommandExt;
use std::process::{Command, ExitCode};

use nix::sys::signal::{SigSet, Signal};
use rustix::process::{Pid, WaitOptions, WaitStatus};

/// What the supervisor is told of.
const HANDED_ON: [Signal; 7] = [
    Signal::SIGTERM,
    Signal::SIGINT,
    Signal::SIGHUP,
    Signal::SIGQUIT,
    Signal::SIGUSR1,
    Signal::SIGUSR2,
    Signal::SIGWINCH,
];

/// Whether this process is to be the init process.
pub(crate) fn is_wanted(asked: bool) -> bool {
    asked || std::process::id() == 1
}

/// Starts this program again, without `--init`, and waits for its end.
pub(crate) fn run() -> ExitCode {
    match supervise() {
        Ok(code) => ExitCode::from(code),
        Err(error) => {
            eprintln!("stubgate-agent: the supervisor can't be started: {error}");
            ExitCode::FAILURE
        }
    }
}

/// No signal of the init process is blocked in its children: the first thing that the supervisor does.
pub(crate) fn unblock_signals() {
    let _ = SigSet::empty().thread_set_mask();
}

fn supervise() -> std::io::Result<u8> {
    let signals = SigSet::all();
    signals.thread_block()?;
    if std::process::id() != 1 {
        rustix::process::set_child_subreaper(Some(rustix::process::getpid()))?;
    }
    let mut arguments = std::env::args_os();
    let name = arguments.next().unwrap_or_else(|| "stubgate-agent".into());
    let child = Command::new(std::env::current_exe()?)
        .arg0(name)
        .args(arguments.filter(|argument| argument != OsStr::new("--init")))
        .spawn()?
        .id();
    let Some(child) = i32::try_from(child).ok().and_then(Pid::from_raw) else {
        return Err(std::io::Error::other("a process without a number"));
    };
    loop {
        match signals.wait() {
            Ok(Signal::SIGCHLD) => {
                if let Some(status) = reap(child) {
                    return Ok(code(status));
                }
            }
            Ok(signal) if HANDED_ON.contains(&signal) => {
                if let Some(signal) = rustix::process::Signal::from_named_raw(signal as i32) {
                    let _ = rustix::process::kill_process(child, signal);
                }
            }
            _ => {}
        }
    }
}

/// Takes in all that ended; the status of the supervisor if it is among them.
fn reap(supervisor: Pid) -> Option<WaitStatus> {
    let mut found = None;
    while let Ok(Some((pid, status))) = rustix::process::wait(WaitOptions::NOHANG) {
        if pid == supervisor {
            found = Some(status);
        }
    }
    found
}

/// As a shell would say it: the code, or 128 and the signal.
fn code(status: WaitStatus) -> u8 {
    let code = status.exit_status().or_else(|| status.terminating_signal().map(|signal| signal + 128));
    code.and_then(|code| u8::try_from(code).ok()).unwrap_or(1)
}
