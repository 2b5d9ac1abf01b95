"""A store in an S3 bucket, for blocking programs, at a tenth of the client library's cost: no call ever suspends.

Requests are signed and written, and answers read, by this library itself; see :mod:`swampstore.stores.s3_talk` for what
is said and :mod:`swampstore.stores.s3_plan` for whose credentials are used and when botocore's client takes over.

Invariants:
- One call is one request: nothing is sent again, but for a refusal that names the bucket's true region, once.
- Calls side by side (``many``) take connections, not threads.
- A forked child shares no connection and no credentials with its parent: it begins with its own.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Sequence
from typing import TypeVar

from swampstore.errors import Misuse, SwampError
from swampstore.stores.base import Body, Got, Headed, NotModified, Outcome, Page, Request, Stored, When
from swampstore.stores.s3_lines import Lines
from swampstore.stores.s3_options import S3Options
from swampstore.stores.s3_plan import Plan, make_plan
from swampstore.stores.s3_sign import Signer
from swampstore.stores.s3_talk import Ask, S3Talk, Talk, connection_fault, region_told
from swampstore.stores.s3_wave import wave
from swampstore.stores.s3_wire import Answer, Told

T = TypeVar("T")


class Live:
    """What one process holds open: the plan, who signs, the connections."""

    def __init__(self, options: S3Options, plan: Plan) -> None:
        self.process = os.getpid()
        self.plan = plan
        self.signer = Signer(plan.host, plan.region)
        self.lines = Lines(plan, options.connect_seconds, options.read_seconds)
        self.talk = S3Talk(options, plan.base)

    def head(self, ask: Ask) -> bytes:
        """The head of a request, signed."""
        return self.signer.head(self.plan.keys(), ask.method, ask.path, ask.query, ask.headers, ask.body)

    def elsewhere(self, told: Told) -> str:
        """The region a refusal sends us to; empty if it does not."""
        region = region_told(told) if self.plan.aws else ""
        return region if region != self.plan.region else ""


class FastStore:
    """See :class:`swampstore.stores.base.Store`. Safe to share between threads; nothing is opened before the first use.

    Raises ``Unfit`` on first use where the fast driver does not do what is configured. A create or replace takes a
    streamed body of at most 16 MB; larger ones go up in parts, with ``Overwrite()`` only.
    """

    def __init__(self, options: S3Options, plan: Plan | None = None) -> None:
        self._options = options
        self._lock = threading.Lock()
        self._live_made = Live(options, plan) if plan is not None else None
        self._closed = False

    @property
    def url(self) -> str:
        return self._options.url

    async def get(
        self, name: str, *, span: tuple[int, int] | None = None, if_none_match: str | None = None
    ) -> Got | NotModified:
        live = self._live()
        return self._hold(live, live.talk.get(name, span, if_none_match), name)

    async def put(self, name: str, body: Body, when: When) -> Stored:
        live = self._live()
        return self._hold(live, live.talk.put(name, body, when), name)

    async def list(self, prefix: str, *, start_after: str = "", limit: int = 1000) -> Page:
        live = self._live()
        return self._hold(live, live.talk.list(prefix, start_after, limit), prefix or "a listing")

    async def head(self, name: str) -> Headed:
        live = self._live()
        return self._hold(live, live.talk.head(name), name)

    async def delete(self, names: Sequence[str]) -> None:
        live = self._live()
        self._hold(live, live.talk.delete(names), f"{len(names)} names")

    async def now(self) -> int:
        live = self._live()
        return self._hold(live, live.talk.now(), "the bucket")

    async def many(self, requests: Sequence[Request]) -> Sequence[Outcome]:
        live = self._live()
        if len(requests) > 1:
            return wave(live, requests, self._options.read_seconds, self._exchange)
        return [self._outcome(live, request) for request in requests]

    async def close(self) -> None:
        """Ends the connections. Calling it twice is no error; any other call afterwards is ``Misuse``."""
        self._closed = True
        live = self._live_made
        if live is not None and live.process == os.getpid():
            live.lines.close()

    def _outcome(self, live: Live, request: Request) -> Outcome:
        try:
            return self._hold(live, live.talk.of(request), getattr(request, "name", "a listing"))
        except SwampError as error:
            return error

    def _live(self) -> Live:
        if self._closed:
            raise Misuse(f"the store {self.url} is closed")
        live = self._live_made
        if live is None or live.process != os.getpid():
            live = self._begin()
        return live

    def _begin(self, region: str = "") -> Live:
        if self._live_made is not None and self._live_made.process != os.getpid():
            self._lock = threading.Lock()  # the parent's may be held for ever in a child
        with self._lock:
            live = self._live_made
            if live is None or live.process != os.getpid() or (region and live.plan.region != region):
                made = Live(self._options, make_plan(self._options, region=region))
                if live is not None and live.process == made.process:
                    live.lines.close()
                live = self._live_made = made
            return live

    def _hold(self, live: Live, talk: Talk[T], what: str) -> T:
        """Carry out a talk to its end."""
        try:
            ask = next(talk)
            while True:
                try:
                    told = self._exchange(live, ask, what)
                except BaseException as error:  # noqa: BLE001 (the talk may have something to undo)
                    ask = talk.throw(error)
                else:
                    ask = talk.send(told)
        except StopIteration as stop:
            result: T = stop.value
            return result

    def _exchange(self, live: Live, ask: Ask, what: str) -> Told:
        told = self._once(live, ask, what)
        region = live.elsewhere(told)
        return self._once(self._begin(region), ask, what) if region else told

    def _once(self, live: Live, ask: Ask, what: str) -> Told:
        head = live.head(ask)
        try:
            line = live.lines.take()
            try:
                line.send(head, ask.body, Answer(ask.method, ask.limit))
                return line.receive()
            finally:
                live.lines.give_back(line)
        except OSError as error:
            raise connection_fault(error, f"{what} in {self.url}") from error
