//! Sandboxes of real processes, and the ways out of one, each tried from inside by a program that wants out. As whoever runs
//! the tests, and where that is root also as a user without any right.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, missing_docs)]

mod sockets;
mod stage;

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::net::{TcpListener, TcpStream};
use std::os::fd::OwnedFd;
use std::os::unix::fs::OpenOptionsExt;
use std::os::unix::net::{UnixDatagram, UnixStream};
use std::path::{Path, PathBuf};
use std::process::{ExitCode, Stdio};

use stage::{Stage, User};

fn main() -> ExitCode {
    let arguments: Vec<_> = std::env::args_os().skip(1).collect();
    if arguments.first().is_some_and(|first| first == stage::LAUNCH) {
        return stage::launch(&arguments[1..]);
    }
    let wanted: Vec<String> = arguments
        .iter()
        .filter_map(|text| text.to_str())
        .filter(|text| text.starts_with(char::is_alphabetic))
        .map(str::to_owned)
        .collect();
    let users = if rustix::process::geteuid().is_root() { vec![User::Own, User::Nobody] } else { vec![User::Own] };
    let mut failed = 0;
    let mut out = std::io::stdout();
    for user in users {
        for (name, test) in TESTS {
            let name = format!("{name} ({})", user.name());
            if !wanted.is_empty() && !wanted.iter().any(|part| name.contains(part.as_str())) {
                continue;
            }
            let stage = Stage::new(user);
            let is_good = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| test(&stage))).is_ok();
            failed += usize::from(!is_good);
            writeln!(out, "test {name} ... {}", if is_good { "ok" } else { "FAILED" }).unwrap();
        }
    }
    if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

type Test = fn(&Stage);

const TESTS: &[(&str, Test)] = &[
    ("the_status_of_the_command_is_passed_on", the_status_of_the_command_is_passed_on),
    ("the_command_is_who_its_user_is_and_where", the_command_is_who_its_user_is_and_where),
    (
        "a_folder_below_run_can_be_worked_in_and_its_own_folders_can_not",
        a_folder_below_run_can_be_worked_in_and_its_own_folders_can_not,
    ),
    ("only_the_listeners_of_stubgate_are_reached", sockets::only_the_listeners_of_stubgate_are_reached),
    (
        "sockets_of_outside_are_closed_and_those_of_inside_work",
        sockets::sockets_of_outside_are_closed_and_those_of_inside_work,
    ),
    ("callers_that_wait_for_ever_stop_nobody_else", sockets::callers_that_wait_for_ever_stop_nobody_else),
    ("a_process_that_gave_up_root_connects_as_who_it_is", sockets::a_process_that_gave_up_root_connects_as_who_it_is),
    ("a_socket_is_not_reached_by_a_race", sockets::a_socket_is_not_reached_by_a_race),
    ("no_other_kind_of_socket_is_made", sockets::no_other_kind_of_socket_is_made),
    ("no_other_namespace_is_made_or_entered", no_other_namespace_is_made_or_entered),
    ("nobody_outside_is_seen_and_the_watcher_is_not_touched", nobody_outside_is_seen_and_the_watcher_is_not_touched),
    ("open_files_of_outside_are_not_passed_on", open_files_of_outside_are_not_passed_on),
    ("nothing_that_leads_further_is_a_standard_descriptor", nothing_that_leads_further_is_a_standard_descriptor),
    ("what_is_hidden_or_fixed_stays_so", what_is_hidden_or_fixed_stays_so),
    ("the_machine_s_settings_can_not_be_written", the_machine_s_settings_can_not_be_written),
    ("the_terminal_is_one_of_its_own_and_works", the_terminal_is_one_of_its_own_and_works),
    ("a_start_that_takes_long_can_be_ended", a_start_that_takes_long_can_be_ended),
    ("signals_are_passed_on_and_nothing_outlives_the_sandbox", signals_are_passed_on_and_nothing_outlives_the_sandbox),
];

