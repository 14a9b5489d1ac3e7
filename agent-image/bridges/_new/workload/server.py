"""MCP for __NAME__, which does not speak HTTP: a workload of its own, outside of any agent's container. It holds the credential
(__UPPER___PASSWORD_FILE) of the system at __UPPER___ADDRESS, and is reached through the firewall with a stub.

What stands here as an example speaks a protocol of lines: `auth PASSWORD`, `get KEY`; each is answered with `+VALUE` or `-ERROR`.
"""

import asyncio
import os
from pathlib import Path
from typing import Annotated

from mcp.server.fastmcp import FastMCP
from mcp.server.fastmcp.exceptions import ToolError
from pydantic import Field

# What an argument may be is said here once: the client is told it, and the server refuses the rest. A line end in an argument
# would be a second command, so none is in any pattern.
Key = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9:_-]{0,100}$", description="a key: lower-case letters, digits, : _ -")]

# Bytes of an answer, seconds until it is there, and questions at once.
LARGEST, SECONDS, AT_ONCE = 64 * 1024, 10, 4


class System:
    """The system behind the bridge. Each question has a connection of its own."""

    def __init__(self, address: str, password: str, allowed: list[str]):
        self.host, _, port = address.rpartition(":")
        self.port = int(port)
        self.password, self.allowed = password, allowed
        self.room = asyncio.Semaphore(AT_ONCE)

    def check(self, key: str) -> None:
        """Whether the agent may name this key at all: the bridge is what decides it, the firewall sees only MCP."""
        if not any(key.startswith(prefix) for prefix in self.allowed):
            raise ToolError(f"allowed are keys that begin with {' or '.join(self.allowed) or 'nothing'}")

    async def ask(self, *words: str) -> str:
        """Sends one command, and gives its answer."""
        async with self.room:
            try:
                return await asyncio.wait_for(self._ask(" ".join(words)), SECONDS)
            except (OSError, asyncio.TimeoutError, asyncio.IncompleteReadError, asyncio.LimitOverrunError) as error:
                raise ToolError(f"no answer: {type(error).__name__}") from error

    async def _ask(self, command: str) -> str:
        reader, writer = await asyncio.open_connection(self.host, self.port, limit=LARGEST)
        try:
            for line in (f"auth {self.password}", command):
                writer.write(line.encode() + b"\n")
                answer = (await reader.readuntil(b"\n")).decode(errors="replace").rstrip()
                if not answer.startswith("+"):
                    # Of the first answer nothing is shown: it may repeat the password.
                    raise ToolError("the bridge is not let in" if line is not command else answer[1:400])
            return answer[1:]
        finally:
            writer.close()


def build(system: System, port: int = 0) -> FastMCP:
    """The server. Each tool is a function; its docstring is what the agent reads."""
    # On loopback: `stubgate-agent bridge serve` stands in front, with HTTPS and a token.
    mcp = FastMCP("__NAME__", log_level="WARNING", host="127.0.0.1", port=port, stateless_http=True)

    @mcp.tool()
    async def get(key: Key) -> str:
        """The value of a key."""
        system.check(key)
        return await system.ask("get", key)

    @mcp.tool()
    def allowed() -> list[str]:
        """What keys must begin with."""
        return system.allowed

    return mcp


def main() -> None:
    try:
        password = Path(os.environ["__UPPER___PASSWORD_FILE"]).read_text().strip()
        system = System(os.environ["__UPPER___ADDRESS"], password, os.environ.get("__UPPER___ALLOWED", "").split())
    except (KeyError, OSError) as error:
        raise SystemExit(f"__UPPER___PASSWORD_FILE, __UPPER___ADDRESS: {error}") from None
    build(system, int(os.environ["BRIDGE_PORT"])).run("streamable-http")


if __name__ == "__main__":
    main()
