"""DNS: dnsperf with odd names at full speed, malformed messages one by one, and random damage to good ones.

An answer must be for the question that was asked (id, QR), small (no amplification), and of stubgate's own making: the name
server behind it is asked nothing. What is no query at all gets no answer. The other agent's questions are answered
throughout.
"""

import random
import re
import socket
import struct
import subprocess
import sys
import time

import dns.edns
import dns.flags
import dns.message
import dns.name
import dns.rdatatype
from stage import Findings, Stage, version_of

# An answer is at most so many times its question; the rest of amplification is limited by the rate.
AMPLIFICATION = 6

# name, bytes (over UDP and TCP), what may come back: "none", or the rcodes that are right.
NOERROR, FORMERR, SERVFAIL, NXDOMAIN, NOTIMP, REFUSED, BADVERS = 0, 1, 2, 3, 4, 5, 16


def head(flags=0x0100, qd=1, an=0, ns=0, ar=0, ident=0x1234):
    return struct.pack(">HHHHHH", ident, flags, qd, an, ns, ar)


API = b"\x03api\x04test\x00"
EVIL = b"\x04evil\x07example\x00"
A = struct.pack(">HH", 1, 1)
OPT = b"\x00" + struct.pack(">HHIH", 41, 1232, 0, 0)


def qtype(kind, of=API, klass=1):
    return head() + of + struct.pack(">HH", kind, klass)


CASES = [
    ("nothing", b"", "none"),
    ("one byte", b"\x12", "none"),
    ("half a header", head()[:6], "none"),
    ("a header alone", head(), {FORMERR, "none"}),
    ("a header that promises nothing", head(qd=0), {FORMERR, NOERROR, REFUSED, "none"}),
    ("a question cut in its name", head() + API[:5], {FORMERR, "none"}),
    ("a question cut in its type", head() + API + b"\x00", {FORMERR, "none"}),
    ("a response", head(0x8180) + API + A, "none"),
    ("a response with an answer", head(0x8180, an=1) + API + A + b"\xc0\x0c" + A + bytes(4) + b"\x00\x04\x7f\x00\x00\x01", "none"),
    ("two questions", head(qd=2) + API + A + EVIL + A, {FORMERR, NOTIMP, REFUSED, "none"}),
    ("65535 questions", head(qd=65535) + (API + A) * 20, {FORMERR, NOTIMP, REFUSED, "none"}),
    ("an answer in a query", head(an=1) + API + A + API + A + bytes(6), {FORMERR, NOERROR, REFUSED, "none"}),
    ("65535 additional", head(ar=65535) + API + A, {FORMERR, "none"}),
    ("a pointer to itself", head() + b"\xc0\x0c" + A, {FORMERR, "none"}),
    ("a pointer forward", head() + b"\xc0\x20" + A + bytes(40), {FORMERR, "none"}),
    ("a pointer into the header", head() + b"\xc0\x00" + A, {FORMERR, REFUSED, NXDOMAIN, NOERROR, "none"}),
    ("two pointers at each other", head() + b"\xc0\x0e\xc0\x0c" + A, {FORMERR, "none"}),
    ("label type 01", head() + b"\x41api\x00" + A, {FORMERR, "none"}),
    ("label type 10", head() + b"\x83api\x00" + A, {FORMERR, "none"}),
    ("a label of 63", head() + b"\x3f" + b"a" * 63 + b"\x04test\x00" + A, {NXDOMAIN}),
    ("a name of 255", head() + (b"\x3f" + b"a" * 63) * 3 + b"\x3d" + b"a" * 61 + b"\x00" + A, {NXDOMAIN}),
    ("a name of 256", head() + (b"\x3f" + b"a" * 63) * 3 + b"\x3e" + b"a" * 62 + b"\x00" + A, {FORMERR, "none"}),
    ("a name of 127 labels", head() + b"\x01a" * 127 + b"\x00" + A, {NXDOMAIN, FORMERR}),
    ("the root", head() + b"\x00" + A, {NXDOMAIN, REFUSED, NOERROR}),
    ("NUL in a label", head() + b"\x07api\x00tes\x00" + A, {NXDOMAIN, FORMERR, REFUSED}),
    ("a dot in a label", head() + b"\x08api.test\x00" + A, {NXDOMAIN, FORMERR, REFUSED}),
    ("bytes above ASCII", head() + b"\x03\xff\xfe\xfd\x04test\x00" + A, {NXDOMAIN, FORMERR, REFUSED}),
    ("an address as a name", head() + b"\x03127\x010\x010\x011\x00" + A, {NXDOMAIN}),
    ("a wildcard as a name", head() + b"\x01*\x04wild\x04test\x00" + A, {NXDOMAIN, FORMERR}),
    ("letters in mixed case", head() + b"\x03aPi\x04TesT\x00" + A, {NOERROR}),
    ("a denied name", head() + EVIL + A, {NXDOMAIN}),
    ("an ancestor of an allowed name", head() + b"\x04test\x00" + A, {NOERROR}),
    ("class CHAOS", qtype(16, b"\x07version\x04bind\x00", 3), {REFUSED, NOTIMP}),
    ("class ANY", qtype(1, klass=255), {REFUSED, NOTIMP, FORMERR}),
    ("class NONE", qtype(1, klass=254), {REFUSED, NOTIMP, FORMERR}),
    ("type ANY", qtype(255), {NOERROR}),
    ("AXFR", qtype(252), {REFUSED, NOTIMP}),
    ("IXFR", qtype(251), {REFUSED, NOTIMP}),
    ("MAILB", qtype(253), {NOERROR, NOTIMP, REFUSED}),
    ("TXT of a denied name", qtype(16, EVIL), {NXDOMAIN}),
    ("NULL (tunnels)", qtype(10), {NOERROR, NXDOMAIN}),
    ("HTTPS", qtype(65), {NOERROR}),
    ("type 0", qtype(0), {NOERROR, FORMERR, NOTIMP, REFUSED}),
    ("type 65535", qtype(65535), {NOERROR, NOTIMP, REFUSED}),
    ("type OPT as a question", qtype(41), {NOERROR, FORMERR, NOTIMP, REFUSED}),
    *[(f"opcode {code}", head(code << 11 | 0x0100) + API + A, {NOTIMP, FORMERR, REFUSED, "none"}) for code in range(1, 16)],
    ("EDNS", head(ar=1) + API + A + OPT, {NOERROR}),
    ("EDNS twice", head(ar=2) + API + A + OPT + OPT, {FORMERR, "none"}),
    ("EDNS version 1", head(ar=1) + API + A + b"\x00" + struct.pack(">HHIH", 41, 1232, 1 << 16, 0), {BADVERS, NOERROR}),
    ("EDNS of 0 bytes", head(ar=1) + API + A + b"\x00" + struct.pack(">HHIH", 41, 0, 0, 0), {NOERROR, FORMERR}),
    ("EDNS of 65535 bytes", head(ar=1) + API + A + b"\x00" + struct.pack(">HHIH", 41, 65535, 0, 0), {NOERROR}),
    ("EDNS with an owner name", head(ar=1) + API + A + API + struct.pack(">HHIH", 41, 1232, 0, 0), {FORMERR, NOERROR, "none"}),
    ("EDNS with an option cut short", head(ar=1) + API + A + b"\x00" + struct.pack(">HHIH", 41, 1232, 0, 4) + b"\x00\x0a\xff\xff", {FORMERR, NOERROR, "none"}),
    ("EDNS with a cookie", head(ar=1) + API + A + b"\x00" + struct.pack(">HHIH", 41, 1232, 0, 12) + b"\x00\x0a\x00\x08" + b"c" * 8, {NOERROR}),
    ("EDNS client subnet", head(ar=1) + API + A + b"\x00" + struct.pack(">HHIH", 41, 1232, 0, 11) + b"\x00\x08\x00\x07\x00\x01\x18\x00\x0a\x00\x00", {NOERROR}),
    ("TSIG", head(ar=1) + API + A + b"\x03key\x00" + struct.pack(">HHIH", 250, 255, 0, 0), {FORMERR, NOERROR, REFUSED, 9, "none"}),
    ("bytes behind the message", head() + API + A + b"garbage" * 10, {NOERROR, FORMERR, "none"}),
    ("all flags", head(0x7fff & ~0x7800) + API + A, {NOERROR, FORMERR, REFUSED, "none"}),
    ("the largest UDP message", head() + API + A + bytes(60000), {NOERROR, FORMERR, "none"}),
]


