#!/usr/bin/env python3
"""Memory of a running server per open WebSocket.

    benches/sockets.py URL [--sockets 10000] [--token TOKEN] [--query DOCUMENT] [--hold SECONDS]

Opens that many sockets, each past its connection_ack and with one subscription
if a document is given, and reads the server's resident memory from /metrics
before and after. Needs a limit of open files above the number of sockets, here
and in the server, and `telemetry.metrics` on. More than 28,000 sockets need
more than one address of the client; 127.0.0.0/8 has them.
"""
import argparse
import asyncio
import base64
import json
import os
import resource
import time
import urllib.request
from urllib.parse import urlparse


def resident(base):
    page = urllib.request.urlopen(base + "/metrics").read().decode()
    return next(int(line.split()[1]) for line in page.splitlines()
                if line.startswith("ringfence_process_resident_memory_bytes "))


def frame(message):
    """Masked with zeros, which changes no byte."""
    text = json.dumps(message).encode()
    head = bytes([0x81, 0x80 | len(text)]) if len(text) < 126 else b"\x81\xfe" + len(text).to_bytes(2, "big")
    return head + bytes(4) + text


async def receive(reader):
    first, length = await reader.readexactly(2)
    if length > 125:
        length = int.from_bytes(await reader.readexactly(2 if length == 126 else 8), "big")
    return first, await reader.readexactly(length)


async def open_one(args, url, number):
    local = ("127.0.0.%d" % (1 + number % 200), 0) if url.hostname in ("127.0.0.1", "localhost") else None
    reader, writer = await asyncio.open_connection(url.hostname, url.port, local_addr=local, limit=4096)
    writer.write((
        "GET %s HTTP/1.1\r\nHost: %s\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: %s\r\nSec-WebSocket-Protocol: graphql-transport-ws\r\n\r\n"
        % (url.path, url.netloc, base64.b64encode(os.urandom(16)).decode())).encode())
    assert b" 101 " in await reader.readuntil(b"\r\n\r\n")
    headers = {"Authorization": "Bearer " + args.token} if args.token else {}
    writer.write(frame({"type": "connection_init", "payload": {"headers": headers}}))
    first, answer = await receive(reader)
    assert b"connection_ack" in answer, answer
    if args.query:
        writer.write(frame({"id": "1", "type": "subscribe", "payload": {"query": args.query}}))
        first, answer = await receive(reader)
        assert b'"next"' in answer, answer
    asyncio.create_task(answer_pings(reader, writer))
    return writer


async def answer_pings(reader, writer):
    try:
        while True:
            first, _ = await receive(reader)
            if first == 0x89:
                writer.write(b"\x8a\x80\0\0\0\0")
    except (asyncio.IncompleteReadError, ConnectionError):
        pass


async def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("url", help="of the GraphQL endpoint, http://…")
    parser.add_argument("--sockets", type=int, default=10000)
    parser.add_argument("--token")
    parser.add_argument("--query")
    parser.add_argument("--hold", type=float, default=5)
    args = parser.parse_args()
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    url = urlparse(args.url)
    base = "http://" + url.netloc
    # What one of them needs first (schema, plan, statement) is no socket's.
    kept = [await open_one(args, url, 0)]
    before, start = resident(base), time.monotonic()
    for number in range(0, args.sockets, 100):
        batch = range(number, min(number + 100, args.sockets))
        kept += await asyncio.gather(*(open_one(args, url, n) for n in batch))
    opened = time.monotonic() - start
    await asyncio.sleep(args.hold)
    after = resident(base)
    print("%d sockets in %.1f s; resident %.1f MB -> %.1f MB; %.0f bytes each"
          % (args.sockets, opened, before / 1e6, after / 1e6, (after - before) / args.sockets))


asyncio.run(main())
