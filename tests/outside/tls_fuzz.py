"""tlsfuzzer: handshakes and records as they must not be. TLSFUZZER names a checkout of github.com/tlsfuzzer/tlsfuzzer.

A script passes, or each of its failures is of a kind that is right for stubgate:

- `refused`: what the script would have is not spoken here (finite-field groups, x448, CBC, RSA key exchange, old versions,
  renegotiation), and the handshake ends with an alert or at once;
- `other alert`: the connection ends as it must, with another alert than the script expects;
- what stands in REVIEWED, with its reason.

Anything else is unexpected: above all, going on where the script expects an end.
"""

import os
import re
import subprocess
import sys

from stage import HERE, Findings, Stage, tool_path

TLS13 = """0rtt-garbage ccs connection-abort conversation count-tickets crfg-curves dhe-shared-secret-padding ecdhe-curves
ecdsa-support empty-alert finished finished-plaintext hrr invalid-ciphers keyshare-omitted keyupdate legacy-version
multiple-ccs-messages no-unknown-groups nociphers obsolete-curves record-layer-limits record-padding serverhello-random
session-resumption shuffled-extentions signature-algorithms symetric-ciphers unencrypted-alert unrecognised-groups
version-negotiation zero-content-type zero-length-data minerva"""
# Scripts with a switch for (EC)DHE, then those without.
TLS12_D = """ccs client-hello-max-size connection-abort conversation cve-2016-6309 early-application-data
export-ciphers-rejected extended-master-secret-extension fallback-scsv fuzzed-ciphertext hello-request-by-client
interleaved-application-data-in-renegotiation invalid-client-hello-w-record-overflow invalid-compression-methods
invalid-content-type invalid-server-name-extension large-hello legacy-renegotiation message-skipping no-heartbeat
no-mlkem-in-old-tls record-layer-fragmentation renegotiation-disabled session-ticket-resumption sessionID-resumption
ssl-death-alert truncating-of-client-hello version-numbers zero-length-data"""
TLS12 = """cve-2016-7054 empty-extensions extensions invalid-client-hello sslv2-connection sslv2-force-cipher cve-2004-0079"""
# Left out, because they test what is not there: CBC (fuzzed-MAC, fuzzed-padding, lucky13, SSLv3-padding, cve-2016-2107),
# RSA and finite-field key exchange (bleichenbacher, dhe-*, message-duplication, invalid-version, fuzzed-finished,
# truncating-of-finished), client certificates, heartbeat, certificate compression, CCM, external PSK, an echo server
# (lengths, record-size-limit), ALPN of a file server; and what needs more than one server.

# script, what fails (a pattern over its name, what it expected and what came), and why that is right.
REVIEWED = [
    ("test-tls13-obsolete-curves", "server_hello", "groups that it does not know are ignored beside one that it does"),
    ("test-tls13-shuffled-extentions", "server_hello", "rustls does not compare the order of a second ClientHello's extensions"),
    ("test-tls13-ecdsa-support", "server_hello", "the shim offers ECDSA with SHA-256 as well"),
    ("test-tls13-legacy-version", "server_hello", "rustls ignores legacy_version beside supported_versions"),
    ("test-tls13-multiple-ccs-messages", "Timeout", "rustls lets a few needless ChangeCipherSpec pass, then ends"),
    ("test-tls13-keyupdate", "multiple KeyUpdate", "several requests are answered by one update"),
    ("test-tls13-session-resumption", "PSK_ONLY", "no ticket for clients without psk_dhe_ke"),
    ("test-tls13-0rtt-garbage", "", "no ticket allows early data, so no honest client sends any; the connection ends"),
    (".*record-layer-(limits|fragmentation)", "server_hello", "rustls takes plaintext records of up to 18 KiB"),
    ("test-(legacy-renegotiation|renegotiation-disabled)", "Timeout", "a second ClientHello is left without an answer"),
    ("test-.*", "renegotiat.*Timeout", "a second ClientHello is left without an answer"),
    ("test-interleaved-application-data-in-renegotiation", "Timeout", "as above"),
    ("test-.*", "ExpectServerHelloDone.*server_key_exchange", "the script expects RSA key exchange"),
    ("test-(extended-master-secret-extension|sessionID-resumption)", "resume", "no resumption by session ID: a full handshake"),
    ("test-no-heartbeat", "in handshake.*Timeout", "ignored; the deadline of the handshake goes on"),
    ("test-extensions", "fuzz ext length", "the shim's extensions move the byte that is fuzzed"),
    ("test-legacy-renegotiation", "non-empty initial", "nothing is ever renegotiated, so nothing hangs on it"),
    ("test-invalid-server-name-extension", "incorrect SNI", "a fatal alert, as a name that is not allowed must end here"),
    ("test-.*", "Can't represent value", "the script's own ClientHello does not fit beside the shim's server name"),
]


