"""Against a real sshd."""

import asyncio
import getpass
import os
import shutil
import socket
import subprocess
import tempfile
import time
import unittest

from testing import FOLDER, load, use

server = load("ssh")
SSHD = shutil.which("sshd") or (os.path.exists("/usr/sbin/sshd") and "/usr/sbin/sshd")


class Operations(unittest.TestCase):
    def test_arguments_are_words_and_no_more(self):
        known = server.read(str(FOLDER / "ssh/operations.toml"))
        self.assertEqual(known["journal"].line({"unit": "nginx.service"}), "journalctl --no-pager --lines=200 --unit nginx.service")
        for unit in ["", "a b", "a;id", "$(id)", "`id`", "a\nid", "-f", "--help", "a|b", "a&&b", "../a", "A"]:
            with self.assertRaises(Exception, msg=unit):
                known["journal"].line({"unit": unit})
        for given in [{}, {"unit": "a", "more": "b"}]:
            with self.assertRaises(Exception, msg=given):
                known["journal"].line(given)
        with self.assertRaises(Exception):
            known["service_status"].line({"service": "sshd"})

    def test_even_what_any_pattern_lets_through_is_one_word(self):
        table = {"hosts": ["h"], "user": "u", "command": ["echo", "{x}"], "arguments": {"x": {"pattern": "(?s).*"}}}
        operation = server.Operation("o", table)
        self.assertEqual(operation.line({"x": "a; id $(id) 'x'"}), """echo 'a; id $(id) '"'"'x'"'"''""")
        for x in ["-n", "a\nb", "a\0b"]:
            with self.assertRaises(Exception, msg=x):
                operation.line({"x": x})

    def test_a_table_that_is_wrong_is_not_served(self):
        right = {"hosts": ["h"], "user": "u", "command": ["echo"]}
        server.Operation("o", right)
        for wrong in [{"command": "echo; id"}, {"command": ["echo", "{x}"]}, {"arguments": {"x": {"pattern": "a"}}}, {"shell": "sh"}]:
            with self.assertRaises(SystemExit, msg=wrong):
                server.Operation("o", {**right, **wrong})


@unittest.skipUnless(SSHD, "sshd is not installed")
class Ssh(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        folder = tempfile.TemporaryDirectory()
        cls.addClassCleanup(folder.cleanup)
        cls.folder = folder.name
        for name in ["host", "key", "other"]:
            subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", f"{cls.folder}/{name}"], check=True)
        shutil.copy(f"{cls.folder}/key.pub", f"{cls.folder}/authorized")
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            cls.port = free.getsockname()[1]
        if os.geteuid() == 0:
            os.makedirs("/run/sshd", exist_ok=True)
        options = {
            "Port": cls.port, "ListenAddress": "127.0.0.1", "HostKey": f"{cls.folder}/host", "PidFile": "none", "UsePAM": "no",
            "AuthorizedKeysFile": f"{cls.folder}/authorized", "StrictModes": "no", "PermitRootLogin": "prohibit-password",
        }  # fmt: skip
        arguments = [part for key, value in options.items() for part in ("-o", f"{key}={value}")]
        process = subprocess.Popen([SSHD, "-D", "-e", "-f", "/dev/null", *arguments], stderr=subprocess.DEVNULL)
        cls.addClassCleanup(process.wait)
        cls.addClassCleanup(process.terminate)
        deadline = time.monotonic() + 20
        while not cls.listens():
            assert process.poll() is None and time.monotonic() < deadline, "sshd does not start"
        cls.known("host")

    @classmethod
    def listens(cls):
        with socket.socket() as asked:
            return asked.connect_ex(("127.0.0.1", cls.port)) == 0

    @classmethod
    def known(cls, name):
        with open(f"{cls.folder}/{name}.pub") as key, open(f"{cls.folder}/known_hosts", "w") as known:
            known.write(f"[127.0.0.1]:{cls.port} {key.read()}")

    def setUp(self):
        host = f"127.0.0.1:{self.port}"
        base = {"hosts": [host], "user": getpass.getuser()}
        table = {
            "say": {**base, "command": ["printf", "%s\\n", "{text}"], "arguments": {"text": {"pattern": "[^-].{0,100}"}}},
            "fail": {**base, "command": ["sh", "-c", "echo bad >&2; exit 3"]},
            "long": {**base, "command": ["cat", "/dev/zero"]},
            "slow": {**base, "command": ["sleep", "60"], "seconds": 1},
        }
        self.operations = {name: server.Operation(name, operation) for name, operation in table.items()}
        self.host, self.key = host, "key"
        self.known("host")

    def run_on(self, operation, host=None, **arguments):
        machines = server.Machines(f"{self.folder}/{self.key}", f"{self.folder}/known_hosts")
        mcp = server.build(machines, self.operations)
        return asyncio.run(use(mcp, "run", operation=operation, host=host or self.host, arguments=arguments))

    def refuses(self, why, operation, **more):
        with self.assertRaisesRegex(Exception, why):
            self.run_on(operation, **more)

    def test_an_operation_runs_with_its_arguments_as_words(self):
        found = self.run_on("say", text="a; echo $(id) `id` 'x' \"y\" | cat")
        self.assertEqual(found, {"status": 0, "output": "a; echo $(id) `id` 'x' \"y\" | cat\n", "more": False})
        self.assertEqual(self.run_on("fail"), {"status": 3, "output": "bad\n", "more": False})

    def test_output_and_time_are_bounded(self):
        found = self.run_on("long")
        self.assertTrue(found["more"] and len(found["output"]) == server.LARGEST)
        self.refuses("not done within 1 s", "slow")

    def test_other_commands_and_hosts_are_refused(self):
        self.refuses("no such operation", "shell")
        self.refuses("", "say; id")
        self.refuses("not on this host", "fail", host="127.0.0.1:22")
        self.refuses("arguments", "fail", text="x")

    def test_a_machine_whose_key_is_another_or_not_known_is_not_spoken_to(self):
        self.known("other")
        self.refuses("HostKeyNotVerifiable", "fail")
        open(f"{self.folder}/known_hosts", "w").close()
        self.refuses("HostKeyNotVerifiable", "fail")

    def test_a_key_that_is_not_let_in_is_said_so(self):
        self.key = "other"
        self.refuses("PermissionDenied", "fail")


if __name__ == "__main__":
    unittest.main()
