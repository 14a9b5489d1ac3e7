"""Keeps sockets open and a program that serves on them, as a service manager with socket units does: keeper.py NAME=KIND:ADDRESS… --
PROGRAM ARGUMENTS…. KIND is tcp, udp or tproxy. On SIGHUP the program is ended in order and started again, on the same sockets; on
SIGTERM it is ended for good.
"""

import os
import signal
import socket
import subprocess
import sys

FIRST = 3
at = sys.argv.index("--")
doors, program = sys.argv[1:at], sys.argv[at + 1 :]


def opened(kind, address):
    host, port = address.rsplit(":", 1)
    door = socket.socket(socket.AF_INET, socket.SOCK_DGRAM if kind == "udp" else socket.SOCK_STREAM)
    door.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    if kind == "tproxy":
        door.setsockopt(socket.SOL_IP, socket.IP_TRANSPARENT, 1)
    door.bind((host, int(port)))
    if kind != "udp":
        door.listen(4096)
    return door


names, sockets = [], []
for door in doors:
    name, rest = door.split("=", 1)
    kind, address = rest.split(":", 1)
    names.append(name)
    sockets.append(opened(kind, address))
# Above where they go, so that none is overwritten before its turn.
high = [os.dup2(door.fileno(), 100 + number) for number, door in enumerate(sockets)]
places = [os.dup2(door, FIRST + number) for number, door in enumerate(high)]

signals = {signal.SIGHUP, signal.SIGTERM}
signal.pthread_sigmask(signal.SIG_BLOCK, signals)
while True:
    script = 'export LISTEN_PID=$$; exec "$@"'
    serving = subprocess.Popen(
        ["sh", "-c", script, "keeper", *program],
        env={**os.environ, "LISTEN_FDS": str(len(places)), "LISTEN_FDNAMES": ":".join(names)},
        pass_fds=places,
        preexec_fn=lambda: signal.pthread_sigmask(signal.SIG_UNBLOCK, signals),
    )
    print("started", flush=True)
    asked = signal.sigwait(signals)
    serving.send_signal(signal.SIGTERM)
    code = serving.wait()
    print("ended", code, flush=True)
    if asked == signal.SIGTERM or code != 0:
        sys.exit(code)
