//! A bridge's process: in a group of its own, so that nothing of it stays behind, and with everything that it prints on its way to
//! the log, cleaned, cut and metered. A bridge prints what somebody made it print.

use std::collections::BTreeMap;
use std::io;
use std::process::{ExitStatus, Stdio};
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::process::{Child as Process, ChildStdin, ChildStdout, Command};

use super::voice::Voice;
use crate::program::Group;

/// How long a process may take to end when it is told to.
const GRACE: Duration = Duration::from_secs(5);

/// A process of a bridge. Dropped, it and all of its group are killed.
#[derive(Debug)]
pub struct Child {
    process: Process,
    group: Group,
}

/// What is done with what it writes to its standard output.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Output {
    /// It is MCP.
    Spoken,
    /// It goes to the log, as its errors do.
    Logged,
}

impl Child {
    /// Starts it. Its variables are those of this process, and these over them.
    ///
    /// # Errors
    ///
    /// There is no such program, or no process more.
    pub fn start(
        command: &[String],
        environment: &BTreeMap<String, String>,
        output: Output,
        voice: Arc<Voice>,
    ) -> io::Result<Self> {
        let (program, arguments) = command.split_first().ok_or(io::ErrorKind::InvalidInput)?;
        let input = if output == Output::Spoken { Stdio::piped() } else { Stdio::null() };
        let mut process = Command::new(program)
            .args(arguments)
            .envs(environment)
            .stdin(input)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .process_group(0)
            .kill_on_drop(true)
            .spawn()?;
        let group = Group::of(&process);
        if let Some(errors) = process.stderr.take() {
            tokio::spawn(log(errors, Arc::clone(&voice)));
        }
        if output == Output::Logged
            && let Some(output) = process.stdout.take()
        {
            tokio::spawn(log(output, voice));
        }
        Ok(Child { process, group })
    }

    /// Its number.
    pub fn id(&self) -> Option<u32> {
        self.process.id()
    }

    /// What MCP is spoken through; once.
    pub fn spoken(&mut self) -> Option<(ChildStdin, ChildStdout)> {
        self.process.stdin.take().zip(self.process.stdout.take())
    }

    /// Waits until it ends, and ends what it left behind.
    pub async fn ended(&mut self) -> io::Result<ExitStatus> {
        let status = self.process.wait().await;
        self.group.kill();
        status
    }

    /// Asks it to end, and ends it if it does not.
    pub async fn stop(mut self) {
        if self.process.id().is_some() {
            self.group.end();
        }
        let _ = tokio::time::timeout(GRACE, self.process.wait()).await;
    }
}

/// Reads to the end, whatever comes, so that a process never waits for its log.
async fn log(mut from: impl AsyncRead + Unpin, voice: Arc<Voice>) {
    let mut line = Vec::new();
    let mut piece = [0; 1024];
    while let Ok(read @ 1..) = from.read(&mut piece).await {
        for part in piece.get(..read).unwrap_or_default().split_inclusive(|byte| *byte == b'\n') {
            if line.len() < super::voice::LONGEST {
                line.extend_from_slice(part);
            }
            if part.ends_with(b"\n") {
                voice.say(&line);
                line.clear();
            }
        }
    }
    voice.say(&line);
}
