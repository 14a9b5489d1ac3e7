"""Request smuggling: payloads that others published, and ours after public descriptions, against a strict origin.

Each payload is sent on a connection of its own with an ordinary request behind it. A model reads the same bytes by the
grammar of RFC 9112 alone. Whatever stubgate sends on must be a subsequence of what the model read, message for message
(method, target, body), in canonical form: the origin double writes down anything that is not. stubgate may refuse more
than the model; those are counted by name with `-v`.

SMUGGLER, HTTP_GARDEN and LLHTTP name checkouts of github.com/defparam/smuggler, narfindustries/http-garden and
nodejs/llhttp; what is not there is left out and said.
"""

import io
import re
import socket
import ssl
import subprocess
import sys

import origin
from smuggling_payloads import OURS
from stage import Findings, Stage, tool_path

AFTER = b"GET /after HTTP/1.1\r\nHost: %s\r\nConnection: close\r\n\r\n"


def smuggler(folder):
    """The gadgets of smuggler.py's lists, with the bodies that it tries them with."""
    for file in ("default.py", "doubles.py", "exhaustive.py"):
        path = folder / "configs" / file
        if not path.exists():
            continue
        mutations = {}
        scope = {"mutations": mutations, "Payload": type("Payload", (), {"header": "", "body": ""})}
        exec(path.read_text(encoding="utf-8"), scope)  # a list written as a program
        for name, payload in mutations.items():
            head = payload.header.replace("__METHOD__", "POST").replace("__ENDPOINT__", "/x").replace("__RANDOM__", "1")
            head = head.replace("__HOST__", "HOST")
            for kind, length, body in (("tecl", 6, "0\r\n\r\nX"), ("tecl", 5, "0\r\n\r\n"),
                                       ("clte", 4, "1\r\nZ\r\n0\r\n\r\n"), ("clte", 11, "1\r\nZ\r\n0\r\n\r\n")):
                text = head.replace("__REPLACE_CL__", str(length)) + "\r\n" + body
                yield f"{file}/{name}/{kind}{length}", text.encode("latin-1")


def http_garden(folder):
    """The payloads of its list of bugs."""
    text = (folder / "TROPHIES.md").read_text()
    for number, found in enumerate(re.finditer(r"Payload: `(.+?)`", text)):
        raw = re.sub(r"\\(x[0-9a-fA-F]{2}|[rnt0\\])", unescaped, found[1])
        if re.match(r"[A-Z\\G]", raw) and "HTTP/" in raw:
            yield f"trophy {number + 1}: {found[1][:60]}", raw.encode("latin-1")


def unescaped(found):
    code = found[1]
    return chr(int(code[1:], 16)) if code[0] == "x" else {"r": "\r", "n": "\n", "t": "\t", "0": "\0", "\\": "\\"}[code]


def llhttp(folder):
    """The requests of its parser tests; in the text a line end is CRLF, and escapes stand for the rest."""
    for file in sorted((folder / "test/request").glob("*.md")):
        title = ""
        for block in re.finditer(r"^(#+ [^\n]+)$|^```http\n(.*?)^```", file.read_text(), re.M | re.S):
            if block[1]:
                title = block[1].lstrip("# ")
                continue
            text = block[2].removesuffix("\n")
            text = re.sub(r"(?<!\r)\n", "\r\n", text) if "\\r" not in text and "\\n" not in text else "".join(
                line if line.endswith(("\\r", "\\n")) else line + "\r\n" for line in text.split("\n"))
            text = re.sub(r"\\(x[0-9a-fA-F]{2}|[rntf0])", lambda m: "\f" if m[1] == "f" else unescaped(m), text)
            yield f"{file.name}/{title}", text.encode("latin-1", errors="replace")


def addressed(payload, host):
    """The payload with Host as policy allows it; put in where there is none."""
    if b"HOST" in payload:
        return payload.replace(b"HOST", host)
    first, end, rest = payload.partition(b"\n")
    if re.search(rb"^host[ \t]*:", rest, re.I | re.M):
        return first + end + re.sub(rb"(?im)^(host:)[ \t]*[^\r\n]*", rb"\1 " + host, rest)
    return first + end + b"Host: " + host + b"\r\n" + rest


def model(data):
    """Messages by the grammar of RFC 9112, up to the first that is not one."""
    stream, out = io.BytesIO(data), []
    try:
        while (request := lenient(stream)) is not None:
            out.append(request)
    except (origin.Fault, OSError, ValueError, IndexError):
        pass
    return out


