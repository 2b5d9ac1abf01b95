"""A writer whose lane is a file: an append is one frame at its end, and everything queued meanwhile shares the next.

Invariants:
- A frame is sent only after the one before it is known to have landed; a file whose append failed, was interrupted or
  stayed undecided is *finished*: nothing is ever written behind its end. What failed goes once more, with the same
  versions, to a new lane (the join is idempotent).
- What holds for writers whose lanes are segments holds here: the first frame counts only when it is acknowledged within
  5 minutes of the writer's birth, none does after 24 hours; a new lane comes after 30 idle minutes, at half of a life,
  and when the file is full.
- Nothing is read or listed: how deep the log may be is told from what was appended here.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import TYPE_CHECKING, NamedTuple, Protocol

from swampstore.env.blocking import run
from swampstore.env.group import Queued
from swampstore.errors import AmbiguousAppend, Misuse, StoreUnavailable, SwampError, Undecided
from swampstore.limits import (
    LANE_FILE_BYTES,
    LANE_FRAME_BYTES,
    SEGMENT_DELTAS,
)
from swampstore.protocols.lane_life import Counts, Life
from swampstore.protocols.place import Place
from swampstore.protocols.turns import Turns, Waiting
from swampstore.stores.lanes import LaneFile, LaneStore
from swampstore.values.lane_file import CLOSING, FRAME_HEAD_BYTES, LaneHeader, encode_frame, encode_header, lane_salt
from swampstore.values.names import writer_lane
from swampstore.values.root import Root
from swampstore.values.version import WRITER_BYTES, make_writer_id

if TYPE_CHECKING:
    from swampstore.protocols.gathered import Gathered

_CALIBRATE_MS = 1000
_MAY_HAVE_LANDED = (Undecided, StoreUnavailable)
_SAFE = "appending the same records again is safe"


class Written(NamedTuple):
    """Where a frame landed, how many callers it carried, and what it took; ``ended`` is when it had landed."""

    lane: str
    end: int
    shared: int
    open_s: float
    write_s: float
    ended: float


class Batch(Queued):
    """One caller's records, encoded, and what became of them."""

    __slots__ = ("body", "closing", "count", "written")

    def __init__(self, body: bytes, count: int, *, closing: bool = False) -> None:
        self.settled = self.queued = False  # written out, without super(): most appends make one
        self.error = self.woken = None
        self.body = body
        self.count = count
        self.closing = closing
        self.written: Written | None = None

    def seal(self) -> None:
        """Make ready to be written: nothing is added any more."""

    def phases(self, began: float, encoded: float, now: float) -> dict[str, float]:
        """Where the time from ``began`` to ``now`` went."""
        done = self.written
        assert done is not None
        waited = done.ended - encoded - done.open_s - done.write_s
        return {
            "encode": encoded - began,
            "group_wait": max(0.0, waited),
            "open": done.open_s,
            "log_write": done.write_s,
            "ack": now - done.ended,
        }


