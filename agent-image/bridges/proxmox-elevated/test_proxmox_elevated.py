import unittest

from testing import ApiTest, load

server = load("proxmox-elevated")
GUEST = {"node": "pve-1", "kind": "lxc", "guest": 101}
PATH = "POST /api2/json/nodes/pve-1/lxc/101"


class ProxmoxElevated(ApiTest):
    def setUp(self):
        super().setUp()
        self.double.default = (200, {"data": "UPID:x"})
        self.mcp = server.build(server.Api(self.double.base, "proxy-token-proxmox", "bare"), frozenset(["pve-1"]))

    def test_guests_are_operated(self):
        self.assertEqual(self.use("power", **GUEST, action="shutdown"), "UPID:x")
        self.use("snapshot", **GUEST, name="before")
        self.use("rollback", **GUEST, name="before", confirm="lxc/101@before")
        expected = [f"{PATH}/status/shutdown", f"{PATH}/snapshot", f"{PATH}/snapshot/before/rollback"]
        self.assertEqual(self.double.lines, expected)
        self.assertEqual(self.double.asked[1][3], {"snapname": "before", "description": ""})

    def test_what_is_not_operated_is_refused(self):
        self.refuses("power", "not operated", **{**GUEST, "node": "pve-2"}, action="stop")
        for wrong in [{"node": "pve-1/.."}, {"kind": "../access"}, {"guest": 99}, {"action": "delete"}, {"action": "current"}]:
            self.refuses("power", **{**GUEST, "action": "stop", **wrong})
        for name in ["", "a/b", "..", "a-b", "1a", "a\n"]:
            self.refuses("snapshot", **GUEST, name=name)
        self.refuses("rollback", "confirm must be", **GUEST, name="before", confirm="yes")
        self.assertEqual(self.double.lines, [])


if __name__ == "__main__":
    unittest.main()