def udp(stage, packet, source="127.0.0.1", wait=0.4):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
        s.bind((source, 0))
        s.settimeout(wait)
        s.sendto(packet, ("127.0.0.1", stage.ports["dns"]))
        try:
            return s.recv(65535)
        except TimeoutError:
            return None


def tcp(stage, packet, source="127.0.0.1", wait=1.0, prefix=None):
    with socket.create_connection(("127.0.0.1", stage.ports["dns"]), 5, (source, 0)) as s:
        s.sendall(struct.pack(">H", len(packet) if prefix is None else prefix) + packet)
        s.settimeout(wait)
        out = b""
        try:
            while len(out) < 2 or len(out) < 2 + struct.unpack(">H", out[:2])[0]:
                got = s.recv(65535)
                if not got:
                    return None
                out += got
        except (TimeoutError, ConnectionResetError):
            return None
        return out[2:]


def judge(packet, answer, expected, by):
    """What is wrong with an answer, or None."""
    if answer is None:
        return None if expected == "none" or "none" in expected or packet == b"" else "no answer"
    if expected == "none":
        return f"an answer: {answer[:40]!r}"
    if len(answer) < 12 or answer[:2] != packet[:2] or not answer[2] & 0x80:
        return f"not an answer to this: {answer[:40]!r}"
    if by == "udp" and len(answer) > max(512, AMPLIFICATION * len(packet)):
        return f"{len(answer)} bytes for {len(packet)}"
    code = answer[3] & 15
    try:
        code = int(dns.message.from_wire(answer).rcode())
    except Exception as error:  # the answer itself is malformed
        return f"an answer that cannot be read: {error!r}: {answer[:80]!r}"
    return None if code in expected else f"rcode {code}"


