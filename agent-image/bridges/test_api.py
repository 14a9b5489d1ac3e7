import asyncio
import unittest

from mcp.server.fastmcp.exceptions import ToolError
from testing import Double

from api import LARGEST, Api, segment


class Paths(unittest.TestCase):
    def test_a_segment_stays_one(self):
        for text in ["", ".", "..", "a/b", "a\\b", "%2e%2e", "a?b", "a#b", "a;b", "a\nb", "a\0b", "a\u202eb", "x" * 256]:
            with self.assertRaises(ToolError, msg=repr(text)):
                segment(text)
        self.assertEqual(segment("a b\u00e4!x:y"), "a%20b%C3%A4!x:y")
        self.assertEqual(segment("...a"), "...a")


class Answers(unittest.TestCase):
    def setUp(self):
        self.double = Double()
        self.addCleanup(self.double.close)

    def call(self, slot="bearer"):
        return asyncio.run(Api(self.double.base, "stub", slot).call("GET", "a"))

    def test_the_stub_stands_in_its_slot(self):
        for slot, name, value in [
            ("bearer", "authorization", "Bearer stub"),
            ("bare", "authorization", "stub"),
            ("token", "authorization", "token stub"),
            ("header:x-api-key", "x-api-key", "stub"),
        ]:
            self.call(slot)
            self.assertEqual(self.double.asked[-1][2][name], value)

    def test_a_refusal_of_the_firewall_says_what_to_do(self):
        self.double.default = (403, {"reason": "no_rule", "hint": "ask for a rule", "request_id": "r1"})
        with self.assertRaisesRegex(ToolError, "403. no_rule ask for a rule"):
            self.call()

    def test_an_answer_is_bounded_and_a_redirect_not_followed(self):
        self.double.default = (200, b"x" * (LARGEST + 1))
        with self.assertRaisesRegex(ToolError, "longer than"):
            self.call()
        self.double.default = (302, {})
        with self.assertRaisesRegex(ToolError, "answered 302"):
            self.call()
        self.assertEqual(self.double.lines, ["GET /a", "GET /a"])

    def test_no_server_is_no_answer(self):
        self.double.close()
        with self.assertRaisesRegex(ToolError, "no answer"):
            self.call()
