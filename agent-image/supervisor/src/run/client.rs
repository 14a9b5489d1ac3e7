//! The client's process: started on a terminal of its own, watched, stopped, and started again.

use std::fs;
use std::os::unix::process::ExitStatusExt;
use std::path::PathBuf;
use std::process::ExitStatus;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use rustix::process::{Pid, Signal};
use tokio::process::Child;
use tokio::sync::Notify;
use tokio::time::{MissedTickBehavior, interval, timeout};
use tokio_util::sync::CancellationToken;
use tracing::{error, info, warn};

use crate::agent::Agent;
use crate::agent::file::Log;
use crate::program;
use crate::setup;
use crate::state::{Client, State};
use crate::{clean, transcript};

use super::command::Start;
use super::console::Handle;
use super::hang::{self, Hang, Verdict};
use super::login;
use super::renew::Trusted;
use super::times::Times;
use crate::backoff::{Backoff, chance};

/// Lines of its screen that are told of a client which ended soon.
const LAST_LINES: usize = 5;

/// Keeps one client alive.
#[derive(Debug)]
pub(crate) struct Keeper {
    pub(crate) agent: Agent,
    pub(crate) state: State,
    pub(crate) console: Handle,
    pub(crate) times: Times,
    pub(crate) stop: CancellationToken,
    /// What no line of the log may hold.
    pub(crate) masked: Vec<String>,
    /// Asks for a new start at once.
    pub(crate) again: Arc<Notify>,
    /// What the one that is started last trusts.
    pub(crate) trusted: Trusted,
}

/// How a run of the client ended.
#[derive(Debug)]
struct Ended {
    /// In words.
    how: String,
    /// It does not continue its session.
    has_refused: bool,
}

impl Keeper {
    /// Starts it again and again until it is told to stop; the client is gone then.
    pub(crate) async fn keep(self) {
        let delay = Duration::from_secs(self.agent.file.start_delay_seconds).mul_f64(chance());
        if !delay.is_zero() {
            info!(seconds = delay.as_secs(), "the start is delayed, to spread load");
            self.pause(delay).await;
        }
        let mut backoff = Backoff::new(self.times.backoff);
        let mut restarts = 0;
        let mut is_fresh = false;
        while !self.stop.is_cancelled() {
            let started = Instant::now();
            let Ended { how, has_refused } = self.once(restarts, is_fresh).await;
            // Only the next one: it makes a session that can be continued.
            is_fresh = has_refused;
            if self.stop.is_cancelled() {
                info!(why = how, "the client was stopped");
                self.state.change(|facts| facts.client = Client::Waiting);
                return;
            }
            let wait = backoff.ended(started.elapsed(), chance());
            warn!(why = how, next_milliseconds = millis(wait), restarts, "the client ended");
            let next = SystemTime::now() + wait;
            self.state.change(|facts| facts.client = Client::Down { why: how, next, restarts });
            self.pause(wait).await;
            restarts += 1;
        }
    }

    /// Waits; not when stopped, nor when a start is asked for.
    async fn pause(&self, duration: Duration) {
        tokio::select! {
            () = tokio::time::sleep(duration) => {}
            () = self.stop.cancelled() => {}
            () = self.again.notified() => {}
        }
    }

    /// One run of the client.
    async fn once(&self, restarts: u64, is_fresh: bool) -> Ended {
        if let Err(error) = login::restore(&self.agent) {
            warn!(%error, "the login can't be put right before the start");
        }
        let start = self.start(is_fresh);
        self.trusted.starts(&self.agent);
        let started = Instant::now();
        let mut child = match self.spawn(&start).await {
            Ok(child) => child,
            Err(error) => {
                let how = format!("{} can't be started: {error}", start.program);
                error!(program = start.program, %error, "the client can't be started: `client.program` of agent.yaml names it, by its path or as found in PATH");
                self.console.close(how.clone()).await;
                return Ended { how, has_refused: false };
            }
        };
        let pid = child.id().unwrap_or(0);
        let is_continued = start.arguments.iter().any(|argument| argument == "--continue");
        info!(pid, program = start.program, folder = %start.folder.display(), is_continued, restarts, "the client was started");
        let status = self.watch(&mut child, pid, restarts).await;
        let how = status.map_or_else(|| "killed, but its process does not go".into(), in_words);
        let screen = self.console.close(format!("the client {how}")).await;
        let is_short = started.elapsed() < self.times.refusal;
        if is_short && !self.stop.is_cancelled() && self.agent.file.log != Log::None {
            // Nobody else would tell why.
            warn!(text = last_words(&screen, &self.masked), "what the client showed before it ended");
        }
        let has_refused = is_continued
            && is_short
            && status.is_some_and(|status| status.code() == Some(1))
            && screen.contains("No conversation found");
        Ended { how, has_refused }
    }

    fn start(&self, is_fresh: bool) -> Start {
        let written = setup::environment::read(&self.agent.place).unwrap_or_else(|error| {
            warn!(%error, "no variables were written by setup");
            Vec::new()
        });
        let mut start = Start::new(&self.agent, std::env::vars_os(), &written, false);
        let projects = self.agent.place.claude().join("projects");
        if !is_fresh && transcript::has_session(&projects, &start.folder) {
            start.arguments.insert(0, "--continue".into());
        }
        start
    }

