"""iodine and dns2tcp: real DNS tunnels find no server, through an allowed wildcard or a denied name.

Both speak to port 53 alone, so this runs in a network namespace of its own.
"""

import os
import subprocess
import sys

from stage import Findings, Stage, version_of


def run():
    findings = Findings("DNS tunnels", f"iodine {version_of('iodine', '-v')}, dns2tcp {version_of('dpkg-query', '-W', 'dns2tcp')}")
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
    with Stage(dns_port=53) as stage:
        for zone in ("t.wild.test", "wild.test", "t.evil.example"):
            for kind in ("NULL", "TXT", "SRV", "MX", "CNAME", "A"):
                findings.cases += 1
                said = ran(["iodine", "-f", "-r", "-T", kind, "-P", "secret", "127.0.0.1", zone])
                if "Connection setup complete" in said or "Server tunnel IP" in said or not said.strip():
                    findings.add(f"iodine {kind} under {zone}", said[-400:])
                if "-v" in sys.argv:
                    print(zone, kind, said.strip().splitlines()[-1:])
            for kind in ("TXT", "KEY"):
                findings.cases += 1
                said = ran(["dns2tcpc", "-c", "-T", kind, "-z", zone, "-k", "secret", "127.0.0.1"])
                if "Available connection" in said or "Connected" in said:
                    findings.add(f"dns2tcp {kind} under {zone}", said[-400:])
                if "-v" in sys.argv:
                    print(zone, kind, said.strip().splitlines()[-1:])
        asked = [record for record in stage.records() if record.get("layer") == "dns"]
        findings.note(f"{len(asked)} records of questions, {len(stage.names_asked)} questions went on")
        if not asked:
            findings.add("tunnels", "no question was seen: they did not run")
        stage.check(findings)
    return findings.end()


def ran(command):
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=12, check=False)
        return done.stdout + done.stderr
    except subprocess.TimeoutExpired as late:
        return ((late.stdout or b"") + (late.stderr or b"")).decode() + "\ntimed out"


if __name__ == "__main__":
    if os.environ.get("OUTSIDE_NAMESPACE") != "1":
        os.execvpe("unshare", ["unshare", "--net", "--map-root-user", sys.executable, *sys.argv],
                   os.environ | {"OUTSIDE_NAMESPACE": "1"})
    sys.exit(run())
