//! The appliance under test: the real binary, its files, and what it says of itself.

use std::fs;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, OnceLock, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use crate::builder::ROOT;
use crate::lab::APPLIANCE;
use crate::metrics;
use crate::node::Node;
use crate::program::{Program, Ran, Running};

/// Where reloads are counted.
pub const RELOADS: &str = "stubgate_policy_reloads_total";

/// The appliance.
#[derive(Debug)]
pub struct Appliance {
    node: Node,
    dir: PathBuf,
    running: Mutex<Option<Running>>,
    kept: AtomicUsize,
    admin: u16,
}

impl Appliance {
    /// Lays out `stubgate.yaml`, policy and credential files; `extra` are more lines of configuration.
    pub fn lay_out(node: &Node, secrets: &[(String, String)], policy: &str, extra: &str) -> Appliance {
        let credentials = node.dir().join("secrets");
        fs::create_dir_all(&credentials).expect("folder");
        for (name, value) in secrets {
            fs::write(credentials.join(name), format!("{value}\n")).expect("credential file");
        }
        Appliance::lay_out_as("appliance", 0, node, policy, extra)
    }

    /// One more on the same machine and with the same files of credentials and the same CA, whose ports are `shift` further.
    pub fn lay_out_beside(&self, name: &str, shift: u16, policy: &str, extra: &str) -> Appliance {
        let ca = self.dir.join("state/ca");
        let file = |name: &str| ca.join(name).display().to_string();
        let (certificate, key) = (file("certificate.pem"), file("key.pem"));
        let extra = format!("ca: {{ certificate_file: \"{certificate}\", key_file: \"{key}\" }}\n{extra}");
        Appliance::lay_out_as(name, shift, &self.node, policy, &extra)
    }

    fn lay_out_as(name: &str, shift: u16, node: &Node, policy: &str, extra: &str) -> Appliance {
        let dir = node.dir().join(name);
        fs::create_dir_all(dir.join("policy")).expect("folder");
        let at = dir.display();
        let secrets = node.dir().join("secrets").display().to_string();
        let mut extra = extra.replace("@SECRETS@", &secrets);
        if !extra.contains("timeouts:") {
            // No balancer follows it; a suite whose does says how long that takes.
            extra.push_str("\ntimeouts: { drain_delay_seconds: 0 }");
        }
        let [dns, http, https, proxy, redirect, tproxy, admin] =
            [53, 80, 443, 3128, 15001, 15002, 9090].map(|port| port + shift);
        let configuration = format!(
            "listen:\n  dns: [\"0.0.0.0:{dns}\"]\n  http: [\"0.0.0.0:{http}\"]\n  https: [\"0.0.0.0:{https}\"]\n  \
             proxy: [\"0.0.0.0:{proxy}\"]\n  \
             transparent: [\"0.0.0.0:{redirect}\", {{ tproxy: \"0.0.0.0:{tproxy}\" }}]\n  \
             admin: [\"127.0.0.1:{admin}\"]\n\
             advertise: [\"{APPLIANCE}\"]\npolicy: [\"{at}/policy\"]\nstate_dir: {at}/state\n\
             upstream:\n  ca_files: [\"{root}\"]\naudit:\n  files: [{{ path: \"{at}/audit.jsonl\" }}]\n\
             process: {{ require_lockdown: true, credential_folders: [\"{secrets}\"] }}\n{extra}\n",
            root = node.dir().join(ROOT).display(),
        );
        fs::write(dir.join("stubgate.yaml"), configuration).expect("stubgate.yaml");
        let kept = AtomicUsize::new(0);
        let appliance = Appliance { node: node.clone(), dir, running: Mutex::new(None), kept, admin };
        appliance.write_policy(policy);
        appliance
    }

    /// `stubgate` with these arguments, on the appliance's machine.
    pub fn command<S: AsRef<std::ffi::OsStr>>(&self, args: impl IntoIterator<Item = S>) -> Program {
        self.program(binary()).args(args)
    }

