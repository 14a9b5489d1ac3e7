"""Tests of the bridge, against a double of its system: python -m unittest"""

import asyncio
import sys
import unittest
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
from server import System, build  # noqa: E402


async def double(reader, writer):
    """Lets in who knows the password, and answers each key with itself."""
    is_in = False
    while line := (await reader.readline()).decode().strip():
        command, _, argument = line.partition(" ")
        if command == "auth":
            is_in = argument == "right"
            writer.write(b"+\n" if is_in else f"-wrong: {argument}\n".encode())
        else:
            writer.write(f"+value of {argument}\n".encode() if is_in and argument != "team:none" else b"-no such key\n")
        await writer.drain()
    writer.close()


class Tools(unittest.IsolatedAsyncioTestCase):
    async def asyncSetUp(self):
        self.server = await asyncio.start_server(double, "127.0.0.1", 0)
        self.address = f"127.0.0.1:{self.server.sockets[0].getsockname()[1]}"
        self.mcp = build(System(self.address, "right", ["team:"]))

    async def asyncTearDown(self):
        self.server.close()

    async def call(self, tool, **arguments):
        found = await self.mcp.call_tool(tool, arguments)
        content = found[0] if isinstance(found, tuple) else found
        return content[0].text

    async def test_a_key_that_is_allowed_is_read(self):
        self.assertEqual(await self.call("get", key="team:a"), "value of team:a")

    async def test_another_is_not(self):
        for key in ["other:a", "", "team:a\nget other:a", "team:a b", "TEAM:a"]:
            with self.assertRaises(Exception, msg=key):
                await self.call("get", key=key)

    async def test_what_the_system_says_is_told_but_for_the_password(self):
        with self.assertRaisesRegex(Exception, "no such key"):
            await self.call("get", key="team:none")
        self.mcp = build(System(self.address, "secret-of-the-bridge", ["team:"]))
        with self.assertRaises(Exception) as refused:
            await self.call("get", key="team:a")
        self.assertNotIn("secret", str(refused.exception))


if __name__ == "__main__":
    unittest.main()
