"""MCP for GitHub's REST API: reads repositories, issues, pull requests and runs; writes issues, comments and pull requests.

What of this the agent may do is decided by policy (github-read@1, github-write@1), not here. GITHUB_TOKEN is a stub.
"""

import base64
import os
import sys
from pathlib import Path
from typing import Annotated, Literal

from mcp.server.fastmcp import FastMCP
from mcp.server.fastmcp.exceptions import ToolError
from pydantic import Field

sys.path.insert(0, str(Path(__file__).parent.parent))
from api import Api, required  # noqa: E402

Repository = Annotated[str, Field(pattern=r"^[A-Za-z0-9-]{1,39}/[A-Za-z0-9._-]{1,100}$", description="OWNER/NAME")]
Number = Annotated[int, Field(ge=1, le=10**9)]
Page = Annotated[int, Field(ge=1, le=100)]
State = Literal["open", "closed", "all"]
Ref = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._/+-]{0,200}$", description="branch, tag or commit")]
Title = Annotated[str, Field(min_length=1, max_length=256)]
Text = Annotated[str, Field(max_length=60_000)]


def brief(found: list[dict], *keys: str) -> list[dict]:
    """Of each, only what one chooses by."""
    return [{key: item.get(key) for key in keys} for item in found]


def build(api: Api) -> FastMCP:
    mcp = FastMCP("github", log_level="WARNING")

    async def repos(method: str, repository: str, *path: str, **more):
        return await api.call(method, "repos", *repository.split("/"), *path, **more)

    @mcp.tool()
    async def list_issues(repository: Repository, state: State = "open", page: Page = 1) -> list[dict]:
        """Issues and pull requests of a repository, the newest first, 50 a page."""
        query = {"state": state, "page": page, "per_page": 50}
        found = await repos("GET", repository, "issues", query=query)
        return brief(found, "number", "title", "state", "updated_at", "comments")

    @mcp.tool()
    async def get_issue(repository: Repository, number: Number) -> dict:
        """An issue with its comments (the first 100)."""
        issue = await repos("GET", repository, "issues", str(number))
        comments = await repos("GET", repository, "issues", str(number), "comments", query={"per_page": 100})
        return {"issue": brief([issue], "number", "title", "state", "body")[0], "comments": brief(comments, "id", "body")}

    @mcp.tool()
    async def create_issue(repository: Repository, title: Title, body: Text = "") -> dict:
        """Opens an issue."""
        made = await repos("POST", repository, "issues", body={"title": title, "body": body})
        return brief([made], "number", "html_url")[0]

    @mcp.tool()
    async def comment(repository: Repository, number: Number, body: Text) -> dict:
        """Comments on an issue or a pull request."""
        made = await repos("POST", repository, "issues", str(number), "comments", body={"body": body})
        return brief([made], "id", "html_url")[0]

    @mcp.tool()
    async def list_pull_requests(repository: Repository, state: State = "open", page: Page = 1) -> list[dict]:
        """Pull requests of a repository, 50 a page."""
        query = {"state": state, "page": page, "per_page": 50}
        found = await repos("GET", repository, "pulls", query=query)
        return brief(found, "number", "title", "state", "draft", "updated_at")

    @mcp.tool()
    async def create_pull_request(repository: Repository, title: Title, head: Ref, base: Ref, body: Text = "") -> dict:
        """Opens a pull request from the branch `head` into `base`."""
        fields = {"title": title, "head": head, "base": base, "body": body}
        return brief([await repos("POST", repository, "pulls", body=fields)], "number", "html_url")[0]

    @mcp.tool()
    async def read_file(repository: Repository, path: str, ref: Ref | None = None) -> str:
        """A file of a repository, up to 1 MB, as text."""
        found = await repos("GET", repository, "contents", *path.split("/"), query={"ref": ref})
        if not isinstance(found, dict) or found.get("encoding") != "base64":
            raise ToolError("not a file, or a large one")
        return base64.b64decode(found["content"]).decode(errors="replace")

    @mcp.tool()
    async def list_runs(repository: Repository, branch: Ref | None = None) -> list[dict]:
        """The last 30 runs of workflows."""
        found = await repos("GET", repository, "actions", "runs", query={"branch": branch, "per_page": 30})
        return brief(found["workflow_runs"], "id", "name", "head_branch", "status", "conclusion", "created_at")

    return mcp


if __name__ == "__main__":
    address = os.environ.get("GITHUB_API", "https://api.github.com")
    version = {"accept": "application/vnd.github+json", "x-github-api-version": "2022-11-28"}
    build(Api(address, required("GITHUB_TOKEN"), headers=version)).run()
