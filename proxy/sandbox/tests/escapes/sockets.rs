//! Ways out by sockets: addresses, paths, names and kinds of them.

use std::io::Write;
use std::net::{TcpListener, UdpSocket};
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixListener, UnixStream};

use crate::stage::{Stage, User};

pub(super) fn only_the_listeners_of_stubgate_are_reached(stage: &Stage) {
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

pub(super) fn sockets_of_outside_are_closed_and_those_of_inside_work(stage: &Stage) {
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
        UnixStream::connect(&path).unwrap().write_all(b"end").unwrap();
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

/// Those that wait for a listener which takes nobody hold up no others for longer than they live.
pub(super) fn callers_that_wait_for_ever_stop_nobody_else(stage: &Stage) {
    let said = stage.python(
        r#"
import os, signal, socket, subprocess, sys, time
full = socket.socket(socket.AF_UNIX); full.bind('full.sock'); full.listen(0)
good = socket.socket(socket.AF_UNIX); good.bind('good.sock'); good.listen(100)
waiting = """
import socket, threading, time
threading.stack_size(65536)
def wait():
    try: socket.socket(socket.AF_UNIX).connect('full.sock')
    except OSError: pass
for _ in range(400): threading.Thread(target=wait, daemon=True).start()
print('waiting', flush=True); time.sleep(100)
"""
def ask():
    s = socket.socket(socket.AF_UNIX); s.settimeout(10)
    try: s.connect('good.sock'); return True
    except OSError: return False
child = subprocess.Popen([sys.executable, '-c', waiting], stdout=subprocess.PIPE)
child.stdout.readline(); child.kill(); child.wait()
end = time.time() + 15
while not ask() and time.time() < end: time.sleep(0.1)
print('asked', time.time() < end)
# One that waits is connected once there is room.
s = socket.socket(socket.AF_UNIX)
full.setblocking(False)
def taken():
    while True:
        try: full.accept()
        except OSError: return
import threading
threading.Timer(1.5, taken).start()
s.connect('full.sock'); print('connected', s.getsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, 16) == bytes(16))
"#,
    );
    assert_eq!(said, "asked True\nconnected True\n");
}

/// A process of root that has become another user connects as that user.
pub(super) fn a_process_that_gave_up_root_connects_as_who_it_is(stage: &Stage) {
    if !(rustix::process::geteuid().is_root() && stage.user == User::Own) {
        return;
    }
    let said = stage.python(
        r#"
import os, socket, struct, tempfile
folder = tempfile.mkdtemp(dir='/tmp'); os.chmod(folder, 0o755); os.mkdir(folder + '/own', 0o700); os.chdir(folder)
def listen(path, mode):
    s = socket.socket(socket.AF_UNIX); s.bind(path); s.listen(9); os.chmod(path, mode); return s
open_one, shut, below = listen('open', 0o777), listen('shut', 0o700), listen('own/open', 0o777)
child = os.fork()
if child == 0:
    os.setgroups([7]); os.setgid(8); os.setuid(65534)
    for path in ('open', folder + '/open', 'shut', folder + '/shut', 'own/open', folder + '/own/open'):
        try: socket.socket(socket.AF_UNIX).connect(path); print('did', os.path.basename(path), flush=True)
        except OSError as e: print(e.errno, flush=True)
    os._exit(0)
os.waitpid(child, 0)
c, _ = open_one.accept(); print(struct.unpack('3i', c.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))[1:])
s = socket.socket(socket.AF_UNIX); s.connect('shut'); print('root did')
import shutil; os.chdir('/'); shutil.rmtree(folder)
"#,
    );
    assert_eq!(said, "did open\ndid open\n13\n13\n13\n13\n(65534, 8)\nroot did\n");
}

/// The address and the descriptor are changed by other threads while they are looked at.
pub(super) fn a_socket_is_not_reached_by_a_race(stage: &Stage) {
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
        UnixStream::connect(&path).unwrap().write_all(b"end").unwrap();
        assert_eq!(said, "tried True leaked 0\n");
    });
}

pub(super) fn no_other_kind_of_socket_is_made(stage: &Stage) {
    let said = stage.python(
        r#"
import socket, errno
for family in range(0, 50):
    for kind in (1, 2, 3, 4, 5, 10):
        for protocol in (0, 1, 6, 17, 58, 132, 136, 255, 262):
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
            2 | 10 => matches!((kind, protocol), (1, 0 | 6) | (2, 0 | 17)),
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
