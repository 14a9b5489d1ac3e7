"""MCP for NATS: publish, request, read from JetStream; only on subjects that are allowed. A workload of its own.

NATS_URL is where; NATS_TOKEN_FILE or NATS_CREDS_FILE what lets it in, NATS_CA_FILE whom it trusts. NATS_PUBLISH, NATS_REQUEST and
NATS_READ are the subjects (separated by blanks, with * and >) that each tool may use; what is not set allows none.
"""

import asyncio
import os
import re
import ssl
from pathlib import Path
from typing import Annotated

import nats
from mcp.server.fastmcp import FastMCP
from mcp.server.fastmcp.exceptions import ToolError
from nats.js.api import AckPolicy, ConsumerConfig, DeliverPolicy
from pydantic import Field

Subject = Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)*$", max_length=200, description="without * and >")]
Stream = Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]{1,100}$")]
Text = Annotated[str, Field(max_length=256 * 1024)]
Count = Annotated[int, Field(ge=1, le=100)]
Seconds = Annotated[int, Field(ge=1, le=30)]
CUT = 16 * 1024


def allows(patterns: list[str], subject: str) -> bool:
    """Whether a subject without wildcards is one of these."""
    def matches(pattern: list[str], tokens: list[str]) -> bool:
        for at, token in enumerate(pattern):
            if token == ">":
                return at == len(pattern) - 1 and len(tokens) > at
            if at >= len(tokens) or token not in ("*", tokens[at]):
                return False
        return len(pattern) == len(tokens)

    # The system's own subjects begin with $ and are in no Subject; replies go to nobody's inbox but ours.
    return not subject.startswith("_INBOX.") and any(matches(p.split("."), subject.split(".")) for p in patterns)


async def quiet(_: Exception) -> None:
    """What goes wrong is said to whoever asked."""


class Client:
    """One connection, made when it is needed first."""

    def __init__(self, url: str, **options):
        self.url, self.options, self.client, self.lock = url, options, None, asyncio.Lock()

    async def get(self) -> nats.NATS:
        async with self.lock:
            if self.client is None or self.client.is_closed:
                try:
                    made = nats.connect(self.url, error_cb=quiet, max_reconnect_attempts=-1, **self.options)
                    self.client = await asyncio.wait_for(made, 10)
                except (OSError, nats.errors.Error, asyncio.TimeoutError) as error:
                    raise ToolError(f"NATS is not reached: {type(error).__name__}") from error
            return self.client


def build(client: Client, publish_to: list[str], request_to: list[str], read_from: list[str], port: int = 0) -> FastMCP:
    mcp = FastMCP("nats", log_level="WARNING", host="127.0.0.1", port=port, stateless_http=True)

    def check(patterns: list[str], subject: str) -> None:
        if not allows(patterns, subject):
            raise ToolError(f"{subject} is not allowed; allowed: {' '.join(patterns) or 'nothing'}")

    @mcp.tool()
    async def publish(subject: Subject, text: Text) -> str:
        """Publishes a text; a stream that has the subject keeps it."""
        check(publish_to, subject)
        connection = await client.get()
        await connection.publish(subject, text.encode())
        await connection.flush(timeout=5)
        return "published"

    @mcp.tool()
    async def request(subject: Subject, text: Text = "", seconds: Seconds = 5) -> str:
        """Sends a request and gives the first answer."""
        check(request_to, subject)
        try:
            answer = await (await client.get()).request(subject, text.encode(), timeout=seconds)
        except nats.errors.NoRespondersError as error:
            raise ToolError("nobody answers there") from error
        except (nats.errors.TimeoutError, asyncio.TimeoutError) as error:
            raise ToolError(f"no answer within {seconds} s") from error
        return answer.data[:CUT].decode(errors="replace")

    @mcp.tool()
    async def read(stream: Stream, subject: Subject, count: Count = 10, after: int = 0) -> list[dict]:
        """Messages of one subject from a JetStream stream, the oldest first, after a sequence number. Nothing is consumed."""
        check(read_from, subject)
        start = {"deliver_policy": DeliverPolicy.BY_START_SEQUENCE, "opt_start_seq": max(after, 0) + 1}
        config = ConsumerConfig(ack_policy=AckPolicy.NONE, inactive_threshold=30, mem_storage=True, **start)
        try:
            found = await (await client.get()).jetstream().pull_subscribe(subject, stream=stream, config=config)
        except nats.js.errors.NotFoundError as error:
            raise ToolError("there is no such stream") from error
        try:
            messages = await found.fetch(count, timeout=2)
        except (nats.errors.TimeoutError, asyncio.TimeoutError):
            messages = []
        finally:
            await found.unsubscribe()
        text = lambda message: message.data[:CUT].decode(errors="replace")  # noqa: E731
        return [{"sequence": m.metadata.sequence.stream, "at": m.metadata.timestamp.isoformat(), "text": text(m)} for m in messages]

    return mcp


def patterns(name: str) -> list[str]:
    found = os.environ.get(name, "").split()
    if wrong := [p for p in found if not re.fullmatch(r"([A-Za-z0-9_-]+|\*)(\.([A-Za-z0-9_-]+|\*))*(\.>)?", p)]:
        raise SystemExit(f"{name}: {wrong[0]} is no pattern")
    return found


if __name__ == "__main__":
    options: dict = {}
    if file := os.environ.get("NATS_TOKEN_FILE"):
        options["token"] = Path(file).read_text().strip()
    if file := os.environ.get("NATS_CREDS_FILE"):
        options["user_credentials"] = file
    if file := os.environ.get("NATS_CA_FILE"):
        options["tls"] = ssl.create_default_context(cafile=file)
    served = Client(os.environ.get("NATS_URL", "nats://127.0.0.1:4222"), **options)
    subjects = (patterns("NATS_PUBLISH"), patterns("NATS_REQUEST"), patterns("NATS_READ"))
    build(served, *subjects, port=int(os.environ["BRIDGE_PORT"])).run("streamable-http")
