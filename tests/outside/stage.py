"""The stage for tools that others wrote: the real appliance and strict origins, all on loopback.

Tools come from 127.0.0.1 and are the agent `noisy`; the control comes from 127.0.0.2 and is the agent `quiet`.
`Stage.check` asserts what must hold after any tool, whatever it did: the process lives, an ordinary request is served in
time, memory and descriptors are bounded, the log has no panic, the audit file is whole and every record ASCII, the real
credential is in nothing that was written, and the origins saw only well-formed HTTP that policy allows.
"""

import json
import os
import re
import shutil
import socket
import ssl
import subprocess
import tempfile
import threading
import time
from pathlib import Path

from origin import Origin

REAL = "ghp_outside_the_real_credential_0123456789"
STUB = "proxy-token-outside"
HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
# Resident memory that no tool may drive the appliance beyond, in MiB.
MEMORY = 400
# Descriptors that may stay open for a while: idle connections to origins, of two agents.
IDLE = 80

POLICY = """version: 1
agents:
  noisy: {{ sources: ["127.0.0.1/32"] }}
  quiet: {{ sources: ["127.0.0.2/32"] }}
credentials:
  token:
    stub: {stub}
    slots: [bearer]
    hosts: [api.test]
    source: {{ file: {secret} }}
rules:
  - name: api
    agents: ["*"]
    hosts: [api.test]
    methods: [GET, HEAD, POST, PUT, OPTIONS]
    credentials: [token]
  - name: plain
    agents: ["*"]
    hosts: ["http://plain.test"]
    methods: [GET, HEAD, POST, PUT, OPTIONS]
  - name: paths
    agents: ["*"]
    hosts: [paths.test, "http://paths.test"]
    methods: [GET]
    paths: ["/v1/**", "/v1"]
  - name: names
    agents: ["*"]
    hosts: ["*.wild.test"]
    methods: [GET]
  # For tools that can't name another host than the one that they connect to.
  - name: local
    agents: ["*"]
    hosts: ["localhost:{https}", "http://localhost:{http}"]
    methods: [any]
"""

CONFIG = """listen:
  dns: ["127.0.0.1:{dns}"]
  http: ["127.0.0.1:{http}"]
  https: ["127.0.0.1:{https}"]
  proxy: ["127.0.0.1:0"]
  admin: ["127.0.0.1:0"]
advertise: ["127.0.0.1"]
policy: ["{at}/policy.yaml"]
state_dir: "{at}/state"
upstream:
  ca_files: ["{at}/internet.pem"]
  nameservers: ["127.0.0.1:{nameserver}"]
  connect_to:
{connect_to}
limits: {limits}
timeouts: {timeouts}
audit:
  files: [{{ path: "{at}/audit.jsonl" }}]
"""


