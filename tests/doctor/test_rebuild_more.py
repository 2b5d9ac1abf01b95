"""Streams, updates and versions of data across the loss of a root: what is left is in order, and nothing is given twice."""

from __future__ import annotations

import random

import pytest

import swampstore
from swampstore.client.blocking import Namespace, finish
from swampstore.errors import FenceConflict
from swampstore.stores.base import Got
from swampstore.values.names import Names
from swampstore.values.root import Root, decode_root

STREAMS = ("a", "b", "c")
DATA = ("x", "y")


class Life:
    """A namespace in memory, what was acknowledged in it, and its store."""

    def __init__(self, seed: int) -> None:
        self.dice = random.Random(seed)
        self.store = swampstore.open(f"memory://rebuild-{seed}-{id(self)}")
        self.ns: Namespace = self.store.namespace("ops")
        self.raw = self.ns._core.owner.bare
        self.records: dict[str, list[bytes]] = {name: [] for name in STREAMS}
        self.ids: dict[str, list[str]] = {name: [] for name in DATA}
        self.count = 0

    def step(self) -> None:
        dice = self.dice
        kind = dice.choices(["stream", "fenced", "data", "update", "compact", "sweep"], [4, 2, 5, 3, 3, 2])[0]
        if kind in ("stream", "fenced"):
            name, data = dice.choice(STREAMS), dice.randbytes(6)
            stream = self.ns.stream(name)
            stream.append([data], expected_tail=stream.tail() if kind == "fenced" else None)
            self.records[name].append(data)
        elif kind == "data":
            name = dice.choice(DATA)
            self.ids[name].append(self.ns.data("t:m", name).put(dice.randbytes(9)).id)
        elif kind == "update":
            self.ns.update("count", lambda held: str(int(held or b"0") + 1).encode())
            self.count += 1
        elif kind == "compact":
            self.ns.compact(full=dice.random() < 0.5)
        else:
            self.sweep()

    def root(self) -> Root | None:
        try:
            got = finish(self.raw.get("ops/root"))
        except swampstore.NotFound:
            return None
        assert isinstance(got, Got)
        return decode_root(got.body, "ops/root")

    def sweep(self) -> None:
        """Delete the segments that the root covers, as a sweep does half a minute later."""
        root = self.root()
        page = finish(self.raw.list("ops/log/"))
        parsed = [(item.name, Names("ops").parse_segment(item.name)) for item in page.items]
        covered = [name for name, at in parsed if root and at and root.watermark(at[0]) >= at[1]]
        finish(self.raw.delete(covered))

    def lose(self) -> None:
        """The root is gone, all covered segments with it, and no process remembers anything."""
        self.sweep()
        finish(self.raw.delete(["ops/root"]))
        self.ns._core._begin()
        self.ns._core.owner.caches.segments.clear()


def is_subsequence(part: list[bytes], whole: list[bytes]) -> bool:
    left = iter(whole)
    return all(one in left for one in part)


@pytest.mark.parametrize("seed", range(12))
@pytest.mark.parametrize("whole", [True, False])
def test_streams_and_data_across_a_loss(seed: int, whole: bool) -> None:
    """``whole``: nothing waited in the root, so nothing at all may be missing."""
    life = Life(seed)
    for _ in range(life.dice.randrange(10, 60)):
        life.step()
    life.ns.compact(full=True)
    kept = ({name: list(found) for name, found in life.records.items()}, dict(life.ids), life.count)
    if not whole:
        for _ in range(6):
            life.step()
    life.lose()
    ns = life.ns
    report = ns.repair(dry_run=False, accept_loss=True, alone=True)
    assert [step.code for step in report.steps] == ["root"]
    for name in STREAMS:
        found = [record.data for record in ns.stream(name).read()]
        assert is_subsequence(found, life.records[name])
        assert is_subsequence(kept[0][name], found)
    assert kept[2] <= int(ns.read("count")) <= life.count if kept[2] else True
    if whole:
        assert {name: len(ns.data("t:m", name).versions()) for name in DATA} == {k: len(v) for k, v in life.ids.items()}
    # It goes on: fences hold, nothing is numbered twice, nobody's write is lost.
    for name in STREAMS:
        stream = ns.stream(name)
        tail, before = stream.tail(), [record.data for record in stream.read()]
        stream.append([b"new"], expected_tail=tail)
        with pytest.raises(FenceConflict):
            stream.append([b"late"], expected_tail=tail)
        assert [record.data for record in stream.read()] == [*before, b"new"]
    for name in DATA:
        item = ns.data("t:m", name)
        before_ordinals = [version.ordinal for version in item.versions()]
        ordinal = item.put(b"new", ordinal=True).ordinal
        assert ordinal is not None
        assert ordinal > max((one for one in before_ordinals if one), default=0)
    count = int((ns.get("count") and ns.read("count")) or 0)
    ns.update("count", lambda held: str(int(held or b"0") + 1).encode())
    assert int(ns.read("count")) == count + 1
    for _ in range(2):
        assert [one for one in ns.doctor(deep=True, guards=False).findings if one.severity == "error"] == []
        ns.compact()
