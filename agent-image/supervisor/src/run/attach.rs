//! Another terminal shows the client's. Only this process leaves when it is left: the client never notices.
//!
//! One thread that waits for its terminal, the console's socket and signals at once, so that it can always be left, and so that the
//! terminal is put back whatever ends it.

mod keys;
mod terminal;

use std::io::{self, Read, Write};
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::process::{Command, ExitCode};
use std::time::{Duration, Instant};

use clap::Args;
use nix::sys::signal::{SigSet, Signal};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use rustix::event::{PollFd, PollFlags, Timespec, poll};

use crate::agent::Place;
use crate::run::console::{listen, wire};
use crate::run::tmux;
use keys::Paced;
use terminal::Terminal;

/// Bytes that wait for the supervisor at most.
const MOST_WAITING: usize = 64 * 1024;
/// Between two tries to come back to a supervisor that is gone.
const AGAIN: Duration = Duration::from_millis(500);

/// The command.
#[derive(Args, Debug)]
pub struct Attach {
    /// The session of tmux, with a shell beside the client
    #[arg(long)]
    pub tmux: bool,
    /// If standard input is no terminal: leave so many seconds after its end
    #[arg(long, value_name = "SECONDS", default_value_t = 2)]
    pub grace: u64,
    /// Never leave by itself: for the pane of tmux
    #[arg(long, hide = true)]
    pub stay: bool,
}

impl Attach {
    /// Runs it.
    pub fn run(&self, place: &Place) -> ExitCode {
        if self.tmux {
            if !tmux::socket(place).exists() {
                eprintln!(
                    "stubgate-agent: {}: no tmux is there; is `stubgate-agent run` at work, without --headless? `stubgate-agent attach` does without",
                    tmux::socket(place).display()
                );
                return ExitCode::FAILURE;
            }
            let error =
                Command::new("tmux").arg("-u").arg("-S").arg(tmux::socket(place)).args(["attach", "-t", "main"]).exec();
            eprintln!("stubgate-agent: tmux: {error}");
            return ExitCode::FAILURE;
        }
        match self.view(place) {
            Ok(code) => ExitCode::from(code),
            Err(error) => {
                eprintln!(
                    "stubgate-agent: {}: {error}; is `stubgate-agent run` at work?",
                    listen::path(place).display()
                );
                ExitCode::FAILURE
            }
        }
    }

    fn view(&self, place: &Place) -> io::Result<u8> {
        let signals = watched();
        signals.thread_block()?;
        let signals = SignalFd::with_flags(&signals, SfdFlags::SFD_NONBLOCK | SfdFlags::SFD_CLOEXEC)?;
        let mut terminal = Terminal::new();
        loop {
            let end = match UnixStream::connect(listen::path(place)) {
                Ok(stream) => self.visit(stream, &signals, &mut terminal)?,
                Err(_) if self.stay => End::Lost,
                Err(error) => return Err(error),
            };
            match end {
                End::Left => {
                    terminal.put_back("left; the client goes on");
                    return Ok(0);
                }
                End::Signal(signal) => {
                    terminal.put_back("");
                    return Ok(u8::try_from(128 + signal).unwrap_or(1));
                }
                End::Lost if self.stay => {
                    if let Some(signal) = pause(&signals)? {
                        terminal.put_back("");
                        return Ok(u8::try_from(128 + signal).unwrap_or(1));
                    }
                }
                End::Lost => {
                    terminal.put_back("the supervisor is gone");
                    return Ok(1);
                }
            }
        }
    }

