"""MCP for __NAME__: two tools to begin with. It runs in the agent's container, so it holds no credential: __UPPER___TOKEN is a stub, which the
firewall swaps on the way to __UPPER___API, where policy/policy.yaml says so.
"""

import json
import os
from typing import Annotated, Any
from urllib.parse import quote, urlencode

import httpx
from mcp.server.fastmcp import FastMCP
from mcp.server.fastmcp.exceptions import ToolError
from pydantic import Field

# Bytes of an answer.
LARGEST = 1024 * 1024

# What an argument may be is said here once: the client is told it, and the server refuses the rest.
Item = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9-]{0,60}$", description="identifier of an item")]
Page = Annotated[int, Field(ge=1, le=1000)]
Text = Annotated[str, Field(min_length=1, max_length=10_000)]


def segment(text: str) -> str:
    """One segment of a path: whatever could become two, or another, is refused."""
    if text in ("", ".", "..") or not text.isprintable() or set(text) & set("/\\%?#;"):
        raise ToolError(f"{text[:40]!r} can't stand in a path")
    return quote(text, safe="-._~")


class Api:
    """The API, through the firewall."""

    def __init__(self, base: str, stub: str):
        self.base = base.rstrip("/")
        self.headers = {"authorization": f"Bearer {stub}", "accept": "application/json"}

    async def call(self, method: str, *path: str, query: dict | None = None, body: Any = None) -> Any:
        """Sends a request, and gives what JSON it answers with."""
        url = self.base + "".join("/" + segment(part) for part in path)
        if query:
            url += "?" + urlencode(query)
        try:
            async with (
                httpx.AsyncClient(timeout=30, follow_redirects=False) as client,
                client.stream(method, url, json=body, headers=self.headers) as answer,
            ):
                text = b""
                async for piece in answer.aiter_bytes():
                    text += piece
                    if len(text) > LARGEST:
                        raise ToolError("the answer is too long; ask for less")
        except httpx.HTTPError as error:
            raise ToolError(f"no answer: {type(error).__name__}") from error
        if answer.is_success:
            return json.loads(text) if text else None
        # A refusal of the firewall says what to do: `reason` and `hint`.
        raise ToolError(f"answered {answer.status_code}: {text[:400].decode(errors='replace')}")


def build(api: Api) -> FastMCP:
    """The server. Each tool is a function; its docstring is what the agent reads."""
    mcp = FastMCP("__NAME__", log_level="WARNING")

    @mcp.tool()
    async def list_items(page: Page = 1) -> Any:
        """Items, 50 a page."""
        return {"items": await api.call("GET", "v1", "items", query={"page": page})}

    @mcp.tool()
    async def get_item(item: Item) -> dict:
        """One item."""
        return await api.call("GET", "v1", "items", item)

    @mcp.tool()
    async def comment(item: Item, text: Text) -> dict:
        """Comments on an item."""
        return await api.call("POST", "v1", "items", item, "comments", body={"text": text})

    return mcp


def main() -> None:
    try:
        api = Api(os.environ["__UPPER___API"], os.environ["__UPPER___TOKEN"])
    except KeyError as error:
        raise SystemExit(f"{error.args[0]} is not set") from None
    build(api).run()


if __name__ == "__main__":
    main()
