//! Real programs run on a node, with an empty environment, a deadline, and everything that they
//! print kept for the search for credentials.

use std::ffi::{OsStr, OsString};
use std::fs::{self, File};
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use crate::node::Node;
use crate::process;

static RUNS: AtomicUsize = AtomicUsize::new(0);

/// A program about to run on a node.
#[derive(Debug)]
pub struct Program {
    node: Node,
    argv: Vec<OsString>,
    env: Vec<(OsString, OsString)>,
    dir: PathBuf,
    seconds: u64,
    stdin: Option<Vec<u8>>,
    inside: Option<Inside>,
}

/// Where it runs, if that is a container on the node: what `nsenter` is told, and what takes its rights away.
#[derive(Debug)]
struct Inside {
    enter: Vec<OsString>,
    rights: Vec<String>,
}

impl Node {
    /// A program on this node: no environment but `PATH`, `HOME`, `LANG`; one minute to finish.
    pub fn program(&self, name: impl AsRef<OsStr>) -> Program {
        let home = self.dir().join(format!("{}-home", self.name()));
        fs::create_dir_all(&home).expect("home");
        let path = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
        Program {
            node: self.clone(),
            argv: vec![name.as_ref().to_owned()],
            env: Vec::new(),
            dir: home.clone(),
            seconds: 60,
            stdin: None,
            inside: None,
        }
        .env("PATH", path)
        .env("HOME", &home)
        .env("LANG", "C.UTF-8")
    }
}

impl Program {
    /// One more argument.
    pub fn arg(mut self, arg: impl AsRef<OsStr>) -> Program {
        self.argv.push(arg.as_ref().to_owned());
        self
    }

    /// More arguments.
    pub fn args<S: AsRef<OsStr>>(mut self, args: impl IntoIterator<Item = S>) -> Program {
        self.argv.extend(args.into_iter().map(|arg| arg.as_ref().to_owned()));
        self
    }

    /// Sets a variable; the last one wins.
    pub fn env(mut self, key: impl AsRef<OsStr>, value: impl AsRef<OsStr>) -> Program {
        self.env.push((key.as_ref().to_owned(), value.as_ref().to_owned()));
        self
    }

    /// Sets several variables.
    pub fn envs(mut self, vars: impl IntoIterator<Item = (String, String)>) -> Program {
        for (key, value) in vars {
            self = self.env(key, value);
        }
        self
    }

    /// The folder to run in.
    pub fn dir(mut self, dir: impl AsRef<Path>) -> Program {
        self.dir = dir.as_ref().to_owned();
        self
    }

    /// How long it may take.
    pub fn seconds(mut self, seconds: u64) -> Program {
        self.seconds = seconds;
        self
    }

    /// What it reads.
    pub fn stdin(mut self, bytes: impl Into<Vec<u8>>) -> Program {
        self.stdin = Some(bytes.into());
        self
    }

    /// Runs it in the namespaces that these arguments of `nsenter` name, by a program that takes its rights away.
    pub(crate) fn inside(mut self, enter: Vec<OsString>, rights: &[String]) -> Program {
        self.inside = Some(Inside { enter, rights: rights.to_vec() });
        self
    }

    fn command(&self, limit: bool) -> Command {
        let mut command = Command::new("nsenter");
        match &self.inside {
            Some(inside) => command.args(&inside.enter).arg("--").args(&inside.rights),
            None => command.arg(format!("--mount=/proc/{}/ns/mnt", self.node.pid())).arg("--"),
        };
        if limit {
            command.args(["timeout", "--kill-after=2", &self.seconds.to_string()]);
        }
        command.args(["sh", "-c", "cd -- \"$0\" && exec \"$@\""]).arg(&self.dir);
        command.args(&self.argv).env_clear().envs(self.env.iter().cloned());
        command
    }

    fn file(&self, run: usize, stream: &str) -> PathBuf {
        let folder = self.node.dir().join("seen").join(self.node.name());
        fs::create_dir_all(&folder).expect("folder of outputs");
        let name = Path::new(&self.argv[0]).file_name().unwrap_or_default().to_string_lossy();
        folder.join(format!("{run:04}-{name}.{stream}"))
    }

    /// Runs it to its end.
    pub fn run(self) -> Ran {
        let run = RUNS.fetch_add(1, Ordering::Relaxed);
        let (out, err) = (self.file(run, "out"), self.file(run, "err"));
        let mut command = self.command(true);
        command.stdout(File::create(&out).expect("file")).stderr(File::create(&err).expect("file"));
        match &self.stdin {
            Some(bytes) => {
                let input = self.node.dir().join(format!("stdin-{run}"));
                fs::write(&input, bytes).expect("write stdin");
                command.stdin(File::open(&input).expect("open stdin"));
            }
            None => {
                command.stdin(Stdio::null());
            }
        }
        let begun = Instant::now();
        let status = self.node.enter(move || command.status()).expect("nsenter(1) of util-linux");
        Ran {
            line: self.argv.iter().map(|arg| arg.to_string_lossy().into_owned()).collect::<Vec<_>>().join(" "),
            status,
            took: begun.elapsed(),
            stdout: fs::read(&out).expect("read stdout"),
            stderr: fs::read(&err).expect("read stderr"),
        }
    }

