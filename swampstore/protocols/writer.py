"""The writer: appends records to a lane that nobody else writes, with group commit and without any lock or read.

An append is one create-only write of the next slot. Everything queued while a write is in flight goes into the next
slot together; a lone caller waits for nobody.

Invariants:
- Slot n+1 is sent only after n is known to have landed; the bytes of a slot are fixed before its first attempt.
- A writer whose write failed, was abandoned or stayed undecided is *finished*: no further slot of its lane is ever sent.
- Records of a finished writer may be appended again by a new one with the same versions (the join is idempotent).
- A first segment not acknowledged within 5 minutes of the writer's birth, or any answer after 24 hours, is not
  acknowledged and finishes the writer (design page, "Writer retirement").
- Cancelling a caller never cancels a write.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence

import msgspec

from swampstore.env.clock import Span
from swampstore.env.phases import during
from swampstore.errors import AlreadyExists, AmbiguousAppend, Misuse, SwampError, TooLarge, Undecided
from swampstore.limits import (
    BATCH_BYTES,
    DELTA_BYTES,
    SEGMENT_DELTAS,
    WRITER_FIRST_ACK_S,
    WRITER_IDLE_S,
    WRITER_LIFE_S,
)
from swampstore.protocols.lane_writer import Batch, LaneWriter
from swampstore.protocols.place import Place
from swampstore.protocols.turns import Turns, Waiting
from swampstore.stores.base import Create
from swampstore.stores.lanes import LaneStore
from swampstore.values.entry import Record
from swampstore.values.names import writer_lane
from swampstore.values.segment import WRITE_ID_BYTES, SegmentHeader, encode_readable, encode_segment
from swampstore.values.version import WRITER_BYTES, make_version, make_writer_id


class Ack(msgspec.Struct, frozen=True, gc=False):
    """A write that is visible to every read that begins from now on, and on the disk if ``durable``.

    ``lane`` and ``slot`` say where in the log (of a lane that is a file, ``slot`` is the offset behind the frame);
    ``versions`` are those of the records, in their order; ``phases`` maps a phase's name to its seconds.
    """

    lane: str
    slot: int
    versions: tuple[bytes, ...] = ()
    phases: dict[str, float] = {}
    durable: bool = True
    spooled: bool = False
    shared_by: int = 1
    """How many callers' appends this slot carried (group commit)."""

    @property
    def version(self) -> bytes:
        """The version of the first record."""
        return self.versions[0]


def frame_ack(batch: Batch, versions: tuple[bytes, ...], phases: dict[str, float], *, durable: bool) -> Ack:
    """The ack of a batch that was written into a lane file."""
    done = batch.written
    assert done is not None
    return Ack(done.lane, done.end, versions, phases, durable, shared_by=done.shared)


def _check_size(count: int, size: int) -> None:
    if not 1 <= count <= SEGMENT_DELTAS or size > BATCH_BYTES:
        raise TooLarge(
            f"an atomic batch of {count} deltas, {size} bytes; 1 to {SEGMENT_DELTAS} deltas and at most "
            f"{BATCH_BYTES} bytes fit",
            hint="split it into several calls",
        )


class _Batch(msgspec.Struct, frozen=True):
    """One caller's records, encoded."""

    body: bytes
    count: int
    closing: bool


class _Lane:
    """One incarnation: a writer id, born once, and the last slot that landed."""

    __slots__ = ("age", "id", "idle_since", "lane", "landed")

    def __init__(self, place: Place) -> None:
        born = place.clock.now_ms()
        self.id = make_writer_id(born, place.env.random_bytes(6))
        self.lane = writer_lane(self.id)
        self.landed = 0
        self.age = Span(place.env, born)
        self.idle_since = place.env.boot()


class Stats(msgspec.Struct):
    """Counts since the writer was made. ``largest_batch`` is in callers."""

    appends: int = 0
    batches: int = 0
    largest_batch: int = 0
    lanes: int = 0


