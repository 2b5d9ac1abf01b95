"""Streams: ordered sequences of records that can be appended with a fence on the tail.

A stream lives in one of the stream lanes (by a hash of its name). Its record at slot n, index i is the manifest entry
``(stream, n, i)``; every append also writes ``(stream, tail)``. Both are ordinary records, so folding, merging and
sweeping need to know nothing of streams, and millions of small ones cost nothing in the root.

Invariants:
- Positions of one stream rise with commit order, and a reader holds a contiguous prefix of the lane: following never
  skips a record that commits late.
- Of all fenced appends that name one tail at most one commits. An unfenced append always lands, and moves the tail.
- Versions of stream records are made of slot and index alone: no clock can order them otherwise.
- ``EMPTY`` is the tail of a stream without records; once left it never comes back.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Sequence
from functools import partial
from itertools import repeat
from typing import Any, TypeAlias

import msgspec

from swampstore.env.phases import Operation, count, during
from swampstore.errors import BadName, CorruptObject, FenceConflict, FenceRetriesExhausted, Misuse, TooLarge
from swampstore.limits import (
    BATCH_BYTES,
    DELTA_BYTES,
    FENCE_RETRY_BASE_S,
    FENCE_RETRY_CAP_S,
    FOLLOW_MAX_S,
    FOLLOW_MIN_S,
    MISSED_RECORDS,
    STREAM_NAME_BYTES,
    STREAM_RECORDS,
    UPDATE_ATTEMPTS,
)
from swampstore.protocols.commit import CommitConflict, CommitLane, Committed, Draft
from swampstore.protocols.nesting import building, check_not_building
from swampstore.protocols.place import Place
from swampstore.protocols.snapshot import Snapshot, SnapshotReader
from swampstore.values.entry import OPAQUE, Record
from swampstore.values.keys import key_problem, plain_text
from swampstore.values.names import shared_lane
from swampstore.values.segment import Commit
from swampstore.values.version import WRITER_BYTES, make_version, make_versions

Tail: TypeAlias = str
EMPTY: Tail = "0" * 22
STREAM_MARK = "\0s\0"
_TAIL = "tail"
_NOBODY = b"\0" * WRITER_BYTES
_RECORD_BYTES = STREAM_NAME_BYTES + 100
"""What a record may take in a segment beside its data."""
_FOLLOW_RECORDS = 1000


class StreamRecord(msgspec.Struct, frozen=True):
    """One record; ``position`` is the tail right after it (use it as ``after`` or ``expected_tail``)."""

    position: Tail
    data: bytes


class StreamAck(msgspec.Struct, frozen=True):
    """``tail`` is the stream's tail right after this append; ``positions`` those of its records."""

    tail: Tail
    positions: tuple[Tail, ...]
    lane: str
    slot: int
    shared_by: int
    phases: dict[str, float] = {}
    """Where the time went, in seconds by phase."""


class StreamState(msgspec.Struct, frozen=True):
    """What :meth:`Stream.update` hands to ``build``: the tail, and the records up to it (read when asked)."""

    tail: Tail
    records: Callable[..., Any]


def stream_lane(name: str, shared_lanes: int) -> str:
    """The lane of stream ``name``: one of ``s01`` .. by CRC-32; ``s00`` is the commit lane."""
    return shared_lane(1 + zlib.crc32(name.encode()) % (shared_lanes - 1))


def check_stream(name: str) -> str:
    """``name`` itself if it is a valid stream name (a key of at most 512 bytes), plain. Raises ``BadName``."""
    problem = key_problem(name)
    if problem or len(name.encode()) > STREAM_NAME_BYTES:
        raise BadName(f"bad stream name {str(name)[:100]!r}: {problem or f'more than {STREAM_NAME_BYTES} bytes'}")
    return plain_text(name)


def check_tail(tail: Tail) -> Tail:
    """``tail`` itself if it looks like one. Raises ``Misuse``."""
    if not isinstance(tail, str) or len(tail) != len(EMPTY) or not set(tail) <= set("0123456789abcdef"):
        raise Misuse(f"{tail!r} is not a tail", hint="pass on what tail(), append() or a record's position gave")
    return tail


