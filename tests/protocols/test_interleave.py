"""Readers, writers and folders stepped in every order of their requests, at small scope.

The promise: a read sees every write acknowledged before the read began, each once. The harness must be able to see it
broken: a reader that takes the root before the list, with the segments deleted at once, fails in it.
"""

from __future__ import annotations

from collections.abc import Coroutine, Sequence
from typing import Any

import pytest

from swampstore.limits import DELETE_GRACE_MS
from swampstore.protocols.log import SegmentGone, fetch
from swampstore.protocols.snapshot import Snapshot
from swampstore.stores.base import Page
from swampstore.stores.memory import MemoryStore
from swampstore.testing.env import FakeEnv
from swampstore.values.join import join_into
from swampstore.values.root import decode_root
from swampstore.workers.sweep_log import sweep_log
from tests.protocols.support import Process, Stepped, every_order, primed

Work = Sequence[Coroutine[Any, Any, None]]


class Scene:
    """One run: a store, processes over it, and what was acknowledged so far."""

    def __init__(self) -> None:
        self.env = FakeEnv()
        self.inner = MemoryStore(self.env)
        self.store = Stepped(self.inner)
        self.acked: set[str] = set()

    def process(self) -> Process:
        return Process(self.store, self.env)

    async def write(self, writer: Process, *keys: str) -> None:
        for key in keys:
            await writer.write(key)
            self.acked.add(key)

    async def read(self, process: Process) -> None:
        """A strict read: what was acknowledged before it began must be in it."""
        due = set(self.acked)
        snapshot = await process.reader.open()
        missed = due - await keys_of(snapshot)
        assert not missed, f"acknowledged before the read began, and not seen: {missed}"

    async def fold(self, process: Process) -> None:
        await process.folded()

    async def fold_and_delete(self, process: Process, *, grace: bool) -> None:
        """Fold, and delete what the published root covers: after the grace, or (wrongly) at once."""
        _, read = await process.folded()
        lanes = read.listing.lanes
        if grace:
            self.env.advance((DELETE_GRACE_MS + 5000) / 1000)
        seen = await process.register.read()
        covered = [
            process.place.names.segment(lane, slot)
            for lane, slots in lanes.items()
            for slot in slots
            if slot <= seen.root.watermark(lane)
        ]
        await self.store.delete(covered)


async def keys_of(snapshot: Snapshot) -> set[str]:
    return {entry.key for entry in (await snapshot.page()).entries}


def finish(work: Coroutine[Any, Any, Any]) -> None:
    while True:
        try:
            work.send(None)
        except StopIteration:
            return


def test_the_stepper_runs_every_order_once() -> None:
    seen: list[str] = []
    orders: list[str] = []

    async def letters(store: Stepped, name: str, count: int) -> None:
        for _ in range(count):
            await store.list("")
            seen.append(name)

    def make() -> Work:
        if seen:
            orders.append("".join(seen))
            seen.clear()
        store = Stepped(MemoryStore(FakeEnv()))
        return [letters(store, "a", 2), letters(store, "b", 2)]

    # A coroutine of two requests takes three steps: one to its first request and one for each answer.
    assert every_order(make) == 20
    orders.append("".join(seen))
    assert set(orders) == {"aabb", "abab", "abba", "baab", "baba", "bbaa"}
    seen.clear()
    orders.clear()
    assert every_order(make, alike=2) == 10
    orders.append("".join(seen))
    assert {min(order, order.translate({97: 98, 98: 97})) for order in orders} == {"aabb", "abab", "abba"}


def test_a_read_sees_what_was_acknowledged_while_one_writes_and_one_folds() -> None:
    def make() -> Work:
        scene = Scene()
        writer = scene.process()
        finish(scene.write(writer, "old"))
        return [
            primed(scene.write(writer, "a")),
            primed(scene.fold(scene.process())),
            scene.read(scene.process()),
        ]

    assert every_order(make, at_most=10_000) > 500


def test_a_read_sees_what_two_writers_had_acknowledged() -> None:
    def make() -> Work:
        scene = Scene()
        writer, other = scene.process(), scene.process()
        return [
            primed(scene.write(writer, "a", "b")),
            primed(scene.write(other, "c")),
            scene.read(scene.process()),
        ]

    assert every_order(make, at_most=10_000) > 50


def test_a_second_read_of_the_same_reader_is_strict_too() -> None:
    def make() -> Work:
        scene = Scene()
        writer, reader = scene.process(), scene.process()
        finish(scene.read(reader))
        finish(scene.write(writer, "a"))

        async def twice() -> None:
            await scene.read(reader)
            await scene.read(reader)

        return [primed(scene.fold(scene.process())), twice()]

    assert every_order(make, at_most=10_000) > 100


