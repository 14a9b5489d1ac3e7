//! An agent's home, and the program in it.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use stubgate_agent::agent::{Agent, Place};
use tempfile::TempDir;

use crate::authority::Authority;

pub(crate) struct Home {
    folder: TempDir,
    pub(crate) authority: Authority,
}

impl Home {
    pub(crate) fn new() -> Home {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(folder.path().join("agents/devbot")).unwrap();
        let authority = Authority::new(folder.path());
        Home { folder, authority }
    }

    pub(crate) fn path(&self) -> &Path {
        self.folder.path()
    }

    /// Writes `agent.yaml`.
    pub(crate) fn configure(&self, text: &str) {
        std::fs::write(self.path().join("agents/devbot/agent.yaml"), text).unwrap();
    }

    pub(crate) fn kept(&self) -> PathBuf {
        self.path().join(".local/state/stubgate-agent")
    }

    /// The agent, as the program reads it.
    pub(crate) fn agent(&self) -> Agent {
        let place = Place {
            name: "devbot".into(),
            agents: self.path().join("agents"),
            home: self.path().into(),
            workspace: self.path().join("workspace"),
            bundle: self.authority.file.clone(),
            trust: self.path().join("trust"),
            run: self.path().join("run"),
        };
        place.agent().unwrap()
    }

    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_stubgate-agent"));
        command.args(arguments).env_clear().env("AGENT_NAME", "devbot").env("HOME", self.path());
        command.env("STUBGATE_AGENTS", self.path().join("agents")).env("SSL_CERT_FILE", &self.authority.file);
        command.env("STUBGATE_BUNDLE", &self.authority.file).env("STUBGATE_TRUST", self.path().join("trust"));
        command.env("STUBGATE_WORKSPACE", self.path()).env("STUBGATE_AGENT_RUN", self.path().join("run"));
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    /// Runs it to its end.
    pub(crate) fn run(&self, arguments: &[&str]) -> Ran {
        Ran::of(self.command(arguments).output().unwrap())
    }

    /// The same with something on its standard input.
    pub(crate) fn run_with(&self, arguments: &[&str], input: &str) -> Ran {
        let mut child = self.command(arguments).stdin(Stdio::piped()).spawn().unwrap();
        child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
        Ran::of(child.wait_with_output().unwrap())
    }

    pub(crate) fn start(&self, arguments: &[&str]) -> Child {
        self.command(arguments).spawn().unwrap()
    }
}

#[derive(Debug)]
pub(crate) struct Ran {
    pub(crate) code: Option<i32>,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl Ran {
    fn of(output: Output) -> Ran {
        let text = |bytes| String::from_utf8(bytes).unwrap();
        Ran { code: output.status.code(), out: text(output.stdout), err: text(output.stderr) }
    }

    #[track_caller]
    pub(crate) fn ok(self) -> String {
        assert_eq!(self.code, Some(0), "{self:?}");
        self.out
    }
}

/// Waits until something is so.
#[track_caller]
pub(crate) fn wait_until(what: &str, mut is_so: impl FnMut() -> bool) {
    let until = Instant::now() + Duration::from_secs(20);
    while !is_so() {
        assert!(Instant::now() < until, "{what}: not within 20 s");
        std::thread::sleep(Duration::from_millis(20));
    }
}
