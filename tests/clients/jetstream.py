"""A consumer of the agents' events over wss: jetstream.py URL TOKEN make|take.

`make` makes the stream; `take` prints the next event as JSON lines: subject, headers, content.
"""

import asyncio
import json
import ssl
import sys

import nats

url, token, what = sys.argv[1:]


async def main():
    headers = {"Authorization": "Bearer " + token}
    client = await nats.connect(url, tls=ssl.create_default_context(), allow_reconnect=False, ws_connection_headers=headers)
    stream = client.jetstream(timeout=10)
    if what == "make":
        await stream.add_stream(name="swarm", subjects=["swarm.events.>"])
    else:
        subscription = await stream.pull_subscribe("swarm.events.>", durable="lab", stream="swarm")
        [message] = await subscription.fetch(1, timeout=30)
        await message.ack()
        print(json.dumps({"subject": message.subject, "headers": message.headers, "event": json.loads(message.data)}))
    await client.close()


asyncio.run(main())
