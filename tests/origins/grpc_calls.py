"""A gRPC server that demands a Bearer token in every call: grpc_calls.py ADDRESS CERTIFICATE KEY.

Messages are plain bytes, so that no code has to be made from a description. Prints `cancelled` when a call that
would never end was given up, so that a test can wait for it.
"""

import os
import sys
import threading
import time
from concurrent import futures

import grpc

TOKEN = os.environ["TOKEN"]


def unary(request, context):
    return request


def deadline(request, context):
    left = context.time_remaining()
    # Without one it is some number of centuries.
    return b"none" if left is None or left > 1e9 else str(left).encode()


def server_stream(request, context):
    for number in range(int(request)):
        yield b"%d" % number


def client_stream(requests, context):
    return b"%d" % sum(len(request) for request in requests)


def bidi(requests, context):
    for request in requests:
        yield request


def fail(request, context):
    context.set_trailing_metadata((("x-detail", "42"),))
    context.abort(grpc.StatusCode.NOT_FOUND, "no such thing")


def early(requests, context):
    # An answer before the requests have ended.
    next(requests)
    context.abort(grpc.StatusCode.RESOURCE_EXHAUSTED, "enough")


def silent(request, context):
    ended = threading.Event()
    context.add_callback(ended.set)
    ended.wait(60)
    print("cancelled", flush=True)
    return b""


def stalls(request, context):
    yield b"first"
    silent(request, context)


def drip(request, context):
    # One message now and one after so many milliseconds, as long as the caller stays.
    while context.is_active():
        yield b"drop"
        time.sleep(int(request) / 1000)


def reflect(request, context):
    given = dict(context.invocation_metadata())["authorization"]
    context.send_initial_metadata((("x-given", given),))
    context.set_trailing_metadata((("x-given-last", given),))
    return given.encode() + b" and " + given.encode()


UNARY = {"Unary": unary, "Deadline": deadline, "Fail": fail, "Silent": silent, "Reflect": reflect}
ONE_TO_MANY = {"ServerStream": server_stream, "Stalls": stalls, "Drip": drip}
MANY_TO_ONE = {"ClientStream": client_stream, "Early": early}


class Demand(grpc.ServerInterceptor):
    def intercept_service(self, continuation, details):
        if dict(details.invocation_metadata).get("authorization") == f"Bearer {TOKEN}":
            return continuation(details)

        def refuse(request, context):
            context.abort(grpc.StatusCode.UNAUTHENTICATED, "bad credentials")

        return grpc.unary_unary_rpc_method_handler(refuse)


def main():
    address, certificate, key = sys.argv[1:]
    handlers = {name: grpc.unary_unary_rpc_method_handler(call) for name, call in UNARY.items()}
    handlers |= {name: grpc.unary_stream_rpc_method_handler(call) for name, call in ONE_TO_MANY.items()}
    handlers |= {name: grpc.stream_unary_rpc_method_handler(call) for name, call in MANY_TO_ONE.items()}
    handlers["Bidi"] = grpc.stream_stream_rpc_method_handler(bidi)
    server = grpc.server(
        futures.ThreadPoolExecutor(max_workers=200),
        interceptors=[Demand()],
        options=[("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1)],
    )
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("lab.Calls", handlers),))
    with open(key, "rb") as key, open(certificate, "rb") as certificate:
        credentials = grpc.ssl_server_credentials([(key.read(), certificate.read())])
    server.add_secure_port(f"{address}:443", credentials)
    server.start()
    server.wait_for_termination()


main()
