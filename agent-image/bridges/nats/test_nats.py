"""Against a real nats-server with JetStream."""

import asyncio
import os
import re
import shutil
import subprocess
import tempfile
import unittest

import nats
from testing import load, use

server = load("nats")


class Subjects(unittest.TestCase):
    def test_a_subject_is_allowed_by_a_pattern_and_not_by_its_beginning(self):
        for pattern, subject, expected in [
            ("a.b", "a.b", True), ("a.b", "a.b.c", False), ("a.b", "a", False), ("a.*", "a.b", True), ("a.*", "a.b.c", False),
            ("a.>", "a.b.c", True), ("a.>", "a", False), (">", "a", True), ("a", "ab", False), ("*.b", "x.b", True),
            (">", "_INBOX.x", False),
        ]:  # fmt: skip
            self.assertEqual(server.allows([pattern], subject), expected, (pattern, subject))
        self.assertFalse(server.allows([], "a"))

    def test_a_pattern_that_is_none_is_not_served(self):
        for pattern in ["a..b", ">.a", "a.>.b", "a*", "$JS.>", ".a"]:
            os.environ["TEST_PATTERNS"] = pattern
            with self.assertRaises(SystemExit, msg=pattern):
                server.patterns("TEST_PATTERNS")
        os.environ["TEST_PATTERNS"] = "a.b c.> *.d"
        self.assertEqual(server.patterns("TEST_PATTERNS"), ["a.b", "c.>", "*.d"])


@unittest.skipUnless(shutil.which("nats-server"), "nats-server is not installed")
class Nats(unittest.IsolatedAsyncioTestCase):
    async def asyncSetUp(self):
        self.folder = tempfile.TemporaryDirectory()
        self.addCleanup(self.folder.cleanup)
        arguments = ["-js", "-sd", self.folder.name, "-a", "127.0.0.1", "-p", "-1", "--auth", "right"]
        ports = ["--ports_file_dir", self.folder.name]
        self.process = subprocess.Popen(["nats-server", *arguments, *ports], stderr=subprocess.DEVNULL)
        self.addCleanup(self.process.wait)
        self.addCleanup(self.process.terminate)
        self.url = await asyncio.wait_for(self.listening(), 20)
        self.other = await nats.connect(self.url, token="right")
        self.client = server.Client(self.url, token="right")
        self.mcp = server.build(self.client, ["team.>", "lost"], ["ask.*"], ["team.>"])

    async def listening(self):
        while True:
            for name in os.listdir(self.folder.name):
                if name.endswith(".ports"):
                    with open(os.path.join(self.folder.name, name)) as file:
                        if found := re.search(r'nats://[\d.]+:\d+', file.read()):
                            return found[0]
            await asyncio.sleep(0.02)

    async def asyncTearDown(self):
        await self.other.close()
        if self.client.client:
            await self.client.client.close()

    async def refuses(self, tool, why="", **arguments):
        with self.assertRaisesRegex(Exception, why, msg=f"{tool} {arguments}"):
            await use(self.mcp, tool, **arguments)

    async def test_what_is_published_is_read_from_its_stream(self):
        await self.other.jetstream().add_stream(name="TEAM", subjects=["team.>"])
        for text in ["one", "two", "three"]:
            await use(self.mcp, "publish", subject="team.a", text=text)
        await use(self.mcp, "publish", subject="team.b", text="other")
        found = await use(self.mcp, "read", stream="TEAM", subject="team.a")
        self.assertEqual([(m["sequence"], m["text"]) for m in found], [(1, "one"), (2, "two"), (3, "three")])
        found = await use(self.mcp, "read", stream="TEAM", subject="team.a", after=2)
        found = found if isinstance(found, list) else [found]
        self.assertEqual([m["text"] for m in found], ["three"])
        self.assertEqual((await self.other.jetstream().stream_info("TEAM")).state.messages, 4)
        await self.refuses("read", "no such stream", stream="NONE", subject="team.a")

    async def test_a_request_is_answered_or_not(self):
        async def answer(message):
            await message.respond(b"you said " + message.data)

        await self.other.subscribe("ask.time", cb=answer)
        await self.other.flush()
        self.assertEqual(await use(self.mcp, "request", subject="ask.time", text="x"), "you said x")
        await self.refuses("request", "nobody answers", subject="ask.nobody", seconds=1)

    async def test_what_is_not_allowed_is_not_sent(self):
        heard = await self.other.subscribe(">")
        await self.other.flush()
        for subject in ["other", "team", "team.*", "team.>", "$JS.API.STREAM.LIST", "team..a", "team.a b", "team.a\r\nPUB x 1", "", "_INBOX.x"]:
            await self.refuses("publish", subject=subject, text="x")
            await self.refuses("request", subject=subject)
            await self.refuses("read", stream="TEAM", subject=subject)
        await self.refuses("request", "not allowed", subject="team.a")
        await self.refuses("read", stream="TEAM.>", subject="team.a")
        await self.other.flush()
        self.assertEqual(heard.pending_msgs, 0)

    async def test_a_wrong_token_is_said_without_it(self):
        self.mcp = server.build(server.Client(self.url, token="secret-wrong"), ["team.>"], [], [])
        with self.assertRaises(Exception) as refused:
            await use(self.mcp, "publish", subject="team.a", text="x")
        self.assertIn("not reached", str(refused.exception))
        self.assertNotIn("secret", str(refused.exception))


if __name__ == "__main__":
    unittest.main()
