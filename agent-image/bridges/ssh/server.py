"""MCP for operations on machines over SSH: those that a table names (SSH_OPERATIONS, a TOML file; see operations.toml), and no other
command. A workload of its own.

SSH_KEY_FILE is its key, SSH_KNOWN_HOSTS the keys of the machines: one that is not in it is not spoken to.
"""

import asyncio
import os
import re
import shlex
import tomllib
from pathlib import Path
from typing import Annotated

import asyncssh
from mcp.server.fastmcp import FastMCP
from mcp.server.fastmcp.exceptions import ToolError
from pydantic import Field

Name = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{0,60}$")]
LARGEST = 64 * 1024
asyncssh.set_log_level("WARNING")


class Operation:
    """One command: a list of words, of which some are arguments. A word that is an argument is never more or less than that."""

    def __init__(self, name: str, table: dict):
        if not {"about", "hosts", "user", "command", "seconds", "arguments"} >= set(table) or not re.fullmatch(r"[a-z][a-z0-9_]*", name):
            raise SystemExit(f"operation {name}: about, hosts, user, command, seconds, arguments")
        self.name, self.about, self.hosts, self.user = name, table.get("about", ""), table["hosts"], table["user"]
        self.command, self.seconds = table["command"], table.get("seconds", 30)
        self.arguments = table.get("arguments", {})
        words = {word[1:-1] for word in self.command if re.fullmatch(r"\{\w+\}", word)}
        wrong = [key for key, rule in self.arguments.items() if set(rule) not in ({"choices"}, {"pattern"})]
        if isinstance(self.command, str) or words != set(self.arguments) or wrong:
            raise SystemExit(f"operation {name}: command is a list; each argument is one word {{NAME}}, with choices or pattern")

    def line(self, given: dict[str, str]) -> str:
        if set(given) != set(self.arguments):
            raise ToolError(f"arguments: {', '.join(self.arguments) or 'none'}")
        for key, rule in self.arguments.items():
            value = given[key]
            is_right = value in rule["choices"] if "choices" in rule else re.fullmatch(rule["pattern"], value)
            # A word that begins with - would be an option of the program.
            if not is_right or value.startswith("-") or not value.isprintable() or len(value) > 1000:
                raise ToolError(f"{key}: {rule.get('choices') or rule['pattern']}")
        return shlex.join(given[word[1:-1]] if re.fullmatch(r"\{\w+\}", word) else word for word in self.command)


class Machines:
    """How machines are reached: by one key, and only if theirs is known. No file of the home has a say."""

    def __init__(self, key: str, known_hosts: str):
        self.options = {"client_keys": [key], "known_hosts": known_hosts, "config": None, "agent_path": None}
        self.options |= {"preferred_auth": "publickey", "connect_timeout": 10, "login_timeout": 15}
        self.room = asyncio.Semaphore(4)

    async def run(self, host: str, user: str, line: str, seconds: float) -> dict:
        name, _, port = host.partition(":")
        async with self.room:
            try:
                connection = await asyncssh.connect(name, int(port or 22), username=user, **self.options)
            except (asyncssh.Error, OSError) as error:
                raise ToolError(f"{host}: {type(error).__name__}") from error
            try:
                return await self._run(connection, line, seconds)
            except asyncio.TimeoutError as error:
                raise ToolError(f"{host}: not done within {seconds} s") from error
            except (asyncssh.Error, OSError) as error:
                raise ToolError(f"{host}: {type(error).__name__}") from error
            finally:
                connection.close()

    async def _run(self, connection: asyncssh.SSHClientConnection, line: str, seconds: float) -> dict:
        process = await connection.create_process(line, stdin=asyncssh.DEVNULL, stderr=asyncssh.STDOUT, encoding=None)
        text = b""
        try:
            async with asyncio.timeout(seconds):
                while len(text) <= LARGEST and (piece := await process.stdout.read(8192)):
                    text += piece
                more = len(text) > LARGEST
                status = None if more else (await process.wait()).exit_status
        finally:
            # Nothing, if it ended.
            process.kill()
        return {"status": status, "output": text[:LARGEST].decode(errors="replace"), "more": more}


def build(machines: Machines, operations: dict[str, Operation], port: int = 0) -> FastMCP:
    mcp = FastMCP("ssh", log_level="WARNING", host="127.0.0.1", port=port, stateless_http=True)

    @mcp.tool()
    def operations_known() -> list[dict]:
        """Every operation that there is, on which hosts, with which arguments."""
        return [{"operation": o.name, "about": o.about, "hosts": o.hosts, "arguments": o.arguments} for o in operations.values()]

    @mcp.tool()
    async def run(operation: Name, host: str, arguments: dict[str, str] = {}) -> dict:  # noqa: B006
        """Runs one of the operations on one of its hosts; gives its status and what it printed."""
        if not (known := operations.get(operation)):
            raise ToolError("there is no such operation; see operations_known")
        if host not in known.hosts:
            raise ToolError(f"not on this host; on {', '.join(known.hosts)}")
        return await machines.run(host, known.user, known.line(arguments), known.seconds)

    return mcp


def read(path: str) -> dict[str, Operation]:
    return {name: Operation(name, table) for name, table in tomllib.loads(Path(path).read_text())["operations"].items()}


if __name__ == "__main__":
    reached = Machines(os.environ["SSH_KEY_FILE"], os.environ["SSH_KNOWN_HOSTS"])
    build(reached, read(os.environ["SSH_OPERATIONS"]), int(os.environ["BRIDGE_PORT"])).run("streamable-http")