fn the_status_of_the_command_is_passed_on(stage: &Stage) {
    for (script, status) in [("exit 0", 0), ("exit 7", 7), ("kill -9 $$", 137), ("kill -TERM $$", 143)] {
        assert_eq!(stage.run(&["sh", "-c", script]).status, status, "{script}");
    }
    assert_eq!(stage.run(&["no-such-command-at-all"]).status, 127);
    assert_eq!(stage.run(&["/etc/passwd"]).status, 126);
    let said = stage.run(&["sh", "-c", "cat; echo err >&2; exit 3"]);
    assert_eq!((said.status, said.errors.trim()), (3, "err"));
}

fn the_command_is_who_its_user_is_and_where(stage: &Stage) {
    let said = stage.python(
        "import os\nprint(os.getuid(), os.getgid(), os.getcwd() == os.environ['PWD_OUTSIDE'])\n\
         open('made-inside', 'w').write('x')\nprint(open('/proc/self/status').read().split('NoNewPrivs:')[1].split()[0])",
    );
    assert_eq!(said, format!("{} {} True\n1\n", stage.user.number(), stage.user.number()));
    assert_eq!(std::fs::read_to_string(stage.folder().join("made-inside")).unwrap(), "x");
}

/// Below `/run`, where the sandbox has folders of its own.
fn a_folder_below_run_can_be_worked_in_and_its_own_folders_can_not(stage: &Stage) {
    let own = PathBuf::from(format!("/run/user/{}", stage.user.number()));
    // Where it is not there, only root can make it; it goes again with what is made here.
    let made: Vec<PathBuf> = ["/run/user".into(), own.clone()].into_iter().filter(|path| !path.exists()).collect();
    if rustix::process::geteuid().is_root() {
        std::fs::create_dir_all(&own).unwrap();
    }
    let below = tempfile::Builder::new().prefix("stubgate-work-").tempdir_in(&own).unwrap();
    stage.open_to_all(below.path());
    let run = |folder: &Path| stage.command().args(["pwd"]).current_dir(folder).stdin(Stdio::null()).output().unwrap();
    let ran = run(below.path());
    assert_eq!(String::from_utf8_lossy(&ran.stdout).trim(), below.path().to_str().unwrap(), "{ran:?}");
    for folder in [Path::new("/run"), &own, Path::new("/proc/self")] {
        let said = run(folder);
        let errors = String::from_utf8_lossy(&said.stderr);
        assert!(
            said.stdout.is_empty() && errors.contains("is another folder inside than outside"),
            "{folder:?}: {said:?}"
        );
    }
    drop(below);
    for folder in made.iter().rev() {
        std::fs::remove_dir(folder).unwrap();
    }
}

fn no_other_namespace_is_made_or_entered(stage: &Stage) {
    for command in [
        "unshare -U true",
        "unshare -Urn true",
        "unshare -n true",
        "unshare -m true",
        "nsenter -t 1 -n true",
        "nsenter -t 1 -U true",
        "mount -t tmpfs x /mnt",
        "mount --bind / /mnt",
        "umount /run",
        "umount /proc/sys",
        "umount /etc/resolv.conf",
        "mount -o remount,rw /sys",
        "chroot / true",
    ] {
        let said = stage.run(&["sh", "-c", &format!("{command} 2>&1")]);
        assert_ne!(said.status, 0, "{command}: {}", said.output);
    }
    // All inside are in one network, which is not that of outside.
    let said = stage.python(
        "import os\nfor p in os.listdir('/proc'):\n  if p.isdigit() and p != '1': print(os.readlink('/proc/%s/ns/net' % p))\n\
         print(os.path.exists('/run/netns'))",
    );
    let outside = std::fs::read_link("/proc/self/ns/net").unwrap().display().to_string();
    let lines: Vec<&str> = said.lines().collect();
    let [networks @ .., netns] = &lines[..] else { panic!("{said}") };
    assert!(!networks.is_empty() && networks.iter().all(|one| one.starts_with("net:[") && *one != outside), "{said}");
    assert_eq!(*netns, "False", "{said}");
}

