//! The agent's container: the root file system that `agent-image/build` makes, run by bubblewrap on a machine of the lab as a
//! cluster would run it: user 10001, the root read-only, no capability, no new privileges, processes and host name of its own,
//! and nothing writable but the places that the image declares. Network and resolver are the machine's.
//!
//! It refuses to be kinder than a cluster: no file of the machine is visible that was not mounted by name.
//!
//! Where the lab is root of a user namespace that knows one user only, the agent is that user under another number.

pub mod runc;

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::fs;
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use crate::leak::Search;
use crate::node::Node;
use crate::process;
use crate::program::{Program, Running};

/// The agent's user and group.
pub const USER: u32 = 10001;

/// What may be written to, as the image declares it; `/tmp` besides, which is in memory.
pub const PLACES: [&str; 4] = ["/home/agent", "/workspace", "/var/lib/stubgate-agent/trust", "/run/stubgate-agent"];

/// The variables that the image sets.
const ENVIRONMENT: [(&str, &str); 5] = [
    ("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"),
    ("HOME", "/home/agent"),
    ("LANG", "C.UTF-8"),
    ("SHELL", "/bin/bash"),
    ("PYTHONPYCACHEPREFIX", "/tmp/pycache"),
];

/// The image's root file system, made when it is not there: `STUBGATE_AGENT_ROOTFS`, or what `agent-image/build` makes.
pub fn root() -> PathBuf {
    static BUILT: OnceLock<PathBuf> = OnceLock::new();
    if let Some(root) = std::env::var_os("STUBGATE_AGENT_ROOTFS") {
        return root.into();
    }
    let build = || {
        let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
        let target = std::env::var_os("CARGO_TARGET_DIR").map_or("target".into(), PathBuf::from);
        let root = workspace.join(target).join("agent-image/lab");
        let built = Command::new(workspace.join("agent-image/build")).arg("--lab").arg("--rootfs").arg(&root).status();
        assert!(built.expect("agent-image/build").success(), "the agent's image does not build");
        root.canonicalize().expect("the built root")
    };
    BUILT.get_or_init(build).clone()
}

/// A container about to be started.
#[derive(Debug)]
pub struct Recipe {
    node: Node,
    name: String,
    dir: PathBuf,
    root: Option<PathBuf>,
    mounts: Vec<(PathBuf, String, bool)>,
    sizes: BTreeMap<&'static str, u64>,
    env: Vec<(OsString, OsString)>,
}

impl Node {
    /// A container of the agent's image here. What it keeps stands below `containers/NAME` of the lab's folder, and is found
    /// again by the next container of that name.
    pub fn container(&self, name: &str) -> Recipe {
        let dir = self.dir().join("containers").join(name);
        let recipe = Recipe {
            node: self.clone(),
            name: name.to_owned(),
            dir,
            root: None,
            mounts: Vec::new(),
            sizes: BTreeMap::new(),
            env: Vec::new(),
        };
        let recipe = ENVIRONMENT.iter().fold(recipe, |recipe, (key, value)| recipe.env(key, value));
        recipe.env("AGENT_NAME", name)
    }
}

impl Recipe {
    /// Sets a variable of the container; the last one wins.
    pub fn env(mut self, key: impl AsRef<OsStr>, value: impl AsRef<OsStr>) -> Recipe {
        self.env.push((key.as_ref().to_owned(), value.as_ref().to_owned()));
        self
    }

    /// Mounts a file or a folder, read-only.
    pub fn mount(mut self, from: impl AsRef<Path>, at: &str) -> Recipe {
        self.mounts.push((from.as_ref().to_owned(), at.to_owned(), false));
        self
    }

    /// Mounts a folder that the agent may write to.
    pub fn mount_writable(mut self, from: impl AsRef<Path>, at: &str) -> Recipe {
        self.mounts.push((from.as_ref().to_owned(), at.to_owned(), true));
        self
    }

