"""curl's odd URLs: each spelling must come to the one host, path and framing that it says here, or to a refusal."""

import subprocess
import sys

from stage import STUB, Findings, Stage, version_of

# What a case comes to: the status that curl got (0: no HTTP answer), the reason that stubgate gave, and the request line
# that the origin saw. curl itself refuses some; then nothing may have been sent: `None`.
REFUSED_BY_CURL = (None, "", None)
NO_TLS = (0, "", None)


def passes(line):
    return 200, "", line


def refused(status, reason):
    return status, reason, None


# name, arguments, URL, what it comes to. By the https listener (or http), whatever the URL's host is.
DIRECT = [
    # Hosts: the authority is what TLS named, and nothing else in the URL is.
    ("userinfo that looks like the allowed host", [], "https://api.test@evil.test/", NO_TLS),
    ("userinfo that looks like a denied host", [], "https://evil.test@api.test/", refused(403, "foreign_credential")),
    ("user and password", [], "https://user:pass@api.test/", refused(403, "foreign_credential")),
    ("user and password, host without credentials", [], "https://user:pass@paths.test/v1/x", passes("GET /v1/x")),
    ("two at signs", [], "https://a@api.test@evil.test/", NO_TLS),
    ("backslash before at", [], "https://api.test\\@evil.test/", NO_TLS),
    ("backslash after host", [], "https://evil.test\\.api.test/", REFUSED_BY_CURL),
    ("fragment before at", [], "https://api.test#@evil.test/", passes("GET /")),
    ("query before at", [], "https://api.test?@evil.test/", passes("GET /?@evil.test/")),
    ("slash before at", [], "https://api.test/@evil.test/", passes("GET /@evil.test/")),
    ("upper case", [], "https://API.TEST/x", passes("GET /x")),
    ("trailing dot", [], "https://api.test./x", passes("GET /x")),
    ("two trailing dots", [], "https://api.test../x", REFUSED_BY_CURL),
    ("leading dot", [], "https://.api.test/x", NO_TLS),
    ("percent-encoded letter", [], "https://%61pi.test/x", passes("GET /x")),
    ("percent-encoded NUL", [], "https://api.test%00.evil.test/x", REFUSED_BY_CURL),
    ("percent-encoded slash", [], "https://evil.test%2f.api.test/x", REFUSED_BY_CURL),
    ("space", [], "https://api.test .evil.test/x", REFUSED_BY_CURL),
    ("full-width letters (IDNA maps them)", [], "https://ａｐｉ.test/x", passes("GET /x")),
    ("ideographic full stop", [], "https://api。test/x", passes("GET /x")),
    ("a letter that looks like ours", [], "https://аpi.test/x", NO_TLS),
    ("underscore", [], "https://a_pi.test/x", NO_TLS),
    ("label of 64", [], f"https://{'a' * 64}.test/x", NO_TLS),
    ("punycode of nothing", [], "https://xn--.test/x", NO_TLS),
    ("wildcard as a name", [], "https://*.wild.test/x", NO_TLS),
    ("the apex of a wildcard", [], "https://wild.test/x", NO_TLS),
    ("two labels under a wildcard", [], "https://a.b.wild.test/x", NO_TLS),
    ("address", [], "https://127.0.0.1/x", NO_TLS),
    ("short address", [], "https://127.1/x", NO_TLS),
    ("decimal address", [], "https://2130706433/x", NO_TLS),
    ("octal address", [], "https://0177.0.0.1/x", NO_TLS),
    ("hexadecimal address", [], "https://0x7f.0x0.0x0.0x1/x", NO_TLS),
    ("metadata service", [], "http://169.254.169.254/latest/meta-data", refused(403, "host_not_allowed")),
    ("metadata service, decimal", [], "http://2852039166/latest/meta-data", refused(403, "host_not_allowed")),
    ("metadata service, mapped", [], "http://[::ffff:169.254.169.254]/x", refused(400, "bad_authority")),
    ("IPv6 loopback", [], "http://[::1]/x", refused(403, "host_not_allowed")),
    ("zone id", [], "http://[fe80::1%25lo]/x", refused(403, "host_not_allowed")),
    ("plain where only https is allowed", [], "http://api.test/x", refused(403, "host_not_allowed")),
    ("https where only plain is allowed", [], "https://plain.test/x", refused(403, "host_not_allowed")),
    # Ports: the one in Host counts.
    ("default port written", [], "https://api.test:443/x", passes("GET /x")),
    ("leading zero in a port", [], "https://api.test:0443/x", passes("GET /x")),
    ("another port", [], "https://api.test:8443/x", refused(403, "host_not_allowed")),
    ("port 80 over TLS", [], "https://api.test:80/x", refused(403, "host_not_allowed")),
    ("port 0", [], "https://api.test:0/x", refused(400, "bad_authority")),
    ("port 65536", [], "https://api.test:65536/x", REFUSED_BY_CURL),
    ("empty port", [], "https://api.test:/x", passes("GET /x")),
    # Host against TLS.
    ("another Host", ["-H", "Host: evil.test"], "https://api.test/", refused(421, "authority_mismatch")),
    ("Host of an allowed neighbour", ["-H", "Host: paths.test"], "https://api.test/v1/", refused(421, "authority_mismatch")),
    ("empty Host", ["-H", "Host;"], "https://api.test/", refused(400, "bad_authority")),
    ("no Host", ["-H", "Host:"], "https://api.test/", refused(400, "bad_authority")),
    ("two Hosts, of which curl sends one", ["-H", "Host: api.test", "-H", "host: evil.test"], "https://api.test/", passes("GET /")),
    ("Host with userinfo", ["-H", "Host: evil@api.test"], "https://api.test/", refused(400, "bad_authority")),
    ("Host with a path", ["-H", "Host: api.test/x"], "https://api.test/", refused(400, "bad_authority")),
    ("Host with a port in letters", ["-H", "Host: api.test:x"], "https://api.test/", refused(400, "bad_authority")),
    ("Host with a space", ["-H", "Host: api.test evil.test"], "https://api.test/", refused(400, "bad_authority")),
    ("X-Forwarded-Host", ["-H", "X-Forwarded-Host: evil.test"], "https://api.test/", passes("GET /")),
    # Targets.
    ("another host in the target", ["--request-target", "https://evil.test/"], "https://api.test/", refused(400, "bad_request")),
    ("its own host in the target", ["--request-target", "https://api.test/x"], "https://api.test/", refused(400, "bad_request")),
    ("another scheme in the target", ["--request-target", "http://api.test/x"], "https://api.test/", refused(400, "bad_request")),
    ("ftp in the target", ["--request-target", "ftp://api.test/x"], "https://api.test/", refused(400, "bad_request")),
    ("userinfo in the target", ["--request-target", "https://a@api.test/x"], "https://api.test/", refused(400, "bad_request")),
    ("authority as the target", ["--request-target", "api.test:443"], "https://api.test/", refused(400, "bad_request")),
    ("asterisk", ["-X", "OPTIONS", "--request-target", "*"], "https://api.test/", refused(400, "bad_request")),
    ("asterisk with GET", ["--request-target", "*"], "https://api.test/", refused(400, "bad_request")),
    ("a path that looks like a host", ["--request-target", "//evil.test/x"], "https://api.test/", passes("GET //evil.test/x")),
    ("empty target", ["--request-target", ""], "https://api.test/x", refused(400, "bad_request")),
    ("space in the target", ["--request-target", "/a b"], "https://api.test/", refused(400, "bad_request")),
    ("a fragment in the target", ["--request-target", "/a#b"], "https://api.test/", refused(400, "bad_request")),
    ("a second request in the target, decided by itself", ["--request-target", "/a HTTP/1.1\r\nHost: api.test\r\n\r\nGET /b"], "https://api.test/", passes("GET /a, GET /b")),
    # Paths, where rules have paths.
    ("dots that curl takes away", [], "https://paths.test/v1/../admin", refused(403, "path_not_allowed")),
    ("dots as they are", ["--path-as-is"], "https://paths.test/v1/../admin", refused(403, "path_ambiguous")),
    ("encoded dots", ["--path-as-is"], "https://paths.test/v1/%2e%2e/admin", refused(403, "path_ambiguous")),
    ("one dot encoded", ["--path-as-is"], "https://paths.test/v1/.%2E/admin", refused(403, "path_ambiguous")),
    ("dots encoded twice", ["--path-as-is"], "https://paths.test/v1/%252e%252e/admin", refused(403, "path_ambiguous")),
    ("a single dot", ["--path-as-is"], "https://paths.test/v1/./x", refused(403, "path_ambiguous")),
    ("path parameters", ["--path-as-is"], "https://paths.test/v1/..;/admin", refused(403, "path_ambiguous")),
    ("two slashes", ["--path-as-is"], "https://paths.test//v1/x", refused(403, "path_ambiguous")),
    ("backslash in the path", ["--path-as-is"], "https://paths.test/v1/..\\admin", refused(400, "bad_request")),
    ("encoded backslash", ["--path-as-is"], "https://paths.test/v1/..%5cadmin", refused(403, "path_ambiguous")),
    ("encoded slash", ["--path-as-is"], "https://paths.test/v1/a%2f..%2fadmin", refused(403, "path_ambiguous")),
    ("encoded NUL in the path", [], "https://paths.test/v1/x%00", refused(403, "path_ambiguous")),
    ("encoded line end in the path", [], "https://paths.test/v1/x%0d%0aX:y", refused(403, "path_ambiguous")),
    ("overlong UTF-8", [], "https://paths.test/v1/%c0%ae%c0%ae/admin", refused(403, "path_ambiguous")),
    ("another case", [], "https://paths.test/V1/x", refused(403, "path_not_allowed")),
    ("an encoded letter is that letter", [], "https://paths.test/%76%31/x", passes("GET /v1/x")),
    ("a prefix is no path", [], "https://paths.test/v10/x", refused(403, "path_not_allowed")),
    ("question mark, encoded", [], "https://paths.test/v1%3fx", refused(403, "path_not_allowed")),
    ("dots in the query are not the path", ["--path-as-is"], "https://paths.test/v1/x?/../../admin", passes("GET /v1/x?/../../admin")),
    ("dots without rules about paths", ["--path-as-is"], "https://api.test/a/../b", passes("GET /a/../b")),
    # Credentials in URLs.
    ("stub in the query", [], f"https://api.test/?token={STUB}", refused(403, "stub_out_of_slot")),
    ("stub in the query, a letter encoded", [], f"https://api.test/?x=%70{STUB[1:]}", refused(403, "stub_out_of_slot")),
    ("stub in the path", [], f"https://api.test/{STUB}/x", refused(403, "stub_out_of_slot")),
    ("stub as the user", [], f"https://{STUB}@api.test/", refused(403, "stub_out_of_slot")),
    ("stub as the password", [], f"https://x:{STUB}@api.test/", refused(403, "stub_out_of_slot")),
    ("stub as a cookie", ["-b", f"a={STUB}"], "https://api.test/", refused(403, "stub_out_of_slot")),
    ("stub as the referrer", ["-e", f"https://x/{STUB}"], "https://api.test/", refused(403, "stub_out_of_slot")),
    ("stub as the user agent", ["-A", STUB], "https://api.test/", refused(403, "stub_out_of_slot")),
    ("stub for another host", ["--oauth2-bearer", STUB], "https://paths.test/v1/x", refused(403, "stub_wrong_host")),
    ("stub in its slot", ["--oauth2-bearer", STUB], "https://api.test/x", passes("GET /x")),
    # Methods and framing.
    ("TRACE", ["-X", "TRACE"], "https://api.test/", refused(403, "method_not_allowed")),
    ("CONNECT inside TLS", ["-X", "CONNECT"], "https://api.test/", refused(403, "method_not_allowed")),
    ("lower-case method", ["-X", "get"], "https://api.test/", refused(403, "method_not_allowed")),
    ("empty method", ["-X", " "], "https://api.test/", refused(400, "bad_request")),
    ("DELETE", ["-X", "DELETE"], "https://api.test/", refused(403, "method_not_allowed")),
    ("a line end in a header", ["-H", "X: a\r\nAuthorization: Bearer evil"], "https://api.test/", refused(403, "foreign_credential")),
    ("a space before the colon", ["-H", "Content-Length : 5"], "https://api.test/", refused(400, "bad_request")),
    ("chunked and a length", ["-H", "Transfer-Encoding: chunked", "-H", "Content-Length: 3", "-d", "abc"], "https://api.test/", refused(400, "bad_request")),
    ("an unknown coding", ["-H", "Transfer-Encoding: gzip, chunked", "-d", "abc"], "https://api.test/", refused(501, "bad_request")),
    ("chunked", ["-H", "Transfer-Encoding: chunked", "-d", "abc"], "https://api.test/p", passes("POST /p")),
    ("HTTP/1.0", ["--http1.0", "--no-alpn"], "https://api.test/x", passes("GET /x")),
    ("HTTP/1.0 by ALPN, which is not offered", ["--http1.0"], "https://api.test/x", NO_TLS),
    ("HTTP/2", ["--http2"], "https://api.test/x", passes("GET /x")),
    ("HTTP/2, another Host", ["--http2", "-H", "Host: evil.test"], "https://api.test/x", refused(421, "authority_mismatch")),
    ("HTTP/2 without asking, on the plain port", ["--http2-prior-knowledge"], "http://plain.test/x", (None, "", None)),
    ("upgrade to h2c", ["--http2"], "http://plain.test/x", refused(400, "bad_request")),
    ("PROXY protocol", ["--haproxy-protocol"], "http://plain.test/x", refused(400, "bad_request")),
]

