"""A store in an S3 bucket, for asyncio programs, at a fraction of the client library's cost.

The same talk, signatures and answers as in :mod:`swampstore.stores.s3_fast`, over connections of the event loop.

Invariants:
- One call is one request: nothing is sent again, but for a refusal that names the bucket's true region, once.
- A connection on which a call was cancelled or went wrong is closed.
- A store belongs to the event loop and the process it was first used in.
"""

from __future__ import annotations

import asyncio
import os
import socket
import time
from collections import deque
from collections.abc import Sequence
from typing import TypeVar, cast

from swampstore.errors import Misuse
from swampstore.stores.base import Body, Got, Headed, NotModified, Outcome, Page, Request, Stored, When, outcome
from swampstore.stores.s3 import POOL_CONNECTIONS, SIDE_BY_SIDE
from swampstore.stores.s3_lines import IDLE_SECONDS
from swampstore.stores.s3_options import S3Options
from swampstore.stores.s3_plan import Plan, make_plan
from swampstore.stores.s3_sign import Signer
from swampstore.stores.s3_talk import Ask, S3Talk, Talk, connection_fault, region_told
from swampstore.stores.s3_wire import Answer, Told

T = TypeVar("T")


class _Line(asyncio.Protocol):
    """One connection, carrying one request at a time."""

    transport: asyncio.Transport

    def __init__(self, loop: asyncio.AbstractEventLoop, read_s: float) -> None:
        self._loop = loop
        self._read_s = read_s
        self._waiter: asyncio.Future[Told] | None = None
        self._answer: Answer | None = None
        self._moved = 0.0
        self._unsent = 0
        self._timer: asyncio.TimerHandle | None = None
        self.used_at = 0.0
        self.open = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)
        self.open = True

    async def exchange(self, head: bytes, body: bytes, answer: Answer) -> Told:
        """Send a request and wait for its answer. Raises ``OSError``."""
        if not self.open:
            raise ConnectionError("the connection ended")
        self._answer = answer
        waiter: asyncio.Future[Told] = self._loop.create_future()
        self._waiter = waiter
        if len(body) <= 1 << 16:
            self.transport.write(head + body if body else head)
        else:
            self.transport.writelines((head, body))
        self._moved, self._unsent = self._loop.time(), self.transport.get_write_buffer_size()
        self._timer = self._loop.call_later(self._read_s, self._look)
        try:
            return await waiter
        finally:
            self._timer.cancel()
            self._waiter = self._answer = None

    def _look(self) -> None:
        """Whether anything has moved within the time a server has to take or send something."""
        unsent = self.transport.get_write_buffer_size()
        now = self._loop.time()
        if unsent < self._unsent:
            self._moved = now
        self._unsent = unsent
        left = self._moved + self._read_s - now
        if left > 0:
            self._timer = self._loop.call_later(left, self._look)
        else:
            self._fail(TimeoutError("timed out"))

    def data_received(self, data: bytes) -> None:
        answer, waiter = self._answer, self._waiter
        if answer is None or waiter is None or waiter.done():
            self.drop()  # nobody has asked for anything
            return
        self._moved = self._loop.time()
        try:
            done = answer.feed(data)
        except OSError as error:
            self._fail(error)
            return
        if done:
            if self.transport.get_write_buffer_size():  # answered before all of the body was sent
                answer.reusable = False
            waiter.set_result(cast(Told, answer.told))

    def connection_lost(self, exc: Exception | None) -> None:
        self.open = False
        answer, waiter = self._answer, self._waiter
        if answer is None or waiter is None or waiter.done():
            return
        try:
            if exc is not None:
                raise exc if isinstance(exc, OSError) else ConnectionError(str(exc))
            answer.end()
        except OSError as error:
            waiter.set_exception(error)
        else:
            waiter.set_result(cast(Told, answer.told))

    def _fail(self, error: OSError) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_exception(error)
        self.drop()

    def drop(self) -> None:
        """Close the connection at once."""
        self.open = False
        self.transport.abort()


class _Live:
    """What a store holds open in its loop."""

    def __init__(self, options: S3Options, plan: Plan) -> None:
        self.plan = plan
        self.signer = Signer(plan.host, plan.region)
        self.talk = S3Talk(options, plan.base)
        self.idle: deque[_Line] = deque()


