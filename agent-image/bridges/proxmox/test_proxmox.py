import unittest

from testing import ApiTest, load

server = load("proxmox")
GUEST = {"node": "pve-1", "kind": "qemu", "guest": 100}
UPID = "UPID:pve-1:0001:0002:65000000:qmstart:100:root@pam:"


class Proxmox(ApiTest):
    def setUp(self):
        super().setUp()
        self.mcp = server.build(server.Api(self.double.base, "proxy-token-proxmox", "bare"))

    def test_each_tool_reads_its_own_path(self):
        for tool, arguments, path, data in [
            ("nodes", {}, "/nodes", [{"node": "pve-1"}]),
            ("node_status", {"node": "pve-1"}, "/nodes/pve-1/status", {"uptime": 1}),
            ("guests", {}, "/cluster/resources?type=vm", [{"vmid": 100}]),
            ("guest_status", GUEST, "/nodes/pve-1/qemu/100/status/current", {"status": "running"}),
            ("guest_config", GUEST, "/nodes/pve-1/qemu/100/config", {"cores": 2}),
            ("guest_load", GUEST, "/nodes/pve-1/qemu/100/rrddata?timeframe=hour", [{"cpu": 1}]),
            ("snapshots", GUEST, "/nodes/pve-1/qemu/100/snapshot", [{"name": "current"}]),
            ("storage", {"node": "pve-1"}, "/nodes/pve-1/storage", [{"storage": "local"}]),
            ("storage", {"node": "pve-1", "name": "local"}, "/nodes/pve-1/storage/local/content", [{"volid": "x"}]),
            ("tasks", {"node": "pve-1"}, "/nodes/pve-1/tasks?limit=50", [{"upid": UPID}]),
            ("task_log", {"node": "pve-1", "task": UPID}, f"/nodes/pve-1/tasks/{UPID}/log?limit=500", [{"t": "ok"}]),
        ]:
            self.double.default = (200, {"data": data})
            self.assertEqual(self.use(tool, **arguments), data)
            self.assertEqual(self.double.lines[-1], f"GET /api2/json{path}")
        self.assertEqual(self.double.asked[0][2]["authorization"], "proxy-token-proxmox")

    def test_no_argument_leaves_its_path(self):
        for wrong in [{"node": "../access"}, {"node": "pve-1/qemu"}, {"node": ""}, {"kind": "agent"}, {"guest": 1}, {"node": "a\n"}]:
            self.refuses("guest_status", **{**GUEST, **wrong})
        for task in ["x", "UPID:a/../../access", "UPID:0123456789/log", "UPID:0123456789%2f"]:
            self.refuses("task_log", node="pve-1", task=task)
        self.refuses("storage", node="pve-1", name="../qemu")
        self.assertEqual(self.double.lines, [])


if __name__ == "__main__":
    unittest.main()
