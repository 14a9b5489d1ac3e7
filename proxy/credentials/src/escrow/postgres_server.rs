//! A PostgreSQL server of a test's own, in a folder that goes with it.

use std::net::TcpListener;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// Runs until it is dropped.
pub(super) struct Server {
    pub(super) port: u16,
    binaries: PathBuf,
    folder: tempfile::TempDir,
    child: Option<Child>,
    has_tls: bool,
}

impl Server {
    /// None where the tests are to do without, which somebody has to say: a test that was not run looks like one that passed.
    pub(super) fn start() -> Option<Self> {
        let Some(binaries) = binaries() else {
            let without = std::env::var_os("STUBGATE_WITHOUT_POSTGRES").is_some();
            assert!(
                without,
                "no PostgreSQL in /usr/lib/postgresql: ./tests/setup installs it (or set STUBGATE_WITHOUT_POSTGRES)"
            );
            return None;
        };
        let folder = tempfile::Builder::new().prefix("stubgate-postgres").tempdir_in("/tmp").unwrap();
        if rustix::process::geteuid().is_root() {
            std::os::unix::fs::chown(folder.path(), Some(NOBODY), Some(NOBODY)).unwrap();
        }
        let mut server = Self { port: 0, binaries, folder, child: None, has_tls: false };
        let data = server.data();
        let mut init = server.command("initdb");
        init.args(["--auth=trust", "--username=stubgate", "--no-sync", "--no-locale", "--encoding=UTF8", "-D"]);
        let made = init.arg(&data).output().unwrap();
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
        // Free at the time, and taken by the server in a moment, unless somebody else is quicker.
        let free = || TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        while !server.turned_on_at(free()) {}
        Some(server)
    }

    /// Answers over TLS too, with a certificate for 127.0.0.1 by an authority whose file is given.
    pub(super) fn with_tls() -> Option<(Self, PathBuf)> {
        let mut server = Self::start()?;
        server.turn_off();
        let make = |command: &str| {
            let mut openssl = Command::new("openssl");
            openssl.args(command.split(' ')).current_dir(server.folder.path());
            if rustix::process::geteuid().is_root() {
                openssl.uid(NOBODY).gid(NOBODY);
            }
            let made = openssl.output().unwrap();
            assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
        };
        std::fs::write(server.folder.path().join("names"), "subjectAltName=IP:127.0.0.1\n").unwrap();
        let key = "-newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes";
        make(&format!("req -x509 {key} -keyout ca.key -out ca.pem -subj /CN=authority -days 2"));
        make(&format!("req {key} -keyout key.pem -out request.pem -subj /CN=database"));
        make("x509 -req -in request.pem -CA ca.pem -CAkey ca.key -CAcreateserial -extfile names -out cert.pem -days 2");
        server.has_tls = true;
        server.turn_on();
        let ca = server.folder.path().join("ca.pem");
        Some((server, ca))
    }

    pub(super) fn turn_on(&mut self) {
        assert!(self.turned_on_at(self.port), "its port is another one's by now");
    }

    /// Whether it runs at that port; somebody else may have it.
    fn turned_on_at(&mut self, port: u16) -> bool {
        self.port = port;
        let mut command = self.command("postgres");
        command.arg("-D").arg(self.data()).args(["-h", "127.0.0.1", "-p", &self.port.to_string(), "-k", "", "-F"]);
        if self.has_tls {
            let file = |name: &str| self.folder.path().join(name).display().to_string();
            command.args(["-c", "ssl=on", "-c", &format!("ssl_cert_file={}", file("cert.pem"))]);
            command.args(["-c", &format!("ssl_key_file={}", file("key.pem"))]);
        }
        let mut child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        let deadline = Instant::now() + Duration::from_secs(30);
        loop {
            let mut ask = self.command("pg_isready");
            let ready = ask.args(["-h", "127.0.0.1", "-p", &self.port.to_string(), "-t", "5"]).output().unwrap();
            if child.try_wait().unwrap().is_some() {
                return false;
            }
            if ready.status.success() {
                self.child = Some(child);
                return true;
            }
            assert!(Instant::now() < deadline, "PostgreSQL does not start");
            std::thread::yield_now();
        }
    }

    /// At once, as when its machine went.
    pub(super) fn turn_off(&mut self) {
        if let Some(mut child) = self.child.take() {
            let quit = rustix::process::Signal::QUIT;
            let _ = rustix::process::kill_process(rustix::process::Pid::from_child(&child), quit);
            let _ = child.wait();
        }
    }

    fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    fn command(&self, program: &str) -> Command {
        let mut command = Command::new(self.binaries.join(program));
        command.current_dir(self.folder.path()).env_clear();
        // It refuses to run as root.
        if rustix::process::geteuid().is_root() {
            command.uid(NOBODY).gid(NOBODY);
        }
        command
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.turn_off();
    }
}

const NOBODY: u32 = 65534;

fn binaries() -> Option<PathBuf> {
    let versions = std::fs::read_dir(Path::new("/usr/lib/postgresql")).ok()?;
    let mut found: Vec<PathBuf> = versions.filter_map(|version| Some(version.ok()?.path().join("bin"))).collect();
    found.retain(|bin| bin.join("initdb").is_file());
    found.sort();
    found.pop()
}
