"""A grpcio client that uses the published service config, and nothing else, to survive what happens to the servers.

It repeats one call on several threads until its standard input ends. Meanwhile it prints how many calls were answered;
its last line is a JSON object with that number and the calls that failed.
"""

import argparse
import json
import pathlib
import sys
import threading
import uuid

import grpc
from google.protobuf import descriptor_pb2, descriptor_pool, json_format, message_factory

PROGRESS_SECONDS = 0.05


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--target", required=True, help="such as ipv4:127.0.0.1:50051,127.0.0.1:50061")
    parser.add_argument("--service-config", required=True, type=pathlib.Path)
    parser.add_argument("--descriptors", required=True, type=pathlib.Path, help="a FileDescriptorSet of the contract")
    parser.add_argument("--method", required=True, help="such as package.Service/Method")
    parser.add_argument("--request", required=True, help="the request as JSON")
    parser.add_argument("--key", required=True, help="the field of its idempotency key, which is a new UUID each time")
    parser.add_argument("--threads", type=int, default=8)
    given = parser.parse_args()

    request_type, response_type = types(given.descriptors, given.method)
    template = json_format.ParseDict(json.loads(given.request), request_type())
    # As docs/clients.md says.
    options = [
        ("grpc.service_config", given.service_config.read_text()),
        ("grpc.default_authority", "teppan"),
        ("grpc.initial_reconnect_backoff_ms", 200),
        ("grpc.max_reconnect_backoff_ms", 5_000),
        ("grpc.keepalive_time_ms", 30_000),
        ("grpc.keepalive_timeout_ms", 10_000),
    ]
    with grpc.insecure_channel(given.target, options=options) as channel:
        call = channel.unary_unary(
            f"/{given.method}",
            request_serializer=request_type.SerializeToString,
            response_deserializer=response_type.FromString,
        )
        result = repeat(call, template, given.key, given.threads)
    print(json.dumps(result), flush=True)


def types(descriptors, method):
    """The classes of a method's request and response."""
    pool = descriptor_pool.DescriptorPool()
    for file in descriptor_pb2.FileDescriptorSet.FromString(descriptors.read_bytes()).file:
        pool.Add(file)
    service, name = method.split("/")
    found = pool.FindServiceByName(service).methods_by_name[name]
    return message_factory.GetMessageClass(found.input_type), message_factory.GetMessageClass(found.output_type)


def repeat(call, template, key, threads):
    """Calls until standard input ends, and says what became of the calls."""
    stop, lock = threading.Event(), threading.Lock()
    result = {"answered": 0, "failed": []}

    def client():
        while not stop.is_set():
            request = type(template)()
            request.CopyFrom(template)
            setattr(request, key, str(uuid.uuid4()))
            try:
                call(request)
                with lock:
                    result["answered"] += 1
            except grpc.RpcError as error:
                with lock:
                    result["failed"].append(f"{error.code().name}: {error.details()}")

    def progress():
        while not stop.wait(PROGRESS_SECONDS):
            print(result["answered"], flush=True)

    running = [threading.Thread(target=work) for work in [progress] + [client] * threads]
    for thread in running:
        thread.start()
    sys.stdin.read()
    stop.set()
    for thread in running:
        thread.join()
    return result


main()
