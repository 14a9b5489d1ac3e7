//! Containers of the published images: an OCI archive, unpacked as a runtime unpacks it and run by runc on a machine of the lab, as the
//! image says (user, program, variables), with a read-only root, no capability, no new privileges and only its mounts writable.
//!
//! It refuses to be kinder than a cluster: nothing is added to the image but what every runtime mounts.

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::{PLACES, Recipe};
use crate::node::Node;
use crate::process;
use crate::program::Running;

static STARTED: AtomicUsize = AtomicUsize::new(0);

/// An image, unpacked.
#[derive(Debug)]
pub struct Image {
    root: PathBuf,
    config: Value,
}

impl Image {
    /// Unpacks an OCI archive into a folder that is not there yet. Takes root, for the owners of files.
    pub fn unpack(archive: &Path, into: &Path) -> Image {
        let (layout, root) = (into.join("layout"), into.join("root"));
        for folder in [&layout, &root] {
            fs::create_dir_all(folder).expect("folder");
        }
        untar(archive, &layout, "-xf");
        let blob = |descriptor: &Value| {
            let digest = descriptor["digest"].as_str().expect("a digest");
            layout.join("blobs").join(digest.replace(':', "/"))
        };
        let read = |path: PathBuf| -> Value { serde_json::from_slice(&fs::read(path).expect("a blob")).expect("JSON") };
        let manifest = read(blob(&read(layout.join("index.json"))["manifests"][0]));
        let layers = manifest["layers"].as_array().expect("layers");
        // With one there is nothing to take away again.
        assert_eq!(layers.len(), 1, "{manifest}");
        untar(&blob(&layers[0]), &root, "-xzf");
        let config = read(blob(&manifest["config"]))["config"].take();
        fs::remove_dir_all(layout).expect("the layout");
        Image { root, config }
    }

    /// Its root file system.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// The user and the group that it names.
    pub fn user(&self) -> (u32, u32) {
        let numbers = self.config["User"].as_str().and_then(|user| user.split_once(':'));
        let (user, group) = numbers.expect("USER by two numbers");
        (user.parse().expect("a number"), group.parse().expect("a number"))
    }

    fn words(&self, key: &str) -> Vec<String> {
        let all = self.config[key].as_array().into_iter().flatten();
        all.map(|word| word.as_str().expect("a word").to_owned()).collect()
    }
}

fn untar(archive: &Path, into: &Path, how: &str) {
    let status = Command::new("tar").arg("-C").arg(into).args(["--numeric-owner", how]).arg(archive).status();
    assert!(status.expect("tar").success(), "{}", archive.display());
}

/// A file or a folder of the machine, mounted into a container.
pub fn bind(from: &Path, at: &str, is_writable: bool) -> Value {
    let right = if is_writable { "rw" } else { "ro" };
    json!({ "destination": at, "type": "bind", "source": from, "options": ["bind", right, "nosuid", "nodev"] })
}

/// A place in memory.
fn memory(at: &str, mode: &str) -> Value {
    json!({ "destination": at, "type": "tmpfs", "source": "tmpfs", "options": ["nosuid", "nodev", mode] })
}

impl Node {
    /// Runs an image here, with its own arguments or these. Network and resolver are the machine's.
    pub fn run_image(
        &self,
        image: &Image,
        arguments: Option<&[&str]>,
        variables: &[(String, String)],
        mounts: &[Value],
    ) -> Contained {
        let name = format!("stubgate-lab-{}-{}", std::process::id(), STARTED.fetch_add(1, Ordering::Relaxed));
        let bundle = self.dir().join("bundles").join(&name);
        fs::create_dir_all(&bundle).expect("folder");
        let config = configuration(image, &name, arguments, variables, mounts);
        fs::write(bundle.join("config.json"), config.to_string()).expect("config.json");
        let state = self.dir().join("runc");
        let runc = || self.program("runc").arg("--root").arg(&state);
        let begun = Instant::now();
        let running = runc().args(["run", "--bundle"]).arg(&bundle).arg(&name).spawn();
        Contained { node: self.clone(), name, state, begun, running }
    }
}

impl Recipe {
    /// The same container from a published image, run by runc, with these arguments of its program.
    pub fn by_runc(self, image: &Image, arguments: &[&str]) -> Contained {
        let mut mounts: Vec<Value> = vec![memory("/tmp", "mode=1777")];
        mounts.extend(PLACES.iter().map(|place| bind(&self.place(place), place, true)));
        mounts.extend(["/etc/resolv.conf", "/etc/hosts"].map(|file| bind(Path::new(file), file, false)));
        mounts.extend(self.mounts.iter().map(|(from, at, is_writable)| bind(from, at, *is_writable)));
        let text = |word: &OsStr| word.to_str().expect("UTF-8").to_owned();
        let variables: Vec<(String, String)> = self
            .env
            .iter()
            .filter(|(key, _)| key == "AGENT_NAME")
            .map(|(key, value)| (text(key), text(value)))
            .collect();
        self.node.run_image(image, Some(arguments), &variables, &mounts)
    }
}