# By the proxy port.
PROXY = [
    ("CONNECT to an allowed host", [], "https://api.test/x", passes("GET /x")),
    ("CONNECT to a denied host", [], "https://evil.test/x", refused(403, "connect_not_allowed")),
    ("CONNECT to another port", [], "https://api.test:22/x", refused(403, "connect_not_allowed")),
    ("CONNECT to port 0", [], "https://api.test:0/x", refused(400, "bad_authority")),
    ("CONNECT to an address", [], "https://127.0.0.1/x", refused(403, "connect_not_allowed")),
    ("CONNECT to a mapped address", [], "https://[::ffff:127.0.0.1]/x", refused(400, "bad_authority")),
    ("CONNECT to an octal address", ["--proxy-header", "Host: 0177.0.0.1:443"], "https://api.test/x", refused(400, "bad_authority")),
    ("CONNECT to a zone, which curl leaves out", [], "https://[fe80::1%25lo]/x", refused(403, "connect_not_allowed")),
    ("CONNECT, upper case", [], "https://API.TEST/x", passes("GET /x")),
    ("CONNECT, another Host", ["--proxy-header", "Host: evil.test:443"], "https://api.test/x", refused(421, "authority_mismatch")),
    ("CONNECT and another SNI", ["--connect-to", "evil.test:443:api.test:443"], "https://evil.test/x", NO_TLS),
    ("CONNECT with a body", ["--proxy-header", "Content-Length: 5"], "https://api.test/x", refused(400, "bad_request")),
    ("plain inside CONNECT", ["-p"], "http://api.test:443/x", NO_TLS),
    ("absolute-form", [], "http://plain.test/x", passes("GET /x")),
    ("absolute-form, denied", [], "http://evil.test/x", refused(403, "host_not_allowed")),
    ("absolute-form, another Host", ["-H", "Host: evil.test"], "http://plain.test/x", refused(421, "authority_mismatch")),
    ("absolute-form, userinfo", ["--request-target", "http://a@plain.test/x"], "http://plain.test/x", refused(400, "bad_authority")),
    ("absolute-form with https", ["--request-target", "https://api.test/x"], "http://api.test/x", refused(400, "bad_request")),
    ("ftp by proxy", [], "ftp://plain.test/x", refused(400, "bad_request")),
    ("credentials for the proxy go no further", ["--proxy-user", "a:b"], "http://plain.test/x", passes("GET /x")),
]

