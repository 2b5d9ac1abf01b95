"""Each check of the cheap examination: a store broken in just that way is told, and a whole one is not."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import msgspec
import pytest

from swampstore.env.blocking import run
from swampstore.values import run as run_format
from swampstore.values.entry import Inline, Meta, put_record
from swampstore.values.root import Root
from swampstore.values.soonest import Soonest
from swampstore.values.version import hlc_of, make_version
from swampstore.workers import outputs, shards
from swampstore.workers.doctor.repairs import repair
from tests.doctor.broken import change_root, drop, look, named, only, write
from tests.doctor.history import busy
from tests.workers.world import Crash, World

pytestmark = pytest.mark.usefixtures("tiny")


# --- whole -----------------------------------------------------------------------------------------------------------


def test_a_whole_namespace_is_healthy_and_left_as_it_was(world: World) -> None:
    busy(world)
    before = {name: world.store.raw(name) for name in world.store.names()}
    report = look(world.process())
    assert report.codes() == []
    assert report.healthy
    assert report.counts["runs"] == len(world.process().root.runs)
    assert {name: world.store.raw(name) for name in world.store.names()} == before


def test_a_namespace_without_anything(world: World) -> None:
    assert look(world.process()).codes() == ["empty"]


def test_a_namespace_that_was_never_folded(world: World) -> None:
    world.process().put("a", b"1")
    assert look(world.process()).codes() == ["no-root-yet"]


def test_what_it_costs(world: World) -> None:
    """Requests do not depend on the number of entries; contents and blobs are never listed."""
    costs = []
    for _ in range(2):
        busy(world)
        process = world.process()
        process.compact()
        world.store.forget()
        report = look(process, guards=False)
        costs.append(len(world.store.calls) - report.counts["runs"])
        assert not any(name.startswith("ns/blob") for _, name in world.store.calls)
    assert costs[0] == costs[1] <= 22
    world.store.forget()
    look(process)
    assert len(world.store.calls) - costs[1] <= 80


# --- the root --------------------------------------------------------------------------------------------------------


def test_a_lost_root(world: World) -> None:
    busy(world)
    drop(world, "ns/root")
    found = look(world.process()).of("error")
    assert [(one.code, one.repair) for one in found] == [("root-lost", True)]


def test_a_lost_root_is_known_by_the_log_alone(world: World) -> None:
    write(world, "ns/log/w" + "00" * 12 + f"/{7:016x}", b"x")
    assert look(world.process()).codes() == ["root-lost"]


def test_a_damaged_root(world: World) -> None:
    busy(world)
    write(world, "ns/root", world.store.raw("ns/root")[:-3])
    (found,) = look(world.process()).of("error")
    assert (found.code, found.name, found.repair) == ("root-damaged", "ns/root", True)


def test_a_root_of_a_newer_program_is_no_damage(world: World) -> None:
    from swampstore.values.frame import Kind, pack

    busy(world)
    write(world, "ns/root", pack(Kind.ROOT, 9, b"from the future"))
    found = only(look(world.process()))
    assert (found.code, found.repair) == ("newer-format", False)
    assert "upgrade" in found.hint


def test_a_version_from_the_future(world: World) -> None:
    process = busy(world)
    world.env.advance(1)
    far = make_version(hlc_of(world.env.wall + 80 * 365 * 86_400_000), b"w" * 12, 1)
    process.append([put_record("late", far, Meta(size=0, at=Inline(b"")))])
    process.fold()
    assert look(world.process()).codes() == ["future-version"]


# --- runs ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["shard", "l0"])
def test_a_run_that_is_gone(world: World, kind: str) -> None:
    busy(world)
    name = named(world, kind)
    drop(world, name)
    found = only(look(world.process()))
    assert (found.code, found.severity, found.name) == ("run-missing", "error", name)
    assert "k/" in found.text


def test_a_run_swept_during_the_look_is_not_missed(world: World) -> None:
    """It is gone, but by then no root names it: a merge and a sweep went by."""
    process = busy(world)
    names = world.store.names("ns/shard/")
    done: list[int] = []

    def before(verb: str, name: str) -> None:
        if (verb == "get" and name == "ns/log/") or not (verb == "head" and name in names):
            return
        if not done:
            done.append(1)
            world.store.before = lambda verb, name: None
            change_root(world, lambda root: msgspec.structs.replace(root, version=root.version + 1, shards=()))

    listed = world.store.inner.list

    async def without(prefix: str, **options: Any) -> Any:
        page = await listed(prefix, **options)
        if prefix != "ns/shard/":
            return page
        drop(world, *names)
        return msgspec.structs.replace(page, items=())

    world.store.inner.list = without  # type: ignore[method-assign]
    world.store.before = before
    assert process
    assert "run-missing" not in look(world.process()).codes()
    assert done


def test_a_run_that_was_cut(world: World) -> None:
    busy(world)
    name = named(world, "shard")
    write(world, name, world.store.raw(name)[:-7])
    assert look(world.process()).codes() == ["run-damaged"]


def test_a_run_with_another_index(world: World) -> None:
    """Same size, but its index is not what the root says."""
    busy(world)
    name = named(world, "shard")
    body = bytearray(world.store.raw(name))
    body[-30] ^= 1
    write(world, name, bytes(body))
    assert look(world.process()).codes() == ["run-damaged"]


@pytest.mark.parametrize(
    ("wrong", "code"),
    [
        *(({field: value}, "run-damaged") for field, value in (("sum", 1), ("count", 7), ("tombstones", 9))),
        *(({field: value}, "run-damaged") for field, value in (("last", "zzz"), ("first", ""))),
        ({"index_at": 1 << 40}, "damaged"),  # no run can be so: the index is not even looked for
    ],
)
def test_a_root_that_says_another_thing_of_a_run(world: World, wrong: dict[str, Any], code: str) -> None:
    busy(world)

    def change(root: Root) -> Root:
        refs = (*root.level0[:-1], msgspec.structs.replace(root.level0[-1], **wrong))
        return msgspec.structs.replace(root, level0=refs)

    change_root(world, change)
    found = only(look(world.process()))
    assert (found.code, found.severity) == (code, "error")


@pytest.mark.parametrize(
    ("told", "text"),
    [
        (lambda told: Soonest(told.spots, 0), "and the root says never"),
        (lambda told: Soonest(told.spots, 1 << 50), f"and the root says {1 << 50}"),
        (
            lambda told: Soonest((msgspec.structs.replace(told.spots[0], due=1 << 50), *told.spots[1:]), told.rest),
            "due",
        ),
        (lambda told: Soonest((msgspec.structs.replace(told.spots[0], crc=1), *told.spots[1:]), told.rest), "not so"),
        (lambda told: Soonest((msgspec.structs.replace(told.spots[0], offset=1),), 7), "where there is none"),
        (lambda told: Soonest(told.spots[::-1], told.rest), "order"),
    ],
)
def test_a_root_that_tells_wrongly_of_what_is_due(
    told: Callable[[Soonest], Soonest], text: str, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Sooner than so, or of everything, is allowed: it costs a read."""
    monkeypatch.setattr(run_format, "BLOCK_RAW_BYTES", 300)
    monkeypatch.setattr(shards, "SHARD_TARGET_MAX_BYTES", 1 << 20)
    monkeypatch.setattr(outputs, "SHARD_TARGET_MAX_BYTES", 1 << 20)
    monkeypatch.setattr(shards, "SHARD_TARGET_MIN_BYTES", 1 << 20)
    process = world.process()
    for number in range(60):
        meta = Meta(size=1, at=Inline(b"x"))
        process.append([put_record(f"k/{number:03}", process.writer.new_version(), meta, expires=(10 + number) << 40)])
    process.compact()

    def change(root: Root, told: Callable[[Soonest], Soonest]) -> Root:
        (ref,) = root.shards
        return msgspec.structs.replace(root, shards=(msgspec.structs.replace(ref, soonest=told(ref.soonest)),))

    for right in (lambda told: Soonest(), lambda told: Soonest(told.spots[1:], 5), lambda told: Soonest((), 5)):
        change_root(world, partial(change, told=right))
        assert look(world.process()).codes() == []
    process.put("k/001", b"again")
    process.compact()
    for deep in (False, True):
        change_root(world, partial(change, told=told))
        found = only(look(world.process(), deep=deep))
        assert (found.code, found.severity, found.name) == ("due-wrong", "warning", named(world, "shard"))
        assert text in found.text
        process.put("k/001", b"again")
        process.compact()
        assert look(world.process(), deep=deep).codes() == []


