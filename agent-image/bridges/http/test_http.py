import unittest

from testing import FOLDER, ApiTest, load

server = load("http")


class Http(ApiTest):
    def setUp(self):
        super().setUp()
        api, calls = server.read(str(FOLDER / "http/calls.toml"))
        api.base = self.double.base
        self.mcp = server.build(api, calls)

    def call(self, name, **arguments):
        return self.use("call", name=name, arguments=arguments)

    def test_a_call_is_sent_as_the_table_has_it(self):
        self.double.default = (200, [{"id": 1}])
        self.assertEqual(self.call("list_tickets", queue="network", page="2"), {"answer": [{"id": 1}]})
        self.call("comment", ticket="12", text="hello\nyou")
        self.assertEqual(
            self.double.lines, ["GET /api/v2/queues/network/tickets?page=2", "POST /api/v2/tickets/12/comments"]
        )
        self.assertEqual(self.double.asked[1][3], {"text": "hello\nyou"})
        self.assertEqual(self.double.asked[0][2]["x-api-key"], "proxy-token-tickets")
        self.assertEqual([call["call"] for call in self.use("calls_known")], ["list_tickets", "comment"])

    def test_what_the_table_has_not_is_not_sent(self):
        for name, arguments in [
            ("delete_everything", {}),
            ("list_tickets", {}),
            ("list_tickets", {"queue": "finance"}),
            ("list_tickets", {"queue": "network", "admin": "1"}),
            ("list_tickets", {"queue": "network", "page": "1&admin=1"}),
            ("list_tickets", {"queue": ["network"]}),
            ("comment", {"ticket": "../1", "text": "x"}),
            ("comment", {"ticket": "1\n", "text": "x"}),
            ("comment", {"ticket": True, "text": "x"}),
            ("comment", {"ticket": "1", "text": {"a": 1}}),
        ]:
            self.refuses("call", name=name, arguments=arguments)
        self.assertEqual(self.double.lines, [])

    def test_a_pattern_that_lets_a_path_through_is_still_one_segment(self):
        argument = {"path": "a/{x}", "arguments": {"x": {"pattern": ".*"}}}
        self.mcp = server.build(server.Api(self.double.base, "s"), {"c": server.Call("c", argument)})
        for x in ["..", "", "a/b", "a%2fb", "{x}/../y"]:
            self.refuses("call", name="c", arguments={"x": x})
        self.assertEqual(self.double.lines, [])

    def test_a_table_that_is_wrong_is_not_served(self):
        for table in [
            {"path": "a/{x}"},
            {"path": "a", "arguments": {"x": {}}},
            {"path": "a", "method": "get"},
            {"path": "a", "body": ["x"], "query": ["x"], "arguments": {"x": {}}},
            {"path": "a", "shell": "x"},
            {"path": "a/{x}", "arguments": {"x": {"regex": "a"}}},
        ]:
            with self.assertRaises(SystemExit, msg=table):
                server.Call("c", table)


if __name__ == "__main__":
    unittest.main()
