//! Sandboxes of real processes, and the ways out of one, each tried from inside by a program that wants out. As whoever runs
//! the tests, and where that is root also as a user without any right.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, missing_docs)]

mod stage;

use std::io::Write;
use std::net::{TcpListener, TcpStream, UdpSocket};
use std::os::fd::OwnedFd;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram, UnixListener, UnixStream};
use std::process::ExitCode;

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
    ("only_the_listeners_of_stubgate_are_reached", only_the_listeners_of_stubgate_are_reached),
    ("sockets_of_outside_are_closed_and_those_of_inside_work", sockets_of_outside_are_closed_and_those_of_inside_work),
    ("a_socket_is_not_reached_by_a_race", a_socket_is_not_reached_by_a_race),
    ("no_other_kind_of_socket_is_made", no_other_kind_of_socket_is_made),
    ("no_other_namespace_is_made_or_entered", no_other_namespace_is_made_or_entered),
    ("nobody_outside_is_seen_and_the_watcher_is_not_touched", nobody_outside_is_seen_and_the_watcher_is_not_touched),
    ("open_files_of_outside_are_not_passed_on", open_files_of_outside_are_not_passed_on),
    ("a_socket_that_can_be_connected_is_no_standard_input", a_socket_that_can_be_connected_is_no_standard_input),
    ("what_is_hidden_or_fixed_stays_so", what_is_hidden_or_fixed_stays_so),
    ("the_machine_s_settings_can_not_be_written", the_machine_s_settings_can_not_be_written),
    ("the_terminal_is_one_of_its_own_and_works", the_terminal_is_one_of_its_own_and_works),
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

fn only_the_listeners_of_stubgate_are_reached(stage: &Stage) {
    let v4 = TcpListener::bind("127.0.0.1:0").unwrap();
    let v6 = TcpListener::bind("[::1]:0").unwrap();
    let udp = UdpSocket::bind("127.0.0.1:0").unwrap();
    udp.set_nonblocking(true).unwrap();
    let own: Vec<String> = interface_addresses();
    let said = stage.python(&format!(
        r#"
import socket
def tcp(host, port):
    try:
        socket.create_connection((host, port), timeout=3).close(); return 'open'
    except OSError as e:
        return type(e).__name__ + ' ' + str(e.errno)
print('served', socket.create_connection(('198.18.0.1', 80), timeout=5).recv(100).decode())
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); s.settimeout(5)
s.sendto(b'ping', ('198.18.0.1', 53)); print('names', s.recv(100).decode())
for port in (53, 443, 3128): print('stubgate', tcp('198.18.0.1', port))
for host, port in [('127.0.0.1', {}), ('::1', {}), ('1.1.1.1', 53), ('8.8.8.8', 443), ('2606:4700:4700::1111', 443), ('169.254.169.254', 80), ('10.0.0.1', 22)] + [(a, 22) for a in {own:?}]:
    print('other', host, tcp(host, port))
for host, port in [('127.0.0.1', {}), ('1.1.1.1', 53), ('224.0.0.251', 5353), ('255.255.255.255', 67)]:
    try:
        u = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); u.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1); u.sendto(b'out', (host, port))
    except OSError as e: pass
import subprocess
print(open('/etc/resolv.conf').read().split()[-1])
print(sorted(i[1] for i in socket.if_nameindex()))
"#,
        v4.local_addr().unwrap().port(),
        v6.local_addr().unwrap().port(),
        udp.local_addr().unwrap().port(),
    ));
    assert!(said.contains("served hello from outside"), "{said}");
    assert!(said.contains("names ping"), "{said}");
    assert_eq!(said.matches("stubgate open").count(), 3, "{said}");
    let others: Vec<&str> = said.lines().filter(|line| line.starts_with("other")).collect();
    assert!(others.len() >= 7 && others.iter().all(|line| !line.ends_with("open")), "{said}");
    assert!(said.contains("198.18.0.1\n['lo']"), "{said}");
    assert!(udp.recv(&mut [0; 16]).is_err(), "a datagram left");
    for tcp in [v4, v6] {
        tcp.set_nonblocking(true).unwrap();
        assert!(tcp.accept().is_err(), "a connection left");
    }
}

fn interface_addresses() -> Vec<String> {
    let said = std::process::Command::new("hostname").arg("-I").output().expect("hostname").stdout;
    String::from_utf8_lossy(&said).split_whitespace().map(str::to_owned).collect()
}