class Stage:
    """A running appliance with its origins; a context manager."""

    def __init__(self, limits=None, timeouts=None, dns_port=0):
        self.limits, self.timeouts = limits or {}, {"drain_delay_seconds": 0, "drain_seconds": 1} | (timeouts or {})
        self.dns_port = dns_port
        self.names_asked = []

    def __enter__(self):
        self.at = Path(tempfile.mkdtemp(prefix="stubgate-outside-"))
        try:
            self._start()
        except BaseException:
            shutil.rmtree(self.at, ignore_errors=True)
            raise
        return self

    def _start(self):
        names = ["api.test", "plain.test", "paths.test", "localhost", "x.wild.test"]
        pki(self.at, names)
        self.origin = Origin(self.at)
        self.resolver = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.resolver.bind(("127.0.0.1", 0))
        threading.Thread(target=self._listen_for_names, daemon=True).start()
        (self.at / "secret").write_text(REAL)
        (self.at / "state").mkdir(mode=0o700)
        # The policy names these two ports, so they can't be left to the appliance.
        http, https = free_ports(2)
        policy = POLICY.format(stub=STUB, secret=self.at / "secret", http=http, https=https)
        (self.at / "policy.yaml").write_text(policy)
        targets = {"api.test:443": self.origin.tls, "paths.test:443": self.origin.tls,
                   "plain.test:80": self.origin.plain, "paths.test:80": self.origin.plain,
                   f"localhost:{https}": self.origin.tls, f"localhost:{http}": self.origin.plain}
        connect_to = "\n".join(f'    "{name}": "127.0.0.1:{port}"' for name, port in targets.items())
        config = CONFIG.format(at=self.at, connect_to=connect_to, nameserver=self.resolver.getsockname()[1],
                               dns=self.dns_port, http=http, https=https,
                               limits=json.dumps(self.limits), timeouts=json.dumps(self.timeouts))
        (self.at / "stubgate.yaml").write_text(config)
        self.log = open(self.at / "log", "wb")
        self.process = subprocess.Popen([binary(), "run", "--config", self.at / "stubgate.yaml"], stderr=self.log,
                                        stdout=self.log, env=os.environ | {"RUST_BACKTRACE": "1"})
        self.ports = self._ports()
        deadline = time.monotonic() + 20
        while self.admin("/readyz")[0] != 200:
            assert time.monotonic() < deadline, f"not ready: {self.said()}"
            time.sleep(0.05)
        self.ca = self.at / "bundle.pem"
        self.ca.write_bytes((self.at / "state/ca/certificate.pem").read_bytes())
        self.control()
        self.before = self.usage()

    def _ports(self):
        deadline = time.monotonic() + 20
        while time.monotonic() < deadline:
            for line in self.said().splitlines():
                if '"serving"' in line or "serving" in line:
                    found = dict(re.findall(r'(dns|https|http|proxy|admin)\W{1,5}(?:127\.0\.0\.1):(\d+)', line))
                    if len(found) == 5:
                        return {name: int(port) for name, port in found.items()}
            assert self.process.poll() is None, f"the appliance ended: {self.said()}"
            time.sleep(0.05)
        raise AssertionError(f"no ports in the log: {self.said()}")

    def _listen_for_names(self):
        """Names that the appliance asks for: all that are not granted would be a leak (law 6)."""
        while True:
            try:
                packet, peer = self.resolver.recvfrom(4096)
            except OSError:
                return
            self.names_asked.append(packet)
            # SERVFAIL.
            self.resolver.sendto(packet[:2] + b"\x81\x82" + packet[4:], peer)

    def __exit__(self, kind, *_):
        self.process.terminate()
        try:
            self.process.wait(timeout=15)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.log.close()
        self.origin.close()
        self.resolver.close()
        if kind is None and not os.environ.get("STUBGATE_LAB_KEEP"):
            shutil.rmtree(self.at, ignore_errors=True)
        else:
            print(f"# kept: {self.at}")

    def said(self):
        return (self.at / "log").read_text(errors="replace")

    def records(self):
        return [json.loads(line) for line in (self.at / "audit.jsonl").read_bytes().splitlines()]

    def admin(self, path):
        try:
            with socket.create_connection(("127.0.0.1", self.ports["admin"]), 2) as s:
                s.sendall(f"GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n".encode())
                answer = read_all(s)
        except OSError:
            return 0, ""
        head, _, body = answer.partition(b"\r\n\r\n")
        return int(head.split()[1]), body.decode(errors="replace")

    def tls(self, name="api.test", source="127.0.0.1", timeout=10, alpn=None):
        """A TLS connection as an agent makes it."""
        context = ssl.create_default_context(cafile=str(self.ca))
        if alpn:
            context.set_alpn_protocols(alpn)
        tcp = socket.create_connection(("127.0.0.1", self.ports["https"]), timeout, (source, 0))
        return context.wrap_socket(tcp, server_hostname=name)

    def control(self):
        """An ordinary request of the other agent, with its stub; seconds it took."""
        began = time.monotonic()
        with self.tls(source="127.0.0.2") as s:
            s.sendall(f"GET /control HTTP/1.1\r\nHost: api.test\r\nAuthorization: Bearer {STUB}\r\n"
                      "Connection: close\r\n\r\n".encode())
            answer = read_all(s)
        assert answer.startswith(b"HTTP/1.1 200 "), answer[:200]
        return time.monotonic() - began

    def watch(self, work):
        """Runs `work` while the other agent goes on asking; the seconds that its requests took, sorted."""
        took, failed, done = [], [], threading.Event()

        def ask():
            while not done.is_set():
                try:
                    took.append(self.control())
                except (OSError, AssertionError) as error:
                    failed.append(repr(error))
                done.wait(0.05)

        asking = threading.Thread(target=ask)
        asking.start()
        try:
            work()
        finally:
            done.set()
            asking.join()
        return sorted(took), failed

    def usage(self):
        """Resident memory in MiB, and open descriptors."""
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        resident = int(re.search(r"VmRSS:\s+(\d+)", status)[1]) // 1024
        return resident, len(os.listdir(f"/proc/{self.process.pid}/fd"))

    def check(self, findings, name="afterwards", memory=MEMORY):
        """What must hold after any tool; what does not goes into `findings`."""
        if self.process.poll() is not None:
            findings.add(name, f"the appliance ended with {self.process.returncode}: {self.said()[-2000:]}")
            return
        try:
            took = sorted(self.control() for _ in range(20))
            if took[-1] > 2:
                findings.add(name, f"an ordinary request took {took[-1]:.2f} s")
        except (OSError, AssertionError) as error:
            findings.add(name, f"an ordinary request failed: {error!r}")
        deadline = time.monotonic() + 20
        while self.usage()[1] > self.before[1] + IDLE and time.monotonic() < deadline:
            time.sleep(0.2)
        resident, descriptors = self.usage()
        if resident > memory:
            findings.add(name, f"resident memory is {resident} MiB, was {self.before[0]}")
        if descriptors > self.before[1] + IDLE:
            findings.add(name, f"{descriptors} descriptors are open, were {self.before[1]}")
        if "panicked" in self.said():
            findings.add(name, f"a panic: {self.said()[-2000:]}")
        for file in ("log", "audit.jsonl"):
            if REAL.encode() in (self.at / file).read_bytes():
                findings.add(name, f"the real credential is in {file}")
        for line in (self.at / "audit.jsonl").read_bytes().splitlines():
            try:
                json.loads(line)
                is_fine = line.isascii()
            except ValueError:
                is_fine = False
            if not is_fine:
                findings.add(name, f"a record that is none: {line[:200]!r}")
        for fault in self.origin.faults:
            findings.add(name, f"the origin got what is no HTTP: {fault}")
        if self.names_asked:
            findings.add(name, f"names were asked for: {self.names_asked[:3]}")
        findings.note(f"memory {self.before[0]} -> {resident} MiB")