    /// Mounts the bundle of authorities to trust.
    pub fn bundle(self, bundle: &Path) -> Recipe {
        self.mount(bundle, "/etc/stubgate/bundle.pem")
    }

    /// Mounts the folder of agents' files (`_shared` and one of each name).
    pub fn agents(self, folder: &Path) -> Recipe {
        self.mount(folder, "/etc/stubgate-agent/agents")
    }

    /// Makes one of [`PLACES`] a disk of so many bytes, in memory, which is empty at each start.
    pub fn size(mut self, place: &'static str, bytes: u64) -> Recipe {
        assert!(PLACES.contains(&place), "{place} is not declared writable");
        self.sizes.insert(place, bytes);
        self
    }

    /// Another root file system than the image's.
    pub fn root(mut self, root: impl AsRef<Path>) -> Recipe {
        self.root = Some(root.as_ref().to_owned());
        self
    }

    /// Where one of [`PLACES`] stands on the machine, to put files there before the start.
    pub fn place(&self, place: &str) -> PathBuf {
        let folder = self.dir.join(place.trim_start_matches('/').replace('/', "-"));
        if !folder.exists() {
            fs::create_dir_all(&folder).expect("folder");
            fs::set_permissions(&folder, fs::Permissions::from_mode(0o700)).expect("mode");
            give(&folder);
        }
        folder
    }

    /// Starts it with this as its process 1.
    pub fn start<S: AsRef<OsStr>>(self, argv: impl IntoIterator<Item = S>) -> Container {
        let root = self.root.clone().unwrap_or_else(root);
        let mut program = self.node.program("bwrap").args(["--unshare-pid", "--unshare-ipc", "--unshare-uts"]);
        program = program.args(["--unshare-cgroup-try", "--as-pid-1", "--clearenv", "--hostname", &self.name]);
        for (key, value) in &self.env {
            program = program.arg("--setenv").arg(key).arg(value);
        }
        program = program.arg("--ro-bind").arg(&root).args(["/", "--proc", "/proc", "--dev", "/dev"]);
        for memory in ["/tmp", "/dev/shm"] {
            program = program.args(["--perms", "1777", "--tmpfs", memory]);
        }
        for place in PLACES {
            program = match self.sizes.get(place) {
                Some(bytes) => program.args(["--perms", "0777", "--size", &bytes.to_string(), "--tmpfs", place]),
                None => program.arg("--bind").arg(self.place(place)).arg(place),
            };
        }
        // As every runtime does: what is mounted over must be there.
        for file in ["/etc/resolv.conf", "/etc/hosts"] {
            stand_in(&root, file, Path::new(file));
            program = program.args(["--ro-bind", file, file]);
        }
        for (from, at, is_writable) in &self.mounts {
            stand_in(&root, at, from);
            program = program.arg(if *is_writable { "--bind" } else { "--ro-bind" }).arg(from).arg(at);
        }
        program = program.args(drop_privileges()).args(["env", "--chdir=/home/agent"]).args(argv);
        let mut running = program.spawn();
        let pid = await_init(&mut running, &self.name);
        Container { pid, running: Mutex::new(running), recipe: self }
    }

    /// Starts it with a process 1 that does nothing, for what is run in it by [`Container::exec`].
    pub fn idle(self) -> Container {
        self.start(["sleep", "infinity"])
    }
}

/// A running container. Dropping it kills all that runs in it; what it wrote to its places stays.
#[derive(Debug)]
pub struct Container {
    pid: u32,
    running: Mutex<Running>,
    recipe: Recipe,
}

impl Container {
    /// Its process 1, numbered as the test process sees it.
    pub fn pid(&self) -> u32 {
        self.pid
    }

    /// Its main process: the lines of its standard output, and how it ends.
    pub fn main(&mut self) -> &mut Running {
        self.running.get_mut().unwrap_or_else(PoisonError::into_inner)
    }

