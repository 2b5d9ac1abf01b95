"""Many calls of the blocking fast driver side by side, on one thread: each goes on when its connection can.

Invariants:
- At most :data:`~swampstore.stores.s3.SIDE_BY_SIDE` requests are in flight; the next goes out when one is answered.
- A call that fails is its own outcome and nobody else's; what is left in flight when the wave is abandoned is closed.
"""

from __future__ import annotations

import selectors
import time
from collections import deque
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from swampstore.errors import SwampError
from swampstore.stores.base import Outcome, Request
from swampstore.stores.s3 import SIDE_BY_SIDE
from swampstore.stores.s3_lines import Line
from swampstore.stores.s3_talk import Ask, Talk, connection_fault
from swampstore.stores.s3_wire import Answer, Told

if TYPE_CHECKING:
    from swampstore.stores.s3_fast import Live

Again = Callable[["Live", Ask, str], Told]


def wave(live: Live, requests: Sequence[Request], read_s: float, again: Again) -> Sequence[Outcome]:
    """The outcomes of ``requests``, in order. ``again`` carries out one ask alone: for another region."""
    return _Wave(live, requests, read_s, again).run()


class _Call:
    """One request of the wave on its way."""

    __slots__ = ("ask", "at", "left", "line", "since", "talk", "what")

    def __init__(self, at: int, talk: Talk[Outcome], ask: Ask, what: str) -> None:
        self.at = at
        self.talk = talk
        self.ask = ask
        self.what = what
        self.line: Line | None = None
        self.left = memoryview(b"")
        self.since = 0.0


class _Wave:
    def __init__(self, live: Live, requests: Sequence[Request], read_s: float, again: Again) -> None:
        self._live = live
        self._requests = requests
        self._read_s = read_s
        self._again = again
        self._found: list[Outcome | None] = [None] * len(requests)
        self._due: deque[_Call] = deque()
        self._flying: dict[int, _Call] = {}
        self._selector = selectors.DefaultSelector()

    def run(self) -> Sequence[Outcome]:
        try:
            for at, request in enumerate(self._requests):
                self._begin(at, request)
            self._open()
            while self._due or self._flying:
                while self._due and len(self._flying) < SIDE_BY_SIDE:
                    self._launch(self._due.popleft(), None)
                self._land()
        finally:
            self._selector.close()
            for call in self._flying.values():
                if call.line is not None:
                    call.line.close()
        return [outcome for outcome in self._found if outcome is not None]

    def _begin(self, at: int, request: Request) -> None:
        talk: Talk[Outcome] = self._live.talk.of(request)
        try:
            ask = next(talk)
        except SwampError as error:
            self._found[at] = error
            return
        self._due.append(_Call(at, talk, ask, getattr(request, "name", "a listing")))

    def _open(self) -> None:
        """Send on the connections there are; open those that are missing together, and send on them."""
        lines = self._live.lines
        wanted = min(len(self._due), SIDE_BY_SIDE)
        while len(self._flying) < wanted and (line := lines.idle()):
            self._launch(self._due.popleft(), line)
        for opened in lines.open_many(min(len(self._due), wanted - len(self._flying))):
            call = self._due.popleft()
            if isinstance(opened, OSError):
                self._failed(call, opened)
            else:
                self._launch(call, opened)

    def _launch(self, call: _Call, line: Line | None) -> None:
        """Send a call's next ask."""
        try:
            head = self._live.head(call.ask)
            call.line = line or self._live.lines.take()
            self._flying[call.at] = call
            call.left = call.line.begin(head, call.ask.body, Answer(call.ask.method, call.ask.limit))
            call.since = time.monotonic()
            self._selector.register(call.line, _wanted(call), call)
        except OSError as error:
            self._end(call)
            self._failed(call, error)
        except SwampError as error:
            self._throw(call, error)

    def _land(self) -> None:
        """Wait until a connection can go on, and let those that can."""
        if not self._flying:
            return
        oldest = min(call.since for call in self._flying.values())
        ready = self._selector.select(max(oldest + self._read_s - time.monotonic(), 0.0))
        for key, events in ready:
            call: _Call = key.data
            try:
                told = self._go_on(call, events)
            except OSError as error:
                self._selector.unregister(key.fileobj)
                self._end(call)
                self._failed(call, error)
                continue
            if told is not None:
                self._selector.unregister(key.fileobj)
                self._end(call)
                self._told(call, told)
        if not ready:
            self._late()

    def _go_on(self, call: _Call, events: int) -> Told | None:
        """Receive or send what can be; the answer once it is there."""
        line = call.line
        assert line is not None
        assert line.answer is not None
        call.since = time.monotonic()
        if events & selectors.EVENT_READ:
            told = line.receive_some()
            if told is not None and call.left:  # answered before all of the body was sent
                line.answer.reusable = False
            return told
        call.left = line.send_some(call.left)
        if not call.left:
            self._selector.modify(line, _wanted(call), call)
        return None

    def _late(self) -> None:
        now = time.monotonic()
        for call in [call for call in self._flying.values() if now - call.since >= self._read_s]:
            self._selector.unregister(call.line)  # type: ignore[arg-type]
            self._end(call)
            self._failed(call, TimeoutError("timed out"))

    def _end(self, call: _Call) -> None:
        self._flying.pop(call.at, None)
        line, call.line = call.line, None
        if line is not None:
            self._live.lines.give_back(line)

    def _told(self, call: _Call, told: Told) -> None:
        try:
            if self._live.elsewhere(told):
                told = self._again(self._live, call.ask, call.what)
            call.ask = call.talk.send(told)
        except StopIteration as stop:
            self._found[call.at] = stop.value
        except SwampError as error:
            self._found[call.at] = error
        else:
            self._due.appendleft(call)

    def _failed(self, call: _Call, error: OSError) -> None:
        fault = connection_fault(error, f"{call.what} in {self._live.talk.url}")
        fault.__cause__ = error
        self._throw(call, fault)

    def _throw(self, call: _Call, fault: SwampError) -> None:
        try:
            call.ask = call.talk.throw(fault)
        except StopIteration as stop:
            self._found[call.at] = stop.value
        except SwampError as error:
            self._found[call.at] = error
        else:
            self._due.appendleft(call)


def _wanted(call: _Call) -> int:
    return selectors.EVENT_READ | selectors.EVENT_WRITE if call.left else selectors.EVENT_READ