class LaneWriter:
    """Appends frames to lane files of one namespace. Safe to share as the writer that owns it.

    ``writer_id`` is whose versions these are: the id of the lane, once there is one. ``durable``: acknowledged means on
    the disk. ``gathering`` is what small puts of tasks are added to. ``help_due`` says that so much was appended here that
    this process should look after the log.
    """

    def __init__(self, place: Place, lanes: LaneStore, *, file_bytes: int = LANE_FILE_BYTES) -> None:
        self._place = place
        self._lanes = lanes
        self._file_bytes = file_bytes
        self._boot = place.env.boot
        grouping = getattr(place.env, "group", None) if lanes.direct else None
        self.durable = lanes.durable
        self.direct = grouping is not None
        self.group: Group = grouping(self._write_now) if grouping else _TurnGroup(place, self._write)
        self.writer_id = place.env.random_bytes(WRITER_BYTES)
        self.lane = ""
        self.opened = 0
        self.help_due = False
        self.file: LaneFile | None = None
        self.gathering: Gathered | None = None
        self._salt = 0
        self._life = Life(0, 0.0)
        self._look_end = 0  # where in the file the short way ends: it is full, or it is time to help to fold
        self._calibrated_ms = 0
        self._opened_s = 0.0
        self.counts = Counts(self._boot())
        self._ends: dict[str, int] = {}  # of lanes that are finished and, when last asked, were not folded

    # --- the general way ------------------------------------------------------------------------------------------

    async def append(self, batch: Batch) -> None:
        """Return when ``batch`` is durable (or buffered, as the store was opened). Raises as ``Writer.append``."""
        await self.group.submit(batch)
        try:
            if batch.error is not None:
                raise batch.error
        finally:
            del batch  # it has the error that may be under way

    def _write_now(self, batches: Sequence[Batch]) -> None:
        for one in batches:
            one.seal()
        run(self._write(batches))

    async def _write(self, batches: Sequence[Batch]) -> None:
        """Write what is queued, a frame for as many as fit into one; settle everybody, whatever happens."""
        started = 0
        try:
            while started < len(batches):
                frame = _frame_of(batches, started)
                started += len(frame)
                await self._write_frame(frame)
        except BaseException as error:
            # Interrupted (Ctrl-C in the middle of a write): it may have landed, so the lane is finished.
            for one in batches:
                if not one.settled:
                    one.settled, one.error = True, self._unknown(f"the append was interrupted: {error!r}")
            raise

    async def _write_frame(self, batches: Sequence[Batch]) -> None:
        boot = self._boot
        began = boot()
        self._opened_s = 0.0
        shared = sum([one.callers for one in batches])
        self.counts.appends += shared
        body = batches[0].body if len(batches) == 1 else b"".join([one.body for one in batches])
        try:
            lane, end = await self._commit(body, sum([one.count for one in batches]), batches[-1].closing)
        except SwampError as error:
            for one in batches:
                one.settled, one.error = True, error
            return
        ended, opened = boot(), self._opened_s
        written = Written(lane, end, shared, opened, ended - began - opened, ended)
        for one in batches:
            one.settled, one.written = True, written

    async def _commit(
        self, body: bytes, count: int, closing: bool, failed: SwampError | None = None
    ) -> tuple[str, int]:
        """One frame; once more in a new lane when the lane turns out to be finished. ``(lane, end of the frame)``."""
        undecided = isinstance(failed, _MAY_HAVE_LANDED)
        for _ in range(1 if failed else 2):
            try:
                file = self._ready(len(body), self._boot())
                if file is None and not count:
                    return self.lane, 0  # nothing to say but that a lane has ended, and it has
                file = file or await self._open()
                time = await file.append(encode_frame(self._salt, file.end, body, count, CLOSING if closing else 0))
            except BaseException as error:
                self.drop()
                if isinstance(error, Misuse) or not isinstance(error, SwampError):
                    raise
                failed = error
                undecided |= isinstance(error, _MAY_HAVE_LANDED)
            else:
                lane, end = self.lane, file.end
                if self._took(time, self._boot(), count):
                    if closing:
                        self.drop()
                    return lane, end
                failed, undecided = None, True
        if failed is not None and not undecided:
            raise failed
        why = str(failed) if failed else "two writers in a row were finished before their frame was acknowledged"
        raise self._unknown(why) from failed

    def _unknown(self, why: str) -> AmbiguousAppend:
        return AmbiguousAppend(why, lane=self.lane, slot=0, write_id=b"", hint=_SAFE)

    def seal(self) -> None:
        """Stamp what is being gathered: whatever is stamped from now on is above it."""
        if self.gathering is not None:
            self.gathering.seal()

    # --- the short way: one record, nobody else waiting -----------------------------------------------------------

    def commit_alone(self, body: bytes, began: float) -> tuple[str, int, float]:
        """One record, written at once by who stands first in the group; ``(lane, end of the frame, when it landed)``.

        What can wait for a second (is the lane idle, old, is it time to fold) is looked at once a second.
        """
        file, life, failed = self.file, self._life, None
        if file is not None and began <= life.over_at and file.end + len(body) <= self._look_end:
            try:
                time = file.append_now(encode_frame(self._salt, file.end, body, 1))  # type: ignore[attr-defined]
            except BaseException as error:
                self.drop()
                if isinstance(error, Misuse) or not isinstance(error, SwampError):
                    raise
                failed = error
            else:
                ended = self._boot()
                if ended <= life.look_at and time <= life.late_ms:
                    self.counts.alone += 1
                    return self.lane, file.end, ended
                lane = self.lane
                if self._took(time, ended, 1):
                    return lane, file.end, ended
                failed = Undecided(f"a frame in lane {lane} was answered too late to count")
        lane, end = run(self._commit(body, 1, closing=False, failed=failed))
        return lane, end, self._boot()

    # --- the lane -------------------------------------------------------------------------------------------------

    def _ready(self, size: int, now: float) -> LaneFile | None:
        """The open file, if ``size`` bytes of records fit and it is neither idle nor old."""
        file = self.file
        if file is None or file.end + size + FRAME_HEAD_BYTES > file.size or now > self._life.over_at:
            return None
        return file

    async def _open(self) -> LaneFile:
        """A new lane: born now, its file made and locked."""
        place = self._place
        began = self._boot()
        self.drop()
        if not place.clock.calibrated:
            place.clock.calibrate(await place.store.now())
        place.clock.check_wall()
        born = place.clock.now_ms()
        writer = make_writer_id(born, place.env.random_bytes(6))
        lane = writer_lane(writer)
        file = await self._lanes.open_lane(
            place.names.lane_file(lane), encode_header(LaneHeader(lane, born)), self._file_bytes
        )
        self.opened += 1
        salt, life = lane_salt(lane), Life(born, began)
        # At once, whatever signal comes: no lane ever has the life of another.
        self.file, self.lane, self.writer_id, self._salt, self._life = file, lane, writer, salt, life
        self.counts.begins(file.end)
        self._opened_s += self._boot() - began
        return file

    def _took(self, time: int, now: float, count: int) -> bool:
        """Take in an answer; whether it counts. One that comes too late in the writer's life finishes the lane."""
        if abs(time - self._calibrated_ms) > _CALIBRATE_MS:
            self._calibrated_ms = time
            self._place.clock.calibrate(time)
        file = self.file
        if file is None or not self._life.look(time, now):
            self.drop()
            return False
        counts = self.counts
        counts.took(count)
        self.help_due = counts.due(file.end, now)
        self._look_end = min(file.size, counts.due_end) - FRAME_HEAD_BYTES
        return True

    def take_help_due(self) -> bool:
        """Whether this process should look after the log now; counts anew from here."""
        due, self.help_due = self.help_due, False
        if due:
            self.counts.helped(self.file.end if self.file else 0, self._boot())
        return due

    def unfolded(self, root: Root) -> int:
        """Bytes that were appended here and that ``root`` does not cover."""
        self._ends = {lane: end for lane, end in self._ends.items() if end > root.watermark(lane)}
        ends = dict(self._ends)
        if self.file is not None:
            ends[self.lane] = self.file.end
        return sum([max(end - root.watermark(lane), 0) for lane, end in ends.items()])

    def drop(self) -> None:
        """Finish the lane, if one is open: the next append begins another."""
        file, self.file = self.file, None
        if file is not None:
            self.counts.ends(file.end)
            self._ends[self.lane] = file.end
            file.close()

    async def finish(self) -> None:
        """Say in the lane that it ends here, and let go of it. A lane that cannot say so ends all the same."""
        if self.file is None:
            return
        batch = Batch(b"", 0, closing=True)
        await self.group.submit(batch)  # an error here has lost nothing: all that was acknowledged is in the file
        self.drop()


