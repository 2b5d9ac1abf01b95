"""True read-modify-write: read keys, decide, write them, with nobody's commit in between.

Every update of a namespace commits in its commit lane, with its footprint (the keys it read or wrote, and its lock).
The first attempt is optimistic; on a conflict, or when others queue for the lock already, the update takes a ticket in
the lock's FIFO queue and commits the same way in its turn. Safety comes from the lane, fairness from the queue: a
holder that was passed over cannot commit, however long it slept.

Invariants:
- ``decide`` is called again after every conflict, with what is there now; its answer is never posted again.
- An update's versions are above every version of its footprint that its snapshot knows, tombstones included.
- A commit under a lock writes the lock's mark (its ticket), so who comes later with a lower ticket is fenced, even when
  the slots in between are long folded.
- Updates do not nest: ``decide`` may not update the same namespace, nor wait for a lock of it.

Not promised: an update is not serial with a blind put that is in flight at the same time.
"""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import partial
from typing import Any

import msgspec

from swampstore.env.clock import Span
from swampstore.env.phases import Operation, count, during
from swampstore.errors import FencedError, Misuse, SwampError, TryAgain
from swampstore.limits import QUEUE_NAME_BYTES, UPDATE_ATTEMPTS
from swampstore.protocols.commit import CommitConflict, CommitLane, Committed, Draft
from swampstore.protocols.contents import read_many
from swampstore.protocols.drafting import Drafted, check_deltas, draft_records
from swampstore.protocols.fifo import Fifo
from swampstore.protocols.footprint import LOCK_MARK as LOCK_MARK  # noqa: PLC0414 (others take it from here)
from swampstore.protocols.footprint import check_keys
from swampstore.protocols.nesting import inside
from swampstore.protocols.place import Place
from swampstore.protocols.queue import FairQueue, Grant, fair_queue
from swampstore.protocols.relied_on import sync_what_was_read
from swampstore.protocols.snapshot import Snapshot, SnapshotReader
from swampstore.protocols.writer import Writer
from swampstore.stores.base import Outcome, Request
from swampstore.values.deltas import Delete, Delta, Put
from swampstore.values.entry import OPAQUE, Entry, Record
from swampstore.values.keys import check_key
from swampstore.values.segment import Commit
from swampstore.values.tickets import check_queue, check_seconds, queue_folder

_AHEAD_S = 0.5
"""What was read longer ago than this is read again: an attempt made from it would most likely meet a conflict."""


class _Delete:
    def __repr__(self) -> str:
        return "swampstore.DELETE"


class _Skip:
    def __repr__(self) -> str:
        return "swampstore.SKIP"


DELETE = _Delete()
"""Returned by ``decide`` in place of contents: delete the key."""
SKIP = _Skip()
"""Returned by ``decide``: write nothing."""


class Updated(msgspec.Struct, frozen=True):
    """How an update went. ``how`` is ``optimistic``, ``ticket`` or ``skipped``; times in seconds.

    ``versions`` are those of the keys written, ``attempts`` how often ``decide`` was called, ``neighbours`` how many
    commits of others the lane held in between, ``ticket`` the place in the queue (0 = none).
    """

    how: str
    keys: tuple[str, ...]
    versions: tuple[bytes, ...]
    attempts: int
    waited: float
    seconds: float
    ticket: int = 0
    lane: str = ""
    slot: int = 0
    neighbours: int = 0
    shared_by: int = 0
    phases: dict[str, float] = {}
    """Where the seconds went, by phase; they sum up to ``seconds``."""


class Seen(msgspec.Struct, frozen=True):
    """What ``decide`` is given for a key when it asks for entries: the entry and its contents, both ``None`` if absent."""

    entry: Entry | None
    data: bytes | None


Decide = Callable[[dict[str, Seen]], Any]
"""Gets what every key holds; returns ``{key: contents | Put | DELETE}`` or ``SKIP``, or an awaitable of it."""