# Other protocols, to the plain port.
OTHER = [
    ("gopher speaks HTTP", [], "gopher://plain.test/_GET%20/x%20HTTP/1.1%0d%0aHost:%20evil.test%0d%0aConnection:%20close%0d%0a%0d%0a", None),
    ("dict", [], "dict://plain.test/d:x", None),
    ("telnet", [], "telnet://plain.test/", None),
    ("smtp", [], "smtp://plain.test/x", None),
    ("imap", [], "imap://plain.test/x", None),
]


def run():
    findings = Findings("curl", version_of("curl", "--version"))
    with Stage(timeouts={"header_seconds": 3, "idle_seconds": 3}) as stage:
        for by, cases in (("direct", DIRECT), ("proxy", PROXY), ("other", OTHER)):
            for name, args, url, expected in cases:
                findings.cases += 1
                got = ask(stage, by, args, url)
                if expected is None:
                    fine = got[2] is None
                elif expected[0] is None:
                    fine = got[2] is None and got[0] == 0
                else:
                    fine = got == expected
                if not fine or "-v" in sys.argv:
                    (findings.add if not fine else lambda *a: print(*a))(f"{by}: {name}", f"{got}, expected {expected}")
        stage.check(findings)
    return findings.end()


def ask(stage, by, args, url):
    stage.origin.take()
    port = {"direct": stage.ports["https" if url.startswith("https") else "http"], "other": stage.ports["http"]}
    way = ["-x", f"http://127.0.0.1:{stage.ports['proxy']}"] if by == "proxy" else ["--connect-to", f"::127.0.0.1:{port[by]}"]
    version = [] if any(a.startswith("--http") for a in args) else ["--http1.1"]
    command = ["curl", "-sS", "-g", "--max-time", "6", "--cacert", stage.ca, "-D", "-", "-o", "/dev/null", *version, *way, *args, url]
    ran = subprocess.run(command, capture_output=True, stdin=subprocess.DEVNULL, check=False)
    heads = [head for head in ran.stdout.decode("latin-1").split("\r\n\r\n") if head.startswith("HTTP/")]
    status, reason = 0, ""
    for head in heads:
        if "200 Connection Established" in head:
            continue
        status = int(head.split()[1])
        named = [line.split(":", 1)[1].strip() for line in head.split("\r\n") if line.lower().startswith("x-stubgate-reason:")]
        reason = named[0] if named else ""
    arrived = stage.origin.take()
    return status, reason, ", ".join(f"{r.method} {r.target}" for r in arrived) or None


if __name__ == "__main__":
    sys.exit(run())
