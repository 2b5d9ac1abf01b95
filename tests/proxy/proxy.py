"""A proxy on loopback in front of an S3 server that does to requests what the weather says.

    python -m tests.proxy.proxy SERVER_PORT --weather harsh --seed 7 [--log FILE]

As a program it prints ``READY port`` and ends when its standard input does; within a test it runs in a thread. With
``--log`` every request is written down as it ends: what was asked, what was done to it, what the server said.

Invariants:
- Requests and answers that pass are passed byte for byte.
- One request of a client is one request to the server, but for replays; nothing is sent again by the proxy itself.
- What is late is delivered, unless the proxy is closed before.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import socket
import struct
import subprocess
import sys
import threading
from collections.abc import Callable, Coroutine, Iterator
from pathlib import Path
from typing import Any, NamedTuple

from tests.proxy.weather import CLIMATES, Fault, Seeded, Weather
from tests.proxy.wire import LINE_BYTES, Message, NotHTTP, read_answer, read_request, refusal
from tests.servers import ROOT, ServerFailed, end

HOST = "127.0.0.1"
PIECES = 4
BACKLOG = 1024


class Passed(NamedTuple):
    """One request that the proxy has dealt with; ``status`` is what the server said (0: it was not asked)."""

    method: str
    target: str
    fault: Fault
    status: int


class _Line:
    """A connection to the server; made anew when it is closed."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._pair: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def ask(self, request: Message, slowly_s: float = 0.0) -> Message:
        if self._pair is None or self._pair[0].at_eof():
            self.close()
            self._pair = await asyncio.open_connection(HOST, self._port, limit=LINE_BYTES)
        reader, writer = self._pair
        await send(writer, request.raw, slowly_s)
        answer = await read_answer(reader, request.method)
        if answer.closes:
            self.close()
        return answer

    async def cut(self, request: Message, part: float) -> None:
        """Send the head and a part of the body, then hang up."""
        _, writer = await asyncio.open_connection(HOST, self._port)
        writer.write(request.head + request.body[: int(len(request.body) * part)])
        await writer.drain()
        writer.close()

    def close(self) -> None:
        if self._pair is not None:
            self._pair[1].close()
            self._pair = None