class Stream:
    """One stream of a namespace. ``lane`` is the shared lane that :func:`stream_lane` names.

    ``ready`` runs before each append (it makes sure that the store refuses broken preconditions), ``after`` afterwards.
    """

    def __init__(
        self,
        place: Place,
        reader: SnapshotReader,
        lane: CommitLane,
        name: str,
        after: Callable[[], Awaitable[None]],
        ready: Callable[[], Awaitable[None]] | None = None,
    ) -> None:
        self.name = check_stream(name)
        self._place = place
        self._reader = reader
        self._lane = lane
        self._after = after
        self._ready = ready
        self._prefix = f"{STREAM_MARK}{self.name}\0"

    # --- writing ------------------------------------------------------------------------------------------------

    async def append(self, records: Sequence[bytes], *, expected_tail: Tail | None = None) -> StreamAck:
        """Append ``records`` (1 to 10,000) as one atomic batch; with ``expected_tail`` only if that is still the tail.

        Never retries by itself. Raises ``FenceConflict``, ``TooLarge``, ``AmbiguousAppend``.
        """
        operation = Operation(self._place.env, "stream_append", "encode")
        with operation:
            ack = await self._append(records, expected_tail)
            operation.records = len(ack.positions)
        return msgspec.structs.replace(ack, phases=operation.phases)

    async def _append(self, records: Sequence[bytes], expected_tail: Tail | None) -> StreamAck:
        payload = _check_records(records)
        check_not_building(self._place, self.name)
        if self._ready is not None:
            await self._ready()
        fenced = expected_tail is not None
        held = check_tail(expected_tail) if expected_tail is not None else EMPTY
        key = self._prefix + _TAIL
        draft = Draft(
            commit=Commit(footprint=(key,)),
            build=lambda slot, start: self._records(payload, slot, start),
            seen={key: _version_of(held)} if fenced else {},
            tail=_slot_of(held),
            span=None,
            fenced=fenced,
            series=key,
            sound=True,  # a key that was checked, bytes, and what is made here
            size=len(payload) + 1,
            weight=sum(map(len, payload)) + len(payload) * _RECORD_BYTES,
        )
        try:
            done = await self._lane.commit(draft)
        except CommitConflict as error:
            count("conflicts")
            raise await self._conflict(held) from error
        with during("help"):
            await self._after()
        return self._ack(done)

    def _records(self, payload: Sequence[bytes], slot: int, start: int) -> list[Record]:
        places = _positions(slot, start, len(payload))
        versions = make_versions(repeat(slot), _NOBODY, range(start, start + len(payload)))
        prefix = self._prefix
        made = [
            Record(prefix + place, version, OPAQUE, 0, data)
            for place, version, data in zip(places, versions, payload, strict=True)
        ]
        made.append(Record(prefix + _TAIL, versions[-1], OPAQUE, 0, places[-1].encode()))
        return made

    def _ack(self, done: Committed) -> StreamAck:
        at = len(self._prefix)
        positions = tuple([record.key[at:] for record in done.records[:-1]])
        return StreamAck(positions[-1], positions, done.lane, done.slot, done.shared_by)

    async def _conflict(self, expected: Tail) -> FenceConflict:
        """The conflict with what the caller has missed, from one snapshot."""
        snapshot = await self._reader.open()
        current = await self._tail_in(snapshot)
        missed = await self._read_in(snapshot, expected, MISSED_RECORDS + 1)
        return FenceConflict(
            f"stream {self.name!r} has moved on: its tail is {current}, not {expected}",
            expected=expected,
            current=current,
            missed=missed if len(missed) <= MISSED_RECORDS else None,
            hint="take in the missed records, decide again, append with the current tail",
        )

    async def update(self, build: Callable[[StreamState], Any], *, retries: int = 5) -> StreamAck | None:
        """Append what ``build(state)`` returns, fenced; on a conflict call ``build`` again with the new state.

        ``build`` returns records, or ``None`` for nothing to do; it may append to other streams, never to this one (each
        attempt would meet its own append). Waits with full jitter between attempts. Raises
        ``FenceRetriesExhausted`` when every attempt met a conflict; nothing was written then. Raises ``Misuse`` (nested).
        """
        if not isinstance(retries, int) or isinstance(retries, bool) or not 0 <= retries <= UPDATE_ATTEMPTS:
            raise Misuse(f"retries={retries!r}", hint=f"0 to {UPDATE_ATTEMPTS}")
        check_not_building(self._place, self.name)
        for attempt in range(retries + 1):
            snapshot = await self._reader.open()
            state = StreamState(await self._tail_in(snapshot), self._reads_of(snapshot))
            records = await building(self._place, self.name, partial(build, state))
            if records is None:
                return None
            try:
                return await self.append(records, expected_tail=state.tail)
            except FenceConflict as error:
                if attempt == retries:
                    raise FenceRetriesExhausted(
                        f"stream {self.name!r}: {retries + 1} attempts met a conflict",
                        expected=error.expected,
                        current=error.current,
                        missed=error.missed,
                        hint="raise retries=, or take a lock for the decision",
                    ) from error
            pause = min(FENCE_RETRY_CAP_S, FENCE_RETRY_BASE_S * 2**attempt)
            await self._place.env.sleep(self._place.env.random() * pause)
        raise AssertionError("unreachable")

    def _reads_of(self, snapshot: Snapshot) -> Callable[..., Any]:
        async def records(after: Tail = EMPTY, limit: int | None = None) -> list[StreamRecord]:
            check_tail(after)
            _check_limit(limit)
            return await self._read_in(snapshot, after, limit)

        return records

    # --- reading ------------------------------------------------------------------------------------------------

    async def tail(self) -> Tail:
        """The position after the last record; ``EMPTY`` when there is none."""
        with Operation(self._place.env, "stream_read", "lookup"):
            return await self._tail_in(await self._reader.open())

    async def read(self, *, after: Tail = EMPTY, limit: int | None = None) -> list[StreamRecord]:
        """The records after a position, in order, at most ``limit``."""
        check_tail(after)
        _check_limit(limit)
        with Operation(self._place.env, "stream_read", "lookup") as operation:
            found = await self._read_in(await self._reader.open(), after, limit)
            operation.records = len(found)
            return found

    async def follow(self, *, after: Tail = EMPTY, seconds: float | None = None) -> AsyncIterator[StreamRecord]:
        """The records after a position, then those to come; ends after ``seconds`` without a new one (never: None)."""
        idle_since, pause = self._place.env.boot(), FOLLOW_MIN_S
        while True:
            fresh = await self.read(after=after, limit=_FOLLOW_RECORDS)
            for record in fresh:
                after = record.position
                yield record
            now = self._place.env.boot()
            if fresh:
                idle_since, pause = now, FOLLOW_MIN_S
                if len(fresh) == _FOLLOW_RECORDS:
                    continue
            elif seconds is not None and now - idle_since >= seconds:
                return
            await self._place.env.sleep(pause)
            pause = min(pause * 2, FOLLOW_MAX_S)

    async def _tail_in(self, snapshot: Snapshot) -> Tail:
        record = await snapshot.record(self._prefix + _TAIL)
        if record is None:
            return EMPTY
        try:
            return check_tail(record.value.decode())
        except (UnicodeDecodeError, Misuse) as error:
            raise CorruptObject(f"the tail of stream {self.name!r} cannot be read", name=record.key) from error

    async def _read_in(self, snapshot: Snapshot, after: Tail, limit: int | None) -> list[StreamRecord]:
        found: list[StreamRecord] = []
        at = len(self._prefix)
        start = self._prefix + after
        async for records in snapshot.records(self._prefix, start_after=start, internal=True):
            for record in records:
                if limit is not None and len(found) >= limit:
                    return found
                position = record.key[at:]
                if position != _TAIL:
                    found.append(StreamRecord(position, record.value))
        return found


