//! Where a sandbox is tried: a folder with things to hide, a user, and a process that launches.

use std::ffi::OsString;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitCode, Stdio};
use std::time::{Duration, Instant};

use stubgate_sandbox::environment::{Variables, Wanted};
use stubgate_sandbox::{Listeners, Plan, Ready, run, terminals};

/// The first argument of the process that launches.
pub(crate) const LAUNCH: &str = "--launch";
/// A variable with which what serves is never ready.
pub(crate) const NEVER_READY: &str = "STAGE_NEVER_READY";
/// A user without any right.
const NOBODY: u32 = 65534;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum User {
    Own,
    Nobody,
}

impl User {
    pub(crate) fn name(self) -> &'static str {
        match self {
            User::Own if rustix::process::geteuid().is_root() => "root",
            User::Own => "user",
            User::Nobody => "nobody",
        }
    }

    pub(crate) fn number(self) -> u32 {
        match self {
            User::Own => rustix::process::geteuid().as_raw(),
            User::Nobody => NOBODY,
        }
    }
}

pub(crate) struct Stage {
    pub(crate) user: User,
    folder: tempfile::TempDir,
    program: PathBuf,
}

pub(crate) struct Said {
    pub(crate) status: i32,
    pub(crate) output: String,
    pub(crate) errors: String,
}

const GUARDED: [(&str, &str); 3] = [("keys/key", "secret"), ("credential", "secret"), ("policy/policy.yaml", "policy")];

