"""A TCP proxy on loopback that makes a server behind it far away: every byte towards it arrives some ms later.

    python -m bench.proxy SERVER_PORT [--delay-ms 20] [--p99-ms 0] [--seed 0] [--port 0]

It prints ``READY port`` and ends when its standard input does. What a client sends is held for the delay and passed on
in order; answers pass at once. So a request and its answer take one delay more, whatever its size; connections share
nothing, and the delay costs no CPU while it runs. With ``--p99-ms`` delays are log-normal: ``--delay-ms`` is their
median, and equal seeds draw equal delays.
"""

from __future__ import annotations

import argparse
import asyncio
import math
import os
import random
import sys
from collections import deque
from collections.abc import Callable
from typing import Any, cast

HOST = "127.0.0.1"
HELD_BYTES = 8 * 1024 * 1024
"""What may wait in one connection before its client is no longer read."""


class _Server(asyncio.Protocol):
    """The side towards the server: its answers go to the client at once."""

    def __init__(self, client: _Client) -> None:
        self._client = client

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._client.connected(cast(asyncio.Transport, transport))

    def data_received(self, data: bytes) -> None:
        self._client.transport.write(data)

    def pause_writing(self) -> None:
        self._client.server_full = True
        self._client.balance()

    def resume_writing(self) -> None:
        self._client.server_full = False
        self._client.balance()

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002
        self._client.transport.close()


class _Client(asyncio.Protocol):
    """The side towards a client: what it sends waits for the delay, then for the connection to the server."""

    transport: asyncio.Transport

    def __init__(self, port: int, delay: Callable[[], float]) -> None:
        self._port = port
        self._delay = delay
        self._loop = asyncio.get_running_loop()
        self._waiting: deque[bytes] = deque()
        self._due = 0
        self._held = 0
        self._server: asyncio.Transport | None = None
        self._connecting: asyncio.Task[None] | None = None
        self._ended = False
        self.server_full = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)
        self._connecting = self._loop.create_task(self._connect())

    async def _connect(self) -> None:
        try:
            await self._loop.create_connection(lambda: _Server(self), HOST, self._port)
        except OSError:
            self.transport.close()

    def connected(self, server: asyncio.Transport) -> None:
        self._server = server
        if self._ended:
            server.close()
        self._send()

    def data_received(self, data: bytes) -> None:
        self._waiting.append(data)
        self._held += len(data)
        self.balance()
        # Timers of one moment may fire in any order, so a timer does not carry its data: it lets the oldest go.
        self._loop.call_later(self._delay(), self._one_is_due)

    def _one_is_due(self) -> None:
        self._due += 1
        self._send()

    def _send(self) -> None:
        if self._server is None or self._server.is_closing():
            return
        while self._due:
            self._due -= 1
            data = self._waiting.popleft()
            self._held -= len(data)
            self._server.write(data)
        self.balance()

    def balance(self) -> None:
        """Read the client only while there is room for what it sends."""
        if self.transport.is_closing():
            return
        if self.server_full or self._held > HELD_BYTES:
            self.transport.pause_reading()
        else:
            self.transport.resume_reading()

    def pause_writing(self) -> None:
        if self._server is not None:
            self._server.pause_reading()

    def resume_writing(self) -> None:
        if self._server is not None and not self._server.is_closing():
            self._server.resume_reading()

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002
        self._ended = True
        if self._server is not None:
            self._server.close()


def delays(median: float, p99: float, seed: int) -> Callable[[], float]:
    """A die of delays in seconds: always ``median``, or with ``p99`` log-normal."""
    if not p99:
        return lambda: median
    dice = random.Random(seed)
    spread = math.log(p99 / median) / 2.326  # the 99th percentile of a normal distribution
    return lambda: dice.lognormvariate(math.log(median), spread)


async def serve(server_port: int, delay: Callable[[], float], port: int) -> None:
    """Serve until standard input ends."""
    loop = asyncio.get_running_loop()
    ended = asyncio.Event()

    def heard() -> None:
        if not os.read(sys.stdin.fileno(), 4096):
            loop.remove_reader(sys.stdin)
            ended.set()

    loop.add_reader(sys.stdin, heard)
    server = await loop.create_server(lambda: _Client(server_port, delay), HOST, port, backlog=1024)
    print("READY", server.sockets[0].getsockname()[1], flush=True)
    await ended.wait()
    server.close()


def main(argv: list[str] | None = None) -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("server_port", type=int)
    parser.add_argument("--delay-ms", type=float, default=20.0)
    parser.add_argument("--p99-ms", type=float, default=0.0, help="99th percentile of the delays; 0: all are equal")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--port", type=int, default=0, help="0: any that is free")
    chosen: Any = parser.parse_args(argv)
    delay = delays(chosen.delay_ms / 1000, chosen.p99_ms / 1000, chosen.seed)
    asyncio.run(serve(chosen.server_port, delay, chosen.port))


if __name__ == "__main__":
    main()
