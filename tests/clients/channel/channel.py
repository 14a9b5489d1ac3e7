"""An MCP server over stdio that is a channel: what comes in wakes the session, and one tool answers.

Run by itself it takes a message from every file that appears in CHANNEL_IN, and writes each reply to CHANNEL_OUT.
"""

import json
import os
import sys
import threading
import time

LOCK = threading.Lock()
ANSWERED = threading.Event()
# A client that has just come up loses a message, and says nothing of it.
SECONDS_UNTIL_REPEATED = 5


def send(message):
    with LOCK:
        sys.stdout.write(json.dumps({"jsonrpc": "2.0", **message}) + "\n")
        sys.stdout.flush()


def wake(content, **meta):
    """Puts a message into the session, again and again until a reply comes."""
    ANSWERED.clear()
    while True:
        send({"method": "notifications/claude/channel", "params": {"content": content, "meta": meta}})
        if ANSWERED.wait(SECONDS_UNTIL_REPEATED):
            return


REPLY = {
    "name": "reply",
    "description": "Answer into the room that a message came from",
    "inputSchema": {
        "type": "object",
        "properties": {"room": {"type": "string"}, "text": {"type": "string"}},
        "required": ["room", "text"],
    },
}


def serve(listen, reply):
    """Answers the client until it goes away. `listen` runs beside it as soon as the session is there."""
    for line in sys.stdin:
        asked = json.loads(line)
        number, method = asked.get("id"), asked.get("method")
        if method == "initialize":
            result = {
                "protocolVersion": asked["params"]["protocolVersion"],
                "capabilities": {"experimental": {"claude/channel": {}}, "tools": {}},
                "serverInfo": {"name": "channel", "version": "1"},
            }
            send({"id": number, "result": result})
        elif method == "notifications/initialized":
            threading.Thread(target=listen, daemon=True).start()
        elif method == "tools/list":
            send({"id": number, "result": {"tools": [REPLY]}})
        elif method == "tools/call":
            said = reply(**asked["params"]["arguments"])
            ANSWERED.set()
            send({"id": number, "result": {"content": [{"type": "text", "text": said}]}})
        elif number is not None:
            send({"id": number, "error": {"code": -32601, "message": "no such method"}})


def main():
    inbox, outbox = os.environ["CHANNEL_IN"], os.environ["CHANNEL_OUT"]
    os.makedirs(inbox, exist_ok=True)

    def listen():
        while True:
            for name in sorted(os.listdir(inbox)):
                path = os.path.join(inbox, name)
                with open(path) as file:
                    content = file.read()
                os.unlink(path)
                wake(content, sender="lab", room="dev")
            time.sleep(0.05)

    def reply(room, text):
        with open(outbox, "a") as file:
            file.write(f"{room}: {text}\n")
        return "sent"

    serve(listen, reply)


if __name__ == "__main__":
    main()