class Writer:
    """Appends to one namespace. Safe to share between the threads, or the tasks of one loop, of one process.

    With ``lanes`` its lane is a file of that store (``files`` writes it), otherwise segments.
    """

    def __init__(self, place: Place, lanes: LaneStore | None = None) -> None:
        self._place = place
        self.files = LaneWriter(place, lanes) if lanes else None
        self._mutex = threading.Lock()
        self._turns: Turns[_Batch, Ack] = Turns(place.env, self._write, lambda: _Room().take)
        self._lane: _Lane | None = None
        self._version_id = place.env.random_bytes(WRITER_BYTES)
        self._ops = 0
        self._appends = 0
        self._lanes = 0
        self._token = place.env.process_token()
        self._closed = False

    @property
    def stats(self) -> Stats:
        """Counts since this writer was made."""
        files = self.files
        if files is not None:
            counts = files.counts
            return Stats(counts.appends + counts.alone, counts.frames + counts.alone, files.group.largest, files.opened)
        return Stats(self._appends, self._turns.batches, self._turns.largest_batch, self._lanes)

    # --- versions -----------------------------------------------------------------------------------------------

    def new_version(self) -> bytes:
        """A version above every version this process has seen or made."""
        with self._mutex:
            self.check_alive()
            self._ops = (self._ops + 1) & 0xFFFFFFFF
            op = self._ops
        if self.files is not None:
            self.files.seal()
            return make_version(self._place.clock.stamp(), self.files.writer_id, op)
        lane = self._lane
        return make_version(self._place.clock.stamp(), lane.id if lane else self._version_id, op)

    def check_alive(self) -> None:
        """Raise ``Misuse`` when closed, in a forked child, or in another event loop."""
        if self._closed:
            raise Misuse("the store is closed", hint="open it again")
        if self._token != self._place.env.process_token():
            raise Misuse(
                "this process was forked after the store was opened", hint="open the store in the child process"
            )
        self._place.env.check_caller()

    # --- appending ----------------------------------------------------------------------------------------------

    async def append(self, records: Sequence[Record], *, closing: bool = False) -> Ack:
        """Append ``records`` (at least one) as one atomic batch; returns when they are durable.

        ``closing`` promises that this process appends nothing after it (one-shot processes).

        Raises ``TooLarge`` for a batch that no segment holds, ``Misuse`` for a record that no reader could decode,
        ``AmbiguousAppend`` when the outcome stayed unknown, and what the store raises when it refuses.
        """
        boot = self._place.env.boot
        began = boot()
        for record in records:
            if len(record.value) > DELTA_BYTES:
                raise TooLarge(f"the index entry of {record.key!r} is {len(record.value)} bytes, limit {DELTA_BYTES}")
        _check_size(len(records), sum([len(record.value) for record in records]))
        body = encode_readable(records)
        _check_size(len(records), len(body))
        with self._mutex:
            self.check_alive()
            self._appends += 1
        encoded = boot()
        if self.files is not None:
            return await self._append_frame(
                self.files, records, Batch(body, len(records), closing=closing), began, encoded
            )
        ack = await self._turns.submit(_Batch(body, len(records), closing))
        phases = {"encode": encoded - began, **ack.phases}
        phases["group_wait"] = max(boot() - began - sum(phases.values()), 0.0)
        return msgspec.structs.replace(ack, versions=tuple(record.version for record in records), phases=phases)

    async def _append_frame(
        self, files: LaneWriter, records: Sequence[Record], batch: Batch, began: float, encoded: float
    ) -> Ack:
        await files.append(batch)
        phases = batch.phases(began, encoded, self._place.env.boot())
        versions = tuple([record.version for record in records])
        return frame_ack(batch, versions, phases, durable=files.durable)

    async def _write(self, batch: list[Waiting[_Batch, Ack]]) -> None:
        """Write one slot with what is queued, and settle the callers whose records it holds."""
        try:
            ack = await self._send([one.item for one in batch])
        except SwampError as error:
            self._lane = None
            for one in batch:
                one.error = error
        except BaseException as error:
            # Abandoned (Ctrl-C in the middle of a request): it may still land, so the writer is finished.
            lane, self._lane = self._lane, None
            for one in batch:
                one.error = AmbiguousAppend(
                    f"the append was interrupted: {error!r}",
                    lane=lane.lane if lane else "",
                    slot=lane.landed + 1 if lane else 0,
                    write_id=b"",
                    hint="it may or may not have landed; appending the same records again is safe",
                )
            raise
        else:
            for one in batch:
                one.result = ack

    # --- sending ------------------------------------------------------------------------------------------------

    async def _send(self, batch: list[_Batch]) -> Ack:
        """Create the next slot with ``batch``; once more in a new lane when the first lane turns out to be finished."""
        place = self._place
        began = place.env.boot()
        if not place.clock.calibrated:
            with during("open"):
                place.clock.calibrate(await place.store.now())
        place.clock.check_wall()
        count = sum(item.count for item in batch)
        body = b"".join(item.body for item in batch)
        closing = batch[-1].closing
        opened = place.env.boot()
        ack = await self._attempt(count, body, closing)
        if ack is None:
            ack = await self._attempt(count, body, closing)
        if ack is None:
            raise AmbiguousAppend(
                "two writers in a row were finished before their segment was acknowledged",
                lane="",
                slot=0,
                write_id=b"",
                hint="the store answers too slowly; appending the same records again is safe",
            )
        phases = {"open": opened - began, "log_write": place.env.boot() - opened}
        return msgspec.structs.replace(ack, phases=phases, shared_by=len(batch))

    async def _attempt(self, count: int, body: bytes, closing: bool) -> Ack | None:
        """One slot in the current lane; ``None`` if the answer does not count and the lane is finished."""
        place = self._place
        lane = self._current_lane()
        slot = lane.landed + 1
        header = SegmentHeader(
            lane=lane.lane,
            slot=slot,
            write_id=place.env.random_bytes(WRITE_ID_BYTES),
            time=place.clock.now_ms(),
            closing=closing,
        )
        data = encode_segment(header, count, body)
        try:
            with during("log_write"):
                stored = await place.store.put(place.names.segment(lane.lane, slot), data, Create())
        except AlreadyExists:
            # Somebody writes in this lane: a copied process image. Never touch it again.
            self._lane = None
            return None
        except Undecided as error:
            raise AmbiguousAppend(
                f"the append to slot {slot} of lane {lane.lane} stayed undecided: {error}",
                lane=lane.lane,
                slot=slot,
                write_id=header.write_id,
                hint="appending the same records again is safe",
            ) from error
        place.clock.calibrate(stored.time)
        lane.age.saw(stored.time)
        age = lane.age.seconds()
        if age > WRITER_LIFE_S or (slot == 1 and age > WRITER_FIRST_ACK_S):
            self._lane = None
            return None
        lane.landed = slot
        lane.idle_since = place.env.boot()
        if closing:
            self._lane = None
        return Ack(lane.lane, slot)

    def _current_lane(self) -> _Lane:
        """The lane to write next: a new one for the first append, after idleness, and well before the end of life."""
        lane, boot = self._lane, self._place.env.boot()
        if lane is None or boot - lane.idle_since > WRITER_IDLE_S or lane.age.seconds() > WRITER_LIFE_S / 2:
            lane = self._lane = _Lane(self._place)
            self._lanes += 1
        return lane

    def close(self) -> None:
        """Refuse further appends; those queued go out with their callers."""
        with self._mutex:
            self._closed = True

    def drop(self) -> None:
        """Let go of the lane, whatever is in it: the namespace was deleted."""
        self._lane = None
        if self.files is not None:
            self.files.drop()

    async def finish(self) -> None:
        """After :meth:`close`: let go of the lane, and say in it that it ends where it is a file."""
        if self.files is not None:
            await self.files.finish()


class _Room:
    """What is left of a segment while a batch is put together; nothing follows a closing item."""

    __slots__ = ("bytes", "count", "open")

    def __init__(self) -> None:
        self.count = SEGMENT_DELTAS
        self.bytes = BATCH_BYTES
        self.open = True

    def take(self, item: _Batch) -> bool:
        fits = self.open and item.count <= self.count and len(item.body) <= self.bytes
        if fits:
            self.count -= item.count
            self.bytes -= len(item.body)
            self.open = not item.closing
        return fits
