//! A container's folders below one that is gone with the test.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use tempfile::TempDir;

/// The folders.
pub(crate) struct World {
    pub(crate) folder: TempDir,
}

/// How a run of setup went.
#[derive(Debug)]
pub(crate) struct Run {
    pub(crate) code: Option<i32>,
    pub(crate) text: String,
}

impl Run {
    /// What it said of a step.
    pub(crate) fn step(&self, name: &str) -> &str {
        let start = format!("setup: {name}: ");
        let line = self.text.lines().find_map(|line| line.strip_prefix(&start));
        line.unwrap_or_else(|| panic!("nothing of {name} in {}", self.text))
    }
}

impl World {
    /// With an agent `devbot` that has a bundle and an empty `agent.yaml`.
    pub(crate) fn new() -> World {
        let world = World::bare();
        world.agent_file("devbot/agent.yaml", "");
        world.agent_file("_shared/CLAUDE.md", "For everybody.\n");
        world.file("bundle.pem", &crate::server::authority().1);
        world
    }

    /// Without anything.
    pub(crate) fn bare() -> World {
        let world = World { folder: tempfile::tempdir().unwrap() };
        for folder in ["home", "workspace", "trust", "run", "agents"] {
            fs::create_dir_all(world.path(folder)).unwrap();
        }
        world
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub(crate) fn home(&self, name: &str) -> PathBuf {
        self.path("home").join(name)
    }

    pub(crate) fn file(&self, name: &str, text: &str) {
        let path = self.path(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    pub(crate) fn agent_file(&self, name: &str, text: &str) {
        self.file(&format!("agents/{name}"), text);
    }

    pub(crate) fn text(&self, name: &str) -> String {
        fs::read_to_string(self.path(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
    }

    pub(crate) fn json(&self, name: &str) -> serde_json::Value {
        serde_json::from_str(&self.text(name)).unwrap()
    }

    pub(crate) fn command(&self) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_stubgate-agent"));
        self.put_in_place(&mut command);
        command.arg("setup").arg("--managed-settings").arg(self.path("managed.json"));
        command
    }

    pub(crate) fn put_in_place(&self, command: &mut Command) {
        command
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap())
            .env("AGENT_NAME", "devbot")
            .env("STUBGATE_AGENTS", self.path("agents"))
            .env("HOME", self.path("home"))
            .env("STUBGATE_WORKSPACE", self.path("workspace"))
            .env("STUBGATE_BUNDLE", self.path("bundle.pem"))
            .env("STUBGATE_TRUST", self.path("trust"))
            .env("STUBGATE_AGENT_RUN", self.path("run"))
            .stdin(Stdio::null());
    }

    pub(crate) fn setup(&self) -> Run {
        ran(self.command().output().unwrap())
    }

    /// A program with the variables that setup wrote, and none of the test's own.
    pub(crate) fn program(&self, program: &str) -> Command {
        let mut command = Command::new(program);
        self.put_in_place(&mut command);
        for line in self.text("trust/environment").lines() {
            let (name, value) = line.split_once('=').unwrap();
            command.env(name, value);
        }
        command
    }

    /// Every file with its mode, time and content.
    pub(crate) fn snapshot(&self) -> BTreeMap<PathBuf, (u32, std::time::SystemTime, Vec<u8>)> {
        let mut all = BTreeMap::new();
        for folder in ["home", "trust", "workspace"] {
            walk(&self.path(folder), &mut all);
        }
        all
    }
}

fn walk(folder: &Path, all: &mut BTreeMap<PathBuf, (u32, std::time::SystemTime, Vec<u8>)>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let found = fs::symlink_metadata(&path).unwrap();
        // What git writes for every fetch.
        if found.is_dir() && path.file_name().unwrap() != ".git" {
            walk(&path, all);
        } else if found.is_file() {
            let content = fs::read(&path).unwrap();
            all.insert(path, (found.permissions().mode(), found.modified().unwrap(), content));
        }
    }
}

pub(crate) fn ran(output: Output) -> Run {
    let mut text = String::from_utf8(output.stdout).unwrap();
    text.push_str(&String::from_utf8_lossy(&output.stderr));
    Run { code: output.status.code(), text }
}

/// Whether a program is there; says so if it is not.
pub(crate) fn has(program: &str) -> bool {
    let found = Command::new(program).arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status().is_ok();
    if !found {
        eprintln!("NOT TRIED: there is no {program} here");
    }
    found
}

pub(crate) fn is_root() -> bool {
    let is_root = rustix::process::geteuid().is_root();
    if !is_root {
        eprintln!("NOT TRIED: this needs root");
    }
    is_root
}
