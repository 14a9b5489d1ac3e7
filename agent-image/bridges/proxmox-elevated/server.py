"""MCP that operates guests of a Proxmox VE cluster: power, snapshots, going back to one (policy: proxmox-operate@1).

PROXMOX_API is https://HOST:8006, PROXMOX_TOKEN a stub in the slot `bare`; PROXMOX_NODES (separated by blanks) names the nodes whose
guests it touches, as policy does.
"""

import sys
from pathlib import Path
from typing import Annotated, Literal

from mcp.server.fastmcp import FastMCP
from mcp.server.fastmcp.exceptions import ToolError
from pydantic import Field

sys.path.insert(0, str(Path(__file__).parent.parent))
from api import Api, required  # noqa: E402

Node = Annotated[str, Field(pattern=r"^[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?$")]
Kind = Literal["qemu", "lxc"]
Guest = Annotated[int, Field(ge=100, le=999_999_999)]
Power = Literal["start", "shutdown", "stop", "reboot", "suspend", "resume"]
Name = Annotated[str, Field(pattern=r"^[A-Za-z][A-Za-z0-9_]{1,39}$", description="of a snapshot")]
Text = Annotated[str, Field(max_length=200)]


def build(api: Api, nodes: frozenset[str]) -> FastMCP:
    mcp = FastMCP("proxmox-elevated", log_level="WARNING")

    async def post(node: str, kind: str, guest: int, *path: str, **body) -> str:
        if node not in nodes:
            raise ToolError("guests of this node are not operated")
        return (await api.call("POST", "api2", "json", "nodes", node, kind, str(guest), *path, body=body))["data"]

    @mcp.tool()
    async def power(node: Node, kind: Kind, guest: Guest, action: Power) -> str:
        """Starts, stops, suspends or resumes a guest; `shutdown` asks it, `stop` pulls the plug. Gives the task."""
        return await post(node, kind, guest, "status", action)

    @mcp.tool()
    async def snapshot(node: Node, kind: Kind, guest: Guest, name: Name, description: Text = "") -> str:
        """Takes a snapshot of a guest. Gives the task."""
        return await post(node, kind, guest, "snapshot", snapname=name, description=description)

    @mcp.tool()
    async def rollback(node: Node, kind: Kind, guest: Guest, name: Name, confirm: str) -> str:
        """Goes back to a snapshot: throws away what the guest did since. `confirm` is KIND/GUEST@NAME. Gives the task."""
        if confirm != f"{kind}/{guest}@{name}":
            raise ToolError(f"confirm must be {kind}/{guest}@{name}")
        return await post(node, kind, guest, "snapshot", name, "rollback")

    return mcp


if __name__ == "__main__":
    operated = frozenset(required("PROXMOX_NODES").split())
    build(Api(required("PROXMOX_API"), required("PROXMOX_TOKEN"), "bare"), operated).run()
