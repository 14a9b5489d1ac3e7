"""Calls of gRPC: grpc_calls.py HOST TOKEN CALL. Prints what came of it; an error as its status and details."""

import os
import sys
import threading
from concurrent import futures

import grpc

host, token, call = sys.argv[1:]
metadata = (("authorization", f"Bearer {token}"),)
with open(os.environ["GRPC_BUNDLE"], "rb") as bundle:
    credentials = grpc.ssl_channel_credentials(bundle.read())
options = [("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1), ("grpc.enable_retries", 0)]
channel = grpc.secure_channel(f"{host}:443", credentials, options=options)


def unary(name, request=b"hello", **more):
    return channel.unary_unary(f"/lab.Calls/{name}")(request, metadata=metadata, **{"timeout": 30, **more})


def one_to_many(name, request, timeout=30):
    return channel.unary_stream(f"/lab.Calls/{name}")(request, metadata=metadata, timeout=timeout)


def many_to_one(name, requests, timeout=30):
    return channel.stream_unary(f"/lab.Calls/{name}")(requests, metadata=metadata, timeout=timeout)


def run():
    if call == "unary":
        return unary("Unary").decode()
    if call == "large":
        message = os.urandom(20 << 20)
        return unary("Unary", message) == message
    if call == "many":
        with futures.ThreadPoolExecutor(50) as pool:
            messages = [b"%d" % number for number in range(1000)]
            return list(pool.map(lambda message: unary("Unary", message), messages)) == messages
    if call == "deadline":
        return 20 < float(unary("Deadline", timeout=25)) <= 25
    if call == "no-deadline":
        return unary("Deadline", timeout=None).decode()
    if call == "server-stream":
        return sum(1 for _ in one_to_many("ServerStream", b"10000"))
    if call == "client-stream":
        return many_to_one("ClientStream", (b"x" * 1000 for _ in range(10_000))).decode()
    if call == "bidi":
        # Each message goes out only when the one before has come back; then many at once.
        answered = threading.Semaphore(1)

        def requests():
            for number in range(100):
                assert answered.acquire(timeout=10)
                yield b"%d" % number

        count = 0
        for answer in channel.stream_stream("/lab.Calls/Bidi")(requests(), metadata=metadata, timeout=30):
            assert answer == b"%d" % count
            count += 1
            answered.release()
        blocks = (b"y" * 65_536 for _ in range(500))
        echoed = channel.stream_stream("/lab.Calls/Bidi")(blocks, metadata=metadata, timeout=60)
        return count, sum(len(answer) for answer in echoed)
    if call == "fail":
        return unary("Fail")
    if call == "early":
        return many_to_one("Early", (b"z" * 1000 for _ in range(100_000)))
    if call == "silent":
        return unary("Silent", timeout=1)
    if call == "give-up":
        started = channel.unary_unary("/lab.Calls/Silent").future(b"", metadata=metadata)
        # Once another call has come back on the same connection, this one has begun.
        unary("Unary")
        started.cancel()
        return unary("Unary").decode()
    if call == "wait":
        return unary("Silent", timeout=None)
    if call == "stalls":
        return [answer for answer in one_to_many("Stalls", b"", timeout=None)]
    if call == "drip":
        for answer in one_to_many("Drip", b"50", timeout=None):
            print(answer.decode(), flush=True)
        return "the end"
    if call == "elsewhere":
        return channel.unary_unary("/lab.Other/Unary")(b"", metadata=metadata, timeout=30)
    if call == "reflect":
        answer, rest = channel.unary_unary("/lab.Calls/Reflect").with_call(b"", metadata=metadata, timeout=30)
        first = dict(rest.initial_metadata())["x-given"]
        return first, answer.decode(), dict(rest.trailing_metadata())["x-given-last"]
    raise SystemExit(f"no call {call}")


try:
    print(run())
except grpc.RpcError as error:
    print(error.code().name, "|", error.details(), "|", dict(error.trailing_metadata() or ()).get("x-detail", ""))
