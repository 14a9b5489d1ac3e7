"""Figures, not attacks: the first handshake for a name that has no certificate yet, and the memory of idle connections.

    figures.py [NAMES [CONNECTIONS]]
"""

import resource
import sys
import time

from stage import STUB, Stage


def handshake(stage, name):
    """Seconds from connecting to the end of the handshake."""
    began = time.perf_counter()
    with stage.tls(name):
        return time.perf_counter() - began


def told(what, took):
    took = sorted(took)
    at = lambda share: took[min(int(len(took) * share), len(took) - 1)] * 1000  # noqa: E731
    print(f"{what}: p50 {at(0.5):.2f} ms, p90 {at(0.9):.2f} ms, p99 {at(0.99):.2f} ms, of {len(took)}", flush=True)


def run(names=1000, connections=9900):
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    limits = {"connections_per_agent": connections + 100, "connections": connections + 1000}
    with Stage(limits=limits, timeouts={"idle_seconds": 3600}) as stage:
        told("handshake for a name seen before", [handshake(stage, "known.wild.test") for _ in range(names)][1:])
        before = stage.usage()[0]
        told("handshake for a fresh name", [handshake(stage, f"n{at}.wild.test") for at in range(names)])
        print(f"memory of {names} certificates: {before} -> {stage.usage()[0]} MiB", flush=True)
        before = stage.usage()[0]
        kept = []
        for _ in range(connections):
            s = stage.tls(timeout=30)
            s.sendall(f"GET /x HTTP/1.1\r\nHost: api.test\r\nAuthorization: Bearer {STUB}\r\n\r\n".encode())
            answer = b""
            while b"\r\n\r\n" not in answer or not answer.endswith(b"\n"):
                answer += s.recv(4096)
            assert answer.startswith(b"HTTP/1.1 200 "), answer
            kept.append(s)
        after = stage.usage()[0]
        print(f"memory of {len(kept)} idle connections (HTTP/1.1 over TLS, after one request each): {before} -> {after} MiB, "
              f"{(after - before) * 1024 / len(kept):.1f} KiB each", flush=True)
        told("a request of the other agent meanwhile", [stage.control() for _ in range(100)])


if __name__ == "__main__":
    run(*map(int, sys.argv[1:]))
