"""slowhttptest: slow heads, slow bodies, slow readers and many ranges, of one agent, while another goes on working.

By the plain port and by the proxy port; over TLS it names no server, so its connections end at the ClientHello.
"""

import re
import subprocess
import sys

from stage import Findings, Stage, version_of

CONNECTIONS = 300
LIMIT = 200
MODES = {
    "slow heads": ["-H", "-i", "1"],
    "slow bodies": ["-B", "-i", "1", "-s", "65536", "-t", "POST"],
    "slow readers": ["-X", "-w", "16", "-y", "64", "-n", "2", "-z", "8", "-k", "2"],
    "many ranges": ["-R", "-a", "1", "-b", "3000"],
}


def run():
    findings = Findings("slowhttptest", version_of("slowhttptest", "-h"))
    limits = {"connections_per_agent": LIMIT}
    timeouts = {"header_seconds": 3, "idle_seconds": 4, "body_idle_seconds": 4, "handshake_seconds": 3}
    with Stage(limits=limits, timeouts=timeouts) as stage:
        for by in ("http", "proxy"):
            for name, options in MODES.items():
                findings.cases += 1
                path = "/bytes/20000000" if name == "slow readers" else "/x"
                url = f"http://localhost:{stage.ports['http']}{path}"
                way = ["-d", f"127.0.0.1:{stage.ports['proxy']}"] if by == "proxy" else []
                command = ["slowhttptest", *options, *way, "-c", str(CONNECTIONS), "-r", "150", "-l", "15", "-p", "2", "-u", url]
                said = []
                took, failed = stage.watch(lambda: said.append(
                    subprocess.run(command, capture_output=True, text=True, timeout=90, check=False).stdout))
                text = re.sub(r"\x1b\[[0-9;]*m", "", said[0])
                status = re.findall(r"Exit status: (.*)", text)
                most = max(map(int, re.findall(r"connected: +(\d+)", text)), default=0)
                p99 = took[int(len(took) * 0.99)] if took else 99
                report = f"{most} held at most, quiet agent p50 {took[len(took) // 2] * 1000:.0f} ms, p99 {p99 * 1000:.0f} ms"
                findings.note(f"{by} {name}: {report}")
                if "-v" in sys.argv:
                    print(name, by, report, status, stage.usage())
                if failed:
                    findings.add(f"{name} by {by}", f"{len(failed)} requests of the quiet agent failed: {failed[0]}")
                if p99 > 1:
                    findings.add(f"{name} by {by}", f"the quiet agent waited: {report}")
                if most > LIMIT + 20:
                    findings.add(f"{name} by {by}", f"more connections than the limit: {report}")
                if not status:
                    findings.add(f"{name} by {by}", f"slowhttptest did not run: {text[-300:]}")
        stage.check(findings)
    return findings.end()


if __name__ == "__main__":
    sys.exit(run())