def run():
    folder = tool_path("TLSFUZZER", "tlsfuzzer/messages.py")
    findings = Findings("tlsfuzzer", "see README")
    if folder is None:
        print("tlsfuzzer: left out: TLSFUZZER names no checkout")
        return 0
    scripts = [(f"test-tls13-{name}", []) for name in TLS13.split()]
    scripts += [(f"test-{name}", ["-d"]) for name in TLS12_D.split()] + [(f"test-{name}", []) for name in TLS12.split()]
    wanted = [a for a in sys.argv[1:] if a.startswith("test-")]
    passed = 0
    with Stage() as stage:
        for script, options in scripts:
            if wanted and script not in wanted:
                continue
            said = ran(folder, stage, script, options)
            totals = {key: int(value) for key, value in re.findall(r"^(PASS|FAIL|XFAIL|XPASS): (\d+)", said, re.M)}
            findings.cases += sum(totals.values())
            passed += totals.get("PASS", 0)
            if not totals:
                findings.add(script, f"did not run: {said[-300:]}")
            kinds = {}
            for name, expected, error in failures(said):
                kind, why = judge(script, name, expected, error)
                kinds[kind] = kinds.get(kind, 0) + 1
                if kind == "unexpected":
                    findings.add(f"{script}: {name}", f"{expected}: {error}")
                else:
                    findings.expect(f"{script}: {name}", why)
            if "-v" in sys.argv:
                print(f"{script}: {totals.get('PASS')} passed, {kinds}", flush=True)
        stage.check(findings)
    findings.note(f"{len(scripts)} scripts, {passed} passed")
    return findings.end()


def ran(folder, stage, script, options):
    command = [sys.executable, HERE / "tlsfuzzer_shim.py", folder, "api.test", script, "-h", "127.0.0.1",
               "-p", str(stage.ports["https"]), "-n", "40", *options]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=300, stdin=subprocess.DEVNULL, check=False,
                              env=os.environ | {"PYTHONDONTWRITEBYTECODE": "1"})
    except subprocess.TimeoutExpired:
        return "timed out"
    return done.stdout + done.stderr


def failures(said):
    """Each conversation that failed: its name, what was expected, the error."""
    for block in re.split(r"\n(?=\S[^\n]* \.\.\.\n)", said):
        found = re.match(r"(.+?) \.\.\.\nError encountered while processing node (.+?) \(child", block)
        if found:
            errors = re.findall(r"^(?:[\w.]+Error|AssertionError|TimeoutError|socket\.timeout)\b.*$", block, re.M)
            yield found[1], re.sub(r" object at 0x\w+|<tlsfuzzer\.expect\.|>", "", found[2]), errors[-1] if errors else "?"


def judge(script, name, expected, error):
    text = f"{name} | {expected} | {error}"
    for in_script, pattern, why in REVIEWED:
        if re.fullmatch(in_script, script) and re.search(pattern, text):
            return "reviewed", why
    if "ExpectAlert" in expected and ("does not match received" in error or "Alert(fatal" in error):
        return "other alert", "ends with another alert"
    closed = any(word in error for word in ("TLSAbruptCloseError", "ConnectionResetError", "BrokenPipeError", "Unexpected closure"))
    if "ExpectAlert" in expected and closed:
        return "other alert", "ends without an alert"
    if "Alert(fatal" in error or closed:
        return "refused", "not spoken here"
    return "unexpected", ""


if __name__ == "__main__":
    sys.exit(run())
