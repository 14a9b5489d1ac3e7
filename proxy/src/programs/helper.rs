//! The process that runs programs, and the step between it and each of them.
//!
//! It has the rights that the appliance had when it started it, without capabilities, and can gain none. It ends with the
//! appliance: when the socket is closed. What it runs ends with it. What a program leaves behind is given to it by the system,
//! and it waits for that: in a container the appliance may be the first process, which would get it otherwise, and which may
//! wait for nobody.

use std::cell::RefCell;
use std::collections::HashSet;
use std::ffi::OsString;
use std::io;
use std::os::fd::AsFd as _;
use std::os::unix::net::UnixStream as StdStream;
use std::os::unix::process::{CommandExt as _, ExitStatusExt as _};
use std::path::Path;
use std::process::{ExitCode, ExitStatus, Stdio};
use std::rc::Rc;
use std::sync::Arc;

use rustix::fs::{Access, access};
use rustix::process::{
    Pid, Resource, Rlimit, Signal, WaitOptions, getpid, getppid, kill_process_group, set_child_subreaper,
    set_parent_process_death_signal, setrlimit, waitpid,
};
use stubgate_policy::secret_source::Exec;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::UnixStream;
use tokio::net::unix::OwnedWriteHalf;
use tokio::process::Command;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::{Mutex, Notify, Semaphore};
use zeroize::Zeroizing;

use super::wire::{self, Ended, OUTPUT_MAXIMUM_BYTES};
use super::{AT_ONCE, ENVIRONMENT, STEP};
use crate::lockdown;

/// Questions that are open at once. The appliance has [`AT_ONCE`] at most; whoever has more waits until some are answered.
const OPEN: usize = 4 * AT_ONCE;
/// Files that a program may have open.
const FILES: u64 = 1024;

/// The process that runs programs: until its standard input, which is the socket, ends.
pub(crate) fn help() -> ExitCode {
    let served = (|| {
        crate::sys::pass_on_nothing()?;
        lockdown::give_up_rights().map_err(io::Error::other)?;
        let limit = Rlimit { current: Some(FILES), maximum: Some(FILES) };
        setrlimit(Resource::Nofile, limit)?;
        set_child_subreaper(Some(getpid()))?;
        let socket = StdStream::from(io::stdin().as_fd().try_clone_to_owned()?);
        let programs = wire::read_list(&socket)?;
        socket.set_nonblocking(true)?;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let local = tokio::task::LocalSet::new();
        runtime.block_on(local.run_until(async {
            // What a service manager sends to all processes is the appliance's to follow; this one ends after it. Once a
            // signal is listened for it ends nobody.
            for kind in [SignalKind::terminate(), SignalKind::interrupt(), SignalKind::hangup()] {
                drop(signal(kind)?);
            }
            let (started, mut ended) = (Rc::<Started>::default(), signal(SignalKind::child())?);
            let watched = Rc::clone(&started);
            tokio::task::spawn_local(async move {
                loop {
                    tokio::select! {
                        _ = ended.recv() => {}
                        () = watched.one_less.notified() => {}
                    }
                    watched.wait_for_others();
                }
            });
            serve(socket, programs, started).await
        }))
    })();
    match served {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("stubgate: the process that runs programs has ended: {error}");
            ExitCode::FAILURE
        }
    }
}

/// The programs that this process started and waits for one by one.
#[derive(Default)]
pub(super) struct Started {
    processes: RefCell<HashSet<Pid>>,
    one_less: Notify,
}

impl Started {
    fn add(&self, process: Option<Pid>) {
        self.processes.borrow_mut().extend(process);
    }

    fn remove(&self, process: Option<Pid>) {
        process.map(|process| self.processes.borrow_mut().remove(&process));
        self.one_less.notify_one();
    }

    /// Waits for all that has ended and that others started. One of ours stands in the way of what ended later until
    /// whoever started it has waited for it; it is looked again after that.
    fn wait_for_others(&self) {
        while let Some(process) = crate::sys::ended_child() {
            if self.processes.borrow().contains(&process) || waitpid(Some(process), WaitOptions::NOHANG).is_err() {
                return;
            }
        }
    }
}

/// Answers questions until nobody is there to ask them, on a [`tokio::task::LocalSet`].
pub(super) async fn serve(socket: StdStream, programs: Vec<Exec>, started: Rc<Started>) -> io::Result<()> {
    let (mut read, write) = UnixStream::from_std(socket)?.into_split();
    let (write, slots) = (Arc::new(Mutex::new(write)), Arc::new(Semaphore::new(AT_ONCE)));
    let mut running = tokio::task::JoinSet::new();
    loop {
        while running.try_join_next().is_some() {}
        while running.len() >= OPEN {
            running.join_next().await;
        }
        // Dropping what runs kills it.
        let Ok((id, number)) = wire::read_question(&mut read).await else { return Ok(()) };
        // Whoever asks for what there is not is not the appliance that we know.
        let program = usize::try_from(number).ok().and_then(|number| programs.get(number)).cloned();
        let Some(program) = program else { return Ok(()) };
        let (write, slots, started) = (Arc::clone(&write), Arc::clone(&slots), Rc::clone(&started));
        running.spawn_local(async move {
            let slot = slots.acquire().await;
            let ended = run(&program, &started).await;
            drop(slot);
            // If nobody is there any more, reading ends too.
            let _ = send(&write, id, &ended).await;
        });
    }
}

