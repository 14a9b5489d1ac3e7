//! What a process that has locked itself down can still do (OPS-06): each attempt runs in a process of its own, free and
//! locked down, as root where the test is, and as a user without any rights.
//!
//! No harness: the process that locks itself down must have one thread, which the test harness does not offer.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod attempts;

use std::io::{BufRead as _, BufReader};
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::process::{CommandExt as _, ExitStatusExt as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitCode, Stdio};

use attempts::{ATTEMPTS, Outcome};

/// A user that owns nothing.
const NOBODY: u32 = 65534;

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().collect();
    if let [_, word, name, wall, folder] = &args[..]
        && word == "attempt"
    {
        return attempts::main(name, wall == "locked", Path::new(folder));
    }
    let site = Site::new();
    let users: &[Option<u32>] = if rustix::process::geteuid().is_root() { &[None, Some(NOBODY)] } else { &[None] };
    let mut failed = 0;
    for &user in users {
        let whom = user.map_or_else(|| "as whoever runs the test".to_owned(), |user| format!("as user {user}"));
        for attempt in ATTEMPTS {
            let free = site.run(attempt.name, "free", user);
            let locked = site.run(attempt.name, "locked", user);
            // What fails in a free process too would show nothing.
            let is_good = free == Outcome::Done && attempt.expected.is(&locked);
            println!("{} {whom}: {}: {locked:?}", if is_good { "ok    " } else { "FAILED" }, attempt.name);
            if !is_good {
                println!("       expected {:?}; free: {free:?}", attempt.expected);
                failed += 1;
            }
        }
    }
    failed += usize::from(!site.nobody_else_looks_in(users.last().copied().flatten()));
    if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// A folder with what attempts need, open to every user.
struct Site {
    folder: tempfile::TempDir,
    program: PathBuf,
}

impl Site {
    fn new() -> Self {
        let folder = tempfile::tempdir_in("/tmp").unwrap();
        let open = |path: &Path| std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o777)).unwrap();
        open(folder.path());
        for name in ["read", "write", "outside"] {
            let path = folder.path().join(name);
            std::fs::create_dir(&path).unwrap();
            std::fs::write(path.join("file"), "content").unwrap();
            open(&path.join("file"));
            open(&path);
        }
        // Where the build is may be out of reach for the other user.
        let program = folder.path().join("sandbox");
        std::fs::copy(std::env::current_exe().unwrap(), &program).unwrap();
        open(&program);
        Site { folder, program }
    }

    fn command(&self, name: &str, wall: &str, user: Option<u32>) -> Command {
        let mut command = Command::new(&self.program);
        command.args(["attempt", name, wall]).arg(self.folder.path()).env_clear();
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::inherit());
        if let Some(user) = user {
            command.uid(user).gid(user);
        }
        command
    }

    fn run(&self, name: &str, wall: &str, user: Option<u32>) -> Outcome {
        let output = self.command(name, wall, user).stdin(Stdio::null()).output().unwrap();
        match (output.status.code(), output.status.signal()) {
            (Some(0), _) => Outcome::Done,
            (_, Some(signal)) => Outcome::Killed(signal),
            _ => Outcome::Refused(String::from_utf8_lossy(&output.stdout).trim().to_owned()),
        }
    }

    /// Another process of the same user can't read the memory or the environment of a locked one.
    fn nobody_else_looks_in(&self, user: Option<u32>) -> bool {
        if user.is_none() && rustix::process::geteuid().is_root() {
            return true;
        }
        let readable = |wall: &str| {
            let mut child = self.command("wait", wall, user).spawn().unwrap();
            BufReader::new(child.stdout.take().unwrap()).read_line(&mut String::new()).unwrap();
            let path = format!("/proc/{}/environ", child.id());
            let mut cat = Command::new("cat");
            cat.arg(path).stdout(Stdio::null()).stderr(Stdio::null());
            if let Some(user) = user {
                cat.uid(user).gid(user);
            }
            let readable = cat.status().unwrap().success();
            end(child);
            readable
        };
        let (free, locked) = (readable("free"), readable("locked"));
        let is_good = free && !locked;
        println!(
            "{} another process looks in: free {free}, locked {locked}",
            if is_good { "ok    " } else { "FAILED" }
        );
        is_good
    }
}

fn end(mut child: Child) {
    drop(child.stdin.take());
    child.wait().unwrap();
}
