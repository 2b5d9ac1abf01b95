"""The faults themselves: each function gives a context in which one guard of the real code is off.

The code itself knows nothing of this. The auditor of the simulation has names of its own for what it needs, so no fault
reaches it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from typing import Any
from unittest.mock import patch

import msgspec

from swampstore.env.clock import StoreClock
from swampstore.errors import AlreadyExists, AmbiguousAppend
from swampstore.protocols import (
    archive_runs,
    commit,
    contents,
    lock,
    log,
    ranges,
    register,
    resolve,
    runs,
    snapshot,
    update,
)
from swampstore.protocols.place import Place
from swampstore.protocols.queue_remote import RemoteQueue
from swampstore.protocols.slots import FileSlot
from swampstore.protocols.writer import Ack, Writer
from swampstore.stores.base import Overwrite
from swampstore.stores.settle import Conditional
from swampstore.values import block, join
from swampstore.values.names import lane_writer
from swampstore.values.segment import Segment
from swampstore.values.tickets import QueueRegister
from swampstore.values.version import version_ms
from swampstore.workers import (
    archive,
    fold,
    level0,
    merge,
    numbering,
    outputs,
    retire,
    side_runs,
    sweep_garbage,
    sweep_log,
    uses,
)
from swampstore.workers.merge import Inputs
from swampstore.workers.tally import Tally


def _all(*patches: AbstractContextManager[Any]) -> AbstractContextManager[Any]:
    stack = ExitStack()
    for one in patches:
        stack.enter_context(one)
    return stack


def _overwrite(_etag: str = "") -> Overwrite:
    return Overwrite()


# --- the root and the log --------------------------------------------------------------------------------------------


def no_cas() -> AbstractContextManager[Any]:
    return _all(patch.object(register, "Replace", _overwrite), patch.object(register, "Create", _overwrite))


def largest_time() -> AbstractContextManager[Any]:
    """Segments made before the newest time folded so far count as folded: the watermark of a clock."""
    real = fold._publish

    async def publish(place: Any, reg: Any, leads: Any, prior: Any, read: Any, found: Any, **more: Any) -> Any:
        newest = read.seen.root.hlc >> 16
        late = [isinstance(item, Segment) and item.header.time < newest for item in found]
        found = [
            msgspec.structs.replace(item, records=()) if passed else item
            for item, passed in zip(found, late, strict=True)
        ]
        return await real(place, reg, leads, prior, read, found, **more)

    return patch.object(fold, "_publish", publish)


def delete_first() -> AbstractContextManager[Any]:
    real = fold._publish

    async def publish(place: Any, reg: Any, leads: Any, prior: Any, read: Any, found: Any, **more: Any) -> Any:
        for slot in read.slots[: len(found)]:
            of_file = isinstance(slot, FileSlot)
            await place.store.delete([place.names.lane_file(slot[0]) if of_file else place.names.segment(*slot)])
        return await real(place, reg, leads, prior, read, found, **more)

    return patch.object(fold, "_publish", publish)


def unfold_twice() -> AbstractContextManager[Any]:
    """The watermark stays one short, so the last slot of a lane is folded again by the next fold."""
    real = fold._watermarks

    def marks(old: Any, found: Any) -> dict[str, int]:
        new: dict[str, int] = real(old, found)
        return {lane: max(slot - 1, old.watermark(lane)) for lane, slot in new.items() if slot > 1}

    return patch.object(fold, "_watermarks", marks)


def through_gaps() -> AbstractContextManager[Any]:
    """A lane is read past a gap, as if its slots need not be dense."""

    def unfolded(listing: Any, root: Any) -> list[Any]:
        return [
            (lane, slot)
            for lane, slots in listing.lanes.items()
            if not root.retired(lane)
            for slot in slots
            if slot > root.watermark(lane) and slot % 2 == 0
        ]

    return _all(patch.object(fold, "unfolded", unfolded))


def root_first() -> AbstractContextManager[Any]:
    """The root is read, then the log is listed, and nothing is looked at again."""

    async def list_root_and(place: Any, reg: Any, extra: Any, **_: Any) -> Any:
        place.clock.calibrate(await place.store.now())
        root, *others = await place.store.many([reg.request(), *extra])
        seen = reg.take(root)
        page = await place.store.list(place.names.log)
        began, items = page.time, list(page.items)
        while page.more:
            page = await place.store.list(place.names.log, start_after=items[-1].name)
            items += page.items
        listing, files = log.parse_listing(place, items, began)
        return (await log.with_tails(place, listing, files, seen.root))[0], seen, others

    return _all(
        patch.object(log, "list_root_and", list_root_and), patch.object(snapshot, "list_root_and", list_root_and)
    )


def no_grace() -> AbstractContextManager[Any]:
    return patch.object(sweep_log, "ripe", lambda _mark, _now: True)


def failed_412() -> AbstractContextManager[Any]:
    """An answer of 412 is taken as it comes: that our own first attempt may have landed is not looked for."""
    real = Conditional.take

    def take(self: Any, outcome: Any) -> None:
        if isinstance(outcome, AlreadyExists) and not self.reading:
            self.waits, self.result = False, outcome
        else:
            real(self, outcome)

    return patch.object(Conditional, "take", take)


def hopeful() -> AbstractContextManager[Any]:
    """A write that stayed undecided is acknowledged."""
    real = Writer._send

    async def send(self: Any, batch: Any) -> Ack:
        try:
            return await real(self, batch)
        except AmbiguousAppend as error:
            return Ack(error.lane, error.slot)

    return patch.object(Writer, "_send", send)


def same_slot_again() -> AbstractContextManager[Any]:
    """A writer whose write was given up goes on in its lane: the slot is sent again with other contents."""
    real = Writer._write

    async def write(self: Any, batch: Any) -> None:
        lane = self._lane
        await real(self, batch)
        if self._lane is None:
            self._lane = lane

    return patch.object(Writer, "_write", write)


def retire_by_age() -> AbstractContextManager[Any]:
    def floor(listing: Any, new: Any) -> int:
        return max(new.retire_floor, listing.time - 3_600_000)

    return patch.object(retire, "_floor", floor)


def drop_by_age() -> AbstractContextManager[Any]:
    """A watermark goes with the age of its writer, whatever the log holds."""

    def droppable(_prior: Any, listing: Any, new: Any, _floor: int) -> set[str]:
        return {
            lane
            for lane in new.watermarks
            if (writer := lane_writer(lane)) is not None and int.from_bytes(writer[:6]) < listing.time - 3_600_000
        }

    return _all(patch.object(retire, "_droppable", droppable), retire_by_age())


# --- shared lanes, locks, queues -------------------------------------------------------------------------------------


def any_write_id() -> AbstractContextManager[Any]:
    """Whoever made the slot, it counts as ours."""

    def remembered(*_: Any) -> bool:
        return True

    return _all(patch.object(commit, "remembered", remembered), patch.object(resolve, "remembered", remembered))


def no_fence() -> AbstractContextManager[Any]:
    async def may_follow(_self: Any, _one: Any) -> bool:
        return True

    return patch.object(commit.CommitLane, "_may_follow", may_follow)


def stale_tail() -> AbstractContextManager[Any]:
    return patch.object(commit, "LANE_TAIL_AGE_S", 1e9)


def no_ticket_fence() -> AbstractContextManager[Any]:
    def check(*_: Any) -> None:
        return None

    return _all(patch.object(lock, "check_fence", check), patch.object(update, "check_fence", check))


def no_second_look() -> AbstractContextManager[Any]:
    """The register that was read before the ticket was taken decides about the grant."""
    real, view = RemoteQueue.read_register, RemoteQueue._view

    def looked(self: Any, answers: Any) -> Any:
        found = view(self, answers)
        self.__dict__["_stale"] = (found[0], "")
        return found

    async def read_register(self: Any) -> Any:
        return self.__dict__.pop("_stale", None) or await real(self)

    return _all(patch.object(RemoteQueue, "_view", looked), patch.object(RemoteQueue, "read_register", read_register))


def serving_number() -> AbstractContextManager[Any]:
    """How many have ended decides who comes next, not which of them."""

    def below(self: QueueRegister, number: int) -> int:
        return max(number - 1 - self.floor - sum(high - low + 1 for low, high in self.ranges), 0)

    return patch.object(QueueRegister, "unfinished_below", below)


def deaf_clock() -> AbstractContextManager[Any]:
    return patch.object(StoreClock, "observe", lambda _self, _hlc: None)


# --- merges, side homes, sweeps --------------------------------------------------------------------------------------


def clear_level0() -> AbstractContextManager[Any]:
    real = merge.successor

    def successor(seen: Any, merged: Any) -> Any:
        return msgspec.structs.replace(real(seen, merged), inline=(), level0=())

    return patch.object(merge, "successor", successor)


def take_by_key() -> AbstractContextManager[Any]:
    """Inline records leave by their key: what a fold has put in their place meanwhile goes with them."""
    real = merge.successor

    def still_in(self: Inputs, root: Any) -> bool:
        named = {ref.name for ref in (*root.level0, *root.shards)}
        return named.issuperset(ref.name for ref in (*self.runs, *self.shards))

    def successor(seen: Any, merged: Any) -> Any:
        new, keys = real(seen, merged), {record.key for record in merged.inputs.inline}
        return msgspec.structs.replace(new, inline=tuple(one for one in new.inline if one.key not in keys))

    return _all(patch.object(Inputs, "still_in", still_in), patch.object(merge, "successor", successor))


def early_tombstones() -> AbstractContextManager[Any]:
    def line(root: Any) -> int:
        return version_ms(root.hlc.to_bytes(8)) + 1

    return _all(patch.object(merge, "tombstone_line_ms", line), patch.object(side_runs, "tombstone_line_ms", line))


def few_names() -> AbstractContextManager[Any]:
    """Names are drawn from very few, and what lies there is overwritten."""

    def new_unique(self: Place) -> str:
        return f"{self.clock.now_ms() // 7_200_000 * 7_200_000:012x}{self.env.random_bytes(1)[0] % 4:020x}"

    modules = (fold, outputs, side_runs, contents, archive)
    return _all(
        patch.object(Place, "new_unique", new_unique), *(patch.object(m, "Create", _overwrite) for m in modules)
    )


def _nothing_found() -> Any:
    async def find(_place: Any, _refs: Any, keys: Any) -> dict[str, list[Any]]:
        return {key: [] for key in keys}

    return find


def blind_numbering() -> AbstractContextManager[Any]:
    return patch.object(numbering, "find_in_runs", _nothing_found())


def blind_burial() -> AbstractContextManager[Any]:
    return patch.object(side_runs, "find_in_runs", _nothing_found())


def no_pins() -> AbstractContextManager[Any]:
    async def list_held(_place: Any) -> list[Any]:
        return []

    return patch.object(sweep_garbage, "list_held", list_held)


def no_log_look() -> AbstractContextManager[Any]:
    async def in_log(*_: Any) -> tuple[set[str], int]:
        return set(), 0

    return patch.object(uses, "_in_log", in_log)


def ripe_at_once() -> AbstractContextManager[Any]:
    def ripe(seen: Any) -> list[Any]:
        return list(seen.root.garbage)

    return _all(
        patch.object(sweep_garbage, "ripe_garbage", ripe),
        patch("swampstore.workers.compactor.ripe_garbage", ripe),
    )


def no_conflicts() -> AbstractContextManager[Any]:
    return _all(*(patch.object(module, "kept_loser", lambda _winner, _loser: None) for module in (join, block)))


def uncounted() -> AbstractContextManager[Any]:
    return patch.object(Tally, "dropped", lambda _self, _records: None)


def pushed_out() -> AbstractContextManager[Any]:
    """An index that was known when a read began, and has left the cache by its end, counts as one without blocks."""
    real = runs.load_indexes

    async def load_indexes(place: Place, refs: Sequence[Any]) -> list[Any]:
        known = {ref.name for ref in refs if place.caches.indexes.get(ref.name) is not None}
        found = await real(place, refs)
        gone = {name for name in known if place.caches.indexes.get(name) is None}
        return [[] if ref.name in gone else index for ref, index in zip(refs, found, strict=True)]

    return _all(
        *(patch.object(module, "load_indexes", load_indexes) for module in (runs, ranges, level0, archive_runs))
    )


@contextmanager
def nothing() -> Iterator[None]:
    """No fault at all."""
    yield
