//! Programs that give credentials, run by a process of its own.
//!
//! The appliance may start no process once it is locked down. So one is started before, which may: it is handed the programs
//! that the policy names at the start, each with all of its arguments, and from then on takes nothing but the number of one
//! of them. Whoever takes over the appliance can run those again, and no others. If that process ends, nothing takes its
//! place: sources say so, and last good values stay as long as they may. See docs/adr/0013-programs.md.

mod helper;
mod wire;

use std::collections::HashMap;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream as StdStream;
use std::os::unix::process::CommandExt as _;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use stubgate_credentials::{NotRun, Programs, Running};
use stubgate_policy::secret_source::Exec;
use stubgate_policy::{Credential, Policy, Source};
use tokio::io::AsyncWriteExt as _;
use tokio::net::UnixStream;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot};
use tokio::time::timeout;
use zeroize::Zeroizing;

#[cfg(test)]
pub(crate) use helper::step_arguments;
pub(crate) use helper::{help, step};

/// The first argument of the process that runs programs, and of the step between it and a program.
pub(crate) const HELPER: &str = "--run-programs";
/// See [`HELPER`].
pub(crate) const STEP: &str = "--run-program";

/// What the environment of a program holds, and nothing else.
pub(crate) const ENVIRONMENT: [(&str, &str); 2] = [("PATH", "/usr/bin:/bin"), ("LANG", "C.UTF-8")];

/// Programs that run at once. Others wait for them on the appliance's side, and can be given up there.
const AT_ONCE: usize = 16;
/// What a program is given beyond its own time, to be ended.
const SLACK: Duration = Duration::from_secs(2);

/// The programs that a policy names, each once for each way in which it is called.
pub fn named_by(policy: &Policy) -> Vec<Exec> {
    let mut found: Vec<Exec> = Vec::new();
    for exec in policy.credentials().iter().filter_map(of) {
        if !found.contains(exec) {
            found.push(exec.clone());
        }
    }
    found
}

/// The program that a credential comes from, or its key.
pub fn of(credential: &Credential) -> Option<&Exec> {
    let source = match credential.source() {
        Source::GithubApp(app) => &app.private_key.source,
        other => other,
    };
    if let Source::Exec(exec) = source { Some(exec) } else { None }
}

/// The process that runs programs, before there is a runtime.
pub struct Helper {
    programs: Vec<Exec>,
    /// Never waited for: the appliance may not, once it is locked down.
    child: Child,
    socket: StdStream,
}

impl Helper {
    /// Starts it, as who and where this process is now.
    ///
    /// # Errors
    /// Where the system does not let it start.
    pub fn start(programs: Vec<Exec>) -> io::Result<Self> {
        let (ours, theirs) = StdStream::pair()?;
        let mut command = Command::new("/proc/self/exe");
        command.arg0("stubgate").arg(HELPER).env_clear().envs(ENVIRONMENT).current_dir("/");
        // What ends the appliance from a terminal must not end this first.
        command.process_group(0).stdin(OwnedFd::from(theirs)).stdout(Stdio::null());
        let child = command.spawn()?;
        wire::write_list(&ours, &programs)?;
        Ok(Helper { programs, child, socket: ours })
    }

    /// What it was handed.
    pub fn programs(&self) -> &[Exec] {
        &self.programs
    }

    /// Its process.
    pub fn id(&self) -> u32 {
        self.child.id()
    }
}

/// The way to programs: what they are, and who runs them.
pub struct Runner {
    programs: Vec<Exec>,
    questions: Option<mpsc::Sender<Question>>,
    slots: Arc<Semaphore>,
    is_gone: Arc<AtomicBool>,
}

struct Question {
    program: u32,
    answer: oneshot::Sender<Answer>,
    /// Held until it is answered, whoever still waits for that: until then the program may run.
    slot: OwnedSemaphorePermit,
}

