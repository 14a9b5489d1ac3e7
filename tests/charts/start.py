"""Starts stubgate in a network namespace of its own, as the user of the pod, and prints what /readyz says: BINARY CONFIG USER."""

import os
import pathlib
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request

binary, config, user = sys.argv[1:4]
subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
pathlib.Path("/proc/sys/net/ipv4/ip_unprivileged_port_start").write_text("0")
# Who is no root outside can't become anybody else inside.
can_change = pathlib.Path("/proc/self/uid_map").read_text().split()[2] == "4294967295"
as_whom = {"user": int(user), "group": int(user), "extra_groups": []} if can_change else {}
log = open(os.path.join(os.path.dirname(os.path.dirname(config)), "log"), "w+")
process = subprocess.Popen([binary, "run", "--config", config], stderr=log, stdout=log, **as_whom)
deadline = time.monotonic() + 40
said = ""
while time.monotonic() < deadline and process.poll() is None:
    try:
        said = urllib.request.urlopen("http://127.0.0.1:9090/readyz", timeout=2).read().decode()
        break
    except urllib.error.HTTPError as error:
        said = error.read().decode()
    except OSError:
        pass
    time.sleep(0.1)
print(said, end="")
closed = [port for port in (53, 80, 443, 3128, 9090) if socket.socket().connect_ex(("127.0.0.1", port)) != 0]
process.kill()
process.wait()
if closed or not said.startswith("ready"):
    log.seek(0)
    sys.exit(f"closed: {closed}\n{log.read()}")
