"""Many requests at once over HTTP/2 with httpx: httpx_h2.py BASE TOKEN. Prints version and count."""

import asyncio
import sys

import httpx

base, token = sys.argv[1:]


async def main():
    headers = {"Authorization": f"Bearer {token}"}
    async with httpx.AsyncClient(http2=True, http1=False, headers=headers, timeout=20) as client:
        first = await client.get(f"{base}/user")
        answers = await asyncio.gather(*(client.get(f"{base}/user?n={n}") for n in range(50)))
        for answer in answers:
            answer.raise_for_status()
            assert answer.json()["login"] == "lab"
        print(first.http_version, len(answers))


asyncio.run(main())