fn sockets_of_outside_are_closed_and_those_of_inside_work(stage: &Stage) {
    let folder = stage.folder();
    let path = folder.join("outside.sock");
    let outside = UnixListener::bind(&path).unwrap();
    stage.open_to_all(&path);
    let name = format!("stubgate-escape-{}", std::process::id());
    let abstract_one = UnixListener::bind_addr(&SocketAddr::from_abstract_name(&name).unwrap()).unwrap();
    std::thread::scope(|scope| {
        scope.spawn(|| answer_with_secrets(&outside));
        let said = stage.python(&format!(
            r#"
import os, socket, threading, errno
def ask(address, kind=socket.SOCK_STREAM):
    s = socket.socket(socket.AF_UNIX, kind)
    try:
        s.settimeout(5); s.connect(address); return 'open ' + s.recv(100).decode()
    except OSError as e:
        return errno.errorcode.get(e.errno, str(e))
os.symlink('outside.sock', 'link.sock')
here = os.getcwd()
for address in ['outside.sock', './outside.sock', here + '/outside.sock', 'link.sock', '/proc/self/cwd/outside.sock', '/proc/1/cwd' + here + '/outside.sock', '/proc/self/root' + here + '/outside.sock', '\0{name}', 'missing.sock']:
    print('closed', repr(address), ask(address))
class Server:
    def __init__(self, address, kind=socket.SOCK_STREAM):
        self.s = socket.socket(socket.AF_UNIX, kind); self.s.bind(address); self.s.listen(1)
        # It serves one and then no more: nobody may have come before.
        threading.Thread(target=self.serve, daemon=True).start()
    def serve(self):
        c, _ = self.s.accept(); c.send(b'hello inside')
for address in ['inside.sock', here + '/inside2.sock', '/tmp/stubgate-inside-%d.sock' % os.getpid(), '\0inside', os.environ['XDG_RUNTIME_DIR'] + '/x.sock']:
    Server(address); print('inside', ask(address))
Server('seq.sock', socket.SOCK_SEQPACKET); print('inside', ask('seq.sock', socket.SOCK_SEQPACKET))
s = socket.socketpair(); s[0].send(b'x'); print('inside open', s[1].recv(1))
# What a socket was told before it was connected stays.
Server('kept.sock')
s = socket.socket(socket.AF_UNIX); s.setblocking(False); os.set_inheritable(s.fileno(), True)
s.connect('kept.sock'); print('kept', s.getblocking(), os.get_inheritable(s.fileno()))
os.unlink('/tmp/stubgate-inside-%d.sock' % os.getpid())
"#
        ));
        let closed: Vec<&str> = said.lines().filter(|line| line.starts_with("closed")).collect();
        assert_eq!(closed.len(), 9, "{said}");
        assert!(closed.iter().all(|line| !line.contains("open")), "{said}");
        assert!(closed[0].ends_with("EACCES") && closed[8].ends_with("ENOENT"), "{said}");
        assert_eq!(said.matches("inside open").count(), 7, "{said}");
        assert!(said.contains("kept False True"), "{said}");
        // The one that holds the secret has been asked for nothing but whether it is outside.
        std::os::unix::net::UnixStream::connect(&path).unwrap().write_all(b"end").unwrap();
    });
    abstract_one.set_nonblocking(true).unwrap();
    assert!(abstract_one.accept().is_err(), "an abstract name was reached");
}

/// As a container runtime does for whoever can connect: tells, until somebody says that it is enough.
fn answer_with_secrets(outside: &UnixListener) {
    use std::io::Read;
    while let Ok((mut stream, _)) = outside.accept() {
        // Who has gone has read nothing.
        let _ = stream.write_all(b"SECRET");
        let mut said = [0; 3];
        match stream.read(&mut said) {
            Ok(3) if &said == b"end" => return,
            Ok(0) | Err(_) => {}
            Ok(_) => panic!("somebody spoke with the socket outside"),
        }
    }
}

/// The address and the descriptor are changed by other threads while they are looked at.
fn a_socket_is_not_reached_by_a_race(stage: &Stage) {
    let path = stage.folder().join("outside.sock");
    let outside = UnixListener::bind(&path).unwrap();
    stage.open_to_all(&path);
    std::thread::scope(|scope| {
        scope.spawn(|| answer_with_secrets(&outside));
        let said = stage.python(
            r#"
import ctypes, os, socket, threading, time
libc = ctypes.CDLL(None, use_errno=True)
inside = socket.socket(socket.AF_UNIX); inside.bind('i'); inside.listen(1000)
tcp = socket.socket(); tcp.bind(('127.0.0.1', 0)); tcp.listen(1000)
unix = lambda path: (1).to_bytes(2, 'little') + path.encode().ljust(108, b'\0')
inet = (2).to_bytes(2, 'little') + tcp.getsockname()[1].to_bytes(2, 'big') + bytes([127, 0, 0, 1])
addresses = [unix('i'), unix('outside.sock'), inet.ljust(110, b'\0')]
memory = ctypes.create_string_buffer(110)
stop = False
def change():
    n = 0
    while not stop:
        ctypes.memmove(memory, addresses[n % 3], 110); n += 1
number = os.dup(0)
def swap():
    while not stop:
        for family in (socket.AF_UNIX, socket.AF_INET):
            s = socket.socket(family); os.dup2(s.fileno(), number); s.close()
def take(listener):
    # A queue that is full makes whoever connects wait.
    listener.settimeout(0.1)
    while not stop:
        try: listener.accept()[0].close()
        except OSError: pass
takers = [threading.Thread(target=take, args=(one,)) for one in (inside, tcp)]
threads = [threading.Thread(target=f) for f in (change, swap)] + takers
[t.start() for t in threads]
end = time.time() + 1.5; tried = leaked = 0
while time.time() < end:
    s = socket.socket(socket.AF_UNIX)
    for fd in (s.fileno(), number):
        tried += 1
        if libc.connect(fd, memory, 110) == 0:
            try:
                p = socket.socket(fileno=os.dup(fd)); p.setblocking(False)
                if b'SECRET' in p.recv(10): leaked += 1
            except OSError: pass
    if s.fileno() >= 0:
        s.setblocking(False)
        try:
            if b'SECRET' in s.recv(10): leaked += 1
        except OSError: pass
    s.close()
stop = True; [t.join() for t in threads]
print('tried', tried > 50, 'leaked', leaked)
"#,
        );
        std::os::unix::net::UnixStream::connect(&path).unwrap().write_all(b"end").unwrap();
        assert_eq!(said, "tried True leaked 0\n");
    });
}