fn nobody_outside_is_seen_and_the_watcher_is_not_touched(stage: &Stage) {
    let outside = std::process::id();
    let said = stage.python(&format!(
        r#"
import os, signal, ctypes, errno
pids = sorted(int(p) for p in os.listdir('/proc') if p.isdigit())
print(pids[0], len(pids))
def tried(f):
    try: f(); return 'did'
    except OSError as e: return errno.errorcode[e.errno]
for name in ('mem', 'environ', 'maps', 'root', 'cwd', 'exe', 'fd/0', 'ns/net'):
    path = '/proc/1/' + name
    print('watcher', name, tried(lambda: open(path, 'rb').read(1) if name in ('mem', 'environ', 'maps') else os.readlink(path)))
libc = ctypes.CDLL(None, use_errno=True)
print('ptrace', libc.ptrace(16, 1, 0, 0), 'pidfd', libc.syscall(438, os.pidfd_open(1), 0, 0))
here = ctypes.create_string_buffer(8)
slot = (ctypes.c_void_p * 2)(ctypes.addressof(here), 8)
print('vm', libc.process_vm_readv(1, slot, 1, slot, 1, 0))
for s in (signal.SIGTERM, signal.SIGKILL, signal.SIGSTOP, signal.SIGINT, signal.SIGHUP):
    tried(lambda: os.kill(1, s))
print('outside', tried(lambda: os.kill({outside}, 0)) if {outside} not in pids else 'ESRCH')
tried(lambda: os.kill(-1, signal.SIGWINCH))
print('alive')
"#
    ));
    assert!(said.starts_with("1 2\n"), "{said}");
    let watcher: Vec<&str> = said.lines().filter(|line| line.starts_with("watcher")).collect();
    assert!(watcher.len() == 8 && watcher.iter().all(|line| !line.ends_with("did")), "{said}");
    assert!(said.contains("ptrace -1 pidfd -1\nvm -1\n"), "{said}");
    assert!(said.contains("outside ESRCH\nalive"), "{said}");
}

fn open_files_of_outside_are_not_passed_on(stage: &Stage) {
    let said = stage.python("import os\nprint(sorted(os.listdir('/proc/self/fd')))");
    assert_eq!(said, "['0', '1', '2', '3']\n", "3 is the folder that is listed");
}

fn nothing_that_leads_further_is_a_standard_descriptor(stage: &Stage) {
    let folder = stage.folder();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let connected = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    let (pair, _other) = UnixStream::pair().unwrap();
    let datagram = UnixDatagram::unbound().unwrap();
    std::fs::write(folder.join("input"), "x").unwrap();
    let open = |path: &Path| OwnedFd::from(File::open(path).unwrap());
    let path_only = OpenOptions::new().read(true).custom_flags(libc::O_PATH).open(folder.join("input")).unwrap();
    let is_root = rustix::process::geteuid().is_root() && stage.user == User::Own;
    let (socket, guarded) = (Some("connected elsewhere"), Some("must not see or change"));
    for (descriptor, refused) in [
        (OwnedFd::from(connected), socket),
        (datagram.into(), socket),
        (pair.into(), None),
        (open(&folder), Some("a folder")),
        (path_only.into(), Some("as a path only")),
        (open(&folder.join("policy/policy.yaml")), guarded),
        (open(&folder.join("keys/key")), guarded),
        (open(&folder.join("credential")), guarded),
        (open(Path::new("/etc/passwd")), is_root.then_some("of the system")),
        (open(&folder.join("input")), None),
        (open(Path::new("/dev/null")), None),
        (tempfile::tempfile_in(&folder).unwrap().into(), None),
    ] {
        let as_error = descriptor.try_clone().unwrap();
        let output = stage.command().args(["sh", "-c", "echo ran"]).stdin(descriptor).output().unwrap();
        let said = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
        assert_eq!(said.contains("ran"), refused.is_none(), "{said}");
        assert!(refused.is_none_or(|why| said.contains(why) && said.contains("standard input")), "{said}");
        let output = stage.command().args(["sh", "-c", "echo ran"]).stderr(as_error).stdin(Stdio::null()).output();
        assert_eq!(output.unwrap().stdout.starts_with(b"ran"), refused.is_none(), "as standard error");
    }
}