class Updates:
    """Read-modify-write on one namespace. Safe between threads, or between the tasks of one loop."""

    def __init__(self, place: Place, reader: SnapshotReader, writer: Writer, lane: CommitLane) -> None:
        self.place = place
        self.reader = reader
        self.writer = writer
        self.lane = lane
        self._local = Fifo(place.env)

    async def update(
        self,
        keys: Sequence[str],
        decide: Decide,
        *,
        lock: str | None = None,
        deadline_s: float | None = None,
        bodies: bool = True,
        ready: Callable[[], Awaitable[None]] | None = None,
    ) -> Updated:
        """Run ``decide`` on ``keys`` and commit what it returns, atomically.

        ``lock`` names the queue to wait in and makes updates under that name serial whatever their keys; the default is
        one queue per set of keys. ``deadline_s`` bounds the waiting, not ``decide``. Without ``bodies`` the contents are
        not read, and ``decide`` is given ``None`` for them. ``ready`` is awaited first.

        Raises ``DeadlinePassed``, ``AmbiguousAppend``, ``Misuse`` (nested), and whatever ``decide`` raises.
        """
        wanted = tuple(sorted({check_key(key) for key in keys}))
        if not wanted:
            raise Misuse("an update needs at least one key")
        check_keys(wanted)
        check_seconds("deadline", deadline_s)
        name = check_queue(lock) if lock is not None else _queue_of(wanted)
        attempt = _Attempt(self, wanted, decide, name, lock is not None, bodies=bodies)
        with Operation(self.place.env, "update", "encode") as operation:
            done = await inside(self.place, name, partial(self._in_turn, attempt, deadline_s, ready))
            operation.records = len(done.keys)
        return msgspec.structs.replace(done, seconds=operation.seconds, phases=operation.phases)

    async def _in_turn(
        self, attempt: _Attempt, deadline_s: float | None, ready: Callable[[], Awaitable[None]] | None
    ) -> Updated:
        """``attempt``, one at a time of those in this process that wait in the same queue."""
        if ready is not None:
            with during("open"):
                await ready()
        began = self.place.env.boot()
        async with self._local.turn(attempt.name, deadline_s):
            waited = self.place.env.boot() - began
            left = None if deadline_s is None else max(deadline_s - waited, 0.0)
            return await attempt.run(left, waited)