    /// A program in it, as the agent's user, with the container's variables, in its home; a minute to finish.
    pub fn exec(&self, name: impl AsRef<OsStr>) -> Program {
        let mut enter: Vec<OsString> = vec!["--target".into(), self.pid.to_string().into()];
        enter.extend(["--mount", "--pid", "--ipc", "--uts"].map(OsString::from));
        if knows_one_user() {
            enter.extend(["--user", "--preserve-credentials"].map(OsString::from));
        }
        let program = self.recipe.node.program(name).inside(enter, &rights()).dir("/home/agent");
        self.recipe.env.iter().fold(program, |program, (key, value)| program.env(key, value))
    }

    /// A program in it that also has the variables which `stubgate-agent setup` wrote for every process.
    pub fn exec_set_up(&self, name: impl AsRef<OsStr>) -> Program {
        self.exec(name).envs(self.environment())
    }

    /// What `stubgate-agent setup` wrote for every process: `NAME=value` lines.
    pub fn environment(&self) -> Vec<(String, String)> {
        let text = fs::read_to_string(self.path("/var/lib/stubgate-agent/trust/environment"));
        let text = text.expect("the environment file: setup has run");
        text.lines()
            .filter_map(|line| line.split_once('='))
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .collect()
    }

    /// A path of the container, as the test process reaches it while the container runs. Links in it that are absolute lead
    /// astray.
    pub fn path(&self, path: &str) -> PathBuf {
        PathBuf::from(format!("/proc/{}/root{path}", self.pid))
    }

    /// Where one of [`PLACES`] stands, whether it runs or not.
    pub fn place(&self, place: &str) -> PathBuf {
        self.recipe.place(place)
    }

    /// Its processes, by the numbers that the test process sees, with their arguments.
    pub fn processes(&self) -> Vec<(u32, Vec<String>)> {
        process::in_namespace_of(self.pid).into_iter().map(|pid| (pid, process::arguments(pid))).collect()
    }

    /// The processes whose arguments, joined by blanks, contain this.
    pub fn find(&self, words: &str) -> Vec<u32> {
        let all = self.processes().into_iter();
        all.filter(|(_, arguments)| arguments.join(" ").contains(words)).map(|(pid, _)| pid).collect()
    }

