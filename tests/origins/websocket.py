"""A WebSocket echo that demands a Bearer token: websocket.py ADDRESS CERTIFICATE KEY.

It compresses where it is asked to, and at the word `reflect` shows what it was shown: as text, as bytes, in fragments
that cut it at every place, and in messages that do.
"""

import asyncio
import http
import os
import ssl
import sys

from websockets.asyncio.server import serve

TOKEN = os.environ["TOKEN"]


def demand(connection, request):
    if request.headers.get("Authorization") != f"Bearer {TOKEN}":
        return connection.respond(http.HTTPStatus.UNAUTHORIZED, "bad credentials\n")
    return None


async def echo(socket):
    given = socket.request.headers["Authorization"]
    async for message in socket:
        if message == "reflect":
            await socket.send(given)
            await socket.send(given.encode())
            await socket.send(list(given))
            for cut in range(1, len(given)):
                await socket.send([given[:cut], given[cut:]])
            await socket.send("end")
        else:
            await socket.send(message)


async def main():
    address, certificate, key = sys.argv[1:]
    tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    tls.load_cert_chain(certificate, key)
    async with serve(
        echo, address, 443, ssl=tls, process_request=demand, max_size=None
    ) as server:
        await server.serve_forever()


asyncio.run(main())
