"""A WebSocket client: websocket.py URL TOKEN SIZE. Sends a text and SIZE random bytes, wants both back."""

import os
import sys

from websockets.sync.client import connect

url, token, size = sys.argv[1:]
headers = {"Authorization": f"Bearer {token}"}
with connect(url, additional_headers=headers, max_size=None, compression=None) as socket:
    socket.send("hello")
    assert socket.recv() == "hello"
    blob = os.urandom(int(size))
    socket.send(blob)
    assert socket.recv() == blob
    print("echoed", len(blob), flush=True)
    if os.environ.get("STAY"):
        # Until it is cut off: the exception says how.
        socket.recv()