class _Attempt:
    """One update on its way: optimistic first, then with a ticket."""

    def __init__(
        self,
        owner: Updates,
        keys: tuple[str, ...],
        decide: Decide,
        name: str,
        named: bool,
        *,
        bodies: bool,
    ) -> None:
        self.owner = owner
        self.place = owner.place
        self.keys = keys
        self.decide = decide
        self.name = name
        self.named = named
        self.bodies = bodies
        self.waited = 0.0
        self.calls = 0
        self.ticket = 0
        self.ahead: tuple[Snapshot, Span] | None = None
        """What was read along with the look at the queue that brought the grant."""

    async def run(self, deadline_s: float | None, waited: float) -> Updated:
        self.waited = waited
        queue = fair_queue(self.place, self.name)
        snapshot, span, answers = await self.owner.reader.open_with(queue.requests())
        if not queue.contended(answers) and not await self._held(snapshot, queue, answers):
            try:
                return await self.attempt(snapshot, span)
            except CommitConflict:
                count("conflicts")  # somebody was first: from here on in turn
        began = self.place.env.boot()
        queue.along = self.read_ahead
        while True:
            self.ahead = None
            waiting = self.place.env.boot()
            left = None if deadline_s is None else max(deadline_s - (waiting - began), 0.0)
            with during("lock_wait"):
                grant = await queue.acquire(deadline_s=left, purpose="update")
            self.waited += self.place.env.boot() - waiting
            self.ticket = grant.number
            try:
                return await self.in_turn(grant)
            except FencedError:
                continue  # passed over: this process stood still for longer than a TTL; its place is lost, nothing else
            finally:
                with during("lock_wait"):
                    await grant.release()

    async def _held(self, snapshot: Snapshot, queue: FairQueue, answers: Sequence[Outcome]) -> bool:
        """Whether the lock's last mark is of a ticket that still holds it (the look at the queue may be the older)."""
        if not self.named:
            return False
        last = marked_ticket(await snapshot.record(LOCK_MARK + self.name))
        return last > 0 and queue.still_holds(last, answers)

    async def read_ahead(self, requests: Sequence[Request]) -> Sequence[Outcome]:
        """Read the namespace in one round with ``requests``: when they bring the grant, the first attempt can begin.

        The holder before has committed before it released, so what is read with the answer that shows the release nearly
        always holds that commit; where it does not, the lane refuses the attempt, as it refuses any that came too late.
        """
        snapshot, span, answers = await self.owner.reader.open_with(requests)
        self.ahead = snapshot, span
        return answers

    def taken_ahead(self) -> tuple[Snapshot, Span] | None:
        """What was read ahead, once, unless the last look at the queue is longer ago than a poll."""
        ahead, self.ahead = self.ahead, None
        return ahead if ahead is not None and ahead[1].seconds() < _AHEAD_S else None

    async def in_turn(self, grant: Grant) -> Updated:
        """Attempts under the ticket; others may still commit by optimism or by name, but never from our ticket on."""
        ahead = self.taken_ahead()
        if grant.passed_over:
            await mark_lock(self.owner, self.name, self.keys, grant.number)
            ahead = None
        for _ in range(UPDATE_ATTEMPTS):
            snapshot, span = ahead or await self.owner.reader.open_timed()
            ahead = None
            try:
                return await self.attempt(snapshot, span)
            except CommitConflict:
                count("conflicts")
                with during("lock_wait"):
                    await grant.keep()
        raise TryAgain(f"{UPDATE_ATTEMPTS} attempts to update {self.keys[0]!r} met a conflict", hint="try again")

    async def attempt(self, snapshot: Snapshot, span: Span) -> Updated:
        ticket = self.ticket
        marked = LOCK_MARK + self.name if self.named or ticket else ""
        records = {key: await snapshot.record(key) for key in (*self.keys, *([marked] if marked else []))}
        if marked:
            check_fence(self.name, records[marked], ticket)
        self.calls += 1
        held = await _contents(self.place, snapshot, self.keys, self.bodies)
        with during("decide", apart=True):
            answer = self.decide(held)
            wanted = await answer if inspect.isawaitable(answer) else answer
        if wanted is SKIP or (isinstance(wanted, Mapping) and not wanted):
            return self.report("skipped", ())
        drafted = await changes(self.owner, self.keys, wanted)
        written = drafted.records
        if marked:
            written.append(lock_mark(self.owner, self.name, max(ticket, marked_ticket(records[marked]))))
        await sync_what_was_read(self.place, snapshot, records)
        done = await self.owner.lane.commit(
            Draft(
                commit=Commit(footprint=self.keys, lock=self.name if marked else "", ticket=ticket),
                build=lambda _slot, _start: written,
                seen={key: record.version if record else None for key, record in records.items()},
                tail=snapshot.tail(self.owner.lane.lane),
                span=span,
                size=len(written),
                weight=weight_of(written),
                uploaded=drafted.uploaded,
            )
        )
        return self.report("ticket" if ticket else "optimistic", written, done)

    def report(self, how: str, written: Sequence[Record], done: Committed | None = None) -> Updated:
        own = [record for record in written if not record.key.startswith(LOCK_MARK)]
        return Updated(
            how=how,
            keys=tuple(record.key for record in own),
            versions=tuple(record.version for record in own),
            attempts=self.calls,
            waited=self.waited,
            seconds=0.0,  # known when it has ended
            ticket=self.ticket,
            lane=done.lane if done else "",
            slot=done.slot if done else 0,
            neighbours=done.neighbours if done else 0,
            shared_by=done.shared_by if done else 0,
        )


def _queue_of(keys: Sequence[str]) -> str:
    """The queue in which updates of exactly these keys wait."""
    joined = ",".join(keys)
    return joined if len(joined.encode()) <= QUEUE_NAME_BYTES else f"keys:{queue_folder(joined)}"