    /// One connection.
    fn visit(&self, mut stream: UnixStream, signals: &SignalFd, terminal: &mut Terminal) -> io::Result<End> {
        stream.set_nonblocking(true)?;
        let is_interactive = terminal.make_raw();
        let mut waiting = Vec::new();
        let mut paced = Paced::default();
        waiting.extend(terminal.size().map(|(rows, columns)| wire::size(rows, columns)).unwrap_or_default());
        let stdin = io::stdin();
        let mut leave_at: Option<Instant> = None;
        let mut has_input = true;
        let mut buffer = vec![0; 16 * 1024];
        loop {
            let takes = has_input && (is_interactive || (waiting.is_empty() && paced.is_empty()));
            let mut wanted = PollFlags::IN;
            wanted.set(PollFlags::OUT, !waiting.is_empty());
            let mut events = vec![PollFd::new(&stream, wanted), PollFd::new(signals, PollFlags::IN)];
            if takes {
                events.push(PollFd::from_borrowed_fd(stdin.as_fd(), PollFlags::IN));
            }
            wait(&mut events, [leave_at, paced.due()].into_iter().flatten().min())?;
            let [console, signalled, typed] =
                [0, 1, 2].map(|at| events.get(at).is_some_and(|event| !event.revents().is_empty()));
            drop(events);
            if signalled {
                match heard(signals)? {
                    Some(Signal::SIGWINCH) => {
                        waiting.extend(
                            terminal.size().map(|(rows, columns)| wire::size(rows, columns)).unwrap_or_default(),
                        );
                    }
                    Some(signal) => return Ok(End::Signal(signal as i32)),
                    None => {}
                }
            }
            if console {
                match stream.read(&mut buffer) {
                    Ok(0) => return Ok(End::Lost),
                    Ok(length) => terminal.show(buffer.get(..length).unwrap_or_default())?,
                    Err(error) if is_passing(&error) => {}
                    Err(_) => return Ok(End::Lost),
                }
            }
            if typed {
                let length = rustix::io::read(stdin.as_fd(), &mut buffer).unwrap_or(0);
                let bytes = buffer.get(..length).unwrap_or_default();
                if length == 0 {
                    has_input = false;
                    if is_interactive {
                        return Ok(End::Left);
                    }
                } else if !is_interactive {
                    paced.put(bytes);
                } else if !self.stay && keys::leave(bytes) {
                    return Ok(End::Left);
                } else if waiting.len() < MOST_WAITING {
                    waiting.extend(wire::input(bytes));
                }
            }
            if waiting.is_empty() {
                waiting.extend(wire::input(&paced.take(Instant::now())));
            }
            match stream.write(&waiting) {
                Ok(length) => drop(waiting.drain(..length)),
                Err(error) if is_passing(&error) => {}
                Err(_) => return Ok(End::Lost),
            }
            if !has_input && waiting.is_empty() && paced.is_empty() {
                let now = Instant::now();
                let leave_at = *leave_at.get_or_insert(now + Duration::from_secs(self.grace));
                if now >= leave_at && !self.stay {
                    return Ok(End::Left);
                }
            }
        }
    }
}

/// Why a connection ended.
enum End {
    /// On purpose.
    Left,
    /// By this signal.
    Signal(i32),
    /// The supervisor is gone.
    Lost,
}

fn watched() -> SigSet {
    let mut signals = SigSet::empty();
    for signal in [Signal::SIGTERM, Signal::SIGINT, Signal::SIGHUP, Signal::SIGQUIT, Signal::SIGWINCH] {
        signals.add(signal);
    }
    signals
}

fn heard(signals: &SignalFd) -> io::Result<Option<Signal>> {
    let signal = signals.read_signal()?;
    Ok(signal.and_then(|signal| i32::try_from(signal.ssi_signo).ok()).and_then(|number| Signal::try_from(number).ok()))
}

/// A signal that ends the pause for good, if one comes.
fn pause(signals: &SignalFd) -> io::Result<Option<i32>> {
    wait(&mut [PollFd::new(signals, PollFlags::IN)], Some(Instant::now() + AGAIN))?;
    Ok(heard(signals)?.filter(|signal| *signal != Signal::SIGWINCH).map(|signal| signal as i32))
}

fn wait(events: &mut [PollFd<'_>], until: Option<Instant>) -> io::Result<()> {
    let left = until.map(|until| until.saturating_duration_since(Instant::now()));
    let left = left.and_then(|left| Timespec::try_from(left).ok());
    match poll(events, left.as_ref()) {
        Ok(_) | Err(rustix::io::Errno::INTR) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

fn is_passing(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted)
}