async fn send(write: &Mutex<OwnedWriteHalf>, id: u32, ended: &Ended) -> io::Result<()> {
    let answer = wire::answer(id, ended);
    write.lock().await.write_all(&answer).await
}

/// All processes of one program; killed when this is dropped.
struct Group(Option<Pid>);

impl Drop for Group {
    fn drop(&mut self) {
        if let Some(group) = self.0 {
            // It may have ended by itself, with all that it started.
            let _ = kill_process_group(group, Signal::KILL);
        }
    }
}

/// Runs a program to its end, or to that of its time.
async fn run(program: &Exec, started: &Started) -> Ended {
    let errno = |error: &io::Error| Ended::NotStarted(error.raw_os_error().unwrap_or(0));
    if let Err(error) = access(&*program.program, Access::EXEC_OK) {
        return Ended::NotStarted(error.raw_os_error());
    }
    let mut command = Command::new("/proc/self/exe");
    command.args(step_arguments(std::process::id(), program));
    command.env_clear().envs(ENVIRONMENT).current_dir("/").process_group(0).kill_on_drop(true);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = match command.spawn() {
        Ok(child) => child,
        Err(error) => return errno(&error),
    };
    let process = child.id().and_then(|id| Pid::from_raw(i32::try_from(id).unwrap_or(0)));
    started.add(process);
    let group = Group(process);
    let (Some(stdout), Some(stderr)) = (child.stdout.take(), child.stderr.take()) else {
        return Ended::NotStarted(0);
    };
    let whole = async {
        tokio::try_join!(output(stdout), async { Ok(count(stderr).await) }, async {
            child.wait().await.map_err(|error| errno(&error))
        })
    };
    let ended = match tokio::time::timeout(program.timeout, whole).await {
        Err(_) => Ended::TimedOut,
        Ok(Err(ended)) => ended,
        Ok(Ok((output, said, status))) => of_status(status, output, said),
    };
    // With all that it left behind. Its number can't be somebody else's so soon: numbers go round before they come again.
    drop(group);
    started.remove(process);
    ended
}

fn of_status(status: ExitStatus, output: Zeroizing<Vec<u8>>, said: u64) -> Ended {
    match (status.code(), status.signal()) {
        (Some(0), _) => Ended::Output(output),
        (Some(code), _) => Ended::Status(code, said),
        (None, signal) => Ended::Signal(signal.unwrap_or(0), said),
    }
}

/// All that comes, unless it is too much.
async fn output(mut from: impl AsyncRead + Unpin) -> Result<Zeroizing<Vec<u8>>, Ended> {
    // Reserved up front: growing would leave copies in freed memory.
    let mut bytes = Zeroizing::new(vec![0; OUTPUT_MAXIMUM_BYTES + 1]);
    let mut length = 0;
    loop {
        let room = bytes.get_mut(length..).unwrap_or_default();
        if room.is_empty() {
            return Err(Ended::TooMuch);
        }
        match from.read(room).await {
            Ok(0) => break,
            Ok(read) => length += read,
            Err(error) => return Err(Ended::NotStarted(error.raw_os_error().unwrap_or(0))),
        }
    }
    bytes.truncate(length);
    Ok(bytes)
}

/// How much comes; nobody looks at it.
async fn count(mut from: impl AsyncRead + Unpin) -> u64 {
    let (mut total, mut piece) = (0_u64, Zeroizing::new([0; 4096]));
    while let Ok(read @ 1..) = from.read(&mut *piece).await {
        total = total.saturating_add(u64::try_from(read).unwrap_or(u64::MAX));
    }
    total
}

/// The step's command line. What stands behind `--` is the program's, whatever it looks like.
pub(crate) fn step_arguments(helper: u32, program: &Exec) -> Vec<OsString> {
    let mut line = vec![STEP.into(), helper.to_string().into(), "--".into(), OsString::from(&*program.program)];
    line.extend(program.arguments.iter().map(|argument| OsString::from(&**argument)));
    line
}

/// Becomes the program: dies with `helper`, which started this process.
pub(crate) fn step(helper: u32, program: &Path, arguments: &[OsString]) -> ExitCode {
    let error = match set_parent_process_death_signal(Some(Signal::KILL)) {
        // It may have gone before that.
        Ok(()) if getppid().map(Pid::as_raw_pid) != i32::try_from(helper).ok() => return ExitCode::FAILURE,
        Ok(()) => std::process::Command::new(program).args(arguments).exec(),
        Err(error) => error.into(),
    };
    eprintln!("{error}");
    ExitCode::from(127)
}