class Group(Protocol):
    """Group commit, of threads, of tasks, or of what a simulation steps."""

    @property
    def batches(self) -> int: ...

    @property
    def largest(self) -> int: ...

    def submit(self, item: Batch) -> Awaitable[None]:
        """Done when ``item`` is settled."""
        ...

    def submit_now(self, item: Batch) -> None:
        """The same where nothing suspends."""
        ...

    def wake(self) -> None:
        """Wake who is first now, if it waits."""
        ...


class _TurnGroup:
    """Group commit where writes suspend."""

    def __init__(self, place: Place, write: Callable[[Sequence[Batch]], Awaitable[None]]) -> None:
        self._turns: Turns[Batch, Batch] = Turns(place.env, self._carry_out, lambda: lambda _: True)
        self._write = write

    @property
    def batches(self) -> int:
        return self._turns.batches

    @property
    def largest(self) -> int:
        return self._turns.largest_batch

    async def submit(self, item: Batch) -> None:
        """See :class:`Group`."""
        await self._turns.submit(item)

    def submit_now(self, item: Batch) -> None:
        """See :class:`Group`."""
        run(self.submit(item))

    def wake(self) -> None:
        """Nobody waits who is not woken by who writes."""

    async def _carry_out(self, batch: list[Waiting[Batch, Batch]]) -> None:
        try:
            await self._write([one.item for one in batch])
        finally:
            for one in batch:
                one.result = one.item


def _frame_of(batches: Sequence[Batch], start: int) -> list[Batch]:
    """The batches from ``start`` that fit into one frame together; nothing follows a closing one."""
    count = size = 0
    for number, one in enumerate(batches[start:], start):
        count, size = count + one.count, size + len(one.body)
        if number > start and (count > SEGMENT_DELTAS or size > LANE_FRAME_BYTES or batches[number - 1].closing):
            return list(batches[start:number])
    return list(batches[start:])