class Findings:
    """What a tool found that it should not have; prints one line at the end."""

    def __init__(self, tool, version):
        self.tool, self.version = tool, version
        self.cases, self.unexpected, self.expected, self.notes = 0, [], [], []

    def add(self, case, what):
        self.unexpected.append((case, what))
        print(f"UNEXPECTED {case}: {what}", flush=True)

    def expect(self, case, why):
        """A finding of the tool that is right as it is."""
        self.expected.append((case, why))

    def note(self, text):
        self.notes.append(text)

    def end(self):
        """The summary; the exit status."""
        told = "; ".join(self.notes)
        print(f"{self.tool} ({self.version}): {self.cases} cases, {len(self.unexpected)} unexpected, "
              f"{len(self.expected)} expected findings{'; ' + told if told else ''}", flush=True)
        return 1 if self.unexpected or not self.cases else 0


def binary():
    return os.environ.get("STUBGATE_BIN") or str(ROOT / "target/lab/stubgate")


def free_ports(count):
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [s.getsockname()[1] for s in sockets]
    for s in sockets:
        s.close()
    return ports


def read_all(s, limit=1 << 22):
    out = b""
    while len(out) < limit:
        try:
            got = s.recv(65536)
        except (ConnectionResetError, ssl.SSLEOFError):
            break
        if not got:
            break
        out += got
    return out


def pki(at, names):
    """The internet's CA and one certificate for all of its names."""
    def openssl(*args):
        subprocess.run(["openssl", *args], cwd=at, check=True, capture_output=True)
    openssl("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2",
            "-subj", "/CN=the outside's internet", "-keyout", "internet.key", "-out", "internet.pem",
            "-addext", "basicConstraints=critical,CA:TRUE", "-addext", "keyUsage=critical,keyCertSign")
    openssl("req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-subj", "/CN=origin",
            "-keyout", "origin.key", "-out", "origin.csr")
    (at / "san").write_text("subjectAltName=" + ",".join(f"DNS:{name}" for name in names))
    openssl("x509", "-req", "-in", "origin.csr", "-CA", "internet.pem", "-CAkey", "internet.key", "-days", "2",
            "-CAcreateserial", "-extfile", "san", "-out", "origin.pem")


def tool_path(variable, marker):
    """A checkout of a tool that no package has: the folder that the variable names, or None."""
    folder = os.environ.get(variable)
    return Path(folder) if folder and (Path(folder) / marker).exists() else None


def version_of(*command):
    ran = subprocess.run(command, capture_output=True, text=True, check=False)
    found = re.search(r"\d+\.\d+[\w.]*", ran.stdout + ran.stderr)
    return found[0] if found else "?"
