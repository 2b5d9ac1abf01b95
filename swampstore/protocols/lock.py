"""A lock that is held over several steps: every write of its holder is fenced by its ticket.

The lock gives fairness; it is never trusted for safety. A holder that was passed over (it slept, its machine stopped)
finds its commits refused with ``FencedError``, whenever it wakes.

Invariants:
- A held write commits in the commit lane and writes the lock's mark, so it is ordered with every other write under that
  lock, and refused once a higher ticket has committed.
- A grant commits its mark before anything else: what others began under that lock before it cannot commit afterwards.
- A lock is granted at capacity 1 only, whatever others make of its queue: so nobody holds it beside another.
- A lock does not nest: waiting for it, or updating under it, inside its own block is an error.
"""

from __future__ import annotations

import shlex
from collections.abc import Sequence

import msgspec

from swampstore.env.clock import Span
from swampstore.errors import FencedError, Misuse, TryAgain
from swampstore.limits import UPDATE_ATTEMPTS
from swampstore.protocols.commit import CommitConflict, Committed, Draft
from swampstore.protocols.drafting import Drafted, check_deltas, draft_records
from swampstore.protocols.nesting import check_free, enter, leave
from swampstore.protocols.queue import FairQueue, Grant, fair_queue
from swampstore.protocols.snapshot import SnapshotReader
from swampstore.protocols.update import LOCK_MARK, Updates, check_fence, lock_mark, mark_lock, weight_of
from swampstore.protocols.writer import Ack
from swampstore.values.deltas import Delta
from swampstore.values.entry import Record
from swampstore.values.segment import Commit
from swampstore.values.tickets import check_capacity, check_queue, check_seconds


class Held:
    """A held lock. Made by :func:`hold`; end it with :meth:`release`."""

    def __init__(self, owner: Updates, grant: Grant, name: str) -> None:
        self._owner = owner
        self._grant = grant
        self._released = False
        self.name = name

    @property
    def ticket(self) -> int:
        """The fencing token: higher for every later holder."""
        return self._grant.number

    @property
    def waited_s(self) -> float:
        return self._grant.waited_s

    async def append(self, deltas: Sequence[Delta]) -> Ack:
        """Write ``deltas`` atomically, if the lock is still ours. Raises ``FencedError``, ``AmbiguousAppend``."""
        if self._released:
            raise Misuse(f"lock {self.name!r} is released", hint="write inside the with block")
        bodies = check_deltas(deltas)
        began = self._owner.place.env.boot()
        drafted = await draft_records(self._owner.place, self._owner.writer, deltas, bodies)
        done = await self._commit(drafted)
        seconds = self._owner.place.env.boot() - began
        versions = tuple(record.version for record in done.records[: len(drafted.records)])
        return Ack(done.lane, done.slot, versions, {"commit": seconds})

    async def check(self) -> None:
        """Raise ``FencedError`` if the lock was passed on."""
        snapshot = await self._owner.reader.open()
        check_fence(self.name, await snapshot.record(LOCK_MARK + self.name), self.ticket)

    async def _commit(self, drafted: Drafted) -> Committed:
        key, records = LOCK_MARK + self.name, drafted.records
        for _ in range(UPDATE_ATTEMPTS):
            snapshot, span = await self._owner.reader.open_timed()
            mark = await snapshot.record(key)
            check_fence(self.name, mark, self.ticket)
            seen = {record.key: _version(await snapshot.record(record.key)) for record in records}
            # The look has taken in their versions, so that the new ones are above them.
            written = [self._above(record) for record in records]
            written.append(lock_mark(self._owner, self.name, self.ticket))
            draft = Draft(
                commit=Commit(footprint=tuple(r.key for r in records), lock=self.name, ticket=self.ticket),
                build=lambda _slot, _start, written=written: written,  # type: ignore[misc]
                seen={**seen, key: _version(mark)},
                tail=snapshot.tail(self._owner.lane.lane),
                span=span,
                size=len(written),
                weight=weight_of(written),
                uploaded=drafted.uploaded,
            )
            try:
                return await self._owner.lane.commit(draft)
            except CommitConflict:
                continue
        raise TryAgain(f"lock {self.name!r}: {UPDATE_ATTEMPTS} commits of others in a row", hint="try again")

    def _above(self, record: Record) -> Record:
        return msgspec.structs.replace(record, version=self._owner.writer.new_version())

    async def release(self) -> None:
        """Pass the lock on. Idempotent."""
        self._released = True
        leave(self._owner.place, self.name)
        await self._grant.release()


async def hold(owner: Updates, name: str, *, deadline_s: float | None = None, purpose: str = "") -> Held:
    """Queue for lock ``name`` and hold it. Raises ``DeadlinePassed``, ``BadName``, ``Misuse`` (held, absurd, or the queue
    admits several)."""
    place = owner.place
    name = check_queue(name)
    check_free(place, name)
    check_seconds("deadline", deadline_s)
    began = Span(place.env)
    while True:
        left = None if deadline_s is None else max(deadline_s - began.seconds(), 0.0)
        grant = await fair_queue(place, name).acquire(deadline_s=left, purpose=purpose)
        try:
            _check_alone(name, grant.capacity)
            await mark_lock(owner, name, (), grant.number)
            held = Held(owner, grant, name)
            enter(place, name)
        except FencedError:
            await grant.release()  # passed over before it began: its place is lost, nothing else
            continue
        except BaseException:
            leave(place, name)
            await grant.release()
            raise
        return held


def _check_alone(name: str, capacity: int) -> None:
    if capacity != 1:
        raise Misuse(
            f"lock {name!r}: its queue admits {capacity} at once",
            hint=f"take another name for the lock, or: swamp datastore queue set-capacity {shlex.quote(name)} 1",
        )


async def set_capacity(queue: FairQueue, reader: SnapshotReader, capacity: int) -> None:
    """Change the capacity of a queue, live. Raises ``Misuse`` for an absurd one, and for one above 1 of a lock."""
    if check_capacity(capacity) > 1:
        snapshot = await reader.open()
        if await snapshot.record(LOCK_MARK + queue.name) is not None:
            raise Misuse(
                f"queue {queue.name!r} is a lock: no more than one may hold it",
                hint="let several in through a queue of another name",
            )
    await queue.set_capacity(capacity)


def _version(record: Record | None) -> bytes | None:
    return record.version if record else None
