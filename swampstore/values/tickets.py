"""Tickets of a FIFO queue, and the register that says which of them are finished.

A queue of capacity 1 is a lock, of capacity N an admission. Ticket k is granted when fewer than ``capacity`` lower
tickets are unfinished. Release, giving up and passing over a dead holder all do the same thing: they add k to the set of
finished tickets, so they are idempotent and holders may end in any order (a "now serving" number admits too many; see
the model ``mc_queue``).

Invariants: tickets are dense, so whoever knows the register and its own number knows its place without a listing; the
set of finished tickets only grows; the register's nonce differs in every version.
"""

from __future__ import annotations

import bisect
import hashlib
from collections.abc import Iterator

import msgspec

from swampstore.errors import BadName, CorruptObject, Misuse
from swampstore.limits import QUEUE_CAPACITY, QUEUE_NAME_BYTES, QUEUE_PURPOSE_BYTES, QUEUE_RAW_BYTES, QUEUE_WAIT_S
from swampstore.values.frame import UNREADABLE, Kind, pack, unpack
from swampstore.values.keys import plain_text

FORMAT = 1


class Ticket(msgspec.Struct, frozen=True, omit_defaults=True):
    """Who queues: readable facts, and an id nobody else draws. ``since`` is the store's time in ms.

    ``granted`` and ``progressed`` are what a :class:`Sign` says elsewhere: on a local store they stand here.
    """

    queue: str
    number: int
    id: bytes
    host: str
    pid: int
    since: int
    purpose: str = ""
    run_limit_s: float = 0.0
    granted: int = 0
    progressed: int = 0


class Sign(msgspec.Struct, frozen=True):
    """A sign of life. ``token`` differs in each; times are the store's, ms, 0 = not yet."""

    token: bytes
    granted: int = 0
    progressed: int = 0


class QueueRegister(msgspec.Struct, frozen=True, omit_defaults=True):
    """``floor``: every ticket up to it is finished; ``ranges``: finished ones above it, inclusive, sorted, apart.

    ``noted``: tickets that somebody found granted, and when (store's time, ms), since which they owe signs of life.
    """

    queue: str
    nonce: bytes
    capacity: int = 1
    floor: int = 0
    ranges: tuple[tuple[int, int], ...] = ()
    noted: tuple[tuple[int, int], ...] = ()

    def is_finished(self, number: int) -> bool:
        if number <= self.floor:
            return True
        at = bisect.bisect_right(self.ranges, number, key=lambda pair: pair[0]) - 1
        return at >= 0 and number <= self.ranges[at][1]

    def unfinished_below(self, number: int) -> int:
        """How many lower tickets are unfinished."""
        done = sum(min(high, number - 1) - low + 1 for low, high in self.ranges if low < number)
        return max(number - 1 - self.floor, 0) - done

    def unfinished(self, below: int) -> Iterator[int]:
        """The unfinished tickets below a number, in order."""
        wanted = self.floor + 1
        for low, high in (*self.ranges, (below, below)):
            yield from range(wanted, min(low, below))
            wanted = high + 1

    def granted(self, number: int) -> bool:
        """Whether ``number`` may run: it is unfinished and fewer than ``capacity`` before it are."""
        return not self.is_finished(number) and self.unfinished_below(number) < self.capacity

    def finish(self, number: int) -> QueueRegister:
        """The register with ``number`` finished as well (its nonce is the caller's to renew)."""
        if self.is_finished(number):
            return self
        spans = sorted([*self.ranges, (number, number)])
        joined: list[tuple[int, int]] = []
        for low, high in spans:
            if joined and low <= joined[-1][1] + 1:
                joined[-1] = (joined[-1][0], max(high, joined[-1][1]))
            else:
                joined.append((low, high))
        floor = self.floor
        if joined and joined[0][0] == floor + 1:
            floor = joined.pop(0)[1]
        noted = tuple(pair for pair in self.noted if pair[0] != number)
        return msgspec.structs.replace(self, floor=floor, ranges=tuple(joined), noted=noted)

    def resize(self, capacity: int) -> QueueRegister:
        """The register at another capacity: who was granted may not be any more, and waits without owing signs."""
        if self.capacity == capacity:
            return self
        return msgspec.structs.replace(self, capacity=capacity, noted=())


