//! The attempts, and what becomes of each in a locked process.

use std::collections::BTreeSet;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::net::{TcpListener, TcpStream, UdpSocket};
use std::os::unix::net::{UnixListener, UnixStream};
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Command, ExitCode};

use nix::sched::CloneFlags;
use nix::sys::uio::{RemoteIoVec, process_vm_readv};
use rustix::process::{DumpableBehavior, Signal, getpid, kill_process, set_dumpable_behavior};
use socket2::{Domain, Protocol, Socket, Type};
use stubgate_proxy::lockdown::{self, Plan};

/// What became of an attempt.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// It worked.
    Done,
    /// With this error.
    Refused(String),
    /// By this signal.
    Killed(i32),
}

/// What must become of it in a locked process.
#[derive(Debug)]
pub(crate) enum Expected {
    /// Serving takes it.
    Works,
    /// An error that says so.
    Refused,
    /// The end of the process.
    Killed,
}

impl Expected {
    pub(crate) fn is(&self, outcome: &Outcome) -> bool {
        match (self, outcome) {
            (Expected::Works, Outcome::Done) => true,
            (Expected::Killed, Outcome::Killed(signal)) => *signal == libc::SIGSYS,
            (Expected::Refused, Outcome::Refused(error)) => ["EPERM", "EACCES"].iter().any(|known| error == known),
            _ => false,
        }
    }
}

pub(crate) struct Attempt {
    pub(crate) name: &'static str,
    pub(crate) expected: Expected,
    act: fn(&Scene) -> io::Result<()>,
}

/// What was opened before the lock-down, as an appliance opens its sockets.
pub(crate) struct Scene {
    folder: std::path::PathBuf,
    tcp: TcpListener,
    unix: UnixListener,
    /// Not yet listened on.
    bound: Socket,
}

/// A process that makes one attempt.
pub(crate) fn main(name: &str, is_locked: bool, folder: &Path) -> ExitCode {
    let unix = folder.join(format!("socket-{}", std::process::id()));
    let scene = Scene {
        folder: folder.to_owned(),
        tcp: TcpListener::bind("127.0.0.1:0").unwrap(),
        unix: UnixListener::bind(&unix).unwrap(),
        bound: {
            let socket = Socket::new(Domain::IPV4, Type::STREAM, Some(Protocol::TCP)).unwrap();
            socket.bind(&std::net::SocketAddr::from(([127, 0, 0, 1], 0)).into()).unwrap();
            socket
        },
    };
    if is_locked {
        let plan = Plan {
            read: BTreeSet::from([folder.join("read")]),
            write: BTreeSet::from([folder.join("write")]),
            ..Plan::default()
        };
        let report = lockdown::apply(&plan);
        assert_eq!(report.missing(), [], "this test needs a kernel with landlock and seccomp: {report}");
    }
    if name == "wait" {
        println!("ready");
        let _ = io::stdin().read_to_end(&mut Vec::new());
        return ExitCode::SUCCESS;
    }
    let attempt = ATTEMPTS.iter().find(|attempt| attempt.name == name).unwrap();
    match (attempt.act)(&scene) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let name = match error.raw_os_error() {
                Some(libc::EPERM) => "EPERM".to_owned(),
                Some(libc::EACCES) => "EACCES".to_owned(),
                _ => error.to_string(),
            };
            println!("{name}");
            ExitCode::FAILURE
        }
    }
}

macro_rules! attempts {
    ($($name:literal $expected:ident $act:expr,)*) => {
        pub(crate) const ATTEMPTS: &[Attempt] =
            &[$(Attempt { name: $name, expected: Expected::$expected, act: $act },)*];
    };
}

