"""NATS over wss: nats_wss.py URL COUNT SIZE. Subscribes, publishes COUNT messages and one of SIZE bytes, wants all back."""

import asyncio
import os
import ssl
import sys

import nats

url, count, size = sys.argv[1:]


async def main():
    client = await nats.connect(url, tls=ssl.create_default_context(), allow_reconnect=False)
    subscription = await client.subscribe("lab.>", pending_msgs_limit=-1, pending_bytes_limit=-1)
    for number in range(int(count)):
        await client.publish(f"lab.{number}", b"%d" % number)
    blob = os.urandom(int(size))
    await client.publish("lab.blob", blob)
    await client.flush()
    for number in range(int(count)):
        message = await subscription.next_msg(timeout=10)
        assert (message.subject, message.data) == (f"lab.{number}", b"%d" % number), message
    assert (await subscription.next_msg(timeout=10)).data == blob
    await client.close()
    print("heard", count, "and", size)


asyncio.run(main())
