"""Connections of the blocking fast driver: opened, lent for one request at a time, kept while they are good.

Invariants:
- A connection that has been idle for long, or on which anything has come meanwhile (its end, above all), carries no
  request: a request on it would have to be sent again, and a write that is sent again meets itself.
- A connection whose answer was not read to its end is closed.
"""

from __future__ import annotations

import select
import socket
import ssl
import time
from collections import deque

from swampstore.stores.s3 import POOL_CONNECTIONS
from swampstore.stores.s3_plan import Plan
from swampstore.stores.s3_wire import Answer, Told

IDLE_SECONDS = 15.0
READ_BYTES = 256 << 10
_TOGETHER_BYTES = 64 << 10
_SEND_BYTES = 128 << 10
_OPENERS = 32


class Line:
    """One connection; each wait on it is as long as its socket's time-out."""

    __slots__ = ("_socket", "answer", "used_at")

    def __init__(self, opened: socket.socket) -> None:
        self._socket = opened
        self.answer: Answer | None = None
        self.used_at = 0.0

    def fileno(self) -> int:
        """For ``select``."""
        return self._socket.fileno()

    def send(self, head: bytes, body: bytes, answer: Answer) -> None:
        """Send a request, all of it, whose answer ``answer`` is to take in."""
        left = self.begin(head, body, answer)
        while left:
            left = self.send_some(left)

    def begin(self, head: bytes, body: bytes, answer: Answer) -> memoryview:
        """Send the beginning of a request; what :meth:`send_some` has to send still (nothing, if it is small)."""
        self.answer = answer
        if len(body) <= _TOGETHER_BYTES:
            return self._sent(memoryview(head + body if body else head), whole=True)
        self._sent(memoryview(head), whole=True)
        return memoryview(body)

    def send_some(self, left: memoryview) -> memoryview:
        """Send some of the rest, as much as goes out at once; what is left then."""
        return self._sent(left, whole=False)

    def _sent(self, data: memoryview, *, whole: bool) -> memoryview:
        try:
            if whole:
                self._socket.sendall(data)
                return data[:0]
            return data[self._socket.send(data[:_SEND_BYTES]) :]
        except (BrokenPipeError, ConnectionResetError):
            # A server that refuses may answer and close before it has the whole body: what it said can be read still.
            return data[:0]

    def receive(self) -> Told:
        """The whole answer. Raises ``OSError`` (``BadAnswer``, ``TimeoutError``) when it does not come."""
        told = None
        while told is None:
            told = self.receive_some()
        return told

    def receive_some(self) -> Told | None:
        """Take in what has come, waiting if it is nothing; the answer once it is complete."""
        answer = self.answer
        assert answer is not None
        while True:
            data = self._socket.recv(READ_BYTES)
            if answer.feed(data) if data else answer.end():
                return answer.told
            if not isinstance(self._socket, ssl.SSLSocket) or not self._socket.pending():
                return None

    def silent(self) -> bool:
        """Whether nothing has come since its last answer, not even its end."""
        poll = select.poll()
        poll.register(self._socket, select.POLLIN)
        return not poll.poll(0)

    def close(self) -> None:
        self._socket.close()


class Lines:
    """The connections to one place. Safe to share between threads."""

    def __init__(self, plan: Plan, connect_s: float, read_s: float) -> None:
        self._plan = plan
        self._connect_s = connect_s
        self._read_s = read_s
        self._idle: deque[Line] = deque()
        self._closed = False

    def take(self) -> Line:
        """A good connection: the one used last, or a new one. Raises ``OSError``."""
        return self.idle() or self.open()

    def idle(self) -> Line | None:
        """A good connection that is there already."""
        while self._idle:
            try:
                line = self._idle.pop()
            except IndexError:  # another thread was first
                return None
            if time.monotonic() - line.used_at < IDLE_SECONDS and line.silent():
                return line
            line.close()
        return None

    def open(self) -> Line:
        """A new connection. Raises ``OSError``."""
        plan = self._plan
        opened = socket.create_connection((plan.address, plan.port), self._connect_s)
        try:
            opened.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            opened.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
            if plan.tls is not None:
                opened = plan.tls.wrap_socket(opened, server_hostname=plan.address)
            opened.settimeout(self._read_s)
        except BaseException:
            opened.close()
            raise
        return Line(opened)

    def open_many(self, count: int) -> list[Line | OSError]:
        """So many new connections, opened side by side."""
        if count < 2:
            return [self._opened() for _ in range(count)]
        from concurrent.futures import ThreadPoolExecutor  # here: it takes 10 ms of a short program

        with ThreadPoolExecutor(min(count, _OPENERS), thread_name_prefix="swampstore-s3") as threads:
            futures = [threads.submit(self._opened) for _ in range(count)]
        return [future.result() for future in futures]

    def _opened(self) -> Line | OSError:
        try:
            return self.open()
        except OSError as error:
            return error

    def give_back(self, line: Line) -> None:
        """After an answer: kept if it may carry another request."""
        answer, line.answer = line.answer, None
        good = answer is not None and answer.told is not None and answer.reusable
        if good and not self._closed and len(self._idle) < POOL_CONNECTIONS:
            line.used_at = time.monotonic()
            self._idle.append(line)
        else:
            line.close()

    def close(self) -> None:
        """End those that are idle; those that are lent end when they are given back."""
        self._closed = True
        while self._idle:
            self._idle.pop().close()