attempts! {
    // What serving takes.
    "read a file in a folder of the plan" Works |scene| File::open(scene.folder.join("read/file")).map(drop),
    "list a folder of the plan" Works |scene| fs::read_dir(scene.folder.join("read")).map(drop),
    "append to an audit file, and rotate it" Works rotate,
    "connect to an origin" Works |scene| TcpStream::connect(scene.tcp.local_addr()?).map(drop),
    "accept on a listener that was there" Works |scene| {
        let _agent = TcpStream::connect(scene.tcp.local_addr()?)?;
        scene.tcp.accept().map(drop)
    },
    "ask a name server by UDP" Works |_| UdpSocket::bind("127.0.0.1:0").map(drop),
    "start a thread" Works |_| in_a_thread(|| Ok(())),
    "lock memory" Works |_| stubgate_credentials::try_lock_memory(),
    "start a runtime that hears signals" Works |_| runtime(),
    // Running something.
    "run a program in place of this one" Killed |_| Err(Command::new("/bin/true").exec()),
    "run a program beside this one" Refused |_| Command::new("/bin/true").status().map(drop),
    // Other processes.
    "be traced by ptrace" Killed |_| Ok(nix::sys::ptrace::traceme()?),
    "read another process's memory" Killed |_| {
        let (from, mut into) = ([1_u8; 1], [0_u8; 1]);
        let remote = RemoteIoVec { base: from.as_ptr().addr(), len: 1 };
        let pid = nix::unistd::Pid::this();
        process_vm_readv(pid, &mut [io::IoSliceMut::new(&mut into)], &[remote])?;
        Ok(())
    },
    "send a signal" Refused |_| Ok(kill_process(getpid(), Signal::CONT)?),
    "learn of another process" Refused |_| fs::read("/proc/1/stat").map(drop),
    // Files.
    "read a file elsewhere" Refused |scene| File::open(scene.folder.join("outside/file")).map(drop),
    "read a file of the system" Refused |_| File::open("/etc/passwd").map(drop),
    "read a file elsewhere from a new thread" Refused |scene| {
        let path = scene.folder.join("outside/file");
        in_a_thread(move || File::open(path).map(drop))
    },
    "read its own environment" Refused |_| fs::read("/proc/self/environ").map(drop),
    "list a folder elsewhere" Refused |scene| fs::read_dir(scene.folder.join("outside")).map(drop),
    "write a file elsewhere" Refused |scene| File::create(mine(scene, "outside/new")).map(drop),
    "write where it only reads" Refused |scene| File::create(mine(scene, "read/new")).map(drop),
    "change a file where it only reads" Refused |scene| {
        OpenOptions::new().append(true).open(scene.folder.join("read/file"))?.write_all(b"x")
    },
    "make a symlink to elsewhere" Refused |scene| {
        std::os::unix::fs::symlink("/etc/passwd", mine(scene, "write/link"))
    },
    "reach a device" Refused |_| File::open("/dev/zero").map(drop),
    // The network.
    "open a port" Refused |_| TcpListener::bind("127.0.0.1:0").map(drop),
    "listen on a socket that was bound before" Refused |scene| scene.bound.listen(1),
    "connect to a Unix socket" Refused |scene| {
        UnixStream::connect(scene.unix.local_addr()?.as_pathname().unwrap()).map(drop)
    },
    "open a netlink socket" Refused |_| {
        Socket::new(Domain::from(libc::AF_NETLINK), Type::from(libc::SOCK_RAW), None).map(drop)
    },
    // Out of the walls.
    "unshare" Killed |_| Ok(nix::sched::unshare(CloneFlags::CLONE_FILES)?),
    "let itself be looked into again" Refused |_| Ok(set_dumpable_behavior(DumpableBehavior::Dumpable)?),
    "make memory for the kernel to run" Refused |_| Ok(rustix::fs::memfd_create("x", rustix::fs::MemfdFlags::CLOEXEC).map(drop)?),
}

/// A name of this process's own: an earlier one may have belonged to another user.
fn mine(scene: &Scene, name: &str) -> std::path::PathBuf {
    scene.folder.join(format!("{name}-{}", std::process::id()))
}

fn rotate(scene: &Scene) -> io::Result<()> {
    let path = mine(scene, "write/audit");
    OpenOptions::new().create(true).append(true).open(&path)?.write_all(b"{}\n")?;
    for _ in 0..2 {
        fs::rename(&path, path.with_extension("1"))?;
        let mut file = OpenOptions::new().create(true).append(true).open(&path)?;
        file.write_all(b"{}\n")?;
        file.sync_data()?;
    }
    Ok(())
}

fn in_a_thread(act: impl FnOnce() -> io::Result<()> + Send + 'static) -> io::Result<()> {
    std::thread::Builder::new().spawn(act)?.join().unwrap()
}

fn runtime() -> io::Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    runtime.block_on(async {
        let _hangup = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::hangup())?;
        tokio::task::spawn_blocking(|| ()).await.map_err(io::Error::other)
    })
}
