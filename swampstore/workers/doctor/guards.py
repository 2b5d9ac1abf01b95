"""The canaries: writes that must be refused, tried on throw-away names.

A guard that is silently off (a store or a gateway that ignores a precondition, a proxy that answers from a cache) does
no harm until two processes meet, and then loses data. So each is tried: a second create, a replace with a stale ETag, an
update from a stale snapshot, a held commit of a holder that was passed over, a fenced append to a tail that has moved.

Invariants: everything lies below the scratch folder of the probe, under a name drawn for this run, and is deleted; the
namespace's own objects are not touched.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import TYPE_CHECKING, NamedTuple, cast

from swampstore.env.clock import StoreClock
from swampstore.errors import (
    FenceConflict,
    FencedError,
    PreconditionsIgnored,
    StoreForbidden,
    StoreFull,
    SwampError,
)
from swampstore.protocols.commit import CommitConflict, CommitLane, Draft
from swampstore.protocols.lock import Held
from swampstore.protocols.place import Caches, Place
from swampstore.protocols.register import Register
from swampstore.protocols.snapshot import SnapshotReader
from swampstore.protocols.stream import EMPTY, Stream
from swampstore.protocols.update import Updates, mark_lock
from swampstore.protocols.writer import Writer
from swampstore.stores.probe import SCRATCH, prove_preconditions
from swampstore.stores.retry import Retrying
from swampstore.values.deltas import Put
from swampstore.values.entry import OPAQUE, Record
from swampstore.values.names import COMMIT_LANE, Names
from swampstore.values.segment import Commit
from swampstore.workers.doctor.finding import Finding
from swampstore.workers.doctor.sight import Sight, pages

if TYPE_CHECKING:
    from swampstore.protocols.queue import Grant

_KEY = "canary"
_HINT = "do not write through this path: two writers at once would overwrite each other"


class _Ticket(NamedTuple):
    """As much of a grant as a held write looks at."""

    number: int


async def _nothing() -> None:
    """A canary folds nothing."""


class Party:
    """One of two processes of a canary, with eyes of its own."""

    def __init__(self, place: Place, names: Names) -> None:
        self.place = Place(place.store, place.env, StoreClock(place.env), names, Caches.of(place.env))
        register = Register(self.place)
        register.known_new = True
        self.reader = SnapshotReader(self.place, register)
        self.writer = Writer(self.place)
        self.lane = CommitLane(self.place, register, self.reader, COMMIT_LANE)
        self.updates = Updates(self.place, self.reader, self.writer, self.lane)
        stream_lane = CommitLane(self.place, register, self.reader, "s01")
        self.stream = Stream(self.place, self.reader, stream_lane, _KEY, _nothing)

    def draft(self, version: bytes | None, tail: int) -> Draft:
        """A commit of the canary key by one who has read ``version`` of it at slot ``tail``."""
        record = Record(_KEY, self.writer.new_version(), OPAQUE, 0, b"canary")
        return Draft(
            commit=Commit(footprint=(_KEY,)),
            build=lambda _slot, _start: [record],
            seen={_KEY: version},
            tail=tail,
            span=None,
        )


async def check_guards(sight: Sight) -> list[Finding]:
    """Try every guard. Some 40 small requests."""
    bare = sight.place.store.inner if isinstance(sight.place.store, Retrying) else sight.place.store
    try:
        await prove_preconditions(bare, sight.place.env)
    except PreconditionsIgnored as error:
        return [Finding("preconditions-ignored", "error", "", str(error), error.hint)]
    except (StoreForbidden, StoreFull) as error:
        text = f"the guards could not be tried, because nothing can be written: {error}"
        return [Finding("guards-untried", "note", "", text, "run the doctor where writing is allowed")]
    names = Names(f"{SCRATCH}/{sight.place.env.random_bytes(16).hex()}-fences")
    try:
        return [
            *await _tried(sight, names, "stale-update", "an update from a stale snapshot", stale_update),
            *await _tried(sight, names, "stale-holder", "a commit of a holder that was passed over", stale_holder),
            *await _tried(sight, names, "stale-append", "a fenced append to a tail that has moved", stale_append),
        ]
    finally:
        async for items in pages(sight.place, names.prefix):
            await sight.place.store.delete([item.name for item in items])


async def _tried(
    sight: Sight, names: Names, code: str, what: str, canary: Callable[[Party, Party], Awaitable[bool]]
) -> Sequence[Finding]:
    first, second = Party(sight.place, names), Party(sight.place, names)
    try:
        refused = await canary(first, second)
    except SwampError as error:
        text = f"{what} could not be tried: {error}"
        return [Finding("guards-untried", "warning", names.namespace, text, error.hint)]
    if refused:
        return []
    return [Finding(f"guard-{code}", "error", names.namespace, f"{what} was not refused", _HINT)]


async def stale_update(first: Party, second: Party) -> bool:
    """Both look; the second commits; the first must be refused."""
    await first.reader.open()
    tail = (await second.reader.open()).tail(COMMIT_LANE)
    await second.lane.commit(second.draft(None, tail))
    try:
        await first.lane.commit(first.draft(None, tail))
    except CommitConflict:
        return True
    return False


async def stale_holder(first: Party, second: Party) -> bool:
    """The first holds a lock by ticket 1; ticket 2 commits under it; the first must be refused.

    No queue is needed for that: the lock's mark is what fences, and a queue would have to be heartbeaten.
    """
    await mark_lock(first.updates, _KEY, (), 1)
    await mark_lock(second.updates, _KEY, (), 2)
    held = Held(first.updates, cast("Grant", _Ticket(1)), _KEY)
    try:
        await held.append([Put(key=_KEY, data=b"canary")])
    except FencedError:
        return True
    return False


async def stale_append(first: Party, second: Party) -> bool:
    """Both hold the empty tail; the second appends; the first must be refused."""
    await first.stream.tail()
    await second.stream.append([b"canary"], expected_tail=EMPTY)
    try:
        await first.stream.append([b"canary"], expected_tail=EMPTY)
    except FenceConflict:
        return True
    return False