fn no_other_kind_of_socket_is_made(stage: &Stage) {
    let said = stage.python(
        r#"
import socket, errno
for family in range(0, 50):
    for kind in (1, 2, 3, 4, 5, 10):
        for protocol in (0, 1, 6, 17, 58, 255):
            try:
                s = socket.socket(family, kind, protocol); s.close(); print(family, kind, protocol)
            except OSError as e: pass
"#,
    );
    for line in said.lines() {
        let made: Vec<u32> = line.split(' ').map(|number| number.parse().unwrap()).collect();
        let [family, kind, protocol] = made[..] else { panic!("{line}") };
        let fine = match family {
            1 => kind == 1 || kind == 5,
            2 | 10 => (kind == 1 || kind == 2) && protocol != 255,
            16 => protocol == 0,
            _ => false,
        };
        assert!(fine, "a socket {line}");
    }
    assert!(said.contains("2 1 6") && said.contains("1 1 0"), "{said}");
    let said = stage.python(
        r#"
import ctypes, os, errno, fcntl
libc = ctypes.CDLL(None, use_errno=True)
def call(number, *args):
    r = libc.syscall(number, *args); return 'did' if r >= 0 else errno.errorcode[ctypes.get_errno()]
print(call(425, 8, ctypes.create_string_buffer(200)), call(250, 0, -3, 1), call(248, b'user', b'x', b'y', 1, -3), call(321, 0, 0, 0), call(298, 0, 0, 0, 0, 0), call(323, 0), call(304, 0, 0, 0), call(103, 10, 0, 0))
for path in ('/dev/vsock', '/dev/kmsg', '/dev/kvm', '/dev/mem', '/dev/vda', '/dev/net/tun', '/dev/fuse', '/dev/tty1'):
    print(os.path.exists(path), end=' ')
"#,
    );
    if cfg!(target_arch = "x86_64") {
        assert!(said.starts_with("ENOSYS EPERM EPERM EPERM EPERM EPERM EPERM EPERM\n"), "{said}");
    }
    assert!(said.trim_end().ends_with("False False False False False False False False"), "{said}");
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
    let said = stage.python(
        "import os\nfor p in os.listdir('/proc'):\n  if p.isdigit():\n    print(p, os.readlink('/proc/%s/ns/net' % p) == \
         os.readlink('/proc/self/ns/net') if p != '1' else '')\nprint(os.path.exists('/run/netns'))",
    );
    assert!(!said.contains("True\nTrue\nTrue\nTrue"), "{said}");
    assert!(said.ends_with("False\n"), "{said}");
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

fn a_socket_that_can_be_connected_is_no_standard_input(stage: &Stage) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let connected = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    let (pair, _other) = UnixStream::pair().unwrap();
    let datagram = UnixDatagram::unbound().unwrap();
    for (socket, is_taken) in
        [(OwnedFd::from(connected), false), (OwnedFd::from(datagram), false), (OwnedFd::from(pair), true)]
    {
        let output = stage.command().args(["sh", "-c", "echo ran"]).stdin(socket).output().unwrap();
        let said = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
        assert_eq!(said.contains("ran"), is_taken, "{said}");
        assert_eq!(said.contains("could be connected elsewhere"), !is_taken, "{said}");
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
send(b'tty; stty size; echo $((1+1)) ok\n'); wait(b'2 ok'); assert b'/dev/pts/0' in seen and b'33 77' in seen, seen
resize(44, 99); time.sleep(0.3); send(b'stty size; echo resi""zed\n'); wait(b'resized'); assert b'44 99' in seen, seen
send(b'sleep 100\n'); time.sleep(0.5); send(b'\x03'); send(b'echo inter""rupted $?\n'); wait(b'interrupted 130')
send(b'sleep 100\n'); time.sleep(0.5); send(b'\x1a'); time.sleep(0.3); send(b'jobs; kill %1; echo sto""pped\n'); wait(b'stopped'); assert b'Stopped' in seen, seen
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