async def _contents(place: Place, snapshot: Snapshot, keys: Sequence[str], bodies_too: bool) -> dict[str, Seen]:
    entries = await snapshot.get_many(keys)
    if not bodies_too:
        return {key: Seen(entry, None) for key, entry in entries.items()}
    present = [entry for entry in entries.values() if entry is not None]
    bodies: dict[str, bytes] = {}
    for entry, body in zip(present, await read_many(place, present), strict=True):
        if isinstance(body, SwampError):
            raise body
        bodies[entry.key] = body
    return {key: Seen(entry, bodies.get(key)) for key, entry in entries.items()}


async def changes(owner: Updates, keys: Sequence[str], wanted: Any) -> Drafted:
    """The records of what ``decide`` returned. Raises ``Misuse`` for nonsense, before anything is sent."""
    if not isinstance(wanted, Mapping):
        raise Misuse(
            f"the update function returned {type(wanted).__name__}",
            hint="return contents, swampstore.DELETE or swampstore.SKIP (for several keys: a dict of them)",
        )
    foreign = [key for key in wanted if key not in keys]
    if foreign:
        raise Misuse(f"the update wrote {foreign[0]!r}, which it did not name", hint="name every key it may write")
    deltas = [_as_delta(key, value) for key, value in wanted.items()]
    return await draft_records(owner.place, owner.writer, deltas, check_deltas(deltas))


def weight_of(records: Sequence[Record]) -> int:
    """About how many bytes ``records`` take in a segment."""
    return sum(len(record.key) + len(record.value) + 64 for record in records)


def _as_delta(key: str, value: Any) -> Delta:
    if value is DELETE:
        return Delete(key=key)
    return msgspec.structs.replace(value, key=key) if isinstance(value, Put) else Put(key=key, data=value)


# --- the mark that fences a lock --------------------------------------------------------------------------------------


def lock_mark(owner: Updates, name: str, ticket: int) -> Record:
    """The record that says which ticket committed last under lock ``name``."""
    return Record(LOCK_MARK + name, owner.writer.new_version(), OPAQUE, 0, ticket.to_bytes(8))


def marked_ticket(mark: Record | None) -> int:
    """The highest ticket that has committed under the lock of ``mark``; 0 when none has."""
    return int.from_bytes(mark.value) if mark else 0


def check_fence(name: str, mark: Record | None, ticket: int) -> None:
    """Raise ``FencedError`` if a higher ticket than ``ticket`` has committed under lock ``name`` (0 is no ticket)."""
    highest = marked_ticket(mark)
    if ticket and highest > ticket:
        raise FencedError(
            f"lock {name!r} was passed on: ticket {highest} has committed, this is {ticket}",
            hint="the work of this holder is void: acquire the lock again and start over",
        )


async def mark_lock(owner: Updates, name: str, keys: Sequence[str], ticket: int) -> None:
    """Commit just the mark of ``ticket``, so that a holder that was passed over can commit nothing from now on.

    A ticket that stands in the mark already was given before: the numbers of a local queue are not synced, so a loss of
    power takes them back, and the mark is what keeps a fencing token from being given twice. Raises ``FencedError``.
    """
    key = LOCK_MARK + name
    for _ in range(UPDATE_ATTEMPTS):
        snapshot, span = await owner.reader.open_timed()
        held = await snapshot.record(key)
        check_fence(name, held, ticket)
        if marked_ticket(held) == ticket:
            raise FencedError(f"lock {name!r}: ticket {ticket} has committed before", hint="take another ticket")
        mark = lock_mark(owner, name, ticket)
        draft = Draft(
            commit=Commit(footprint=tuple(keys), lock=name, ticket=ticket),
            build=lambda _slot, _start, mark=mark: [mark],  # type: ignore[misc]
            seen={key: held.version if held else None},
            tail=snapshot.tail(owner.lane.lane),
            span=span,
        )
        try:
            await owner.lane.commit(draft)
        except CommitConflict:
            continue
        return
    raise TryAgain(f"lock {name!r}: {UPDATE_ATTEMPTS} commits of others in a row", hint="try again")
