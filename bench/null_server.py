"""An S3 server that answers at once and keeps nothing: what is left of a request's time is the client's own.

    python -m bench.null_server [--port 0]

It prints ``READY port`` and ends when its standard input does. Every put succeeds, every listing is the same page of
1,000 names, anything else is an empty object.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import re
import sys
from datetime import UTC, datetime
from email.utils import formatdate
from typing import Any, cast

HOST = "127.0.0.1"
NAMES = 1000

_LENGTH = re.compile(rb"\r\ncontent-length:\s*(\d+)", re.IGNORECASE)


def page(names: int) -> bytes:
    """A page of a listing as AWS writes it."""
    moment = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.000Z")
    entries = "".join(
        f"<Contents><Key>team/ops/log/w1b4d8e5f0a2c4e6f/{number:016x}</Key><LastModified>{moment}</LastModified>"
        f"<ETag>&quot;{number:032x}&quot;</ETag><Size>{300 + number}</Size><StorageClass>STANDARD</StorageClass></Contents>"
        for number in range(names)
    )
    return (
        '<?xml version="1.0" encoding="UTF-8"?>\n<ListBucketResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/">'
        f"<Name>bench</Name><Prefix>team/</Prefix><KeyCount>{names}</KeyCount><MaxKeys>1000</MaxKeys>"
        f"<EncodingType>url</EncodingType><IsTruncated>false</IsTruncated>{entries}</ListBucketResult>"
    ).encode()


def _answer(headers: str, body: bytes = b"") -> bytes:
    date = formatdate(usegmt=True)
    head = f"HTTP/1.1 200 OK\r\nDate: {date}\r\nx-amz-request-id: 0123456789ABCDEF\r\nServer: null\r\n{headers}"
    return f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body


class _Answering(asyncio.Protocol):
    def __init__(self, stored: bytes, listed: bytes) -> None:
        self._stored = stored
        self._listed = listed
        self._held = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        self._held += data
        while (end := self._held.find(b"\r\n\r\n")) >= 0:
            head = self._held[:end]
            found = _LENGTH.search(head)
            whole = end + 4 + (int(found[1]) if found else 0)
            if len(self._held) < whole:
                return
            self._held = self._held[whole:]
            self._transport.write(self._listed if b"list-type=2" in head else self._stored)


async def serve(port: int) -> None:
    """Serve until standard input ends."""
    loop = asyncio.get_running_loop()
    ended = asyncio.Event()

    def heard() -> None:
        if not os.read(sys.stdin.fileno(), 4096):
            loop.remove_reader(sys.stdin)
            ended.set()

    stored = _answer(f'ETag: "{"0" * 32}"\r\nLast-Modified: {formatdate(usegmt=True)}\r\n')
    listed = _answer("Content-Type: application/xml\r\n", page(NAMES))
    loop.add_reader(sys.stdin, heard)
    server = await loop.create_server(lambda: _Answering(stored, listed), HOST, port, backlog=1024)
    print("READY", server.sockets[0].getsockname()[1], flush=True)
    await ended.wait()
    server.close()


def main(argv: list[str] | None = None) -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--port", type=int, default=0, help="0: any that is free")
    chosen: Any = parser.parse_args(argv)
    asyncio.run(serve(chosen.port))


if __name__ == "__main__":
    main()