def one_by_one(stage, findings):
    for by, ask in (("udp", udp), ("tcp", tcp)):
        for name, packet, expected in CASES:
            if by == "udp" and len(packet) > 60000 or by == "tcp" and not packet:
                continue
            findings.cases += 1
            wrong = judge(packet, ask(stage, packet), expected, by)
            if wrong:
                findings.add(f"{name} by {by}", wrong)
    for name, prefix, packet in (("a length of 0", 0, b""), ("a length beyond what follows", 500, head() + API + A),
                                 ("a length below what follows", 5, head() + API + A)):
        findings.cases += 1
        if (answer := tcp(stage, packet, prefix=prefix)) is not None and answer[3] & 15 != FORMERR:
            findings.add(f"{name} by tcp", f"{answer!r}")


def damaged(stage, findings, count=20000, seed=4):
    """Good queries with bytes changed, taken away, put in and doubled."""
    rng = random.Random(seed)
    good = [packet for _, packet, _ in CASES if 20 < len(packet) < 300]
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
        s.bind(("127.0.0.1", 0))
        s.setblocking(False)
        for at in range(count):
            packet = bytearray(rng.choice(good))
            for _ in range(rng.randint(1, 6)):
                where = rng.randrange(len(packet))
                match rng.randrange(4):
                    case 0:
                        packet[where] = rng.randrange(256)
                    case 1:
                        del packet[where:where + rng.randint(1, 8)]
                    case 2:
                        packet[where:where] = rng.randbytes(rng.randint(1, 8))
                    case 3:
                        packet[where:where] = packet[where:where + rng.randint(1, 40)]
                if len(packet) < 3:
                    break
            s.sendto(bytes(packet), ("127.0.0.1", stage.ports["dns"]))
            findings.cases += 1
            try:
                while answer := s.recv(65535):
                    if not answer[2] & 0x80:
                        findings.add("damaged", f"not an answer: {answer[:40]!r}")
            except BlockingIOError:
                pass
            if at % 2000 == 0:
                control(stage, findings, "damaged")


def control(stage, findings, name):
    """The other agent's question; seconds."""
    began = time.monotonic()
    answer = udp(stage, head() + API + A, "127.0.0.2", 2)
    if answer is None or answer[-4:] != b"\x7f\x00\x00\x01":
        findings.add(name, f"the other agent's question was not answered: {answer!r}")
    return time.monotonic() - began


def dnsperf(stage, findings):
    lines = ["api.test A", "api.test AAAA", "api.test HTTPS", "evil.example.org A", "a.wild.test A", "wild.test A",
             "a.b.wild.test A", ". NS", "api.test ANY", "api.test AXFR", "xn--nxasmq6b.test A", "_x._tcp.api.test SRV",
             "1.0.0.127.in-addr.arpa PTR", "127.0.0.1 A", "\\000.test A", "a\\.b.test A", "\\255\\254.test A",
             f"{'a' * 63}.wild.test A", f"{'.'.join(['a' * 63] * 3)}.wild.test TXT", "api.test TYPE65534"]
    rng = random.Random(4)
    lines += [f"{rng.randbytes(20).hex()}.{name} {kind}" for name in ("wild.test", "evil.test", "test")
              for kind in ("A", "TXT", "NULL") for _ in range(100)]
    (stage.at / "queries").write_text("\n".join(lines) + "\n")
    for options in (["-c", "8"], ["-c", "4", "-m", "tcp"], ["-c", "8", "-e", "-D"]):
        findings.cases += 1
        times = []
        process = subprocess.Popen(["dnsperf", "-s", "127.0.0.1", "-p", str(stage.ports["dns"]), "-d", stage.at / "queries",
                                    "-l", "5", "-t", "2", *options], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        while process.poll() is None:
            times.append(control(stage, findings, f"dnsperf {' '.join(options)}"))
            time.sleep(0.05)
        said = process.stdout.read()
        sent = re.search(r"Queries sent: +(\d+)", said)
        done = re.search(r"Queries completed: +(\d+)", said)
        codes = re.search(r"Response codes: +(.*)", said)
        times.sort()
        note = (f"dnsperf {' '.join(options)}: {sent and sent[1]} sent, {done and done[1]} answered ({codes and codes[1]}), "
                f"quiet agent p99 {times[int(len(times) * 0.99)] * 1000:.0f} ms")
        findings.note(note)
        if not sent:
            findings.add("dnsperf", said[-400:])
        if times[int(len(times) * 0.99)] > 0.5:
            findings.add("dnsperf", f"the other agent waited: {note}")


def run():
    findings = Findings("dnsperf, malformed DNS", version_of("dnsperf", "-h"))
    with Stage(limits={"dns_queries_per_second": 100000, "dns_burst": 100000}) as stage:
        one_by_one(stage, findings)
        damaged(stage, findings)
        stage.check(findings)
    with Stage() as stage:
        dnsperf(stage, findings)
        stage.check(findings)
    return findings.end()


if __name__ == "__main__":
    sys.exit(run())
