//! Programs that are started for what they do or say: each in a process group of its own, limited in time, and gone with all that
//! it started when it is over. What one says is kept to its last 16 KiB, whatever it says.

use std::io;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process_group};
use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::process::{Child, Command};

/// Bytes that are kept of what a program says.
const KEPT: usize = 16 * 1024;

/// How a program ended.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) status: ExitStatus,
    /// The end of its standard output.
    pub(crate) output: String,
    /// The end of its standard error.
    pub(crate) complaint: String,
}

impl Ended {
    /// What it said of its failure: the last lines of its standard error, or of its output.
    pub(crate) fn why(&self) -> String {
        let said = [&self.complaint, &self.output].into_iter().find(|text| !text.trim().is_empty());
        let lines: Vec<&str> = said.map(|text| text.trim().lines().collect()).unwrap_or_default();
        let last = lines.get(lines.len().saturating_sub(3)..).unwrap_or_default().join(" ");
        if last.is_empty() { self.status.to_string() } else { last }
    }
}

/// Runs a program, takes in what it says, and leaves nothing of it behind.
///
/// # Errors
///
/// It can't be started, or did not end in time.
pub(crate) async fn run(mut command: Command, deadline: Duration) -> io::Result<Ended> {
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.process_group(0).spawn()?;
    let group = Group::of(&child);
    let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
    let whole = async {
        let (output, complaint) = tokio::join!(end_of(stdout), end_of(stderr));
        Ok(Ended { status: child.wait().await?, output, complaint })
    };
    let ended = tokio::time::timeout(deadline, whole).await;
    drop(group);
    ended.unwrap_or_else(|_| {
        Err(io::Error::new(io::ErrorKind::TimedOut, format!("killed after {} s", deadline.as_secs())))
    })
}

/// Runs a program that says what it says to whoever reads this one's output.
///
/// # Errors
///
/// As of [`run`].
pub(crate) async fn run_aloud(mut command: Command, deadline: Duration) -> io::Result<ExitStatus> {
    let mut child = command.process_group(0).spawn()?;
    let group = Group::of(&child);
    let ended = tokio::time::timeout(deadline, child.wait()).await;
    drop(group);
    ended.unwrap_or_else(|_| {
        Err(io::Error::new(io::ErrorKind::TimedOut, format!("killed after {} s", deadline.as_secs())))
    })
}

/// The group of a child that leads one: killed with everything in it when this is dropped.
#[derive(Debug)]
pub(crate) struct Group(Option<Pid>);

impl Group {
    /// That of a child that was started with `process_group(0)`.
    pub(crate) fn of(child: &Child) -> Group {
        Group(child.id().and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw))
    }

    /// Asks everything in it to end.
    pub(crate) fn end(&self) {
        self.signal(Signal::TERM);
    }

    /// Kills what is left. Once: afterwards the number may be somebody else's.
    pub(crate) fn kill(&mut self) {
        self.signal(Signal::KILL);
        self.0 = None;
    }

    fn signal(&self, signal: Signal) {
        if let Some(group) = self.0 {
            // Nothing left is as good.
            let _ = kill_process_group(group, signal);
        }
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        self.kill();
    }
}

async fn end_of(from: Option<impl AsyncRead + Unpin>) -> String {
    let Some(mut from) = from else { return String::new() };
    let mut kept = Vec::new();
    let mut piece = [0; 4096];
    while let Ok(length @ 1..) = from.read(&mut piece).await {
        kept.extend_from_slice(piece.get(..length).unwrap_or_default());
        if kept.len() > 2 * KEPT {
            kept.drain(..kept.len() - KEPT);
        }
    }
    kept.drain(..kept.len().saturating_sub(KEPT));
    String::from_utf8_lossy(&kept).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(script: &str) -> Command {
        let mut command = Command::new("sh");
        command.args(["-c", script]);
        command
    }

    #[tokio::test]
    async fn what_a_program_says_is_kept_to_its_end() {
        let ended = run(shell("seq 1 100000; echo no >&2; exit 3"), Duration::from_secs(20)).await.unwrap();
        assert_eq!(ended.status.code(), Some(3));
        assert!(ended.output.len() <= KEPT && ended.output.ends_with("100000\n"));
        assert_eq!(ended.why(), "no");
    }

    #[tokio::test]
    async fn a_program_that_is_too_slow_is_killed_with_its_children() {
        let folder = tempfile::tempdir().unwrap();
        let number = folder.path().join("number");
        let script = format!("sleep 600 & echo $! > {0}.new; mv {0}.new {0}; wait", number.display());
        let error = run(shell(&script), Duration::from_millis(500)).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        assert_gone(&number);
    }

    #[tokio::test]
    async fn what_a_program_leaves_running_is_ended_with_it() {
        let folder = tempfile::tempdir().unwrap();
        let number = folder.path().join("number");
        let script = format!("sleep 600 >&- 2>&- & echo $! > {}", number.display());
        assert!(run_aloud(shell(&script), Duration::from_secs(20)).await.unwrap().success());
        assert_gone(&number);
    }

    /// Its parent may be one that reaps late: a zombie is gone too.
    fn assert_gone(number: &std::path::Path) {
        let number = std::fs::read_to_string(number).unwrap();
        let stat = format!("/proc/{}/stat", number.trim());
        let deadline = std::time::Instant::now() + Duration::from_secs(10);
        while std::fs::read_to_string(&stat).is_ok_and(|stat| !stat.contains(") Z ") && stat.contains("(sleep)")) {
            assert!(std::time::Instant::now() < deadline, "{number} runs still");
            std::thread::yield_now();
        }
    }
}
