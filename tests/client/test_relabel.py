"""New words about contents that are in the store already: the location is carried, within an hour of its reading."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from swampstore.client.core import CoreNamespace, CoreStore
from swampstore.env.blocking import run
from swampstore.errors import Misuse, TooLarge
from swampstore.stores.memory import MemoryStore
from swampstore.testing.env import FakeEnv
from swampstore.values.data import Datum
from swampstore.values.deltas import Put, Relabel
from swampstore.values.entry import Blob, Entry

BODY = b"x" * 300_000
KEY = "data/t/m/n/3/raw"


class Space:
    def __init__(self) -> None:
        self.env = FakeEnv()
        self.store = MemoryStore(self.env)
        self.ns: CoreNamespace = CoreStore(self.store, self.env).namespace("ops")

    def entry(self) -> Entry:
        entry = run(self.ns.get(KEY))
        assert entry is not None
        return entry

    def relabel(self, entry: Entry, read: float, **changes: object) -> None:
        meta = msgspec.structs.replace(entry.meta, base=entry.version, **changes)
        run(self.ns.append([Relabel(key=KEY, meta=meta, read=read)]))


@pytest.fixture
def space(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Space:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    space = Space()
    run(space.ns.append([Put(key=KEY, data=BODY)]))
    return space


def test_contents_outlive_the_entry_they_came_with(space: Space) -> None:
    """The blob is dropped and named again in one fold, or in two: no sweep takes it, however late."""
    for tags in ({"a": "1"}, {"a": "2"}):
        space.relabel(space.entry(), space.env.boot(), tags=tags)
        run(space.ns.compact())
    assert isinstance(space.entry().meta.at, Blob)
    for _ in range(4):
        space.env.advance(25 * 3600.0)
        run(space.ns.compact())
    assert (run(space.ns.read(KEY)), space.entry().tags) == (BODY, {"a": "2"})


def test_a_location_that_was_read_long_ago_is_refused(space: Space) -> None:
    entry, read = space.entry(), space.env.boot()
    space.env.advance(3599.0)
    space.relabel(entry, read)
    entry, read = space.entry(), space.env.boot()
    space.env.advance(3601.0)
    with pytest.raises(Misuse, match="more than an hour ago"):
        space.relabel(entry, read)


def test_fields_that_contradict_the_path_are_refused(space: Space) -> None:
    good = Datum("t", "m", "n", 3)
    for bad, error in (
        (Datum("t", "m", "n", 4), Misuse),
        (Datum("t", "m", "o", 3), Misuse),
        (Datum("t", "m", "n", 1 << 60), TooLarge),
    ):
        with pytest.raises(error):
            space.relabel(space.entry(), space.env.boot(), data=bad)
        with pytest.raises(error):
            run(space.ns.append([Put(key=KEY, data=b"", datum=bad)]))
    space.relabel(space.entry(), space.env.boot(), data=good)
    assert space.entry().meta.data == good


def test_a_pause_that_the_boot_clock_slept_through_counts_too(space: Space) -> None:
    entry, read = space.entry(), space.ns.place.clock.steady()
    space.env.advance(3700.0, asleep=True)
    space.entry()  # any answer of the store tells
    assert space.env.boot() - read < 1.0
    with pytest.raises(Misuse, match="hour ago"):
        space.relabel(entry, read)


def test_an_answer_cut_to_whole_seconds_is_no_pause(space: Space) -> None:
    clock = space.ns.place.clock
    before = clock.steady() - space.env.boot()
    for ahead in (0, 900, -900, 1500):
        clock.calibrate(clock.now_ms() + ahead)
    assert clock.steady() - space.env.boot() == before
