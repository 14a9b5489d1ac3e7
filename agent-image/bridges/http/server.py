"""MCP for any HTTP API, from a table of named calls (HTTP_CALLS, a TOML file; see calls.toml). Nothing but what the table names is
sent: each argument has a pattern or choices, stands in one segment of a path, in the query, or as a field of a JSON body.
"""

import re
import string
import sys
import tomllib
from pathlib import Path
from typing import Any

from mcp.server.fastmcp import FastMCP
from mcp.server.fastmcp.exceptions import ToolError

sys.path.insert(0, str(Path(__file__).parent.parent))
from api import Api, required  # noqa: E402

METHODS = {"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"}


class Argument:
    """One argument of a call."""

    def __init__(self, name: str, table: dict):
        if not name.isidentifier() or not {"pattern", "choices", "about", "optional"} >= set(table):
            raise SystemExit(f"argument {name}: pattern or choices, about, optional")
        self.about, self.optional = table.get("about", ""), table.get("optional", False)
        self.choices, self.pattern = table.get("choices"), re.compile(table.get("pattern", r"[^\W_][\w.-]{0,99}"))

    def check(self, name: str, value: Any) -> str:
        if not isinstance(value, (str, int, float)) or isinstance(value, bool):
            raise ToolError(f"{name}: a text or a number")
        text = str(value)
        is_right = text in self.choices if self.choices else self.pattern.fullmatch(text)
        if not is_right or len(text) > 10_000:
            raise ToolError(f"{name}: {'one of ' + ', '.join(self.choices) if self.choices else self.pattern.pattern}")
        return text


class Call:
    """One call of the table."""

    def __init__(self, name: str, table: dict):
        if not {"about", "method", "path", "query", "body", "arguments"} >= set(table):
            raise SystemExit(f"call {name}: about, method, path, query, body, arguments")
        self.name, self.about, self.method = name, table.get("about", ""), table.get("method", "GET")
        self.path = table["path"].strip("/").split("/")
        self.query, self.body = table.get("query", []), table.get("body", [])
        self.arguments = {key: Argument(key, value) for key, value in table.get("arguments", {}).items()}
        in_path = [field for part in self.path for _, field, _, _ in string.Formatter().parse(part) if field is not None]
        if self.method not in METHODS or not name.isidentifier():
            raise SystemExit(f"call {name}: its name or its method is none")
        if sorted([*in_path, *self.query, *self.body]) != sorted(self.arguments):
            raise SystemExit(f"call {name}: each argument has one place in path, query or body")

    async def send(self, api: Api, given: dict[str, Any]):
        if unknown := set(given) - set(self.arguments):
            raise ToolError(f"no argument is called {sorted(unknown)[0]!r}")
        values = {name: self.arguments[name].check(name, value) for name, value in given.items()}
        if missing := [n for n, argument in self.arguments.items() if n not in values and not argument.optional]:
            raise ToolError(f"{missing[0]} is missing")
        path = [part.format(**values) for part in self.path]
        body = {name: given[name] for name in self.body if name in values} if self.body else None
        query = {name: values[name] for name in self.query if name in values}
        return await api.call(self.method, *path, query=query, body=body)


def build(api: Api, calls: dict[str, Call]) -> FastMCP:
    mcp = FastMCP("http", log_level="WARNING")

    @mcp.tool()
    def calls_known() -> list[dict]:
        """Every call that there is, with its arguments."""
        about = lambda a: {"about": a.about, "choices": a.choices, "pattern": a.pattern.pattern, "optional": a.optional}  # noqa: E731
        return [
            {"call": c.name, "about": c.about, "arguments": {n: about(a) for n, a in c.arguments.items()}} for c in calls.values()
        ]

    @mcp.tool()
    async def call(name: str, arguments: dict[str, Any] = {}) -> Any:  # noqa: B006
        """Makes one of the calls."""
        if name not in calls:
            raise ToolError(f"no call is called {name[:40]!r}; see calls_known")
        return {"answer": await calls[name].send(api, arguments)}

    return mcp


def read(path: str) -> tuple[Api, dict[str, Call]]:
    table = tomllib.loads(Path(path).read_text())
    calls = {name: Call(name, call) for name, call in table["calls"].items()}
    return Api(table["base"], table["stub"], table.get("slot", "bearer")), calls


if __name__ == "__main__":
    build(*read(required("HTTP_CALLS"))).run()
