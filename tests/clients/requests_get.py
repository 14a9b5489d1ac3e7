"""GET and POST with requests: requests_get.py BASE TOKEN. Prints what the origin answered."""

import sys

import requests

base, token = sys.argv[1:]
with requests.Session() as session:
    session.headers["Authorization"] = f"Bearer {token}"
    got = session.get(f"{base}/user", timeout=20)
    got.raise_for_status()
    posted = session.post(f"{base}/graphql", data=(b"x" * 1000 for _ in range(100)), timeout=20)
    posted.raise_for_status()
    print(got.json()["login"], posted.json()["data"]["viewer"]["login"])