def lenient(stream):
    line = stream.readline()
    if not line:
        return None
    found = re.fullmatch(rb"([!#$%&'*+.^_`|~0-9A-Za-z-]+) ([!-~]+) HTTP/1\.([01])\r\n", line)
    if not found:
        raise origin.Fault("line")
    headers = []
    while (line := stream.readline()) != b"\r\n":
        field = re.fullmatch(rb"([!#$%&'*+.^_`|~0-9A-Za-z-]+):[ \t]*([\t\x20-\x7e\x80-\xff]*?)[ \t]*\r\n", line)
        if not field:
            raise origin.Fault("field")
        headers.append((field[1].lower().decode(), field[2].decode("latin-1")))
    request = origin.Request(found[1].decode(), found[2].decode(), headers)
    lengths, codings = request.all("content-length"), request.all("transfer-encoding")
    if codings:
        if lengths or len(codings) > 1 or codings[0].lower() != "chunked" or found[3] == b"0":
            raise origin.Fault("framing")
        while True:
            size = re.fullmatch(rb"([0-9a-fA-F]+)[ \t]*(;[\t\x20-\x7e\x80-\xff]*)?\r\n", stream.readline())
            if not size:
                raise origin.Fault("size")
            if int(size[1], 16) == 0:
                break
            request.body += origin.exactly(stream, int(size[1], 16))
            if origin.exactly(stream, 2) != b"\r\n":
                raise origin.Fault("end")
        while (line := stream.readline()) != b"\r\n":
            if not re.fullmatch(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+:[\t\x20-\x7e\x80-\xff]*\r\n", line):
                raise origin.Fault("trailer")
    elif lengths:
        if len(set(lengths)) > 1 or not re.fullmatch(r"[0-9]+", lengths[0]):
            raise origin.Fault("length")
        request.body = origin.exactly(stream, int(lengths[0]))
    return request


def send(stage, by, payload):
    """Sends, reads to the end; the statuses of the answers."""
    if by == "https":
        s = stage.tls()
    else:
        s = socket.create_connection(("127.0.0.1", stage.ports["http"]), 10)
    answers = b""
    with s:
        try:
            s.sendall(payload)
            # Not half-closed: a client that closes its sending side counts as gone.
            s.settimeout(3)
            while got := s.recv(65536):
                answers += got
        except (OSError, ssl.SSLError):
            pass
    return [int(code) for code in re.findall(rb"HTTP/1\.1 (\d{3}) ", answers)]


def is_subsequence(few, many):
    many = iter(many)
    return all(item in many for item in few)


def run():
    findings = Findings("smuggling payloads", "see README")
    sets = {"ours": list(OURS)}
    smuggler_folder = tool_path("SMUGGLER", "smuggler.py")
    for name, variable, marker, read in (("smuggler", "SMUGGLER", "configs", smuggler),
                                         ("http-garden", "HTTP_GARDEN", "TROPHIES.md", http_garden),
                                         ("llhttp", "LLHTTP", "test/request", llhttp)):
        folder = tool_path(variable, marker)
        if folder is None:
            findings.note(f"{name} left out: {variable} names no checkout")
        else:
            sets[name] = list(read(folder))
    with Stage(timeouts={"header_seconds": 2, "idle_seconds": 2, "body_idle_seconds": 2}) as stage:
        for name, payloads in sets.items():
            forwarded = stricter = 0
            for by, host in (("http", b"plain.test"), ("https", b"api.test")):
                for case, payload in payloads:
                    findings.cases += 1
                    data = addressed(payload, host) + AFTER % host
                    stage.origin.take()
                    faults = len(stage.origin.faults)
                    statuses = send(stage, by, data)
                    arrived = [(r.method, path(r.target, host), r.body) for r in stage.origin.take()]
                    read = [(r.method, path(r.target, host), r.body) for r in model(data)]
                    forwarded += len(arrived)
                    stricter += len(read) > len(arrived)
                    said = f"{data!r}\n  arrived {arrived}\n  model {read}\n  statuses {statuses}"
                    if len(stage.origin.faults) > faults:
                        findings.add(f"{name}: {case} by {by}", f"{stage.origin.faults[-1]}: {said}")
                    elif not is_subsequence(arrived, read):
                        findings.add(f"{name}: {case} by {by}", f"another reading: {said}")
                    elif len([s for s in statuses if s >= 200]) < len(arrived):
                        findings.add(f"{name}: {case} by {by}", f"fewer answers than requests: {said}")
                    elif "-v" in sys.argv and len(read) > len(arrived):
                        print(f"stricter: {name}: {case} by {by}: {said}")
            findings.note(f"{name}: {2 * len(payloads)} payloads, {forwarded} messages sent on, {stricter} refused beyond the grammar")
        if smuggler_folder is not None:
            findings.cases += 1
            program(stage, findings, smuggler_folder)
        stage.check(findings)
    return findings.end()


def path(target, host):
    """What an absolute-form target comes to."""
    return re.sub(rf"^http://{host.decode()}(?=/)", "", target)


def program(stage, findings, folder):
    """smuggler.py itself, which judges by time."""
    command = [sys.executable, "smuggler.py", "-u", f"http://127.0.0.1:{stage.ports['http']}/", "-v", "plain.test",
               "-t", "3", "--no-color", "-q"]
    ran = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=900, check=False)
    issues = [line for line in re.split(r"[\r\n]+", ran.stdout) if "Issue Found" in line or "CRITICAL" in line]
    for line in issues:
        findings.add("smuggler.py", line)
    findings.note(f"smuggler.py itself: {len(issues)} issues")


if __name__ == "__main__":
    sys.exit(run())
