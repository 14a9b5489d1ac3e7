"""testssl.sh and sslscan: what the TLS listener offers, and the known attacks on TLS."""

import json
import subprocess
import sys

from stage import Findings, Stage, version_of

# Findings of testssl.sh that are right for a private CA's certificate, each with its reason.
EXPECTED = {
    "cert_chain_of_trust": "the CA is stubgate's own; agents trust its bundle, testssl.sh does not",
    "sessionresumption_ticket": "its probe without a server name is refused; tlsfuzzer tests resumption",
    "engine_problem": "of testssl.sh's own openssl",
    "cert_expirationStatus": "leaves live for days, by design: they are minted as they are asked for",
    "cert_notAfter": "as above",
    "secure_renego": "rustls has no renegotiation at all, so testssl.sh's probe ends without an answer",
    "cert_caRevocation": "revocation is no use here: leaves live for days and the CA is replaced instead",
    "cert_crlDistributionPoints": "as above",
    "cert_ocspURL": "as above",
    "cert_revocation": "as above",
    "OCSP_stapling": "as above",
    "DNS_CAArecord": "names are the origins', not ours",
    "certificate_transparency": "no log would take a private CA's certificates",
    "HSTS": "headers are the origin's; stubgate adds none",
    "HPKP": "as above",
    "security_headers": "as above",
    "banner_server": "as above",
    "BREACH": "compression is between the origin and the agent",
}
GOOD = {"OK", "INFO", "DEBUG"}


def testssl(stage, findings):
    out = stage.at / "testssl.json"
    command = ["testssl", "--ip", "127.0.0.1", "--quiet", "--color", "0", "--warnings", "off", "--jsonfile", out,
               "--connect-timeout", "10", "--openssl-timeout", "10",
               "-p", "-s", "-f", "-P", "-S", "-U", f"api.test:{stage.ports['https']}"]
    subprocess.run(command, capture_output=True, stdin=subprocess.DEVNULL, timeout=1500, check=False)
    offered, old = set(), {"SSLv2", "SSLv3", "TLS1", "TLS1_1"}
    for entry in json.loads(out.read_text()):
        name, severity, said = entry["id"], entry["severity"], entry["finding"]
        findings.cases += 1
        if name in old | {"TLS1_2", "TLS1_3"} and said.startswith("offered"):
            offered.add(name)
        if severity in GOOD:
            continue
        if EXPECTED.get(name):
            findings.expect(name, EXPECTED[name])
        else:
            findings.add(f"testssl.sh: {name}", f"{severity}: {said}")
    if offered != {"TLS1_2", "TLS1_3"}:
        findings.add("testssl.sh", f"offers {sorted(offered)}")
    findings.note(f"testssl.sh: offered {sorted(offered)}")


def sslscan(stage, findings):
    command = ["sslscan", "--no-colour", "--show-sigs", "--sni-name=api.test", f"127.0.0.1:{stage.ports['https']}"]
    said = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False).stdout
    for line in said.splitlines():
        findings.cases += line.startswith(("Accepted", "Preferred")) or " enabled" in line or " disabled" in line
        enabled_old = line.startswith(("SSLv", "TLSv1.0", "TLSv1.1")) and line.split()[-1] == "enabled"
        weak = line.startswith(("Accepted", "Preferred")) and not any(suite in line for suite in ("GCM", "CHACHA20"))
        if enabled_old or weak or "vulnerable to" in line and "not vulnerable" not in line:
            findings.add("sslscan", line)
    if "TLSv1.3   enabled" not in said:
        findings.add("sslscan", said[-500:])


def run():
    version = f"testssl.sh {version_of('testssl', '--version')}, sslscan {version_of('sslscan', '--version')}"
    findings = Findings("tls scanners", version)
    with Stage() as stage:
        sslscan(stage, findings)
        testssl(stage, findings)
        stage.check(findings)
    return findings.end()


if __name__ == "__main__":
    sys.exit(run())
