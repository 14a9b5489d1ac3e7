import unittest

from testing import ApiTest, load

server = load("matrix")
ROOM = "!abc:example.com"
V3 = "/_matrix/client/v3"


class Matrix(ApiTest):
    def setUp(self):
        super().setUp()
        self.mcp = server.build(server.Api(self.double.base, "proxy-token-matrix"), frozenset([ROOM]))

    def test_a_message_is_sent_once_under_a_number_of_its_own(self):
        self.double.default = (200, {"event_id": "$1"})
        self.assertEqual(self.use("send_message", room=ROOM, text="hello", reply_to="$0"), "$1")
        self.use("send_message", room=ROOM, text="hello")
        first, second = self.double.lines
        self.assertTrue(first.startswith(f"PUT {V3}/rooms/{ROOM}/send/m.room.message/"), first)
        self.assertNotEqual(first, second)
        sent = {"msgtype": "m.text", "body": "hello", "m.relates_to": {"m.in_reply_to": {"event_id": "$0"}}}
        self.assertEqual(self.double.asked[0][3], sent)

    def test_messages_are_read_the_oldest_first(self):
        event = {"event_id": "$1", "sender": "@a:example.com", "origin_server_ts": 5, "content": {"body": "new"}}
        self.double.default = (200, {"chunk": [event, {**event, "event_id": "$0", "content": {}}]})
        found = self.use("read_messages", room=ROOM)
        self.assertEqual([(message["event"], message["text"]) for message in found], [("$0", ""), ("$1", "new")])

    def test_other_rooms_are_not_shown_read_or_written(self):
        self.double.default = (200, {"joined_rooms": [ROOM, "!other:example.com"]})
        self.assertEqual(self.use("rooms"), [ROOM])
        self.refuses("read_messages", "not among", room="!other:example.com")
        self.refuses("send_message", "not among", room="!other:example.com", text="x")

    def test_no_argument_leaves_its_path(self):
        self.mcp = server.build(server.Api(self.double.base, "proxy-token-matrix"))
        for room in ["", "#alias:example.com", "!a/../x:example.com", "!a:example.com/x", "!a?x:example.com", "!a%2f:e.com", "!a:b\n"]:
            self.refuses("read_messages", room=room)
            self.refuses("send_message", room=room, text="x")
        self.refuses("send_message", room=ROOM, text="x", reply_to="$a/b")
        self.refuses("read_messages", room=ROOM, limit=1000)
        self.assertEqual(self.double.lines, [])


if __name__ == "__main__":
    unittest.main()
