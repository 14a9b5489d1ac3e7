"""What the bridges to HTTP APIs share: requests through the firewall, with a stub, to paths that no argument can leave."""

import json
import os
from urllib.parse import quote, urlencode

import httpx
from mcp.server.fastmcp.exceptions import ToolError

LARGEST = 1024 * 1024
"""Bytes of an answer."""

STUB_HEADER = {"bearer": "Bearer {}", "bare": "{}", "token": "token {}"}


def segment(text: str) -> str:
    """One segment of a path, or no request at all: whatever could become two, or none, or another, is refused."""
    is_plain = text.isprintable() and not set(text) & set("/\\%?#;")
    if not text or text in (".", "..") or len(text) > 255 or not is_plain:
        raise ToolError(f"{text[:40]!r} can't stand in a path")
    return quote(text, safe="-._~:@!$,")


def required(name: str) -> str:
    """A variable that must be set."""
    value = os.environ.get(name, "")
    if not value:
        raise SystemExit(f"{name} is not set")
    return value


class Api:
    """An API at one address."""

    def __init__(self, base: str, stub: str, slot: str = "bearer", headers: dict[str, str] | None = None):
        if slot.startswith("header:"):
            name, value = slot.removeprefix("header:"), stub
        else:
            name, value = "authorization", STUB_HEADER[slot].format(stub)
        self.base = base.rstrip("/")
        self.headers = {name: value, "accept": "application/json", "user-agent": "stubgate-bridge", **(headers or {})}

    async def call(self, method: str, *path: str, query: dict | None = None, body: object = None):
        """Sends a request; the parts of `path` are segments, each quoted. Gives what JSON it answers with."""
        url = self.base + "".join("/" + segment(part) for part in path)
        given = {name: value for name, value in (query or {}).items() if value is not None}
        if given:
            url += "?" + urlencode(given)
        content = None if body is None else json.dumps(body).encode()
        headers = self.headers if body is None else {**self.headers, "content-type": "application/json"}
        try:
            async with (
                httpx.AsyncClient(timeout=30, follow_redirects=False) as client,
                client.stream(method, url, content=content, headers=headers) as answer,
            ):
                text = b""
                async for piece in answer.aiter_bytes():
                    text += piece
                    if len(text) > LARGEST:
                        raise ToolError(f"the answer is longer than {LARGEST} bytes; ask for less")
        except httpx.HTTPError as error:
            raise ToolError(f"no answer: {type(error).__name__}") from error
        try:
            found = json.loads(text) if text else None
        except ValueError:
            found = text.decode(errors="replace")
        if answer.is_success:
            return found
        # The firewall's refusal says what to do; an API's says what was wrong.
        fields = found if isinstance(found, dict) else {}
        said = [str(fields[key]) for key in ("reason", "hint", "message", "error", "errcode") if fields.get(key)]
        raise ToolError(" ".join([f"answered {answer.status_code}.", *said])[:500])