# --- hostile bytes ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(10))
def test_no_bytes_make_it_crash(world: World, seed: int) -> None:
    """Any object cut, flipped, emptied or replaced by another one: told or not, never an exception."""
    import random

    busy(world)
    write(world, "ns/saved/s", world.store.raw("ns/root"))
    dice = random.Random(seed)
    names = world.store.names()
    for name in names:
        good = world.store.raw(name)
        flipped = bytearray(good)
        flipped[dice.randrange(len(good))] ^= 1 << dice.randrange(8)
        bad = dice.choice([b"", good[: dice.randrange(len(good))], bytes(flipped), world.store.raw(dice.choice(names))])
        write(world, name, bad)
        report = look(world.process(), guards=False, deep=True)
        if name == "ns/root" and bad != good:
            assert not report.healthy
        process = world.process()
        run(repair(process.place, process.register, deep=True))
        write(world, name, good)
    assert look(world.process(), guards=False).codes() == []


def test_a_root_lost_before_the_first_merge_is_told_from_a_first_fold_that_crashed(world: World) -> None:
    process = world.process()
    process.put_all({f"k/{number:04}": b"v" * 30 for number in range(60)})

    def before(verb: str, name: str) -> None:
        if (verb, name) == ("put", "ns/root"):
            raise Crash

    world.store.before = before
    with pytest.raises(Crash):
        process.fold()
    world.store.before = lambda verb, name: None
    assert world.store.names("ns/l0/")
    assert look(world.process()).codes() == ["no-root-yet"]
    process = world.process()
    process.fold()
    world.env.advance(60)
    run(process.compactor.sweep_once(insist=True, orphans=False))
    process.put("later", b"1")
    drop(world, "ns/root")
    assert look(world.process()).codes() == ["root-lost"]
    process = world.process()
    run(repair(process.place, process.register, dry_run=False, accept_loss=True))
    world.check()
