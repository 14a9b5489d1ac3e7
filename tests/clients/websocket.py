"""A WebSocket client: websocket.py URL TOKEN SIZE. Sends a text and SIZE random bytes, wants both back.

BEFORE=N opens and closes N others first; with STAY it then waits for its end. OFFER offers permessage-deflate, and REFLECT
asks for what the server was shown and prints each different thing once. The asynchronous client:
the one on threads of websockets 15 now and then misses the answer to its handshake, also past no proxy.
"""

import asyncio
import os
import sys

from websockets.asyncio.client import connect

url, token, size = sys.argv[1:]
options = {"additional_headers": {"Authorization": f"Bearer {token}"}, "compression": None}
if os.environ.get("OFFER"):
    options["compression"] = "deflate"


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
        if os.environ.get("OFFER"):
            print("extensions:", socket.response.headers.get("Sec-WebSocket-Extensions"))
        if os.environ.get("REFLECT"):
            await socket.send("reflect")
            shown = set()
            async for message in socket:
                if message == "end":
                    break
                shown.add(message if isinstance(message, str) else message.decode())
            print(*sorted(shown), sep="\n")
        if os.environ.get("STAY"):
            # Until it is cut off: the exception says how.
            await socket.recv()


asyncio.run(main())