    async fn spawn(&self, start: &Start) -> Result<Child, pty_process::Error> {
        let (pty, pts) = pty_process::open()?;
        let command = pty_process::Command::new(&start.program)
            .args(&start.arguments)
            .env_clear()
            .envs(&start.environment)
            .current_dir(&start.folder)
            .kill_on_drop(true);
        // Its size first: the client asks for it at once.
        self.console.open(pty).await;
        command.spawn(pts)
    }

    /// Until it ended, or hung for too long, or is to stop. `None` if its process does not even go when it is killed.
    async fn watch(&self, child: &mut Child, pid: u32, restarts: u64) -> Option<ExitStatus> {
        let since = SystemTime::now();
        let mut hang = Hang::default();
        let mut look = interval(self.times.look);
        look.set_missed_tick_behavior(MissedTickBehavior::Delay);
        self.is(Client::Up { pid, since, restarts });
        loop {
            tokio::select! {
                status = child.wait() => return status.ok(),
                () = self.stop.cancelled() => return self.end(child).await,
                () = self.again.notified() => {
                    info!(pid, "a new start was asked for");
                    return self.end(child).await;
                }
                _ = look.tick() => {}
            }
            let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
            let now = Instant::now();
            match hang.look(now, hang::process(&stat), &self.times) {
                Verdict::Well => self.is(Client::Up { pid, since, restarts }),
                Verdict::Hangs(from) => self.is(Client::Hung { pid, since: SystemTime::now() - (now - from) }),
                Verdict::GoOn(from) => {
                    self.is(Client::Hung { pid, since: SystemTime::now() - (now - from) });
                    warn!(pid, "the client has been stopped for long: it is told to go on");
                    signal(child, Signal::CONT);
                }
                Verdict::Restart => {
                    error!(pid, "the client hangs: it is started again");
                    return self.end(child).await;
                }
            }
        }
    }

    /// Says how it is, if that is news: in the log only when it begins or ends to hang.
    fn is(&self, now: Client) {
        let before = self.state.facts().client;
        match (&before, &now) {
            (Client::Hung { .. }, Client::Hung { .. }) => return,
            (_, Client::Hung { pid, .. }) => warn!(pid, "the client hangs: it is stopped or asleep"),
            (Client::Hung { .. }, Client::Up { pid, .. }) => info!(pid, "the client goes on"),
            _ => {}
        }
        if before != now {
            self.state.change(|facts| facts.client = now);
        }
    }

    /// Asks it to end, and kills it if it does not.
    async fn end(&self, child: &mut Child) -> Option<ExitStatus> {
        signal(child, Signal::TERM);
        // One that is stopped could not hear it.
        signal(child, Signal::CONT);
        if let Ok(status) = timeout(self.times.term, child.wait()).await {
            return status.ok();
        }
        warn!(pid = child.id(), "the client does not end: it is killed");
        signal(child, Signal::KILL);
        timeout(self.times.kill, child.wait()).await.ok()?.ok()
    }
}

/// As long as it was not waited for, the number is its own.
fn signal(child: &Child, signal: Signal) {
    if let Some(pid) = child.id().and_then(|pid| i32::try_from(pid).ok()).and_then(Pid::from_raw) {
        let _ = rustix::process::kill_process(pid, signal);
    }
}

/// How it ended.
fn in_words(status: ExitStatus) -> String {
    match (status.code(), status.signal()) {
        (Some(code), _) => format!("ended with code {code}"),
        (None, Some(number)) => match nix::sys::signal::Signal::try_from(number) {
            Ok(signal) => format!("was killed by {signal}"),
            Err(_) => format!("was killed by signal {number}"),
        },
        (None, None) => "ended".into(),
    }
}

/// The last lines of a screen, as one for the log.
fn last_words(screen: &str, masked: &[String]) -> String {
    let lines: Vec<&str> = screen.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    let last = lines.get(lines.len().saturating_sub(LAST_LINES)..).unwrap_or_default();
    clean::told(&last.join(" | "), masked)
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// What the client says its version is: `2.1.329 (Claude Code)`.
pub(crate) async fn version(agent: &Agent) -> Option<String> {
    let written = setup::environment::read(&agent.place).unwrap_or_default();
    let start = Start::new(agent, std::env::vars_os(), &written, false);
    let folder: PathBuf = start.folder;
    let mut command = tokio::process::Command::new(&start.program);
    command.arg("--version").env_clear().envs(&start.environment).current_dir(folder);
    command.stdin(std::process::Stdio::null());
    let said = program::run(command, Duration::from_secs(20)).await.ok()?.output;
    let word = said.split_whitespace().next()?;
    word.starts_with(|letter: char| letter.is_ascii_digit()).then(|| word.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn last_words_are_the_last_lines_without_stubs() {
        let screen = "1\n\n2\n3\n 4\nmy-stub-1 is refused\n6\n\n";
        assert_eq!(last_words(screen, &["my-stub-1".into()]), "2 | 3 | 4 | [stub] is refused | 6");
        assert_eq!(last_words("", &[]), "");
    }

    #[test]
    fn tells_how_a_client_ended_in_words() {
        for (raw, words) in [
            (0, "ended with code 0"),
            (0x100, "ended with code 1"),
            (143 << 8, "ended with code 143"),
            (9, "was killed by SIGKILL"),
            (15, "was killed by SIGTERM"),
            (40, "was killed by signal 40"),
        ] {
            assert_eq!(in_words(ExitStatus::from_raw(raw)), words);
        }
    }
}
