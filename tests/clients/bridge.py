"""A bridge over HTTP with one tool: bridge.py PORT."""

import http.server
import json
import sys


class Bridge(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self):
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        result = {
            "initialize": lambda: {
                "protocolVersion": asked["params"]["protocolVersion"],
                "capabilities": {"tools": {}},
                "serverInfo": {"name": "lab", "version": "1"},
            },
            "tools/list": lambda: {"tools": [{"name": "look", "inputSchema": {"type": "object"}}]},
        }.get(asked.get("method"))
        if "id" not in asked:
            return self.answer(202, b"")
        told = {"result": result()} if result else {"error": {"code": -32601, "message": "no such method"}}
        self.answer(200, json.dumps({"jsonrpc": "2.0", "id": asked["id"], **told}).encode())

    def do_GET(self):
        self.answer(405, b"")

    do_DELETE = do_GET

    def answer(self, status, body):
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


http.server.ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Bridge).serve_forever()
