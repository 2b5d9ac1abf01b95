"""What a rebuild takes and what it does not: of runs, files, saved roots, and of what may have been deleted."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import msgspec
import pytest

from swampstore.env.blocking import run
from swampstore.errors import Conflict, CorruptObject
from swampstore.protocols.log import Listing
from swampstore.protocols.slots import Tail
from swampstore.values.classes import as_ephemeral
from swampstore.values.entry import Inline, Meta, put_record
from swampstore.values.frame import Kind, pack
from swampstore.values.lane_file import HEADER_BYTES
from swampstore.values.names import writer_lane
from swampstore.values.root import NO_ROOT, Root
from swampstore.values.run import FOOTER, FORMAT, BlockInfo, build_run
from swampstore.values.version import make_version, make_writer_id
from swampstore.workers import rebuild, side_runs
from swampstore.workers.rebuild import RebuildPlan, plan_rebuild
from swampstore.workers.salvage import read_run
from tests.doctor.broken import drop, lose, mend, write
from tests.doctor.history import busy
from tests.workers.world import World, packed

pytestmark = pytest.mark.usefixtures("tiny")


def planned(world: World) -> RebuildPlan:
    process = world.process()
    return run(plan_rebuild(process.place, process.register))


def test_files_of_retired_writers_stay_retired_and_no_other_looks_like_one() -> None:
    """What a retired writer left may be older than tombstones that are forgotten: applied, it would come back."""
    retired, known, new = (writer_lane(make_writer_id(born, b"123456")) for born in (1000, 2000, 9000))
    listing = Listing({}, {}, (), 0, 0, files={lane: Tail(lane, "file", (), 100) for lane in (retired, known, new)})
    base = Root(9, b"n", retire_floor=5000, watermarks={known: 70})
    assert rebuild._of_files(listing, base) == {known: 70, new: HEADER_BYTES}
    assert rebuild._of_files(listing, NO_ROOT) == dict.fromkeys((retired, known, new), HEADER_BYTES)


def test_the_clock_of_the_root_is_that_of_all_it_holds(world: World) -> None:
    """A writer takes it in when it opens: with a lower one it would write below what is there, and lose."""
    process = busy(world)
    process.compact()
    lost = process.root.hlc
    lose(world)
    assert planned(world).root.hlc == lost


def test_of_runtime_state_the_newest_counts(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(side_runs, "INLINE_EPHEMERAL_BYTES", 0)
    process = busy(world)
    for body in (b"1", b"2"):
        world.tick()
        meta = Meta(size=1, at=Inline(body))
        process.append([as_ephemeral(put_record("lease", process.writer.new_version(), meta))])
        process.fold()
    process.compact()
    world.env.advance(60)
    run(process.compactor.sweep_once(insist=True))
    assert len(world.store.names("ns/eph/")) == 2
    lose(world)
    assert [ref.name for ref in planned(world).root.eph.runs] == [process.register.last.root.eph.runs[0].name]  # type: ignore[union-attr]
    mend(world)
    assert world.found()["lease"] == b"2"


def test_members_of_packs_that_waited_in_the_saved_root_are_counted(world: World) -> None:
    """Counted too low, the pack would be garbage while something names it."""
    process = world.process()
    part = process.upload("pack")
    process.put("k/0", at=packed(part))
    process.compact()
    process.put("k/1", at=packed(part, 1))
    process.fold()
    assert process.root.inline
    world.env.advance(60)
    run(process.compactor.sweep_once(insist=True))
    write(world, "ns/saved/one", world.store.raw("ns/root"))
    lose(world)
    assert planned(world).root.packs == {part: 2}


def test_the_newest_saved_root_is_taken_wherever_it_is_listed(world: World) -> None:
    process = busy(world)
    for name in ("a", "c", "b"):
        process.put(name, b"1")
        process.fold()
        write(world, f"ns/saved/{name}", world.store.raw("ns/root"))
    lose(world)
    assert planned(world).base == "ns/saved/b"


def test_nothing_is_doubted_that_no_later_shard_has_passed_over(world: World) -> None:
    """Neither what is newer than the shards of its range, nor what later shards of other ranges do not hold."""
    process = world.process()
    process.put_all({f"{part}/{number:04}": b"v" * 30 for part in "az" for number in range(60)})
    process.compact()
    world.env.advance(60)
    process.put_all({f"z/{number:04}": b"w" * 30 for number in range(50, 60)})
    process.compact()
    assert len({ref.name for ref in process.root.shards}) > 2
    world.env.advance(60)
    process.put_all({f"a/{number:04}x": b"n" * 30 for number in range(20)})
    process.fold()
    assert process.root.level0
    lose(world)
    plan = planned(world)
    assert (plan.doubts, plan.doubtful) == (0, ())
    mend(world)
    world.check()


def test_a_log_that_is_being_swept_is_left_alone(world: World) -> None:
    """Somebody works by a root that is gone for us: what it deletes next cannot be told."""
    busy(world)
    lose(world)
    before = set(world.store.names()) - set(world.store.names("ns/log/"))

    def swept(verb: str, name: str) -> None:
        if verb == "get" and name.startswith("ns/log/"):
            drop(world, name)

    world.store.before = swept
    with pytest.raises(Conflict, match="being swept"):
        planned(world)
    world.store.before = lambda verb, name: None
    assert set(world.store.names()) - set(world.store.names("ns/log/")) == before


# --- runs that lie -----------------------------------------------------------------------------------------------------


def indexed(change: Callable[[Sequence[BlockInfo]], Sequence[BlockInfo]]) -> bytes:
    """A run of several blocks, whose index is made anew by ``change``; all checksums hold."""
    records = [
        put_record(f"k/{number:04}", make_version(number + 1, b"w" * 12, 1), Meta(size=30, at=Inline(b"v" * 30)))
        for number in range(60)
    ]
    ref, data = build_run("shard/" + "0" * 32, records)
    index = pack(Kind.RUN_INDEX, FORMAT, msgspec.msgpack.encode(change(read_run(ref.name, data, "x").index)))
    return data[: ref.index_at] + index + FOOTER.pack(ref.index_at, len(index), b"SWRN")


LIES: dict[str, Callable[[Sequence[BlockInfo]], Sequence[BlockInfo]]] = {
    "first": lambda index: [msgspec.structs.replace(index[0], first="k/"), *index[1:]],
    "last": lambda index: [msgspec.structs.replace(index[0], last="k/0000"), *index[1:]],
    "tombstones": lambda index: [*index[:-1], msgspec.structs.replace(index[-1], tombstones=1)],
    "sum": lambda index: [*index[:-1], msgspec.structs.replace(index[-1], sum=index[-1].sum ^ 1)],
    "order": lambda index: index[::-1],
    "twice": lambda index: [*index, index[-1]],
}


@pytest.mark.parametrize("how", LIES)
def test_a_run_whose_index_lies_is_not_taken(how: str) -> None:
    """Its blocks would be looked for where they are not: keys of it could not be found."""
    name = "shard/" + "0" * 32
    assert read_run(name, indexed(lambda index: index), "x").ref.count == 60
    with pytest.raises(CorruptObject, match="do not rise" if how in ("order", "twice") else "says another thing"):
        read_run(name, indexed(LIES[how]), "x")
