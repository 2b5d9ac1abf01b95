"""What guards the numbering: sums and counts of contents, runs that are gone, records that contradict themselves."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from swampstore.env.blocking import run
from swampstore.errors import CorruptObject
from swampstore.limits import CONTENT_GRACE_MS
from swampstore.protocols.runs import RunGone
from swampstore.stores.base import Overwrite
from swampstore.values.data import id_key
from swampstore.values.entry import OPAQUE, PENDING, Packed, Record, check_value, meta_of, tombstone
from swampstore.values.version import just_above, refined
from swampstore.workers import numbering
from tests.data.support import datum, item, ordinals, pending, put, root_of
from tests.workers.world import Process, World

pytestmark = pytest.mark.usefixtures("tiny")


@pytest.fixture
def process(world: World) -> Process:
    return world.process()


def test_contents_stay_named_from_pending_to_removed(world: World, process: Process) -> None:
    """A pack is counted once, by whatever record names it; after the removal it is garbage, and goes."""
    part = process.upload("pack", b"0123456789")
    at = Packed(part, 0, 5)
    record = pending(process, "state", b"01234", at=at)
    process.append([record])
    run(process.compactor.sweep_once(insist=True))
    process.fold()
    assert root_of(world).packs == {part: 1}
    world.process().append([record])
    process.compact()
    assert root_of(world).packs == {part: 1}
    assert root_of(world).garbage == () or all(part not in item.name for item in root_of(world).garbage)
    process.append([tombstone(id_key(item(), record.version), just_above(record.version), base=record.version)])
    process.compact()
    assert root_of(world).packs == {}
    assert f"pack/{part}" in {item.name for item in root_of(world).garbage}
    world.tick(CONTENT_GRACE_MS / 1000 + 60)
    run(process.compactor.sweep_once(insist=True))
    assert f"ns/pack/{part}" not in world.store.names()


def test_a_sweep_spares_what_only_a_pending_version_names(world: World, process: Process) -> None:
    part = process.upload("pack", b"01234")
    process.put("k")
    process.fold()
    process.append([pending(process, "state", b"01234", at=Packed(part, 0, 5))])
    world.tick(3 * 24 * 3600)
    run(process.compactor.sweep_once(insist=True))
    assert f"ns/pack/{part}" in world.store.names()


def test_sums_are_checked(world: World, process: Process, monkeypatch: pytest.MonkeyPatch) -> None:
    put(process)
    monkeypatch.setattr(numbering, "already_settled", lambda asked, known: [])
    real = numbering.join_counted
    monkeypatch.setattr(numbering, "join_counted", lambda table, made: (real(table, made)[0][1:], []))
    with pytest.raises(AssertionError, match="conserve"):
        process.fold()
    assert root_of(world).version == 0


def test_a_run_that_is_gone_stops_the_fold(world: World, process: Process) -> None:
    put(process)
    process.compact()
    version = root_of(world).version
    name = f"ns/{root_of(world).shards[0].name}"
    body = world.store.raw(name)
    run(world.store.inner.delete([name]))
    put(process)
    with pytest.raises(RunGone):
        world.process().fold()
    assert root_of(world).version == version
    run(world.store.inner.put(name, body, Overwrite()))
    world.process().fold()
    assert ordinals(process) == [2, 1]


def test_a_run_swept_meanwhile_starts_the_fold_again(world: World, process: Process) -> None:
    put(process)
    process.compact()
    put(process)
    slow, fast = world.process(), world.process()
    run(slow.register.read())
    old = f"ns/{root_of(world).shards[0].name}"
    done = []

    def once(verb: str, name: str) -> None:
        if verb == "get" and name == old and not done:
            done.append(name)
            put(fast, "other")
            fast.compact()
            run(world.store.inner.delete([old]))

    world.store.before = once
    slow.fold()
    assert done
    assert ordinals(process) == [2, 1]


@pytest.mark.parametrize(
    "change",
    [
        {"key": "data/aws/ec2/web/other\0data\0" + "00" * 24},
        {"version": refined(b"v" * 24)},
        {"flags": PENDING | OPAQUE | 1},
        {"value": b"\x80"},
    ],
    ids=["another item's key", "a refined version", "gone", "no fields"],
)
def test_pending_records_that_contradict_themselves_are_broken(process: Process, change: dict[str, Any]) -> None:
    with pytest.raises(CorruptObject):
        check_value(msgspec.structs.replace(pending(process), **change))


@pytest.mark.parametrize(
    "fields",
    [
        {"name": "a/b"},
        {"name": ".."},
        {"model_type": "../../etc"},
        {"model_id": ""},
        {"ordinal": 3},
        {"keep": "²"},
        {"owner": {"a": {1: "a"}}},
        {"extra": {"a": b"bytes"}},
        {"extra": {"a": [[[[[[[[[[[[[[[[[[[["too deep"]]]]]]]]]]]]]]]]]]]]}},
    ],
    ids=str,
)
def test_fields_that_would_stop_the_fold_never_reach_it(process: Process, fields: dict[str, Any]) -> None:
    bad = msgspec.structs.replace(datum(), **fields)
    meta = msgspec.structs.replace(meta_of(pending(process)), data=bad)
    version = process.writer.new_version()
    value = msgspec.msgpack.encode(meta)
    with pytest.raises(CorruptObject):
        check_value(Record(id_key(bad.item, version), version, OPAQUE | PENDING, 0, value))
