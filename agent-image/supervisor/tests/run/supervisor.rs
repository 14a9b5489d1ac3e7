//! A supervisor of one agent in folders of its own, its log, and deadlines.

use std::fs;
use std::io::{BufRead, BufReader};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tempfile::TempDir;

/// Whatever is waited for comes within this, on a machine that is busy with other tests.
pub(crate) const DEADLINE: Duration = Duration::from_secs(60);

/// One agent.
pub(crate) struct Home {
    pub(crate) root: TempDir,
}

impl Home {
    /// Whose client is this script of a shell.
    pub(crate) fn new(script: &str) -> Self {
        let home = Home { root: TempDir::new().unwrap() };
        for folder in ["home/.claude", "workspace", "trust", "run", "agents/devbot"] {
            fs::create_dir_all(home.path(folder)).unwrap();
        }
        let client = home.path("client");
        fs::write(
            &client,
            format!("#!/bin/sh\n[ \"$1\" = --version ] && {{ echo '2.1.329 (Claude Code)'; exit; }}\n{script}\n"),
        )
        .unwrap();
        fs::set_permissions(&client, fs::Permissions::from_mode(0o755)).unwrap();
        home.configure("");
        home
    }

    /// Adds to the agent's file.
    pub(crate) fn configure(&self, more: &str) {
        let text =
            format!("client:\n  program: {}\n  permission_mode: ''\nlisten: ''\n{more}", self.path("client").display());
        fs::write(self.path("agents/devbot/agent.yaml"), text).unwrap();
    }

    pub(crate) fn path(&self, below: &str) -> PathBuf {
        self.root.path().join(below)
    }

    /// A command of the program, with the agent's places.
    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_stubgate-agent"));
        command.args(arguments).env("AGENT_NAME", "devbot").env_remove("TMUX").env_remove("STUBGATE_LOG");
        for (name, folder) in [
            ("HOME", "home"),
            ("STUBGATE_AGENTS", "agents"),
            ("STUBGATE_WORKSPACE", "workspace"),
            ("STUBGATE_TRUST", "trust"),
            ("STUBGATE_AGENT_RUN", "run"),
        ] {
            command.env(name, self.path(folder));
        }
        command
    }

    /// A supervisor that hurries so much.
    pub(crate) fn run(&self, hurry: &str, more: &[&str]) -> Supervisor {
        Supervisor::start(self.command(&[&["run", "--hurry", hurry], more].concat()))
    }
}

/// A supervisor at work; ended when it is dropped.
pub(crate) struct Supervisor {
    pub(crate) child: Child,
    log: Arc<(Mutex<Vec<String>>, Condvar)>,
    seen: usize,
}

impl Supervisor {
    /// By a command that becomes it.
    pub(crate) fn start(mut command: Command) -> Self {
        let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().unwrap();
        let log = Arc::new((Mutex::new(Vec::<String>::new()), Condvar::new()));
        let (into, out) = (Arc::clone(&log), child.stdout.take().unwrap());
        std::thread::spawn(move || {
            for line in BufReader::new(out).lines().map_while(Result::ok) {
                into.0.lock().unwrap().push(line);
                into.1.notify_all();
            }
        });
        Supervisor { child, log, seen: 0 }
    }

    /// The next line of the log with this text, after the last one that was waited for.
    pub(crate) fn line(&mut self, text: &str) -> String {
        let (lines, came) = &*self.log;
        let deadline = Instant::now() + DEADLINE;
        let mut lines = lines.lock().unwrap();
        loop {
            if let Some(at) = lines[self.seen..].iter().position(|line| line.contains(text)) {
                self.seen += at + 1;
                return lines[self.seen - 1].clone();
            }
            let left = deadline.saturating_duration_since(Instant::now());
            assert!(!left.is_zero(), "no line with {text:?} in:\n{}", lines.join("\n"));
            lines = came.wait_timeout(lines, left).unwrap().0;
        }
    }

    /// All of the log up to now.
    pub(crate) fn log(&self) -> String {
        self.log.0.lock().unwrap().join("\n")
    }

    /// The number of the client that starts next, or has just.
    pub(crate) fn client(&mut self) -> i32 {
        field(&self.line("the client was started"), "pid").parse().unwrap()
    }

    pub(crate) fn tell(&self, signal: Signal) {
        send(i32::try_from(self.child.id()).unwrap(), signal);
    }

    pub(crate) fn ended(&mut self) -> ExitStatus {
        until("the supervisor ended", || self.child.try_wait().unwrap())
    }

    pub(crate) fn stop(mut self) -> ExitStatus {
        self.tell(Signal::SIGTERM);
        self.ended()
    }
}

impl Drop for Supervisor {
    fn drop(&mut self) {
        if matches!(self.child.try_wait(), Ok(None)) {
            let _ = kill(Pid::from_raw(i32::try_from(self.child.id()).unwrap()), Signal::SIGTERM);
            let deadline = Instant::now() + Duration::from_secs(20);
            while matches!(self.child.try_wait(), Ok(None)) && Instant::now() < deadline {
                std::thread::yield_now();
            }
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
    }
}

pub(crate) fn send(pid: i32, signal: Signal) {
    kill(Pid::from_raw(pid), signal).unwrap();
}

/// `name=value` of a line of the log.
pub(crate) fn field<'l>(line: &'l str, name: &str) -> &'l str {
    let (_, rest) = line.split_once(&format!("{name}=")).unwrap_or_else(|| panic!("no {name} in {line}"));
    rest.split(' ').next().unwrap().trim_matches('"')
}

/// Asks until there is an answer.
pub(crate) fn until<T>(what: &str, mut ask: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + DEADLINE;
    loop {
        if let Some(answer) = ask() {
            return answer;
        }
        assert!(Instant::now() < deadline, "not within {DEADLINE:?}: {what}");
        std::thread::park_timeout(Duration::from_millis(5));
    }
}

/// The content of a file, once it has this text.
pub(crate) fn content(path: &Path, text: &str) -> String {
    until(&format!("{} has {text:?}", path.display()), || {
        fs::read_to_string(path).ok().filter(|found| found.contains(text))
    })
}

/// Whether there is such a process that is not dead.
pub(crate) fn is_alive(pid: i32) -> bool {
    fs::read_to_string(format!("/proc/{pid}/stat")).is_ok_and(|stat| !stat.contains(") Z"))
}
