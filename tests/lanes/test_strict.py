"""A reader that has seen all there is reads little the next time, and still sees whatever was acknowledged meanwhile."""

from __future__ import annotations

from typing import Any

import pytest

from swampstore.client.blocking import Namespace
from swampstore.env.blocking import run
from swampstore.protocols.log import list_and_root
from swampstore.protocols.slots import Tail
from swampstore.protocols.snapshot import Snapshot
from tests.lanes.conftest import frames_of, lane_names, open_ns


def seen(reader: Namespace) -> Snapshot:
    """What a read finds that follows one which found the same."""
    first, again = reader.snapshot()._core, reader.snapshot()._core
    assert again is first, "nothing has happened in between"
    return again


def files_of(reader: Namespace) -> dict[str, Tail]:
    return run(list_and_root(reader._core.place, reader._core.register))[0].files


def test_each_thing_that_happens_is_in_the_very_next_read(bare: Any) -> None:
    reader, one, other = open_ns(bare), open_ns(bare), open_ns(bare)
    assert reader.get("a") is None
    held: dict[str, bytes] = {}

    def check() -> None:
        assert {key: reader.read(key) for key in held} == held
        assert [entry.key for entry in reader.list()] == sorted(held)
        seen(reader)

    for number, writer in enumerate((one, one, other, one, other)):  # a lane begins, goes on, another begins ...
        held[f"k{number}"] = b"%d" % number
        writer.put(f"k{number}", held[f"k{number}"])
        check()
    reader.compact()  # the root moves on, and the tails are cut
    check()
    assert seen(reader).slots == ()
    held["k0"] = b"after the fold"
    other.put("k0", held["k0"])
    check()
    one.update("k1", lambda _: b"in a shared lane")
    held["k1"] = b"in a shared lane"
    check()
    other.compact()  # somebody else's fold
    check()
    one.update("k1", lambda _: b"in a shared lane alone")
    held["k1"] = b"in a shared lane alone"
    check()
    other.compact()
    check()
    assert seen(reader).slots == ()
    assert not any(tail.slots for tail in files_of(reader).values())
    for writer in (one, other):
        writer._core.writer.drop()
    for name in lane_names(bare):
        assert run(bare.lanes.remove_lane(name, frames_of(bare, name).end))
    check()
    assert not files_of(reader)
    third = open_ns(bare)
    held["k2"] = b"by a new writer"
    third.put("k2", held["k2"])
    check()
    third._core.writer.drop()


@pytest.mark.parametrize("goes_on", [True, False])
@pytest.mark.parametrize("cached", [True, False])
def test_a_fold_that_ends_within_what_was_read_hides_nothing(bare: Any, cached: bool, goes_on: bool) -> None:
    """What a reader knows of a file as one piece is folded in part, and its cache may have let go of the piece."""
    reader, writer, folder = open_ns(bare), open_ns(bare), open_ns(bare)
    keys = ["a", "b"]
    register = folder._core.register
    publish = register.publish

    async def late(*given: Any) -> Any:
        writer.put("b", b"b")
        assert [entry.key for entry in reader.list()] == keys
        return await publish(*given)

    writer.put("a", b"a")
    register.publish = late  # type: ignore[method-assign]
    folder.compact(full=False)
    (tail,) = files_of(folder).values()
    assert [slot.start for slot in tail.slots] == list(folder._core.register.last.root.watermarks.values())  # type: ignore[union-attr]
    if not cached:
        reader._core.place.caches.segments.clear()
    if goes_on:
        keys.append("c")
        writer.put("c", b"c")
    assert [entry.key for entry in reader.list()] == keys
    assert [reader.read(key) for key in keys] == [key.encode() for key in keys]