class AioFastStore:
    """See :class:`swampstore.stores.base.Store`. For the tasks of one event loop; nothing is opened before the first use.

    Raises ``Unfit`` on first use where the fast driver does not do what is configured. A create or replace takes a
    streamed body of at most 16 MB; larger ones go up in parts, with ``Overwrite()`` only.
    """

    def __init__(self, options: S3Options, plan: Plan | None = None) -> None:
        self._options = options
        self._process = os.getpid()
        self._live = _Live(options, plan) if plan is not None else None
        self._making = asyncio.Lock()
        self._connections = asyncio.Semaphore(POOL_CONNECTIONS)
        self._side_by_side = asyncio.Semaphore(SIDE_BY_SIDE)
        self._closed = False

    @property
    def url(self) -> str:
        return self._options.url

    async def get(
        self, name: str, *, span: tuple[int, int] | None = None, if_none_match: str | None = None
    ) -> Got | NotModified:
        live = self._live or await self._begin()
        return await self._hold(live, live.talk.get(name, span, if_none_match), name)

    async def put(self, name: str, body: Body, when: When) -> Stored:
        live = self._live or await self._begin()
        return await self._hold(live, live.talk.put(name, body, when), name)

    async def list(self, prefix: str, *, start_after: str = "", limit: int = 1000) -> Page:
        live = self._live or await self._begin()
        return await self._hold(live, live.talk.list(prefix, start_after, limit), prefix or "a listing")

    async def head(self, name: str) -> Headed:
        live = self._live or await self._begin()
        return await self._hold(live, live.talk.head(name), name)

    async def delete(self, names: Sequence[str]) -> None:
        live = self._live or await self._begin()
        await self._hold(live, live.talk.delete(names), f"{len(names)} names")

    async def now(self) -> int:
        live = self._live or await self._begin()
        return await self._hold(live, live.talk.now(), "the bucket")

    async def many(self, requests: Sequence[Request]) -> Sequence[Outcome]:
        if len(requests) < 2:
            return [await outcome(self, request) for request in requests]
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(self._in_turn(request)) for request in requests]
        return [task.result() for task in tasks]

    async def _in_turn(self, request: Request) -> Outcome:
        async with self._side_by_side:
            return await outcome(self, request)

    async def close(self) -> None:
        """Ends the connections. Calling it twice is no error; any other call afterwards is ``Misuse``."""
        self._closed = True
        if self._live is not None and self._process == os.getpid():
            while self._live.idle:
                self._live.idle.pop().drop()
            await asyncio.sleep(0)  # the loop closes them in its next round

    async def _begin(self, region: str = "") -> _Live:
        async with self._making:
            live = self._live
            if live is None or (region and live.plan.region != region):
                plan = await asyncio.to_thread(make_plan, self._options, region=region)
                while live is not None and live.idle:
                    live.idle.pop().drop()
                live = self._live = _Live(self._options, plan)
            return live

    async def _hold(self, live: _Live, talk: Talk[T], what: str) -> T:
        """Carry out a talk to its end."""
        if self._closed:
            raise Misuse(f"the store {self.url} is closed")
        if self._process != os.getpid():
            raise Misuse("this store was opened before a fork", hint="open it again in the child process")
        try:
            ask = next(talk)
            while True:
                try:
                    told = await self._exchange(live, ask, what)
                except BaseException as error:  # noqa: BLE001 (the talk may have something to undo)
                    ask = talk.throw(error)
                else:
                    ask = talk.send(told)
        except StopIteration as stop:
            result: T = stop.value
            return result

    async def _exchange(self, live: _Live, ask: Ask, what: str) -> Told:
        told = await self._once(live, ask, what)
        region = region_told(told) if live.plan.aws else ""
        if region and region != live.plan.region:
            return await self._once(await self._begin(region), ask, what)
        return told

    async def _once(self, live: _Live, ask: Ask, what: str) -> Told:
        plan = live.plan
        if plan.due():
            await asyncio.to_thread(plan.keys)
        async with self._connections:
            # Signed last: a request that has waited long for its turn would be refused for its age.
            head = live.signer.head(plan.keys(), ask.method, ask.path, ask.query, ask.headers, ask.body)
            answer = Answer(ask.method, ask.limit)
            try:
                line = _idle(live) or await self._connect(plan)
                try:
                    return await line.exchange(head, ask.body, answer)
                finally:
                    if line.open and answer.told is not None and answer.reusable and not self._closed:
                        line.used_at = time.monotonic()
                        live.idle.append(line)
                    else:
                        line.drop()
            except OSError as error:
                raise connection_fault(error, f"{what} in {self.url}") from error

    async def _connect(self, plan: Plan) -> _Line:
        loop = asyncio.get_running_loop()
        read_s = self._options.read_seconds
        name = plan.address if plan.tls is not None else None
        async with asyncio.timeout(self._options.connect_seconds):
            transport, line = await loop.create_connection(
                lambda: _Line(loop, read_s), plan.address, plan.port, ssl=plan.tls, server_hostname=name
            )
        made = transport.get_extra_info("socket")
        if made is not None:
            made.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        return line


def _idle(live: _Live) -> _Line | None:
    """A good connection that is there already: the one used last."""
    while live.idle:
        line = live.idle.pop()
        if line.open and time.monotonic() - line.used_at < IDLE_SECONDS:
            return line
        line.drop()
    return None
