//! Namespaces and the processes in them.
//!
//! One pid namespace holds every process of a lab. Its first process reads from a pipe that only the
//! test process writes: when the test process ends, in whatever way, the pipe closes, that process
//! kills all others and removes the lab's folder, and the kernel removes the namespaces. Nothing is
//! named on the machine, so nothing is left behind and two labs never meet.

use std::fs::File;
use std::io::{BufRead, BufReader};
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

/// Reaps a lab: owns its pid namespace and its folder.
#[derive(Debug)]
pub struct Reaper {
    child: Child,
    pipe: Option<ChildStdin>,
    holders: Mutex<Vec<Child>>,
    dir: PathBuf,
}

impl Reaper {
    /// Opens the pid namespace of a lab whose files live in `dir`.
    ///
    /// With `STUBGATE_LAB_KEEP` set, `dir` stays for a look at what happened.
    pub fn open(dir: &Path) -> Reaper {
        let script = "mount -t proc proc /proc && echo ready; read _; kill -9 -1; \
                      [ -n \"$STUBGATE_LAB_KEEP\" ] || rm -rf -- \"$0\"";
        let mut child = Command::new("unshare")
            .args(["--mount", "--pid", "--fork", "--kill-child", "--", "sh", "-c", script])
            .arg(dir)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("unshare(1) of util-linux");
        await_ready(&mut child);
        let pipe = child.stdin.take();
        Reaper { child, pipe, holders: Mutex::default(), dir: dir.to_owned() }
    }

    fn namespace(&self, kind: &str) -> File {
        open_namespace(self.child.id(), kind)
    }
}

impl Drop for Reaper {
    fn drop(&mut self) {
        drop(self.pipe.take());
        // A pid namespace ends only when all who lived in it have been waited for.
        for holder in self.holders.lock().unwrap_or_else(PoisonError::into_inner).iter_mut() {
            let _ = holder.wait();
        }
        let _ = self.child.wait();
        if std::env::var_os("STUBGATE_LAB_KEEP").is_some() {
            eprintln!("lab kept in {}", self.dir.display());
        }
    }
}

/// A machine of the lab: a network namespace, a mount namespace, and whoever runs there.
#[derive(Clone, Debug)]
pub struct Node {
    name: &'static str,
    pid: u32,
    reaper: Arc<Reaper>,
}

impl Node {
    /// Makes a machine with nothing but loopback.
    pub fn boot(name: &'static str, reaper: &Arc<Reaper>) -> Node {
        let script = "ip link set lo up && echo 0 > /proc/sys/net/ipv4/ip_forward && \
                      echo ready && exec sleep infinity";
        let in_reaper = format!("--mount=/proc/{}/ns/mnt", reaper.child.id());
        let mut command = Command::new("nsenter");
        command
            .args([&in_reaper, "--", "unshare", "--net", "--mount", "--", "sh", "-c", script])
            .stdin(Stdio::null())
            .stdout(Stdio::piped());
        let pid_namespace = reaper.namespace("pid_for_children");
        let mut child = thread::spawn(move || {
            move_into_link_name_space(pid_namespace.as_fd(), Some(LinkNameSpaceType::ProcessID))
                .expect("enter the lab's pid namespace");
            command.spawn().expect("nsenter(1) of util-linux")
        })
        .join()
        .expect("boot thread");
        await_ready(&mut child);
        let pid = child.id();
        reaper.holders.lock().unwrap_or_else(PoisonError::into_inner).push(child);
        Node { name, pid, reaper: Arc::clone(reaper) }
    }

    /// The machine's name, for folders and messages.
    pub fn name(&self) -> &'static str {
        self.name
    }

    /// A process id, seen from the test process, that stands for this machine's namespaces.
    pub fn pid(&self) -> u32 {
        self.pid
    }

    /// The lab's folder.
    pub fn dir(&self) -> &Path {
        &self.reaper.dir
    }

    /// Runs `work` on a thread whose sockets, and the processes that it starts, live here.
    ///
    /// The thread keeps the mounts of the test process: names must be resolved by the lab, not by libc.
    pub fn enter<T: Send + 'static>(&self, work: impl FnOnce() -> T + Send + 'static) -> T {
        match self.start(work).join() {
            Ok(value) => value,
            Err(panic) => std::panic::resume_unwind(panic),
        }
    }

    /// As [`Node::enter`], without waiting for the end.
    pub fn start<T: Send + 'static>(&self, work: impl FnOnce() -> T + Send + 'static) -> thread::JoinHandle<T> {
        let network = open_namespace(self.pid, "net");
        let processes = self.reaper.namespace("pid_for_children");
        thread::Builder::new()
            .name(format!("in-{}", self.name))
            .spawn(move || {
                move_into_link_name_space(network.as_fd(), Some(LinkNameSpaceType::Network))
                    .expect("enter the network namespace");
                move_into_link_name_space(processes.as_fd(), Some(LinkNameSpaceType::ProcessID))
                    .expect("enter the pid namespace");
                work()
            })
            .expect("a thread")
    }

    /// Runs a command of the lab's own plumbing here; it must succeed.
    pub fn plumb(&self, line: &str) {
        let mounts = format!("--mount=/proc/{}/ns/mnt", self.pid);
        let line = line.to_owned();
        let name = self.name;
        self.enter(move || {
            let output = Command::new("nsenter")
                .args([mounts.as_str(), "--", "sh", "-ec", &line])
                .stdin(Stdio::null())
                .output()
                .expect("nsenter");
            assert!(output.status.success(), "{name}: `{line}`: {}", String::from_utf8_lossy(&output.stderr));
        });
    }

    /// Lays `content` over a file of the machine, such as `/etc/resolv.conf`, for this node alone.
    pub fn overlay(&self, file: &str, content: &str) {
        let source = self.dir().join(format!("{}{}", self.name, file.replace('/', "-")));
        std::fs::write(&source, content).expect("write overlay");
        self.plumb(&format!("mount --bind {} {file}", source.display()));
    }
}

/// Joins two machines by a pair of virtual interfaces; each end is `(node, interface, address)`.
pub fn join(left: (&Node, &str, &str), right: (&Node, &str, &str)) {
    let ((a, a_name, a_address), (b, b_name, b_address)) = (left, right);
    let (a_pid, b_pid) = (a.pid, b.pid);
    let line =
        format!("nsenter --net=/proc/{a_pid}/ns/net ip link add {a_name} type veth peer name {b_name} netns {b_pid}");
    // The process ids are those of the test process, so this one runs outside.
    let made = Command::new("sh").args(["-ec", &line]).status().expect("sh");
    assert!(made.success(), "veth between {} and {}", a.name, b.name);
    for (node, name, address) in [(a, a_name, a_address), (b, b_name, b_address)] {
        node.plumb(&format!("ip addr add {address} dev {name}; ip link set {name} up"));
    }
}

fn open_namespace(pid: u32, kind: &str) -> File {
    File::open(format!("/proc/{pid}/ns/{kind}")).expect("a live namespace")
}

fn await_ready(child: &mut Child) {
    let mut line = String::new();
    let stdout = child.stdout.as_mut().expect("piped");
    BufReader::new(stdout).read_line(&mut line).expect("read from the holder");
    assert_eq!(line.trim(), "ready", "namespaces need root or unprivileged user namespaces");
}