    /// Whether something is so `within` this time.
    pub fn until(&self, within: Duration, so: impl Fn(&Container) -> bool) -> bool {
        let deadline = Instant::now() + within;
        loop {
            if so(self) {
                return true;
            }
            if Instant::now() >= deadline {
                return false;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Where these secrets are: in any file of the container, image and mounts alike, and in the variables and arguments of
    /// its processes. No secret is older than the lab.
    pub fn search(&self, secrets: &[(String, String)]) -> Vec<String> {
        let begun = fs::metadata(self.recipe.node.dir()).and_then(|dir| dir.created());
        let search = Search::new(secrets);
        // Not every file system knows; then all is searched.
        let search = if let Ok(begun) = begun { search.made_at(begun) } else { search };
        let mut found = Vec::new();
        for entry in fs::read_dir(self.path("/")).expect("the root").map_while(Result::ok) {
            let name = entry.file_name();
            if !["proc", "sys", "dev"].map(OsStr::new).contains(&name.as_os_str()) {
                found.extend(search.path(&entry.path()));
            }
        }
        found.extend(search.path(&self.path("/dev/shm")));
        for pid in process::in_namespace_of(self.pid) {
            for file in ["environ", "cmdline"] {
                let bytes = fs::read(format!("/proc/{pid}/{file}")).unwrap_or_default();
                found.extend(search.bytes(&format!("{file} of {:?}", process::arguments(pid)), &bytes));
            }
        }
        found
    }

    /// Asks process 1 to end, as a cluster does, and gives it this long before all is killed. Whether it ended by itself.
    pub fn stop(mut self, within: Duration) -> bool {
        process::signal(self.pid, rustix::process::Signal::TERM);
        self.main().ended(within).is_some()
    }
}

impl Drop for Container {
    fn drop(&mut self) {
        // With process 1 the kernel kills all others of that namespace.
        if self.main().ended(Duration::ZERO).is_none() {
            process::signal(self.pid, rustix::process::Signal::KILL);
            self.main().ended(Duration::from_secs(5));
        }
    }
}

/// The process that bubblewrap started, once it has become what it is to run; none (0) where that has ended already.
fn await_init(running: &mut Running, name: &str) -> u32 {
    let deadline = Instant::now() + Duration::from_secs(20);
    loop {
        let child = process::child_of(running.pid());
        // Until it executes something it is bubblewrap, and its root is being built.
        if let Some(pid) = child.filter(|pid| !["bwrap", "setpriv", "env", ""].contains(&process::name(*pid).as_str()))
        {
            return pid;
        }
        let errors = running.errors();
        assert!(!errors.contains("bwrap:"), "{name}: {errors}");
        if running.ended(Duration::ZERO).is_some() {
            return 0;
        }
        assert!(Instant::now() < deadline, "{name} does not start: {errors}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// Something to mount over at this path of the root.
fn stand_in(root: &Path, at: &str, like: &Path) {
    let place = root.join(at.trim_start_matches('/'));
    if place.symlink_metadata().is_ok() {
        return;
    }
    if like.is_dir() {
        fs::create_dir_all(&place).expect("folder to mount over");
    } else {
        fs::create_dir_all(place.parent().expect("a folder")).expect("folder to mount over");
        fs::write(&place, "").expect("file to mount over");
    }
}

/// The arguments of bubblewrap, up to the program, by which that runs as the agent's user with no right of its own.
fn drop_privileges() -> Vec<OsString> {
    let mut arguments: Vec<String> = Vec::new();
    if knows_one_user() {
        let user = USER.to_string();
        arguments.extend(["--unshare-user", "--uid", &user, "--gid", &user, "--cap-drop", "ALL"].map(str::to_owned));
    } else {
        let needed = ["CAP_SETUID", "CAP_SETGID", "CAP_SETPCAP"];
        arguments.extend(["--cap-drop", "ALL"].map(str::to_owned));
        arguments.extend(needed.iter().flat_map(|name| ["--cap-add".to_owned(), (*name).to_owned()]));
    }
    arguments.push("--".to_owned());
    arguments.extend(rights());
    arguments.into_iter().map(OsString::from).collect()
}

/// What leaves the agent's user with nothing: a program of the image that runs another.
fn rights() -> Vec<String> {
    let user = USER.to_string();
    let become_user = ["--reuid", &user, "--regid", &user, "--clear-groups", "--inh-caps=-all", "--bounding-set=-all"];
    let become_user = if knows_one_user() { &[][..] } else { &become_user[..] };
    let all = ["setpriv", "--no-new-privs"].iter().chain(become_user);
    all.map(|word| (*word).to_owned()).chain(["--".to_owned()]).collect()
}

fn give(path: &Path) {
    if !knows_one_user() {
        chown(path, Some(USER), Some(USER)).expect("chown");
    }
}

/// Whether this process lives in a user namespace where no other user than its own has a number.
fn knows_one_user() -> bool {
    let map = fs::read_to_string("/proc/self/uid_map").expect("uid_map");
    let knows = |line: &str| {
        let mut numbers = line.split_whitespace().map_while(|word| word.parse::<u64>().ok());
        let (first, count) = (numbers.next().unwrap_or(0), numbers.nth(1).unwrap_or(0));
        (first..first + count).contains(&u64::from(USER))
    };
    !map.lines().any(knows)
}

/// A folder for files to mount, which the agent's user can read; below the lab's own.
pub fn lay_out(node: &Node, name: &str, files: &[(&str, &str)]) -> PathBuf {
    let folder = node.dir().join("mounted").join(name);
    for (path, content) in files {
        let file = folder.join(path);
        fs::create_dir_all(file.parent().expect("a folder")).expect("folder");
        fs::write(&file, content).expect("write");
    }
    let readable = Command::new("chmod").args(["-R", "a+rX"]).arg(&folder).stdin(Stdio::null()).status();
    assert!(readable.expect("chmod").success());
    folder
}
