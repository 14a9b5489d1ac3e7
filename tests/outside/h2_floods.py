"""HTTP/2: h2load at full speed, floods frame by frame, and h2spec where H2SPEC names its binary.

Each flood runs on connections of one agent while another goes on working. It has failed when the appliance closed the
connection or answered every stream with an error; what must not happen is that memory grows, the other agent waits, or
the origin is given more than policy and the limits allow.
"""

import multiprocessing
import os
import re
import select
import ssl
import struct
import subprocess
import sys
import time
from pathlib import Path

from stage import Findings, Stage, version_of

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
DATA, HEADERS, PRIORITY, RST, SETTINGS, PUSH, PING, GOAWAY, WINDOW, CONTINUATION = range(10)


def frame(kind, flags, stream, body=b""):
    return struct.pack(">I", len(body))[1:] + bytes([kind, flags]) + struct.pack(">I", stream) + body


def literal(name, value):
    """A field without indexing and without Huffman (RFC 7541 section 6.2.2)."""
    return b"\x00" + number(len(name), 7) + name + number(len(value), 7) + value


def number(value, bits):
    most = (1 << bits) - 1
    if value < most:
        return bytes([value])
    out, value = bytearray([most]), value - most
    while value >= 128:
        out.append(value % 128 + 128)
        value //= 128
    out.append(value)
    return bytes(out)


def request(method=b"GET", path=b"/x", extra=b""):
    return (literal(b":method", method) + literal(b":scheme", b"https") + literal(b":authority", b"api.test")
            + literal(b":path", path) + extra)


HEAD = request()


def streams(first=1):
    return range(first, 2 ** 31, 2)


def rapid_reset():
    """CVE-2023-44487."""
    for stream in streams():
        yield frame(HEADERS, 5, stream, HEAD) + frame(RST, 0, stream, struct.pack(">I", 8))