    /// The appliance's machine.
    pub fn node(&self) -> &Node {
        &self.node
    }

    /// Any program on the appliance's machine, in the appliance's folder.
    pub fn program(&self, name: impl AsRef<std::ffi::OsStr>) -> Program {
        self.node.program(name).dir(&self.dir)
    }

    /// Starts it and waits until it says that it is ready.
    pub fn start(&self) {
        self.start_until(|status| status == 200);
    }

    /// Starts it and waits until its admin endpoint answers, whatever it says.
    pub fn start_unready(&self) {
        self.start_until(|_| true);
    }

    /// Starts another program in its place, such as the next version, or what starts it in turn; and waits as [`Appliance::start`].
    pub fn start_by(&self, program: Program) {
        self.start_program(program, |status| status == 200);
    }

    fn start_until(&self, enough: impl Fn(u16) -> bool) {
        self.start_program(self.command(["run", "--config", "stubgate.yaml"]), enough);
    }

    fn start_program(&self, program: Program, enough: impl Fn(u16) -> bool) {
        let mut running = program.spawn();
        let deadline = Instant::now() + Duration::from_secs(20);
        loop {
            match self.get("/readyz") {
                Ok((status, _)) if enough(status) => break,
                other => {
                    if let Some(status) = running.ended(Duration::from_millis(20)) {
                        panic!("the appliance ended with {status}: {}", running.errors());
                    }
                    let errors = running.errors();
                    assert!(Instant::now() < deadline, "not ready: {other:?}; {errors}");
                }
            }
        }
        *self.lock() = Some(running);
    }

    /// Whether the process is there.
    pub fn is_running(&self) -> bool {
        self.lock().as_mut().is_some_and(|running| running.ended(Duration::ZERO).is_none())
    }

    /// Kills it, as a machine without memory would, and waits until it is gone.
    pub fn kill(&self) {
        self.with_process(|process| {
            process.signal(rustix::process::Signal::KILL);
            assert!(process.ended(Duration::from_secs(10)).is_some(), "it does not end");
        });
    }

    /// What its process does.
    pub fn with_process<T>(&self, work: impl FnOnce(&mut Running) -> T) -> T {
        work(self.lock().as_mut().expect("a started appliance"))
    }

    /// Its own folder.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// Asks its admin endpoint; status and body.
    ///
    /// # Errors
    /// When nobody listens.
    pub fn get(&self, path: &str) -> std::io::Result<(u16, String)> {
        let request = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
        let admin = SocketAddr::from((Ipv4Addr::LOCALHOST, self.admin));
        self.node.enter(move || {
            let mut stream = TcpStream::connect_timeout(&admin, Duration::from_secs(1))?;
            stream.set_read_timeout(Some(Duration::from_secs(5)))?;
            stream.write_all(request.as_bytes())?;
            let mut answer = Vec::new();
            stream.read_to_end(&mut answer)?;
            let answer = String::from_utf8_lossy(&answer).into_owned();
            let (head, body) = answer.split_once("\r\n\r\n").unwrap_or((&answer, ""));
            let status = head.split(' ').nth(1).and_then(|code| code.parse().ok()).unwrap_or(0);
            Ok((status, body.to_owned()))
        })
    }

    /// `/metrics`, by curl, which knows every framing.
    pub fn metrics(&self) -> String {
        let curl = self.node.program("curl");
        let address = format!("http://127.0.0.1:{}/metrics", self.admin);
        curl.args(["-sS", "--fail", "--max-time", "10", &address]).run().success()
    }

    /// The sum of the samples of a metric that have these labels.
    pub fn metric(&self, name: &str, labels: &[&str]) -> f64 {
        metrics::sum(&self.metrics(), name, labels)
    }