fn what_is_hidden_or_fixed_stays_so(stage: &Stage) {
    let folder = stage.folder();
    let real = stage.guarded();
    let said = stage.python(
        r#"
import os, errno
def tried(f):
    try: return repr(f())
    except OSError as e: return errno.errorcode[e.errno]
def write(path): open(path, 'w').write('mine')
print('key', tried(lambda: open('keys/key').read()), tried(lambda: os.listdir('keys')))
print('file', tried(lambda: open('credential').read()))
print('write', tried(lambda: write('policy/policy.yaml')), tried(lambda: write('policy/new.yaml')), tried(lambda: write('keys/x')), tried(lambda: write('credential')))
print('rename', tried(lambda: os.rename('policy', 'elsewhere')), tried(lambda: os.rename('keys', 'elsewhere')), tried(lambda: os.rename('../' + os.path.basename(os.getcwd()), '../elsewhere')))
print('unlink', tried(lambda: os.unlink('credential')), tried(lambda: os.unlink('policy/policy.yaml')), tried(lambda: os.rmdir('keys')))
print('link', tried(lambda: os.link('policy/policy.yaml', 'hard')), tried(lambda: os.chmod('policy/policy.yaml', 0o777)))
print('raw', tried(lambda: open('/proc/self/root' + os.getcwd() + '/keys/key').read()), tried(lambda: open('/proc/1/root' + os.getcwd() + '/keys/key').read()))
print('read', open('policy/policy.yaml').read())
"#,
    );
    assert!(said.contains("key ENOENT []\nfile ''\n"), "{said}");
    assert!(said.contains("write EROFS EROFS EROFS EROFS\n"), "{said}");
    for line in
        said.lines().filter(|line| ["rename", "unlink", "link", "raw"].iter().any(|head| line.starts_with(head)))
    {
        assert!(line.split(' ').skip(1).all(|word| word.starts_with('E')), "{said}");
    }
    assert!(said.contains("read policy"), "{said}");
    for (path, content) in real {
        assert_eq!(std::fs::read_to_string(folder.join(path)).unwrap(), content);
    }
}

fn the_machine_s_settings_can_not_be_written(stage: &Stage) {
    let said = stage.python(
        r#"
import os, errno
for path in ('/proc/sys/kernel/core_pattern', '/proc/sys/kernel/modprobe', '/proc/sysrq-trigger', '/sys/kernel/uevent_helper', '/sys/fs/cgroup/devices/release_agent', '/sys/power/state', '/etc/stubgate-was-here', '/usr/bin/stubgate-was-here', '/etc/resolv.conf', '/etc/ssl/certs/ca-certificates.crt', '/var/spool/cron/x', '/dev/x', '/run/stubgate/x'):
    try:
        os.open(path, os.O_WRONLY | (os.O_CREAT if 'was-here' in path or path.endswith('/x') else 0)); print('did', path)
    except OSError as e: pass
# All of /proc that is of no process, by name and not by what is known today.
seen = 0
for top in os.listdir('/proc'):
    path = '/proc/' + top
    if top.isdigit() or os.path.islink(path): continue
    files = [path] if not os.path.isdir(path) else [os.path.join(at, name) for at, _, names in os.walk(path) for name in names]
    for one in files:
        seen += 1
        try: os.close(os.open(one, os.O_WRONLY | os.O_NONBLOCK)); print('did', one)
        except OSError as e: pass
assert seen > 100, seen
open('/tmp/stubgate-%d' % os.getpid(), 'w'); os.unlink('/tmp/stubgate-%d' % os.getpid())
open('/dev/null', 'w').write('x'); print(len(open('/dev/urandom', 'rb').read(8)))
print(open('/run/stubgate/ca-certificates.crt').read() == open('/etc/ssl/certs/ca-certificates.crt').read())
"#,
    );
    assert_eq!(said, "8\nTrue\n");
}