_encode = msgspec.msgpack.Encoder(order="deterministic").encode
_decode_ticket = msgspec.msgpack.Decoder(Ticket).decode
_decode_sign = msgspec.msgpack.Decoder(Sign).decode
_decode_register = msgspec.msgpack.Decoder(QueueRegister).decode


def check_queue(name: str) -> str:
    """``name`` itself if it can name a queue or lock: 1 to 1,024 bytes of UTF-8. Raises ``BadName``."""
    try:
        size = len(name.encode()) if isinstance(name, str) else 0
    except UnicodeEncodeError:
        size = 0
    if not 0 < size <= QUEUE_NAME_BYTES:
        raise BadName(f"bad lock or queue name {str(name)[:100]!r}", hint=f"1 to {QUEUE_NAME_BYTES} bytes of UTF-8")
    return plain_text(name)


def check_capacity(capacity: int) -> int:
    """``capacity`` itself if it is 1 to 10,000. Raises ``Misuse``."""
    if not isinstance(capacity, int) or isinstance(capacity, bool) or not 1 <= capacity <= QUEUE_CAPACITY:
        raise Misuse(f"a capacity of {capacity!r}", hint=f"1 (a lock) to {QUEUE_CAPACITY}")
    return capacity


def check_seconds(what: str, seconds: float | None) -> None:
    """Raise ``Misuse`` unless ``seconds`` is ``None`` or a sane span: 0 or more, at most 30 years."""
    if seconds is None:
        return
    if isinstance(seconds, bool) or not isinstance(seconds, int | float) or not 0 <= seconds <= QUEUE_WAIT_S:
        raise Misuse(f"a {what} of {seconds!r}", hint="seconds from now, 0 or more; None waits as long as it takes")


def check_purpose(purpose: str) -> str:
    """``purpose`` itself if it is a short text. Raises ``Misuse``."""
    try:
        size = len(purpose.encode()) if isinstance(purpose, str) else -1
    except UnicodeEncodeError:
        size = -1
    if not 0 <= size <= QUEUE_PURPOSE_BYTES:
        raise Misuse("a bad purpose", hint=f"a text of at most {QUEUE_PURPOSE_BYTES} bytes")
    return purpose


def queue_folder(name: str) -> str:
    """The folder of queue ``name`` below ``<ns>/queue/``: a hash, so that any name is a good object name."""
    return hashlib.sha256(name.encode()).hexdigest()[:32]


def encode_ticket(ticket: Ticket) -> bytes:
    return pack(Kind.TICKET, FORMAT, _encode(ticket))


def decode_ticket(data: bytes, name: str) -> Ticket:
    """Raises ``CorruptObject`` or ``UnknownFormat``, naming the object."""
    _, raw = unpack(Kind.TICKET, FORMAT, data, name, QUEUE_RAW_BYTES)
    try:
        return _decode_ticket(raw)
    except UNREADABLE as error:
        raise CorruptObject(f"{name}: {error}", name=name) from error


def encode_sign(sign: Sign) -> bytes:
    return pack(Kind.SIGN, FORMAT, _encode(sign))


def decode_sign(data: bytes, name: str) -> Sign:
    """Raises ``CorruptObject`` or ``UnknownFormat``, naming the object."""
    _, raw = unpack(Kind.SIGN, FORMAT, data, name, QUEUE_RAW_BYTES)
    try:
        return _decode_sign(raw)
    except UNREADABLE as error:
        raise CorruptObject(f"{name}: {error}", name=name) from error


def encode_register(register: QueueRegister) -> bytes:
    return pack(Kind.REGISTER, FORMAT, _encode(register))


def decode_register(data: bytes, name: str) -> QueueRegister:
    """Raises ``CorruptObject`` or ``UnknownFormat``, naming the object."""
    _, raw = unpack(Kind.REGISTER, FORMAT, data, name, QUEUE_RAW_BYTES)
    try:
        register = _decode_register(raw)
    except UNREADABLE as error:
        raise CorruptObject(f"{name}: {error}", name=name) from error
    edge = register.floor
    for low, high in register.ranges:
        if low <= edge + 1 or high < low:
            raise CorruptObject(f"{name}: the finished tickets are out of order", name=name)
        edge = high
    if not 1 <= register.capacity <= QUEUE_CAPACITY or register.floor < 0:
        raise CorruptObject(f"{name}: a capacity of {register.capacity}, a floor of {register.floor}", name=name)
    return register