fn configuration(
    image: &Image,
    name: &str,
    arguments: Option<&[&str]>,
    variables: &[(String, String)],
    mounts: &[Value],
) -> Value {
    let given = arguments.map(|given| given.iter().map(|word| (*word).to_owned()).collect());
    let args: Vec<String> =
        image.words("Entrypoint").into_iter().chain(given.unwrap_or_else(|| image.words("Cmd"))).collect();
    let mut env = image.words("Env");
    env.extend(variables.iter().map(|(key, value)| format!("{key}={value}")));
    let (uid, gid) = image.user();
    let none: [&str; 0] = [];
    let capabilities: Value = ["bounding", "effective", "inheritable", "permitted", "ambient"]
        .iter()
        .map(|set| ((*set).to_owned(), json!(none)))
        .collect();
    let mut all = vec![
        json!({ "destination": "/proc", "type": "proc", "source": "proc" }),
        json!({ "destination": "/dev", "type": "tmpfs", "source": "tmpfs", "options": ["nosuid", "strictatime", "mode=755"] }),
        json!({ "destination": "/dev/pts", "type": "devpts", "source": "devpts",
                "options": ["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620"] }),
        json!({ "destination": "/dev/shm", "type": "tmpfs", "source": "shm", "options": ["nosuid", "noexec", "nodev", "mode=1777"] }),
        json!({ "destination": "/sys", "type": "bind", "source": "/sys", "options": ["rbind", "nosuid", "noexec", "nodev", "ro"] }),
    ];
    all.extend(mounts.iter().cloned());
    // The network is the machine's, which the runtime is started on; all else is the container's own.
    let namespaces = ["pid", "ipc", "uts", "mount"].map(|kind| json!({ "type": kind }));
    json!({
        "ociVersion": "1.0.2",
        "process": {
            "terminal": false,
            "user": { "uid": uid, "gid": gid },
            "args": args,
            "env": env,
            "cwd": image.config["WorkingDir"].as_str().filter(|folder| !folder.is_empty()).unwrap_or("/"),
            "capabilities": capabilities,
            "noNewPrivileges": true,
        },
        "root": { "path": image.root, "readonly": true },
        "hostname": "contained",
        "mounts": all,
        "linux": {
            "namespaces": namespaces,
            "cgroupsPath": format!("/{name}"),
            "resources": { "devices": [{ "allow": false, "access": "rwm" }] },
            "maskedPaths": ["/proc/kcore", "/proc/keys", "/proc/timer_list", "/sys/firmware"],
            "readonlyPaths": ["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"],
        },
    })
}

/// A running container. Dropping it kills all that runs in it.
#[derive(Debug)]
pub struct Contained {
    /// When its start was asked for.
    pub begun: Instant,
    node: Node,
    name: String,
    state: PathBuf,
    running: Running,
}

impl Contained {
    /// Waits until something is so; how long after the start that was.
    #[track_caller]
    pub fn until(&mut self, within: Duration, what: &str, so: impl Fn() -> bool) -> Duration {
        while !so() {
            let ended = self.running.ended(Duration::from_millis(5));
            assert!(ended.is_none(), "waited for {what}, and it ended with {ended:?}: {}", self.said());
            assert!(self.begun.elapsed() < within, "waited in vain for {what}: {}", self.said());
        }
        self.begun.elapsed()
    }

    /// How it ended, if it did within this time.
    pub fn ended(&mut self, within: Duration) -> Option<std::process::ExitStatus> {
        self.running.ended(within)
    }

    /// What it printed as errors.
    pub fn said(&self) -> String {
        self.running.errors()
    }

    /// Its process 1, numbered as the test process sees it.
    pub fn pid(&self) -> u32 {
        process::child_of(self.running.pid()).expect("a running container")
    }

    /// A field of `/proc/PID/status` of its process 1.
    pub fn status(&self, field: &str) -> String {
        let text = fs::read_to_string(format!("/proc/{}/status", self.pid())).expect("a running container");
        let line = text.lines().find_map(|line| line.strip_prefix(field)?.strip_prefix(':'));
        line.unwrap_or_else(|| panic!("no {field} in {text}")).split_whitespace().collect::<Vec<_>>().join(" ")
    }

    /// Sends process 1 a signal.
    pub fn signal(&self, signal: rustix::process::Signal) {
        process::signal(self.pid(), signal);
    }
}

impl Drop for Contained {
    fn drop(&mut self) {
        let runc = self.node.program("runc").arg("--root").arg(&self.state);
        runc.args(["delete", "--force", &self.name]).run();
        self.running.ended(Duration::from_secs(5));
    }
}
