//! A PostgreSQL on a machine of its own beside the appliance's, over TLS and with a password.
//!
//! It runs in a user namespace in which it is not root, because it refuses to be; so it does where the test is root,
//! and where it is only root of a namespace itself.

use std::fs;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::Signal;

use crate::lab::Lab;
use crate::node::{self, Node};
use crate::pki::Leaf;
use crate::program::{Program, Running};

/// The name that it is known by.
pub const HOST: &str = "database.example";
/// Its address, on a link between it and the appliance.
pub const ADDRESS: Ipv4Addr = Ipv4Addr::new(10, 98, 0, 2);

/// The server.
#[derive(Debug)]
pub struct Database {
    node: Node,
    dir: PathBuf,
    leaf: Leaf,
    running: Mutex<Option<Running>>,
}

impl Database {
    /// Makes the machine, joins it to the appliance's, and starts the server, with the database and user `stubgate`.
    pub fn start(lab: &Lab, password: &str) -> Database {
        let node = Node::boot("database", &lab.reaper);
        let (mine, theirs) = (format!("{ADDRESS}/30"), "10.98.0.1/30");
        node::join((&node, "eth0", &mine), (lab.appliance().node(), "data0", theirs));
        let dir = node.dir().join("database");
        fs::create_dir_all(&dir).expect("folder");
        let leaf = lab.root.leaf(&[HOST.to_owned()], &dir);
        // It takes no key that others could read.
        fs::set_permissions(&leaf.key, std::os::unix::fs::PermissionsExt::from_mode(0o600)).expect("mode");
        let database = Database { node, dir, leaf, running: Mutex::default() };
        fs::write(database.dir.join("password"), password).expect("password");
        let data = database.data();
        let made = database.command("initdb").args(["--auth=scram-sha-256", "--username=stubgate", "--no-sync"]);
        let made = made.args(["--no-locale", "--encoding=UTF8", "--pwfile=password", "-D"]).arg(&data);
        made.run().success();
        fs::remove_file(database.dir.join("password")).expect("remove");
        // From elsewhere over TLS alone.
        fs::write(data.join("pg_hba.conf"), "hostssl all all all scram-sha-256\n").expect("pg_hba.conf");
        database.turn_on();
        database
    }

    /// Starts it, and waits until it takes connections.
    pub fn turn_on(&self) {
        let file = |path: &Path| path.display().to_string();
        let program =
            self.command("postgres").arg("-D").arg(self.data()).args(["-h", "*", "-k", "", "-F", "-c", "ssl=on"]);
        let program = program.args(["-c", &format!("ssl_cert_file={}", file(&self.leaf.certificate))]);
        let program = program.args(["-c", &format!("ssl_key_file={}", file(&self.leaf.key))]);
        *self.running.lock().unwrap_or_else(PoisonError::into_inner) = Some(program.spawn());
        let deadline = Instant::now() + Duration::from_secs(30);
        while !self.command("pg_isready").args(["-h", "127.0.0.1", "-t", "5"]).run().status.success() {
            assert!(Instant::now() < deadline, "PostgreSQL does not start");
            thread::sleep(Duration::from_millis(50));
        }
    }

    /// Ends it at once, as when its machine lost power.
    pub fn turn_off(&self) {
        if let Some(mut running) = self.running.lock().unwrap_or_else(PoisonError::into_inner).take() {
            running.signal(Signal::QUIT);
            assert!(running.ended(Duration::from_secs(20)).is_some(), "PostgreSQL does not end");
        }
    }

    /// Stops all of its processes where they are: it takes connections and gives no answer.
    pub fn freeze(&self) {
        // A process may have started another one just before it was stopped.
        for _ in 0..2 {
            self.signal_all(Signal::STOP);
        }
    }

    /// Lets them go on.
    pub fn thaw(&self) {
        self.signal_all(Signal::CONT);
    }

    /// Where its files are.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    fn signal_all(&self, signal: Signal) {
        let running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(running) = running.as_ref() else { return };
        running.signal(signal);
        for pid in children(running.pid()) {
            let pid = i32::try_from(pid).ok().and_then(rustix::process::Pid::from_raw);
            // One may have ended meanwhile.
            let _ = rustix::process::kill_process(pid.expect("a pid"), signal);
        }
    }

    fn data(&self) -> PathBuf {
        self.dir.join("data")
    }

    fn command(&self, name: &str) -> Program {
        let program = self.node.program("unshare").args(["--user", "--map-user=1000", "--map-group=1000", "--"]);
        program.arg(binaries().join(name)).dir(&self.dir)
    }
}

/// The children of a process.
fn children(of: u32) -> Vec<u32> {
    let processes = fs::read_dir("/proc").expect("/proc").map_while(Result::ok);
    let pids = processes.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    let is_child = |pid: &u32| {
        let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
        status.lines().any(|line| line.strip_prefix("PPid:").is_some_and(|parent| parent.trim() == of.to_string()))
    };
    pids.filter(is_child).collect()
}

fn binaries() -> PathBuf {
    let versions = fs::read_dir("/usr/lib/postgresql").expect("PostgreSQL: run tests/setup");
    let mut found: Vec<PathBuf> = versions.filter_map(|version| Some(version.ok()?.path().join("bin"))).collect();
    found.retain(|bin| bin.join("initdb").is_file());
    found.sort();
    found.pop().expect("PostgreSQL: run tests/setup")
}
