"""Clients that stay, and come back when they are cut off: reconnect.py sse|websocket URL TOKEN.

Prints `open` for each connection, `event DATA` for what comes on it, and `closed` when it ends; `failed WHY` for a connection that
was not had: refused, reset before its answer, or answered with anything but what was asked for.
"""

import asyncio
import sys

import httpx
from websockets.asyncio.client import connect

kind, url, token = sys.argv[1:]
headers = {"Authorization": f"Bearer {token}"}


def say(*words):
    print(*words, flush=True)


def events():
    while True:
        opened = False
        try:
            # Of its own for each connection, as a client that was cut off makes one.
            with httpx.Client(timeout=20) as client, client.stream("GET", url, headers=headers) as response:
                response.raise_for_status()
                opened = True
                say("open")
                for line in response.iter_lines():
                    if line.startswith("data:"):
                        say("event", line[5:].strip())
        except httpx.HTTPError as error:
            if not opened:
                say("failed", repr(error))
        say("closed")


async def socket():
    while True:
        opened = False
        try:
            async with connect(url, additional_headers=headers, compression=None, open_timeout=20) as connection:
                opened = True
                say("open")
                number = 0
                while True:
                    await connection.send(str(number))
                    say("event", await connection.recv())
                    number += 1
                    await asyncio.sleep(0.2)
        except Exception as error:
            if not opened:
                say("failed", repr(error))
        say("closed")


if kind == "sse":
    events()
else:
    asyncio.run(socket())