fn the_terminal_is_one_of_its_own_and_works(stage: &Stage) {
    let said = stage.in_terminal(
        r#"
send(b'tty; stty size; echo $((1+1)) ok\n')
# At the prompt: on its way there readline reads the size and sets it again, and one that comes between is lost without us too.
wait(b'2 ok\r\nbash-'); assert b'/dev/pts/0' in seen and b'33 77' in seen, seen
resize(44, 99); send(b'stty size; echo resi""zed\n'); wait(b'resized'); assert b'44 99' in seen, seen
long = b"sh -c 'echo beg\"\"un %d; exec sleep 100'\n"
send(long % 1); wait(b'begun 1'); send(b'\x03'); send(b'echo inter""rupted $?\n'); wait(b'interrupted 130')
send(long % 2); wait(b'begun 2'); send(b'\x1a'); wait(b'Stopped'); send(b'jobs; kill %1; echo sto""pped\n'); wait(b'stopped')
send(b'/usr/bin/python3 -c "import fcntl,termios\nfor fd in (0,1,2):\n  try:\n    fcntl.ioctl(fd, termios.TIOCSTI, b\'x\'); print(\'typed\')\n  except OSError as e: print(\'refused\', e.errno)"\n'); wait(b'refused 1\r\nrefused 1\r\nrefused 1')
send(b'exit 9\n')
"#,
        &["bash", "--norc", "-i"],
    );
    assert_eq!(said, "status 9 settings kept\n");
    // The terminal of outside is not there under any name.
    let said = stage.in_terminal(
        "wait(b'names')",
        &["/usr/bin/python3", "-c", "import os; print([os.ttyname(fd) for fd in (0,1,2)] == ['/dev/pts/0'] * 3, os.listdir('/dev/pts'), 'names')"],
    );
    assert_eq!(said, "status 0 settings kept\n");
}

/// Before there is a command, keys that end one end the start.
fn a_start_that_takes_long_can_be_ended(stage: &Stage) {
    for signal in [rustix::process::Signal::INT, rustix::process::Signal::TERM] {
        let mut running = stage.start_in_vain(&["touch", "ran"]);
        running.until("waiting");
        running.signal(signal);
        assert!(running.ends(), "{signal:?}");
        assert!(!stage.folder().join("ran").exists());
    }
}

fn signals_are_passed_on_and_nothing_outlives_the_sandbox(stage: &Stage) {
    let script = "trap 'echo caught; exit 5' TERM; echo ready; while :; do sleep 0.1; done";
    let mut running = stage.start(&["sh", "-c", script]);
    running.until("ready");
    running.signal(rustix::process::Signal::TERM);
    running.until("caught");
    assert_eq!(running.status(), 5);
    // What is left running ends with the command, and all of it with whoever started it.
    let marker = stage.folder().join("alive");
    let touch = format!("(while :; do touch {}; sleep 0.1; done) & echo ready", marker.display());
    assert_eq!(stage.run(&["sh", "-c", &touch]).status, 0);
    stage.stays_untouched(&marker);
    let mut running = stage.start(&["sh", "-c", &format!("{touch}; wait")]);
    running.until("ready");
    running.signal(rustix::process::Signal::KILL);
    running.status();
    stage.stays_untouched(&marker);
}