type Answer = Result<Zeroizing<Vec<u8>>, NotRun>;

impl Runner {
    /// Runs nothing; knows these.
    pub fn without(programs: Vec<Exec>) -> Self {
        let is_gone = Arc::new(AtomicBool::new(!programs.is_empty()));
        Runner { programs, questions: None, slots: Arc::new(Semaphore::new(AT_ONCE)), is_gone }
    }

    /// Through a helper. Called in a runtime.
    ///
    /// # Errors
    /// Where its socket can't be used.
    pub fn through(helper: Helper) -> io::Result<Self> {
        let Helper { programs, child: _, socket } = helper;
        socket.set_nonblocking(true)?;
        let socket = UnixStream::from_std(socket)?;
        let (questions, asked) = mpsc::channel(AT_ONCE);
        let is_gone = Arc::<AtomicBool>::default();
        tokio::spawn(converse(socket, asked, Arc::clone(&is_gone)));
        Ok(Runner { programs, questions: Some(questions), slots: Arc::new(Semaphore::new(AT_ONCE)), is_gone })
    }

    /// Whether it was named at the start, with these arguments.
    pub fn knows(&self, program: &Exec) -> bool {
        self.programs.contains(program)
    }

    /// Whether programs can be run; `None` where none was named.
    pub fn is_there(&self) -> Option<bool> {
        (!self.programs.is_empty()).then(|| !self.is_gone.load(Ordering::Acquire))
    }
}

impl Programs for Runner {
    fn run(&self, program: &Exec) -> Running<'_> {
        let found = self.programs.iter().position(|known| known == program);
        let found = found.and_then(|at| u32::try_from(at).ok());
        let limit = program.timeout + SLACK;
        Box::pin(async move {
            let program = found.ok_or(NotRun::Unknown)?;
            let questions = self.questions.as_ref().ok_or(NotRun::NoHelper)?;
            // Its own time begins when it has a slot. Whoever gives up before that leaves nothing behind.
            let slot = Arc::clone(&self.slots).acquire_owned().await.map_err(|_| NotRun::NoHelper)?;
            let (answer, answered) = oneshot::channel();
            questions.send(Question { program, answer, slot }).await.map_err(|_| NotRun::NoHelper)?;
            match timeout(limit, answered).await {
                Ok(answer) => answer.unwrap_or(Err(NotRun::NoHelper)),
                Err(_) => Err(NotRun::TimedOut),
            }
        })
    }
}

/// Passes questions on, and answers back, until either side has gone.
async fn converse(socket: UnixStream, mut asked: mpsc::Receiver<Question>, is_gone: Arc<AtomicBool>) {
    let (mut read, mut write) = socket.into_split();
    let waiting = Arc::new(Mutex::new(HashMap::<u32, (oneshot::Sender<Answer>, OwnedSemaphorePermit)>::new()));
    let answering = async {
        while let Ok((id, answer)) = wire::read_answer(&mut read).await {
            let asker = waiting.lock().unwrap_or_else(PoisonError::into_inner).remove(&id);
            // Whoever gave up on it has no use for it.
            let _ = asker.map(|(asker, _slot)| asker.send(answer));
        }
    };
    let asking = async {
        let mut id = 0_u32;
        while let Some(Question { program, answer, slot }) = asked.recv().await {
            if answer.is_closed() {
                continue;
            }
            id = id.wrapping_add(1);
            waiting.lock().unwrap_or_else(PoisonError::into_inner).insert(id, (answer, slot));
            if write.write_all(&wire::question(id, program)).await.is_err() {
                return false;
            }
        }
        true
    };
    let is_wanted = tokio::select! {
        () = answering => false,
        is_over = asking => is_over,
    };
    if !is_wanted {
        is_gone.store(true, Ordering::Release);
        tracing::error!("the process that runs programs for credentials has ended; restart stubgate");
    }
}

#[cfg(test)]
mod tests;
