"""Origins that read HTTP/1.1 as strictly as it can be read, and write down what is not.

What stubgate sends on must be canonical, so anything that a lenient server would have to interpret is a fault here:
a bare line end, folding, a framing that is not exactly one Content-Length or exactly `chunked`, an odd chunk size.
"""

import re
import socket
import ssl
import threading
from dataclasses import dataclass, field

LINE = re.compile(rb"([A-Z][A-Z-]*) ([!-~]+) HTTP/1\.1\r\n")
FIELD = re.compile(rb"([!#$%&'*+.^_`|~0-9A-Za-z-]+): ?([\t\x20-\x7e\x80-\xff]*)\r\n")
SIZE = re.compile(rb"([0-9a-fA-F]{1,16})\r\n")


@dataclass
class Request:
    """One message, as it was read."""
    method: str
    target: str
    headers: list
    body: bytes = b""
    number: int = 0
    connection: int = 0
    trailers: list = field(default_factory=list)

    def all(self, name):
        return [value for key, value in self.headers if key == name]


class Fault(Exception):
    """What arrived is not canonical."""


class Origin:
    """One listener with TLS and one without; `requests` and `faults` are what came."""

    def __init__(self, at):
        self.requests, self.faults, self.lock = [], [], threading.Lock()
        self.connections = 0
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.context.load_cert_chain(at / "origin.pem", at / "origin.key")
        self.sockets = [socket.create_server(("127.0.0.1", 0), backlog=1024) for _ in range(2)]
        self.tls, self.plain = (s.getsockname()[1] for s in self.sockets)
        for s, with_tls in zip(self.sockets, (True, False)):
            threading.Thread(target=self._accept, args=(s, with_tls), daemon=True).start()

    def close(self):
        for s in self.sockets:
            s.close()

    def take(self):
        """The requests since the last call, without those of the control."""
        with self.lock:
            taken, self.requests = self.requests, []
        return [request for request in taken if request.target != "/control"]

    def _accept(self, listening, with_tls):
        while True:
            try:
                tcp, _ = listening.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(tcp, with_tls), daemon=True).start()

    def _serve(self, tcp, with_tls):
        with self.lock:
            self.connections += 1
            number = self.connections
        try:
            tcp.settimeout(60)
            tcp.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            s = self.context.wrap_socket(tcp, server_side=True) if with_tls else tcp
            with s, s.makefile("rb") as stream:
                served = 0
                while (request := read(stream)) is not None:
                    served += 1
                    request.number, request.connection = served, number
                    with self.lock:
                        self.requests.append(request)
                    s.sendall(answer(request))
        except Fault as fault:
            with self.lock:
                self.faults.append(str(fault))
        except (OSError, ValueError):
            pass


def answer(request):
    path = request.target.split("?")[0]
    if path.startswith("/bytes/"):
        body = b"x" * int(path.removeprefix("/bytes/"))
    else:
        body = f"{request.method} {path} {len(request.body)}\n".encode()
    head = b"HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\ncontent-length: %d\r\n\r\n" % len(body)
    return head if request.method == "HEAD" else head + body


def read(stream):
    line = stream.readline(1 << 17)
    if not line:
        return None
    found = LINE.fullmatch(line)
    if not found:
        raise Fault(f"request line {line[:200]!r}")
    request = Request(found[1].decode(), found[2].decode(), fields(stream))
    lengths, codings = request.all("content-length"), request.all("transfer-encoding")
    if len(request.all("host")) != 1:
        raise Fault(f"{len(request.all('host'))} Host fields")
    if lengths and codings or len(lengths) > 1 or len(codings) > 1:
        raise Fault(f"framing {lengths} {codings}")
    if codings:
        if codings != ["chunked"]:
            raise Fault(f"transfer-encoding {codings}")
        request.body, request.trailers = chunked(stream)
    elif lengths:
        if not re.fullmatch(r"0|[1-9][0-9]{0,18}", lengths[0]):
            raise Fault(f"content-length {lengths}")
        request.body = exactly(stream, int(lengths[0]))
    return request


def fields(stream):
    out = []
    while (line := stream.readline(1 << 17)) != b"\r\n":
        if not line:
            # Cut short, as when an agent goes away: the connection ends and nothing was understood.
            raise OSError("cut short")
        found = FIELD.fullmatch(line)
        if not found:
            raise Fault(f"field line {line[:200]!r}")
        out.append((found[1].decode().lower(), found[2].decode("latin-1")))
    return out


def chunked(stream):
    body = b""
    while True:
        line = stream.readline(1 << 12)
        if not line:
            raise OSError("cut short")
        found = SIZE.fullmatch(line)
        if not found:
            raise Fault(f"chunk size {line[:100]!r}")
        size = int(found[1], 16)
        if size == 0:
            return body, fields(stream)
        body += exactly(stream, size)
        if (end := exactly(stream, 2)) != b"\r\n":
            raise Fault(f"chunk end {end!r}")


def exactly(stream, count):
    if count >> 62:
        raise Fault(f"a length of {count}")
    got = stream.read(count)
    if len(got) < count:
        raise OSError("cut short")
    return got