def test_nothing_is_missed_while_folded_segments_are_deleted_after_their_grace() -> None:
    def make() -> Work:
        scene = Scene()
        writer = scene.process()
        finish(scene.write(writer, "a", "b"))
        return [scene.fold_and_delete(scene.process(), grace=True), scene.read(scene.process())]

    assert every_order(make) > 100


def test_nothing_is_missed_while_the_real_sweep_runs() -> None:
    def make() -> Work:
        scene = Scene()
        writer, folder = scene.process(), scene.process()
        finish(scene.write(writer, "a"))
        finish(folder.folded())
        finish(scene.write(writer, "b"))
        scene.env.advance((DELETE_GRACE_MS + 5000) / 1000)

        async def fold_twice_and_sweep() -> None:
            for _ in range(2):
                _, read = await folder.folded()
                await sweep_log(folder.place, read.listing, read.seen)
                scene.env.advance((DELETE_GRACE_MS + 5000) / 1000)

        return [fold_twice_and_sweep(), scene.read(scene.process())]

    assert every_order(make) > 100


# --- the wrong order ------------------------------------------------------------------------------------------------------


async def root_first(scene: Scene, process: Process) -> None:
    """The reader that the design page forbids: root, then list, and no second look."""
    due = set(scene.acked)
    root = (await process.register.read()).root
    lanes: dict[str, list[int]] = {}
    page = await scene.store.list(process.place.names.log)
    assert isinstance(page, Page)
    for item in page.items:
        parsed = process.place.names.parse_segment(item.name)
        assert parsed
        lanes.setdefault(parsed[0], []).append(parsed[1])
    table = {record.key: record for record in root.inline}
    for lane, listed in lanes.items():
        slot = root.watermark(lane) + 1
        while slot in listed:
            (segment,) = await fetch(process.place, [(lane, slot)])
            join_into(table, segment.records)  # type: ignore[union-attr]
            slot += 1
    missed = due - set(table)
    assert not missed, f"missed {missed}"


def test_root_before_list_without_grace_loses_writes_and_the_harness_sees_it() -> None:
    def make() -> Work:
        scene = Scene()
        finish(scene.write(scene.process(), "a"))
        return [scene.fold_and_delete(scene.process(), grace=False), root_first(scene, scene.process())]

    with pytest.raises(AssertionError, match="missed"):
        every_order(make)


def test_the_right_order_survives_even_deletion_at_once() -> None:
    """List first, then root: a slot that is missing from the list is folded in the root that is read later."""

    async def list_first(scene: Scene, process: Process) -> None:
        due = set(scene.acked)
        while True:
            page = await scene.store.list(process.place.names.log)
            root = (await process.register.read()).root
            names = [process.place.names.parse_segment(item.name) for item in page.items]
            unread = [slot for slot in names if slot and slot[1] > root.watermark(slot[0])]
            table = {record.key: record for record in root.inline}
            try:
                for segment in await fetch(process.place, unread):
                    join_into(table, segment.records)  # type: ignore[union-attr]
            except SegmentGone:
                continue
            break
        assert due <= set(table)

    def make() -> Work:
        scene = Scene()
        finish(scene.write(scene.process(), "a"))
        return [primed(scene.fold_and_delete(scene.process(), grace=False)), list_first(scene, scene.process())]

    assert every_order(make, at_most=10_000) > 50


# --- two folders ----------------------------------------------------------------------------------------------------------


def check_root(scene: Scene, keys: set[str]) -> None:
    """Every delta is in the root or in the log past its watermark, exactly once."""
    objects = {name: found.body for name, found in scene.inner._objects.items()}
    root = decode_root(objects["ns/root"], "ns/root")
    folded = [record.key for record in root.inline]
    assert len(folded) == len(set(folded))
    assert {record.key for record in root.inline} == keys
    slots = sum(root.watermarks.values())
    assert slots == len(keys)


@pytest.mark.parametrize("late", [False, True], ids=["two segments", "one more comes late"])
def test_two_folders_lose_nothing_and_fold_nothing_twice(late: bool) -> None:
    published: list[bool] = []
    keys = {"a", "c"} if late else {"a", "b"}
    done: list[Scene] = []

    async def folding(process: Process) -> None:
        report, _ = await process.folded()
        published.append(report.published)

    def check_last() -> None:
        """What the order before this one left, once everything is folded."""
        for scene in done:
            finish(scene.process().folded())
            check_root(scene, keys)
        done.clear()

    def make() -> Work:
        check_last()
        scene = Scene()
        writer, first, second = scene.process(), scene.process(), scene.process()
        finish(scene.write(writer, "a", *([] if late else ["b"])))
        done.append(scene)
        late_one = [primed(scene.write(writer, "c"))] if late else []
        return [primed(folding(first)), primed(folding(second)), *late_one]

    assert every_order(make, at_most=10_000, alike=2) > 50
    check_last()
    assert any(published)
    assert not all(published)  # some did lose the race