def _check_records(records: Sequence[bytes]) -> list[bytes]:
    if isinstance(records, str | bytes | bytearray | memoryview) or not isinstance(records, Iterable):
        raise Misuse(f"records of type {type(records).__name__}", hint='pass a list: append([b"..."])')
    payload = list(records)
    if set(map(type, payload)) != {bytes}:
        payload = [_record(record) for record in payload]
    if not 0 < len(payload) <= STREAM_RECORDS:
        raise TooLarge(f"{len(payload)} records in one append; 1 to {STREAM_RECORDS} fit")
    sizes = list(map(len, payload))
    largest, size = max(sizes), sum(sizes)
    if largest > DELTA_BYTES or size > BATCH_BYTES // 2:
        raise TooLarge(f"a record of {largest} bytes, {size} in all; limits {DELTA_BYTES}, {BATCH_BYTES // 2}")
    return payload


def _record(record: object) -> bytes:
    if isinstance(record, bytes | bytearray | memoryview):
        return bytes(memoryview(record))
    if isinstance(record, str):
        try:
            return record.encode()
        except UnicodeEncodeError as error:
            raise Misuse(f"the text cannot be stored as UTF-8: {error}", hint="pass bytes") from error
    raise Misuse(f"a record of type {type(record).__name__}", hint="records are bytes or text")


def _check_limit(limit: int | None) -> None:
    if limit is not None and (not isinstance(limit, int) or isinstance(limit, bool) or limit < 1):
        raise Misuse(f"limit={limit!r}", hint="1 or more, or None for all")


def _positions(slot: int, start: int, count: int) -> list[Tail]:
    """Those of ``count`` records of one slot, the first of index ``start``: 16 digits of the slot, 6 of the index."""
    high, low = divmod(slot << 24 | start, 1 << 64)
    digits = struct.pack(f">{count}Q", *range(low, low + count)).hex("-", 8).split("-")
    head = f"{high:06x}"
    return [head + rest for rest in digits]


def _slot_of(tail: Tail) -> int:
    return int(tail[:16], 16)


def _version_of(tail: Tail) -> bytes | None:
    """The version of the tail record that says ``tail``."""
    return None if tail == EMPTY else make_version(_slot_of(tail), _NOBODY, int(tail[16:], 16))
