"""A WebSocket client: websocket.py URL TOKEN SIZE. Sends a text and SIZE random bytes, wants both back.

BEFORE=N opens and closes N others first; with STAY it then waits for its end. The asynchronous client:
the one on threads of websockets 15 now and then misses the answer to its handshake, also past no proxy.
"""

import asyncio
import os
import sys

from websockets.asyncio.client import connect

url, token, size = sys.argv[1:]
options = {"additional_headers": {"Authorization": f"Bearer {token}"}, "compression": None}


async def main():
    for number in range(int(os.environ.get("BEFORE", "0"))):
        async with connect(url, **options) as socket:
            await socket.send(str(number))
            assert await socket.recv() == str(number)
    async with connect(url, max_size=None, **options) as socket:
        await socket.send("hello")
        assert await socket.recv() == "hello"
        blob = os.urandom(int(size))
        await socket.send(blob)
        assert await socket.recv() == blob
        print("echoed", len(blob), flush=True)
        if os.environ.get("STAY"):
            # Until it is cut off: the exception says how.
            await socket.recv()


asyncio.run(main())