    /// Starts it; its standard output can be read line by line, errors go to a file.
    pub fn spawn(self) -> Running {
        let run = RUNS.fetch_add(1, Ordering::Relaxed);
        let err = self.file(run, "err");
        let mut command = self.command(false);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(File::create(&err).expect("file"));
        let mut child = self.node.enter(move || command.spawn()).expect("nsenter(1) of util-linux");
        let (sender, lines) = mpsc::channel();
        let stdout = child.stdout.take().expect("piped");
        let out = self.file(run, "out");
        let mut copy = File::create(&out).expect("file");
        thread::spawn(move || {
            for line in BufReader::new(stdout).split(b'\n').map_while(Result::ok) {
                let _ = std::io::Write::write_all(&mut copy, &line);
                let _ = std::io::Write::write_all(&mut copy, b"\n");
                let _ = sender.send(String::from_utf8_lossy(&line).into_owned());
            }
        });
        Running { child, inside: self.inside.is_some(), lines, out, err }
    }
}

/// What a program did.
#[derive(Debug)]
pub struct Ran {
    line: String,
    /// How it ended.
    pub status: ExitStatus,
    /// How long it took.
    pub took: Duration,
    /// What it printed.
    pub stdout: Vec<u8>,
    /// What it complained of.
    pub stderr: Vec<u8>,
}

impl Ran {
    /// Its output as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.stdout).into_owned()
    }

    /// Its errors as text.
    pub fn errors(&self) -> String {
        String::from_utf8_lossy(&self.stderr).into_owned()
    }

    /// Its output, if it succeeded; else the test ends here.
    #[track_caller]
    pub fn success(&self) -> String {
        assert!(self.status.success(), "{}", self.report());
        self.text()
    }

    /// Both outputs, if it failed by itself; a timeout is no failure of its own.
    #[track_caller]
    pub fn failure(&self) -> String {
        assert!(!self.status.success(), "should have failed: {}", self.report());
        assert!(self.status.code() != Some(124), "hung: {}", self.report());
        format!("{}\n{}", self.text(), self.errors())
    }

    fn report(&self) -> String {
        let cut = |bytes: &[u8]| {
            let from = bytes.len().saturating_sub(4000);
            String::from_utf8_lossy(&bytes[from..]).into_owned()
        };
        format!(
            "`{}`: {} after {:?}\n--- stdout\n{}\n--- stderr\n{}",
            self.line,
            self.status,
            self.took,
            cut(&self.stdout),
            cut(&self.stderr)
        )
    }
}

/// A program that runs beside the test. Dropping it kills it.
#[derive(Debug)]
pub struct Running {
    child: Child,
    inside: bool,
    lines: mpsc::Receiver<String>,
    out: PathBuf,
    err: PathBuf,
}

impl Running {
    /// Its process id, as the test process sees it.
    pub fn pid(&self) -> u32 {
        // Who enters another pid namespace stays outside and waits for the one that went in.
        let inner = self.inside.then(|| process::child_of(self.child.id())).flatten();
        inner.unwrap_or(self.child.id())
    }

    /// The next line that it prints; `None` when it ended or `within` passed.
    pub fn line(&self, within: Duration) -> Option<String> {
        self.lines.recv_timeout(within).ok()
    }

    /// Waits for its end; `None` if it still runs after `within`.
    pub fn ended(&mut self, within: Duration) -> Option<ExitStatus> {
        let deadline = Instant::now() + within;
        loop {
            if let Some(status) = self.child.try_wait().expect("wait") {
                return Some(status);
            }
            if Instant::now() >= deadline {
                return None;
            }
            thread::sleep(Duration::from_millis(10));
        }
    }

    /// How many bytes it wrote so far, to both outputs.
    pub fn written(&self) -> u64 {
        [&self.out, &self.err].iter().filter_map(|file| fs::metadata(file).ok()).map(|found| found.len()).sum()
    }

    /// What it wrote to standard error so far.
    pub fn errors(&self) -> String {
        fs::read_to_string(&self.err).unwrap_or_default()
    }

    /// Asks it to end in an orderly way.
    pub fn terminate(&self) {
        self.signal(rustix::process::Signal::TERM);
    }

    /// Sends a signal.
    pub fn signal(&self, signal: rustix::process::Signal) {
        process::signal(self.pid(), signal);
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if self.child.try_wait().is_ok_and(|status| status.is_none()) {
            self.signal(rustix::process::Signal::KILL);
            if self.inside {
                // Whoever waits outside takes in the one that went in: its remains would keep that namespace from ending.
                self.ended(Duration::from_secs(2));
            }
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
