"""requests that runs on: steady.py URL. Each request is a session of its own, which reads what is trusted anew. One line a request:
its status, or why there was none."""

import sys
import time

import requests

(url,) = sys.argv[1:]
while True:
    try:
        with requests.Session() as session:
            print(session.get(url, timeout=20).status_code, flush=True)
    except requests.RequestException as error:
        print(f"failed: {error}", flush=True)
    time.sleep(0.02)
