"""MCP that looks at a Proxmox VE cluster: nodes, guests, storage, tasks. It changes nothing (policy: proxmox-read@1).

PROXMOX_API is https://HOST:8006, PROXMOX_TOKEN a stub in the slot `bare`.
"""

import sys
from pathlib import Path
from typing import Annotated, Literal

from mcp.server.fastmcp import FastMCP
from pydantic import Field

sys.path.insert(0, str(Path(__file__).parent.parent))
from api import Api, required  # noqa: E402

Node = Annotated[str, Field(pattern=r"^[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?$")]
Kind = Literal["qemu", "lxc"]
Guest = Annotated[int, Field(ge=100, le=999_999_999)]
Storage = Annotated[str, Field(pattern=r"^[A-Za-z][A-Za-z0-9._-]{0,60}$")]
Task = Annotated[str, Field(pattern=r"^UPID:[A-Za-z0-9:@._!-]{10,200}$")]
Window = Literal["hour", "day", "week"]


def build(api: Api) -> FastMCP:
    mcp = FastMCP("proxmox", log_level="WARNING")

    async def get(*path: str, **query):
        return (await api.call("GET", "api2", "json", *path, query=query))["data"]

    @mcp.tool()
    async def nodes() -> list[dict]:
        """Nodes of the cluster and their load."""
        return await get("nodes")

    @mcp.tool()
    async def node_status(node: Node) -> dict:
        """One node: memory, processors, kernel, uptime."""
        return await get("nodes", node, "status")

    @mcp.tool()
    async def guests() -> list[dict]:
        """Every virtual machine and container of the cluster, with its node and state."""
        return await get("cluster", "resources", type="vm")

    @mcp.tool()
    async def guest_status(node: Node, kind: Kind, guest: Guest) -> dict:
        """How one guest is."""
        return await get("nodes", node, kind, str(guest), "status", "current")

    @mcp.tool()
    async def guest_config(node: Node, kind: Kind, guest: Guest) -> dict:
        """How one guest is configured."""
        return await get("nodes", node, kind, str(guest), "config")

    @mcp.tool()
    async def guest_load(node: Node, kind: Kind, guest: Guest, window: Window = "hour") -> list[dict]:
        """Load of one guest over time."""
        return await get("nodes", node, kind, str(guest), "rrddata", timeframe=window)

    @mcp.tool()
    async def snapshots(node: Node, kind: Kind, guest: Guest) -> list[dict]:
        """Snapshots of one guest."""
        return await get("nodes", node, kind, str(guest), "snapshot")

    @mcp.tool()
    async def storage(node: Node, name: Storage | None = None) -> list[dict]:
        """Storage of a node, or what lies in one of them."""
        return await (get("nodes", node, "storage", name, "content") if name else get("nodes", node, "storage"))

    @mcp.tool()
    async def tasks(node: Node) -> list[dict]:
        """The last 50 tasks of a node."""
        return await get("nodes", node, "tasks", limit=50)

    @mcp.tool()
    async def task_log(node: Node, task: Task) -> list[dict]:
        """What a task printed, 500 lines at most."""
        return await get("nodes", node, "tasks", task, "log", limit=500)

    return mcp


if __name__ == "__main__":
    build(Api(required("PROXMOX_API"), required("PROXMOX_TOKEN"), "bare")).run()