    /// Puts a copy of `/metrics` among what is searched for credentials.
    pub fn keep_metrics(&self) {
        let number = self.kept.fetch_add(1, Ordering::Relaxed);
        fs::write(self.dir.join(format!("metrics-{number}")), self.metrics()).expect("write");
    }

    /// Replaces the policy file at once, as an editor or a ConfigMap would; does not wait.
    pub fn write_policy(&self, text: &str) {
        let text = text.replace("@SECRETS@", &self.node.dir().join("secrets").display().to_string());
        let fresh = self.dir.join(".policy.new");
        fs::write(&fresh, text).expect("write policy");
        fs::rename(&fresh, self.dir.join("policy/policy.yaml")).expect("rename policy");
    }

    /// Replaces the policy and waits until the appliance has taken or refused it.
    pub fn policy(&self, text: &str) {
        let before = self.metric(RELOADS, &[]);
        // The same text again would be no reload.
        let number = self.kept.fetch_add(1, Ordering::Relaxed);
        self.write_policy(&format!("{text}# {number}\n"));
        // One of a hundred thousand rules gives way to requests: beside a client that never rests it has taken 16 s.
        self.until_within(60, "a reload", || self.metric(RELOADS, &[]) > before);
    }

    /// Waits until something is so.
    #[track_caller]
    pub fn until(&self, what: &str, so: impl Fn() -> bool) {
        self.until_within(15, what, so);
    }

    #[track_caller]
    fn until_within(&self, seconds: u64, what: &str, so: impl Fn() -> bool) {
        let deadline = Instant::now() + Duration::from_secs(seconds);
        while !so() {
            assert!(Instant::now() < deadline, "waited in vain for {what}");
            thread::sleep(Duration::from_millis(50));
        }
    }

    /// Memory in KiB: resident now, and the most ever.
    pub fn memory(&self) -> (u64, u64) {
        let pid = self.with_process(|process| process.pid());
        let status = fs::read_to_string(format!("/proc/{pid}/status")).expect("a live process");
        let value = |key: &str| {
            let line = status.lines().find(|line| line.starts_with(key));
            let number = line.and_then(|line| line.split_whitespace().nth(1));
            number.and_then(|number| number.parse().ok()).expect("memory in /proc")
        };
        (value("VmRSS:"), value("VmHWM:"))
    }

    /// Every audit record so far. A line that is no JSON object fails the test.
    #[track_caller]
    pub fn audit(&self) -> Vec<serde_json::Value> {
        let text = fs::read_to_string(self.dir.join("audit.jsonl")).unwrap_or_default();
        let whole = text.rfind('\n').map_or("", |end| &text[..end]);
        whole
            .lines()
            .map(|line| match serde_json::from_str::<serde_json::Value>(line) {
                Ok(record) if record.is_object() => record,
                other => panic!("no audit record: {line:?}: {other:?}"),
            })
            .collect()
    }

    /// The bundle that agents must trust.
    pub fn bundle(&self) -> Ran {
        self.command(["ca", "bundle", "--config", "stubgate.yaml"]).run()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Option<Running>> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The binary: `STUBGATE_BIN`, or this workspace's, built when it is not.
pub fn binary() -> PathBuf {
    static BUILT: OnceLock<PathBuf> = OnceLock::new();
    if let Some(binary) = std::env::var_os("STUBGATE_BIN") {
        return binary.into();
    }
    let build = || {
        let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
        let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
        let built = Command::new(cargo)
            .args(["build", "--quiet", "--locked", "--profile", "lab", "--package", "stubgate-proxy"])
            .current_dir(&workspace)
            .status();
        assert!(built.expect("cargo").success(), "the appliance does not build");
        let target = std::env::var_os("CARGO_TARGET_DIR").map_or("target".into(), PathBuf::from);
        workspace.join(target).join("lab/stubgate").canonicalize().expect("the built binary")
    };
    BUILT.get_or_init(build).clone()
}
