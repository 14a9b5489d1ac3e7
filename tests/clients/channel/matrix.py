"""A channel to Matrix: long polls of /sync with the stub that setup wrote, and replies as messages of the room.

Takes messages of those alone whom setup's access list names.
"""

import json
import os
import sys
import time
import urllib.error
import urllib.parse
import urllib.request
import uuid

import channel

FOLDER = os.path.expanduser("~/.claude/channels/matrix")


def settings():
    with open(os.path.join(FOLDER, ".env")) as file:
        lines = [line.strip().split("=", 1) for line in file if "=" in line]
    return {name: value.strip("\"'") for name, value in lines}


SETTINGS = settings()


def allowed():
    with open(os.path.join(FOLDER, "access.json")) as file:
        return json.load(file)["allowedUsers"]


def ask(method, path, body=None):
    request = urllib.request.Request(
        SETTINGS["MATRIX_HOMESERVER_URL"].rstrip("/") + "/_matrix/client/v3" + path,
        method=method,
        data=None if body is None else json.dumps(body).encode(),
        headers={"Authorization": "Bearer " + SETTINGS["MATRIX_ACCESS_TOKEN"], "Content-Type": "application/json"},
    )
    with urllib.request.urlopen(request, timeout=60) as answer:
        return json.load(answer)


def listen():
    since = None
    while True:
        query = {"timeout": 0 if since is None else 20000, **({} if since is None else {"since": since})}
        try:
            synced = ask("GET", "/sync?" + urllib.parse.urlencode(query))
        except (OSError, ValueError) as error:
            print("sync:", error, file=sys.stderr)
            time.sleep(1)
            continue
        # What was said before this start was answered before it.
        rooms = {} if since is None else synced.get("rooms", {}).get("join", {})
        since = synced["next_batch"]
        with open(os.path.join(FOLDER, "listening"), "w") as file:
            file.write(since)
        for room, news in rooms.items():
            for event in news["timeline"]["events"]:
                if event["type"] == "m.room.message" and event["sender"] in allowed():
                    channel.wake(event["content"].get("body", ""), sender=event["sender"], room=room)


def reply(room, text):
    where = f"/rooms/{urllib.parse.quote(room, safe='')}/send/m.room.message/{uuid.uuid4()}"
    return ask("PUT", where, {"msgtype": "m.text", "body": text})["event_id"]


if __name__ == "__main__":
    channel.serve(listen, reply)