class _Client:
    """One connection of a client, and what is done to its requests."""

    def __init__(self, proxy: FaultProxy, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._proxy = proxy
        self._reader = reader
        self._writer = writer
        self._line = _Line(proxy.server_port)

    async def serve(self) -> None:
        """Until the client leaves or is thrown out."""
        try:
            while (request := await read_request(self._reader, self._writer)) is not None:
                fault = self._proxy.weather.decide(request.method, request.target)
                await asyncio.sleep(fault.delay)
                do = getattr(self, "_" + fault.kind.replace("-", "_"))
                status, goes_on = await do(request, fault)
                self._proxy.note(Passed(request.method, request.target, fault, status))
                if not goes_on:
                    break
        except (ConnectionError, asyncio.IncompleteReadError, NotHTTP, TimeoutError):
            self._reset()
        finally:
            self._line.close()
            self._writer.close()

    # --- each is ``(status of the server, whether the connection goes on)`` ------------------------------------------

    async def _pass(self, request: Message, fault: Fault) -> tuple[int, bool]:
        return await self._hand_back(await self._line.ask(request))

    async def _reset_before(self, request: Message, fault: Fault) -> tuple[int, bool]:
        return self._reset()

    async def _reset_after(self, request: Message, fault: Fault) -> tuple[int, bool]:
        return self._reset((await self._line.ask(request)).status)

    async def _hang(self, request: Message, fault: Fault) -> tuple[int, bool]:
        await self._until_given_up()
        return 0, False

    async def _hang_after(self, request: Message, fault: Fault) -> tuple[int, bool]:
        answer = await self._line.ask(request)
        await self._until_given_up()
        return answer.status, False

    async def _hang_then_late(self, request: Message, fault: Fault) -> tuple[int, bool]:
        await self._until_given_up()
        self._proxy.start(self._proxy.deliver(request, fault.seconds))
        return 0, False

    async def _late(self, request: Message, fault: Fault) -> tuple[int, bool]:
        self._proxy.start(self._proxy.deliver(request, fault.seconds))
        return self._reset()

    async def _status(self, request: Message, fault: Fault) -> tuple[int, bool]:
        await send(self._writer, refusal(fault.status, request.method))
        return 0, True

    async def _throttled(self, request: Message, fault: Fault) -> tuple[int, bool]:
        return await self._status(request, fault)

    async def _applied_then(self, request: Message, fault: Fault) -> tuple[int, bool]:
        answer = await self._line.ask(request)
        await send(self._writer, refusal(fault.status, request.method))
        return answer.status, True

    async def _replay(self, request: Message, fault: Fault) -> tuple[int, bool]:
        """Delivered twice, the second answer comes back."""
        await self._proxy.deliver(request)
        return await self._hand_back(await self._line.ask(request))

    async def _replay_first(self, request: Message, fault: Fault) -> tuple[int, bool]:
        """Delivered twice, the first answer comes back."""
        answer = await self._line.ask(request)
        await self._proxy.deliver(request)
        return await self._hand_back(answer)

    async def _cut_request(self, request: Message, fault: Fault) -> tuple[int, bool]:
        if not request.body:
            return self._reset()
        await self._line.cut(request, fault.part)
        return self._reset()

    async def _cut_answer(self, request: Message, fault: Fault) -> tuple[int, bool]:
        """A part of it comes, be it of the head alone, and then the end of the connection."""
        answer = await self._line.ask(request)
        await send(self._writer, answer.raw[: int(len(answer.raw) * fault.part)])
        return answer.status, False

    async def _slow_answer(self, request: Message, fault: Fault) -> tuple[int, bool]:
        return await self._hand_back(await self._line.ask(request), fault.seconds)

    async def _slow_request(self, request: Message, fault: Fault) -> tuple[int, bool]:
        return await self._hand_back(await self._line.ask(request, fault.seconds))

    # -----------------------------------------------------------------------------------------------------------------

    async def _hand_back(self, answer: Message, slowly_s: float = 0.0) -> tuple[int, bool]:
        await send(self._writer, answer.raw, slowly_s)
        return answer.status, not answer.closes

    async def _until_given_up(self) -> None:
        while await self._reader.read(LINE_BYTES):
            pass

    def _reset(self, status: int = 0) -> tuple[int, bool]:
        """Close so that the client sees a reset, not an end."""
        plug: Any = self._writer.get_extra_info("socket")
        with contextlib.suppress(OSError):
            plug.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._writer.transport.abort()
        return status, False


async def send(writer: asyncio.StreamWriter, data: bytes, seconds: float = 0.0) -> None:
    """Send at once, or in pieces over ``seconds``."""
    step = len(data) if not seconds else -(-len(data) // PIECES)
    for at in range(0, len(data), step):
        if at:
            await asyncio.sleep(seconds / PIECES)
        writer.write(data[at : at + step])
        await writer.drain()


class FaultProxy:
    """A proxy that runs: its ``port``, its ``weather`` (may be changed meanwhile), and what has ``passed``."""

    def __init__(self, server_port: int, weather: Weather, log: Callable[[Passed], None] | None = None) -> None:
        self.server_port = server_port
        self.weather = weather
        self.port = 0
        self.passed: list[Passed] = []
        self._log = log
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    def endpoint(self) -> str:
        return f"http://{HOST}:{self.port}"

    def note(self, passed: Passed) -> None:
        self.passed.append(passed)
        if self._log is not None:
            self._log(passed)

    async def deliver(self, request: Message, late_s: float = 0.0) -> None:
        """Hand a request to the server on a connection of its own; nobody gets the answer."""
        await asyncio.sleep(late_s)
        line = _Line(self.server_port)
        try:
            answer = await line.ask(request)
            self.note(Passed(request.method, request.target, Fault("delivered"), answer.status))
        finally:
            line.close()

    def start(self, work: Coroutine[Any, Any, None]) -> None:
        """Carry out what outlives a connection."""
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def settled(self) -> None:
        """Until everything that is late has been delivered."""
        while self._tasks:
            await asyncio.wait(self._tasks)

    async def run(self, port: int, ready: Callable[[], None], ended: asyncio.Event) -> None:
        """Serve until ``ended``."""

        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            with contextlib.suppress(asyncio.CancelledError):  # the proxy is being closed
                await _Client(self, reader, writer).serve()

        server = await asyncio.start_server(serve, HOST, port, limit=LINE_BYTES, backlog=BACKLOG)
        self.port = server.sockets[0].getsockname()[1]
        ready()
        await ended.wait()
        server.close()


class InThread:
    """A proxy in a thread of this process."""

    def __init__(self, server_port: int, weather: Weather) -> None:
        self.proxy = FaultProxy(server_port, weather)
        self._ready = threading.Event()
        self._thread = threading.Thread(target=self._main, daemon=True, name="fault-proxy")
        self._thread.start()
        if not self._ready.wait(10):
            raise RuntimeError("the fault proxy did not start")

    def _main(self) -> None:
        async def main() -> None:
            self._loop, self._ended = asyncio.get_running_loop(), asyncio.Event()
            await self.proxy.run(0, self._ready.set, self._ended)
            for task in asyncio.all_tasks() - {asyncio.current_task()}:
                task.cancel()

        asyncio.run(main())

    def settle(self) -> None:
        """Wait until everything that is late has been delivered."""
        asyncio.run_coroutine_threadsafe(self.proxy.settled(), self._loop).result(30)

    def close(self) -> None:
        self._loop.call_soon_threadsafe(self._ended.set)
        self._thread.join(10)


@contextlib.contextmanager
def fault_proxy(endpoint: str, weather: Weather) -> Iterator[InThread]:
    """A proxy before the server at ``endpoint``."""
    running = InThread(int(endpoint.rpartition(":")[2]), weather)
    try:
        yield running
    finally:
        running.close()


@contextlib.contextmanager
def proxy_program(endpoint: str, weather: str, seed: int, log: Path) -> Iterator[str]:
    """A proxy before the server at ``endpoint``, as a process of its own; its endpoint."""
    command = [sys.executable, "-m", "tests.proxy.proxy", endpoint.rpartition(":")[2], "--log", str(log)]
    process = subprocess.Popen(
        [*command, "--weather", weather, "--seed", str(seed)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=ROOT
    )
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        said = process.stdout.readline().split()
        if len(said) != 2:
            raise ServerFailed("the fault proxy did not start")
        yield f"http://{HOST}:{int(said[1])}"
    finally:
        process.stdin.close()  # which ends it, when everything is written down
        process.stdout.close()
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(10)
        end(process)


def main(argv: list[str] | None = None) -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("server_port", type=int)
    parser.add_argument("--weather", choices=sorted(CLIMATES), default="harsh")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--port", type=int, default=0, help="0: any that is free")
    parser.add_argument("--log", type=Path, help="a file that gets a line of JSON for each request")
    chosen = parser.parse_args(argv)
    asyncio.run(_program(chosen))


async def _program(chosen: argparse.Namespace) -> None:
    with contextlib.ExitStack() as stack:
        log = None
        if chosen.log:
            file = stack.enter_context(chosen.log.open("w", buffering=1))
            log = lambda passed: file.write(json.dumps(passed) + "\n")  # noqa: E731
        proxy = FaultProxy(chosen.server_port, Seeded(chosen.weather, chosen.seed), log)
        loop, ended = asyncio.get_running_loop(), asyncio.Event()

        def heard() -> None:
            if not os.read(sys.stdin.fileno(), 4096):
                loop.remove_reader(sys.stdin)
                ended.set()

        loop.add_reader(sys.stdin, heard)
        await proxy.run(chosen.port, lambda: print("READY", proxy.port, flush=True), ended)


if __name__ == "__main__":
    main()
