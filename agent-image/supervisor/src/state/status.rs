//! `stubgate-agent status`: how it all is, for people and programs. It asks the supervisor over its socket and trusts nothing
//! of the answer: whoever is the agent could answer in its place, so what is printed has no control characters.

use std::io::{self, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use clap::Args;

use super::report::Report;
use super::serve::socket;
use crate::agent::Place;
use crate::clean::line;

/// For the whole answer.
const DEADLINE: Duration = Duration::from_secs(5);

/// Bytes of the largest answer.
const LARGEST: usize = 1024 * 1024;

/// The command. It ends with 0 if the agent is ready, 1 if it is not, 2 if no supervisor answers.
#[derive(Args, Debug)]
pub struct Status {
    /// As JSON, with the keys that docs/agent/state.md lists
    #[arg(long)]
    pub json: bool,
}

impl Status {
    /// Runs it.
    pub fn run(&self, place: &Place) -> ExitCode {
        let path = socket(place);
        let report = match ask(&path, DEADLINE) {
            Ok(report) => report,
            Err(error) => {
                eprintln!(
                    "stubgate-agent: no supervisor answers at {}: {error}; is `stubgate-agent run` at work?",
                    path.display()
                );
                return ExitCode::from(2);
            }
        };
        let text = if self.json { as_json(&report) } else { table(&report) };
        // Whoever reads may stop early.
        let _ = io::stdout().write_all(text.as_bytes());
        ExitCode::from(u8::from(!report.ready))
    }
}

/// Asks the supervisor that listens there.
fn ask(path: &Path, deadline: Duration) -> io::Result<Report> {
    let end = Instant::now() + deadline;
    let mut stream = UnixStream::connect(path)?;
    stream.set_write_timeout(Some(deadline))?;
    stream.write_all(b"GET /status HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")?;
    let mut answer = Vec::new();
    let mut piece = [0; 8192];
    loop {
        let left = end.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(io::Error::new(io::ErrorKind::TimedOut, "no answer in time"));
        }
        stream.set_read_timeout(Some(left))?;
        let length = match stream.read(&mut piece) {
            Ok(0) => break,
            Ok(length) => length,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => continue,
            Err(error) => return Err(error),
        };
        answer.extend_from_slice(piece.get(..length).unwrap_or_default());
        if answer.len() > LARGEST {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "the answer is too long"));
        }
    }
    let text = String::from_utf8(answer).map_err(|_| io::Error::other("the answer is no text"))?;
    let (head, body) = text.split_once("\r\n\r\n").ok_or_else(|| io::Error::other("it closed without an answer"))?;
    if !head.starts_with("HTTP/1.1 200 ") {
        return Err(io::Error::other("it answers something else"));
    }
    serde_json::from_str(body).map_err(|_| io::Error::other("it answers what this version can't read"))
}

fn as_json(report: &Report) -> String {
    let text = serde_json::to_string_pretty(report).unwrap_or_default();
    // What JSON does not escape, a terminal may still obey.
    let plain = |char: char| char == '\n' || !char.is_control();
    format!("{}\n", text.chars().filter(|char| plain(*char)).collect::<String>())
}

fn table(report: &Report) -> String {
    let mut rows: Vec<(String, String)> = Vec::new();
    let mut row = |name: &str, value: String| rows.push((line(name), line(&value)));
    row("agent", report.agent.clone());
    row("ready", if report.ready { "yes" } else { "no" }.into());
    for not in &report.reasons {
        row("", format!("{}: {}", not.reason.as_str(), not.text));
    }
    let client = &report.client;
    let mut told = client.is.clone();
    for (word, value) in [("since", &client.since), ("because of", &client.why), ("next start", &client.next)] {
        if let Some(value) = value {
            told.push_str(&format!(", {word} {value}"));
        }
    }
    if let Some(pid) = client.pid {
        told.push_str(&format!(", process {pid}"));
    }
    row("client", format!("{told}, {} restarts", client.restarts));
    let session = &report.session;
    let last = session.last_turn.as_deref().map(|last| format!(", the last one ended {last}")).unwrap_or_default();
    row("turns", format!("{}{last}", session.turns));
    row("dialogs", format!("{} answered, {} blocked", session.dialogs_answered, session.dialogs_blocked));
    let login = if report.login.is_stub { "stubs only" } else { "NOT its stubs" };
    row("login", format!("{login}, restored {} times", report.login.restored));
    row("trust", report.trust.clone().unwrap_or_else(|| "in order".into()));
    match report.tmux {
        Some(true) => row("tmux", "session main".into()),
        Some(false) => row("tmux", "no session".into()),
        None => {}
    }
    for (name, bridge) in &report.bridges {
        let mut told = if bridge.up { "up".to_owned() } else { "down".to_owned() };
        if bridge.required {
            told.push_str(", required");
        }
        if let Some(version) = &bridge.version {
            told.push_str(&format!(", version {version}"));
        }
        told.push_str(&format!(", {} tools, {} restarts", bridge.tools, bridge.restarts));
        if let Some(why) = &bridge.failing {
            told.push_str(&format!(": {why}"));
        }
        row(&format!("bridge {name}"), told);
    }
    row("events", format!("{} wait, {} were refused", report.events_spooled, report.events_aside));
    row("supervisor", format!("{} since {}", report.supervisor.version, report.supervisor.since));
    let width = rows.iter().map(|(name, _)| name.chars().count()).max().unwrap_or_default();
    rows.iter().map(|(name, value)| format!("{name:width$}  {value}\n")).collect()
}

#[cfg(test)]
mod tests;