def made_you_reset():
    """CVE-2025-8671: what makes the server reset, by a window of 0, one too large, a priority on itself, data after the end."""
    for stream in streams():
        kind = (stream // 2) % 4
        yield frame(HEADERS, 5, stream, HEAD)
        yield [frame(WINDOW, 0, stream, bytes(4)),
               frame(WINDOW, 0, stream, b"\x7f\xff\xff\xff"),
               frame(PRIORITY, 0, stream, struct.pack(">IB", stream, 16)),
               frame(DATA, 0, stream, b"x")][kind]


def continuation():
    """CVE-2024-27316: a head without an end."""
    yield frame(HEADERS, 1, 1, HEAD)
    while True:
        yield frame(CONTINUATION, 0, 1, literal(b"x", b"y" * 8000))


def empty_continuation():
    yield frame(HEADERS, 1, 1, HEAD)
    while True:
        yield frame(CONTINUATION, 0, 1)


def settings():
    """CVE-2019-9515."""
    while True:
        yield frame(SETTINGS, 0, 0, struct.pack(">HI", 4, 65535))


def ping():
    """CVE-2019-9512."""
    while True:
        yield frame(PING, 0, 0, b"12345678")


def window():
    while True:
        yield frame(WINDOW, 0, 0, struct.pack(">I", 1))


def priority():
    """CVE-2019-9513."""
    for stream in streams():
        yield frame(PRIORITY, 0, stream % 2001 + 2, struct.pack(">IB", 0, stream % 256))


def empty_data():
    """CVE-2019-9518."""
    yield frame(HEADERS, 4, 1, request(b"POST"))
    while True:
        yield frame(DATA, 0, 1)


def padded_data():
    yield frame(HEADERS, 4, 1, request(b"POST"))
    while True:
        yield frame(DATA, 8, 1, b"\xff" + bytes(255))


def unknown_frames():
    while True:
        yield frame(0x42, 0, 0, b"x" * 100)


def table_bomb():
    """CVE-2016-1544: one large entry of the table, named again and again."""
    entry = b"\x40" + number(1, 7) + b"x" + number(4000, 7) + b"y" * 4000
    yield frame(HEADERS, 5, 1, HEAD + entry)
    for stream in streams(3):
        yield frame(HEADERS, 5, stream, HEAD + b"\xbe" * 15000)


def many_fields():
    for stream in streams():
        yield frame(HEADERS, 5, stream, HEAD + literal(b"x", b"y") * 3000)


def cookies():
    """CVE-2019-9516 and after: many small cookies."""
    for stream in streams():
        yield frame(HEADERS, 5, stream, HEAD + literal(b"cookie", b"a") * 1400)


def table_resize():
    for stream in streams():
        yield frame(HEADERS, 5, stream, b"\x20\x3f\xe1\x1f" * 1000 + HEAD)


def stalled():
    """CVE-2019-9517: many answers asked for, with a window of nothing."""
    yield frame(SETTINGS, 0, 0, struct.pack(">HI", 4, 0))
    for stream in streams():
        yield frame(HEADERS, 5, stream, request(path=b"/bytes/2000000"))


def dribble():
    """CVE-2019-9511: and then a window of one byte at a time."""
    yield frame(SETTINGS, 0, 0, struct.pack(">HI", 4, 0))
    for stream in range(1, 199, 2):
        yield frame(HEADERS, 5, stream, request(path=b"/bytes/2000000"))
    while True:
        for stream in range(1, 199, 2):
            yield frame(WINDOW, 0, stream, struct.pack(">I", 1))


FLOODS = [rapid_reset, made_you_reset, continuation, empty_continuation, settings, ping, window, priority, empty_data,
          padded_data, unknown_frames, table_bomb, many_fields, cookies, table_resize, stalled, dribble]


def flood(stage, frames, results, seconds=4):
    """Sends and reads until the connection ends or time is over; bytes that were sent, and whether it was ended."""
    sent, ended = 0, False
    try:
        with stage.tls(alpn=["h2"], timeout=5) as s:
            s.sendall(PREFACE + frame(SETTINGS, 0, 0))
            s.setblocking(False)
            deadline = time.monotonic() + seconds
            pieces, batch = frames(), b""
            while time.monotonic() < deadline and not ended:
                while len(batch) < 16384 and (piece := next(pieces, None)):
                    batch += piece
                try:
                    while True:
                        if not s.recv(65536):
                            ended = True
                            break
                except (ssl.SSLWantReadError, ssl.SSLWantWriteError):
                    pass
                try:
                    n = s.send(batch)
                    sent, batch = sent + n, batch[n:]
                except (ssl.SSLWantReadError, ssl.SSLWantWriteError):
                    select.select([s], [s], [], 0.1)
    except (OSError, ValueError):
        ended = True
    results.put((sent, ended))


def floods(stage, findings):
    for make in FLOODS:
        findings.cases += 1
        name = make.__name__.replace("_", " ")
        before = stage.usage()[0]
        stage.origin.take()
        results, most = multiprocessing.SimpleQueue(), [before]

        def work():
            # Processes of their own, so that the other agent does not wait for this interpreter.
            flooding = [multiprocessing.Process(target=flood, args=(stage, make, results)) for _ in range(2)]
            for process in flooding:
                process.start()
            while any(process.is_alive() for process in flooding):
                most[0] = max(most[0], stage.usage()[0])
                time.sleep(0.05)

        took, failed = stage.watch(work)
        p99 = took[int(len(took) * 0.99)] if took else 99
        both = [results.get() for _ in range(2)]
        sent, ended = sum(r[0] for r in both), all(r[1] for r in both)
        said = (f"{sent >> 10} KiB sent, {'connections ended' if ended else 'went on'}, memory {before} -> {most[0]} MiB, "
                f"{len(stage.origin.take())} requests passed, quiet agent p99 {p99 * 1000:.0f} ms")
        if "-v" in sys.argv:
            print(f"{name}: {said}", flush=True)
        if failed:
            findings.add(name, f"the quiet agent failed: {failed[0]}: {said}")
        if p99 > 1.5:
            findings.add(name, f"the quiet agent waited: {said}")
        if most[0] > before + 150:
            findings.add(name, f"memory grew: {said}")
        # Requests without end are answered without end; what is never progress must end the connection.
        if not ended and make in (rapid_reset, made_you_reset, continuation, empty_continuation, settings, ping, window,
                                  priority, empty_data, unknown_frames, table_bomb):
            findings.add(name, f"goes on: {said}")


def h2load(stage, findings):
    for options in (["-n", "3000", "-c", "10", "-m", "50"], ["-n", "600", "-c", "300", "-m", "2"],
                    ["-n", "1000", "-c", "4", "-m", "1000"], ["-n", "2000", "-c", "10", "--h1"]):
        findings.cases += 1
        url = f"https://localhost:{stage.ports['https']}/x"
        said = []
        took, failed = stage.watch(lambda: said.append(subprocess.run(
            ["h2load", *options, url], capture_output=True, text=True, timeout=180, check=False).stdout))
        counts = re.search(r"requests: (\d+) total.*?(\d+) succeeded, (\d+) failed", said[0])
        p99 = took[int(len(took) * 0.99)] if took else 99
        rate = re.search(r"finished in .*?, ([\d.]+) req/s", said[0])
        note = f"h2load {' '.join(options)}: {counts[2] if counts else 0} of {options[1]} answered, " \
               f"{rate[1] if rate else '?'}/s, quiet agent p99 {p99 * 1000:.0f} ms"
        if "-v" in sys.argv:
            print(note, flush=True)
        findings.note(note)
        # More streams than are allowed at once wait at the client; connections beyond the limit fail.
        if not counts or int(counts[2]) < int(options[1]) or failed:
            findings.add("h2load", f"{note}; {failed[:1]}; {said[0][-600:]}")


def h2spec(stage, findings):
    program = os.environ.get("H2SPEC")
    if not program or not Path(program).exists():
        findings.note("h2spec left out: H2SPEC names no binary")
        return
    ran = subprocess.run([program, "-h", "localhost", "-p", str(stage.ports["https"]), "-t", "-k", "-P", "/x", "-o", "3"],
                         capture_output=True, text=True, timeout=600, check=False)
    counts = re.search(r"(\d+) tests, (\d+) passed, (\d+) skipped, (\d+) failed", ran.stdout)
    if "-v" in sys.argv:
        print(ran.stdout[-6000:])
    if not counts:
        findings.add("h2spec", ran.stdout[-500:] + ran.stderr[-500:])
        return
    findings.cases += int(counts[1])
    findings.note(f"h2spec: {counts[0]}")
    if int(counts[4]):
        findings.add("h2spec", ran.stdout[ran.stdout.find("Failures:"):][:3000])


def run():
    findings = Findings("HTTP/2", f"h2load {version_of('h2load', '--version')}")
    with Stage(timeouts={"header_seconds": 5, "idle_seconds": 5, "body_idle_seconds": 5}) as stage:
        h2spec(stage, findings)
        h2load(stage, findings)
        floods(stage, findings)
        stage.check(findings)
    return findings.end()


if __name__ == "__main__":
    multiprocessing.set_start_method("fork")
    sys.exit(run())
