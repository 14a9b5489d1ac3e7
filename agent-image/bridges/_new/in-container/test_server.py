"""Tests of the bridge, against a double of its API: python -m unittest"""

import asyncio
import json
import sys
import threading
import unittest
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
from server import Api, build  # noqa: E402

STUB = "proxy-token-__NAME__"


class Double(BaseHTTPRequestHandler):
    """Answers with what it was asked, and refuses whoever has not the stub."""

    def answer(self):
        length = int(self.headers.get("content-length") or 0)
        body = json.loads(self.rfile.read(length)) if length else None
        is_known = self.headers["authorization"] == f"Bearer {STUB}"
        found = {"method": self.command, "path": self.path, "body": body} if is_known else {"hint": "ask for a rule"}
        text = json.dumps(found).encode()
        self.send_response(200 if is_known else 403)
        self.send_header("content-length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    do_GET = do_POST = answer

    def log_message(self, *_):
        pass


class Tools(unittest.TestCase):
    def setUp(self):
        server = HTTPServer(("127.0.0.1", 0), Double)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        self.addCleanup(server.server_close)
        self.addCleanup(server.shutdown)
        self.base = f"http://127.0.0.1:{server.server_port}"
        self.mcp = build(Api(self.base, STUB))

    def call(self, tool, **arguments):
        found = asyncio.run(self.mcp.call_tool(tool, arguments))
        content = found[0] if isinstance(found, tuple) else found
        return json.loads(content[0].text)

    def test_a_tool_sends_what_it_says(self):
        found = self.call("comment", item="a-1", text="hello")
        self.assertEqual(found, {"method": "POST", "path": "/v1/items/a-1/comments", "body": {"text": "hello"}})
        self.assertEqual(self.call("list_items", page=2)["items"]["path"], "/v1/items?page=2")

    def test_no_argument_leaves_its_path(self):
        for item in ["..", "a/b", "a%2fb", "a?x=1", "", "A", "a\n"]:
            with self.assertRaises(Exception, msg=item):
                self.call("get_item", item=item)

    def test_a_refusal_is_told(self):
        self.mcp = build(Api(self.base, "another"))
        with self.assertRaisesRegex(Exception, "403.*ask for a rule"):
            self.call("get_item", item="a")


if __name__ == "__main__":
    unittest.main()