impl Stage {
    pub(crate) fn new(user: User) -> Stage {
        let folder = tempfile::Builder::new().prefix("stubgate-escapes-").tempdir().unwrap();
        std::fs::set_permissions(folder.path(), std::fs::Permissions::from_mode(0o755)).unwrap();
        // Another user may not reach the folder of the build.
        let program = folder.path().join("launch");
        std::fs::copy(std::env::current_exe().unwrap(), &program).unwrap();
        let stage = Stage { user, folder, program };
        for (path, content) in GUARDED {
            let path = stage.folder().join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, content).unwrap();
        }
        if user == User::Nobody {
            let owner = format!("{NOBODY}:{NOBODY}");
            let status = Command::new("chown").args(["-R", &owner]).arg(stage.folder.path()).status().unwrap();
            assert!(status.success());
        }
        stage
    }

    pub(crate) fn folder(&self) -> PathBuf {
        let folder = self.folder.path().join("work");
        std::fs::create_dir_all(&folder).unwrap();
        folder
    }

    pub(crate) fn guarded(&self) -> [(&'static str, &'static str); 3] {
        GUARDED
    }

    pub(crate) fn open_to_all(&self, path: &Path) {
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o777)).unwrap();
    }

    pub(crate) fn command(&self) -> Command {
        let mut command = match self.user {
            User::Own => Command::new(&self.program),
            User::Nobody => {
                let mut command = Command::new("setpriv");
                let number = NOBODY.to_string();
                command.args(["--reuid", &number, "--regid", &number, "--clear-groups", "--"]).arg(&self.program);
                command
            }
        };
        let folder = self.folder();
        command
            .env_clear()
            .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
            .env("PWD_OUTSIDE", &folder)
            .env("HOME", &folder);
        command.arg(LAUNCH).current_dir(folder);
        command
    }

    pub(crate) fn run(&self, command: &[&str]) -> Said {
        let output = self.command().args(command).stdin(Stdio::null()).output().unwrap();
        Said {
            status: output.status.code().unwrap_or(-1),
            output: String::from_utf8_lossy(&output.stdout).into_owned(),
            errors: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }

    /// What a program of Python prints, which must succeed.
    #[track_caller]
    pub(crate) fn python(&self, program: &str) -> String {
        let said = self.run(&["/usr/bin/python3", "-c", program]);
        assert_eq!((said.status, &*said.errors), (0, ""), "{}", said.output);
        said.output
    }

    pub(crate) fn start(&self, command: &[&str]) -> Running {
        Running::of(self.command().args(command))
    }

    /// One whose appliance does not get ready.
    pub(crate) fn start_in_vain(&self, command: &[&str]) -> Running {
        Running::of(self.command().args(command).env(NEVER_READY, "1"))
    }
    /// Has a driver talk to a command on a terminal; what it says of the end.
    #[track_caller]
    pub(crate) fn in_terminal(&self, talk: &str, command: &[&str]) -> String {
        let driver = format!(
            r#"
import fcntl, os, pty, select, signal, struct, sys, termios, time
front, back = pty.openpty()
seen = b''
def resize(rows, columns): fcntl.ioctl(front, termios.TIOCSWINSZ, struct.pack('HHHH', rows, columns, 0, 0))
resize(33, 77)
before = termios.tcgetattr(back)
child = os.fork()
if child == 0:
    # Whoever runs the tests in the background has these ignored.
    for one in (signal.SIGINT, signal.SIGQUIT): signal.signal(one, signal.SIG_DFL)
    os.setsid(); fcntl.ioctl(back, termios.TIOCSCTTY, 0)
    for fd in (0, 1, 2): os.dup2(back, fd)
    os.closerange(3, 100); os.execvp(sys.argv[1], sys.argv[1:])
def send(text): os.write(front, text)
def wait(text, seconds=15):
    global seen
    end = time.time() + seconds
    while text not in seen:
        if not select.select([front], [], [], max(0, end - time.time()))[0]: sys.exit('no %r in %r' % (text, seen))
        seen += os.read(front, 65536)
{talk}
end = time.time() + 15
while True:
    pid, status = os.waitpid(child, os.WNOHANG)
    if pid: break
    if time.time() > end: sys.exit('no end: %r' % seen)
    if select.select([front], [], [], 0.05)[0]: seen += os.read(front, 65536)
print('status', os.waitstatus_to_exitcode(status), 'settings', 'kept' if termios.tcgetattr(back) == before else 'changed')
"#
        );
        let launch = self.command();
        let mut python = Command::new("/usr/bin/python3");
        python.arg("-c").arg(driver).arg(launch.get_program()).args(launch.get_args()).args(command);
        python.env_clear().current_dir(launch.get_current_dir().unwrap()).env("TERM", "dumb");
        for (name, value) in launch.get_envs() {
            if let Some(value) = value {
                python.env(name, value);
            }
        }
        let output = python.output().unwrap();
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{errors}");
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    /// Nobody goes on touching a file.
    #[track_caller]
    pub(crate) fn stays_untouched(&self, marker: &Path) {
        let deadline = Instant::now() + Duration::from_secs(5);
        while marker.exists() {
            // One that was just about to be touched may be there once more.
            let _ = std::fs::remove_file(marker);
            std::thread::sleep(Duration::from_millis(300));
            assert!(Instant::now() < deadline, "somebody goes on");
        }
    }
}

pub(crate) struct Running {
    child: Child,
    output: BufReader<std::process::ChildStdout>,
}

impl Running {
    fn of(command: &mut Command) -> Running {
        let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().unwrap();
        let output = BufReader::new(child.stdout.take().unwrap());
        Running { child, output }
    }

    /// Whether it ends soon.
    pub(crate) fn ends(&mut self) -> bool {
        let deadline = Instant::now() + Duration::from_secs(10);
        while Instant::now() < deadline {
            if self.child.try_wait().unwrap().is_some() {
                return true;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        self.child.kill().unwrap();
        false
    }

    #[track_caller]
    pub(crate) fn until(&mut self, text: &str) {
        let mut line = String::new();
        while !line.contains(text) {
            line.clear();
            assert!(self.output.read_line(&mut line).unwrap() > 0, "ended before `{text}`");
        }
    }

    pub(crate) fn signal(&self, signal: rustix::process::Signal) {
        let process = rustix::process::Pid::from_child(&self.child);
        rustix::process::kill_process(process, signal).unwrap();
    }

    pub(crate) fn status(&mut self) -> i32 {
        self.child.wait().unwrap().code().unwrap_or(-1)
    }
}

/// The process that launches: a sandbox in this folder for a command.
pub(crate) fn launch(command: &[OsString]) -> ExitCode {
    // Left open for programs, as a careless parent does.
    let careless = rustix::fs::open("/", rustix::fs::OFlags::RDONLY, rustix::fs::Mode::empty()).unwrap();
    let higher = rustix::io::dup(&careless).unwrap();
    let folder = std::env::current_dir().unwrap().canonicalize().unwrap();
    let at = |name: &str| folder.join(name);
    let wanted = Wanted { stubs: &Default::default(), withheld: &Default::default(), kept: &[], proxy: false };
    let is_root = rustix::process::geteuid().is_root();
    let plan = Plan {
        command: command.to_vec(),
        environment: Variables::new(std::env::vars_os(), wanted).all,
        folder: folder.clone(),
        hidden: vec![at("keys"), at("credential")],
        read_only: vec![at("policy")],
        fixed: vec![folder.parent().unwrap().to_owned(), folder.clone()],
        system_is_read_only_but: is_root.then(|| vec!["/tmp".into(), folder.clone()]),
        terminals: terminals(),
    };
    let ended = run(&plan, serve);
    drop((careless, higher));
    match ended {
        Ok(status) => ExitCode::from(status),
        Err(error) => {
            eprintln!("{error}");
            ExitCode::from(125)
        }
    }
}

/// Stands in for the appliance: says hello, and sends datagrams back.
fn serve(listeners: Listeners, ready: Ready) -> u8 {
    if std::env::var_os(NEVER_READY).is_some() {
        println!("waiting");
        loop {
            std::thread::park();
        }
    }
    let Listeners { dns_udp, http, .. } = &listeners;
    dns_udp.set_nonblocking(false).unwrap();
    http.set_nonblocking(false).unwrap();
    let bundle = std::fs::read("/etc/ssl/certs/ca-certificates.crt").expect("the system's certificates");
    ready.trusting(&bundle).unwrap();
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let mut bytes = [0; 100];
            while let Ok((length, from)) = dns_udp.recv_from(&mut bytes) {
                dns_udp.send_to(&bytes[..length], from).unwrap();
            }
        });
        while let Ok((mut stream, _)) = http.accept() {
            let _ = stream.write_all(b"hello from outside");
        }
    });
    0
}
