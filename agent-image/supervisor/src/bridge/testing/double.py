"""A small MCP server for tests, without the SDK: over stdio, or over HTTP with `--http PORT`; it misbehaves as it is told."""

import argparse
import json
import os
import signal
import sys
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

options = argparse.ArgumentParser()
options.add_argument("--http", type=int)
options.add_argument("--sse", action="store_true")
options.add_argument("--tools", default="echo")
options.add_argument("--version", default="1.0")
options.add_argument("--protocol", default="2025-06-18")
options.add_argument("--asks", action="store_true", help="asks its client before it answers")
options.add_argument("--noise", default="", help="printed to standard error first")
options.add_argument("--pid-file")
options.add_argument("--deaf-to-term", action="store_true")
options = options.parse_args()

if options.noise:
    print(options.noise, file=sys.stderr, flush=True)
if options.pid_file:
    with open(options.pid_file, "a") as file:
        file.write(f"{os.getpid()}\n")
if options.deaf_to_term:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)


def result(message):
    if message["method"] == "initialize":
        info = {"name": "double", "version": options.version}
        return {"protocolVersion": options.protocol, "capabilities": {"tools": {}}, "serverInfo": info}
    names = options.tools.split(",")
    page = int(message["params"].get("cursor", 0))
    more = {"nextCursor": str(page + 1)} if page + 1 < len(names) else {}
    return {"tools": [{"name": names[page], "inputSchema": {"type": "object"}}], **more}


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def do_POST(self):
        message = json.loads(self.rfile.read(int(self.headers["content-length"])))
        if self.path == "/stop":
            os.kill(os.getpid(), signal.SIGSTOP)
        is_first = message.get("method") == "initialize"
        if not is_first and self.headers.get("mcp-session-id") != "s1":
            return self.send(400, "text/plain", b"no session")
        if not is_first and self.headers.get("mcp-protocol-version") != options.protocol:
            return self.send(400, "text/plain", b"no version")
        if "id" not in message or "method" not in message:
            return self.send(202, "text/plain", b"")
        answer = json.dumps({"jsonrpc": "2.0", "id": message["id"], "result": result(message)})
        if not options.sse:
            return self.send(200, "application/json; charset=utf-8", answer.encode())
        self.send_response(200)
        self.send_header("content-type", "text/event-stream")
        self.send_header("mcp-session-id", "s1")
        self.send_header("connection", "close")
        self.end_headers()
        self.wfile.write(b": hello\r\n\r\nid: 1\ndata:\n\n")
        self.wfile.write(b'event: message\ndata: {"jsonrpc":"2.0","method":"notifications/message"}\n\n')
        if options.asks and not is_first:
            self.wfile.write(b'data: {"jsonrpc":"2.0","id":"q","method":"ping"}\n\n')
        self.wfile.write(f"event: message\ndata: {answer}\n\n".encode())
        self.wfile.flush()
        # The stream stays open: whoever has its answer does not wait for the end.
        time.sleep(3)

    def do_DELETE(self):
        self.send(200, "text/plain", b"")

    def send(self, status, content, body):
        self.send_response(status)
        self.send_header("content-type", content)
        self.send_header("mcp-session-id", "s1")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


if options.http:
    server = ThreadingHTTPServer(("127.0.0.1", options.http), Handler)
    server.daemon_threads = True
    server.serve_forever()

answered = not options.asks
for line in sys.stdin:
    message = json.loads(line)
    if "method" not in message:
        answered = True
    elif "id" in message:
        if not answered:
            print(json.dumps({"jsonrpc": "2.0", "id": "q", "method": "roots/list"}), flush=True)
            answered = "method" not in json.loads(sys.stdin.readline())
        print(json.dumps({"jsonrpc": "2.0", "id": message["id"], "result": result(message)}), flush=True)
