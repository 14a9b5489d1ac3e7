"""What tests of the bridges share: doubles of HTTP APIs, tools called as a client calls them."""

import asyncio
import importlib.util
import json
import sys
import threading
import unittest
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

FOLDER = Path(__file__).parent
sys.path.insert(0, str(FOLDER))


def load(name: str):
    """The server of a bridge, as a module."""
    spec = importlib.util.spec_from_file_location(f"{name.replace('-', '_')}_server", FOLDER / name / "server.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


async def use(mcp, tool: str, **arguments):
    """What a tool gives."""
    found = await mcp.call_tool(tool, arguments)
    if isinstance(found, tuple):
        structured = found[1]
        return structured["result"] if set(structured) == {"result"} else structured
    text = [content.text for content in found]
    return json.loads(text[0]) if len(text) == 1 else [json.loads(one) for one in text]


class Double:
    """An HTTP API: keeps what it was asked, answers what it was told to."""

    def __init__(self):
        self.asked, self.answers, self.default = [], {}, (200, {})
        double = self

        class Handler(BaseHTTPRequestHandler):
            def answer(self):
                length = int(self.headers.get("content-length") or 0)
                text = self.rfile.read(length)
                body = json.loads(text) if text else None
                double.asked.append((self.command, self.path, self.headers, body))
                status, found = double.answers.get((self.command, self.path.split("?")[0]), double.default)
                answer = found if isinstance(found, bytes) else json.dumps(found).encode()
                self.send_response(status)
                self.send_header("content-length", str(len(answer)))
                if 300 <= status < 400:
                    self.send_header("location", "/elsewhere")
                self.end_headers()
                self.wfile.write(answer)

            do_GET = do_POST = do_PUT = do_DELETE = do_PATCH = answer

            def log_message(self, *_):
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.base = f"http://127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def close(self):
        self.server.shutdown()
        self.server.server_close()

    @property
    def lines(self) -> list[str]:
        return [f"{method} {path}" for method, path, _, _ in self.asked]


class ApiTest(unittest.TestCase):
    """Tests of a bridge to an HTTP API."""

    def setUp(self):
        self.double = Double()
        self.addCleanup(self.double.close)

    def use(self, tool, **arguments):
        return asyncio.run(use(self.mcp, tool, **arguments))

    def refuses(self, tool, why="", **arguments):
        with self.assertRaisesRegex(Exception, why, msg=f"{tool} {arguments}"):
            self.use(tool, **arguments)
