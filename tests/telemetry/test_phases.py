"""Phases sum up to what an operation took, and each holds what happened in it: on virtual time, exactly."""

from __future__ import annotations

from contextvars import Context
from pathlib import Path
from typing import Any

import pytest

import swampstore
from swampstore.client.core import CoreNamespace
from swampstore.env import phases
from swampstore.env.blocking import BlockingEnv, run
from swampstore.env.phases import PHASES, Laps, Operation, during, measured, traced
from swampstore.errors import NotFound, StoreForbidden, StoreUnavailable
from swampstore.protocols.queue import fair_queue
from swampstore.protocols.update import SKIP
from swampstore.stores.base import Put as PutRequest
from swampstore.stores.base import Request
from swampstore.testing.env import FakeEnv
from swampstore.values.deltas import Put
from swampstore.workers.sync import SyncOptions, sync
from tests.telemetry.world import (
    CONTENT,
    LIST,
    PUBLISH,
    ROOT,
    RUN,
    RUN_WRITE,
    SEGMENT,
    UPLOAD,
    WRITE,
    World,
)

BIG = b"x" * 10_000


def wrote(world: World, *keys: str, data: bytes = b"small") -> CoreNamespace:
    """Another process's namespace, in which ``keys`` were put one by one."""
    namespace = world.open()
    for key in keys:
        run(namespace.put(Put(key=key, data=data)))
    return namespace


def of_others(phases: dict[str, float]) -> dict[str, float]:
    """``phases`` without the time of the store that a new writer asks for."""
    return {name: spent for name, spent in phases.items() if name != "open"}


# --- each operation ---------------------------------------------------------------------------------------------------


def test_append() -> None:
    world = World()
    namespace = world.open()
    run(namespace.prove())
    ack, seen = run(world.costly().timed(lambda: namespace.append([Put(key="a", data=BIG), Put(key="b", data=b"1")])))
    assert (seen.op, seen.records) == ("append", 2)
    assert of_others(seen.phases) == {"upload": UPLOAD, "log_write": WRITE}
    assert ack.phases == seen.phases


def test_an_append_that_proves_the_store_first_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("swampstore.client.core.cached_proof", lambda *_: None)
    world = World()
    ack, _ = run(world.costly().timed(lambda: world.open().put(Put(key="a", data=b"1"))))
    assert ack.phases == {"open": ROOT, "log_write": WRITE}


def test_an_append_that_helps_to_fold_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    world = World()
    namespace = world.open()
    run(namespace.prove())
    monkeypatch.setattr("swampstore.client.core.HELP_FOLD_SEGMENTS", 1)
    _, seen = run(world.costly().timed(lambda: namespace.put(Put(key="a", data=b"1"))))
    assert seen.phases["help"] >= LIST + ROOT + PUBLISH


def test_get() -> None:
    world = World()
    wrote(world, "a", "b")
    _, seen = run(world.costly().timed(lambda: world.open().get("a")))
    assert seen.op == "get"
    assert seen.phases == {"list_root": LIST + ROOT, "segments": 2 * SEGMENT}


def test_get_of_what_was_merged() -> None:
    world = World()
    run(wrote(world, "a", "b").compact(full=True))
    world.env.advance(60)
    run(world.open().compact(full=True))
    _, seen = run(world.costly().timed(lambda: world.open().get("a")))
    assert seen.phases["list_root"] == LIST + ROOT
    assert seen.phases["lookup"] % RUN == 0
    assert seen.phases["lookup"] > 0


def test_read() -> None:
    world = World()
    wrote(world, "a", data=BIG)
    body, seen = run(world.costly().timed(lambda: world.open().read("a")))
    assert body == BIG
    assert seen.op == "read"
    assert seen.phases == {"list_root": LIST + ROOT, "segments": SEGMENT, "content": CONTENT}


def test_a_failed_read_says_so() -> None:
    world = World()
    with traced() as trace, pytest.raises(NotFound):
        run(world.costly().open().read("a"))
    assert [(one.op, one.outcome) for one in trace] == [("read", "not-found")]


def test_snapshot_and_list() -> None:
    world = World()
    run(wrote(world, "a", "b").compact(full=True))
    wrote(world, "c")
    snapshot, seen = run(world.costly().timed(lambda: world.open().snapshot()))
    assert (seen.op, seen.phases["segments"]) == ("snapshot", SEGMENT)
    listed, seen = run(world.timed(lambda: snapshot.page()))
    assert (seen.op, seen.records, len(listed)) == ("list", 4, 4)
    assert set(seen.phases) == {"lookup"}


def test_update_with_a_slow_function() -> None:
    world = World()
    wrote(world, "n")
    namespace = world.open()
    run(namespace.prove())

    def slow(held: dict[str, Any]) -> dict[str, bytes]:
        world.env.advance(5)
        return {"n": b"2"}

    done, seen = run(world.costly().timed(lambda: namespace.update(["n"], slow)))
    assert seen.op == "update"
    assert seen.phases["decide"] == 5
    assert seen.phases["log_write"] == WRITE
    assert done.phases == seen.phases
    assert done.seconds == seen.seconds


def test_what_an_update_function_does_itself_is_its_own() -> None:
    world = World()
    wrote(world, "n", "m")
    namespace, other = world.open(), world.open()

    async def reads(held: dict[str, Any]) -> object:
        await other.get("m")
        return SKIP

    world.costly()
    with traced() as trace:
        run(namespace.update(["n"], reads))
    assert [one.op for one in trace] == ["get", "update"]
    assert trace[1].phases["decide"] == trace[0].seconds == LIST + ROOT + 2 * SEGMENT
    assert trace[1].phases["segments"] == 2 * SEGMENT


def test_put_if() -> None:
    world = World()
    namespace = world.open()
    run(namespace.prove())
    ack, seen = run(
        world.costly().timed(lambda: namespace.put_if(Put(key="a", data=b"1"), if_version=None, if_absent=True))
    )
    assert ack.phases == seen.phases
    assert ack.phases["log_write"] == WRITE


def test_stream_append_and_read() -> None:
    world = World()
    stream = world.open().open_stream("run-1")
    ack, seen = run(world.costly().timed(lambda: stream.append([b"1", b"2"])))
    assert (seen.op, seen.records) == ("stream_append", 2)
    assert ack.phases == seen.phases
    assert seen.phases["log_write"] == WRITE
    records, seen = run(world.timed(lambda: world.open().open_stream("run-1").read()))
    assert (seen.op, len(records)) == ("stream_read", 2)
    assert seen.phases["segments"] == SEGMENT


def test_fold_and_merge() -> None:
    world = World()
    wrote(world, *(f"key-{number}" for number in range(4)))
    compactor = world.open().compactor()
    (report, _), seen = run(world.costly().timed(lambda: compactor.fold_once(insist=True)))
    assert (seen.op, seen.records) == ("fold", 4)
    assert seen.phases["segments"] == 4 * SEGMENT
    assert seen.phases["publish"] == PUBLISH
    assert report.phases == seen.phases
    merged, seen = run(world.timed(lambda: compactor.merge_once(full=True, insist=True)))
    assert merged.published
    assert (seen.op, seen.records) == ("merge", 4)
    assert seen.phases["run_write"] == RUN_WRITE
    assert seen.phases["publish"] == PUBLISH
    assert merged.phases == seen.phases


def test_sync(tmp_path: Path) -> None:
    world = World()
    (tmp_path / "tree" / "reports").mkdir(parents=True)
    (tmp_path / "tree" / "reports" / "a").write_bytes(BIG)
    namespace = world.open()
    run(namespace.prove())
    report, seen = run(world.costly().timed(lambda: sync(namespace, tmp_path / "tree", SyncOptions())))
    assert (report.pushed, seen.op) == (1, "sync")
    assert seen.phases["upload"] == UPLOAD
    assert seen.phases["log_write"] == WRITE
    assert seen.phases["list_root"] == LIST + ROOT
    assert report.phases == seen.phases
    report, seen = run(world.timed(lambda: sync(world.open(), tmp_path / "other", SyncOptions())))
    assert report.pulled == 2
    assert seen.phases["content"] == CONTENT
    assert seen.phases["lookup"] == SEGMENT + 2 * RUN


# --- trouble on the way -----------------------------------------------------------------------------------------------


def test_a_pause_before_a_retry_and_a_read_back_have_names() -> None:
    world = World()
    namespace = world.open()
    run(namespace.prove())
    failures = iter([True, False])

    async def before(request: Request) -> None:
        world.env.advance(1)
        if isinstance(request, PutRequest) and next(failures, False):
            raise StoreUnavailable("no answer")

    world.store.before = before
    stream = namespace.open_stream("s")
    ack, seen = run(world.timed(lambda: stream.append([b"1"])))
    assert seen.phases["readback"] == 1
    assert seen.phases["retry_wait"] > 0
    assert ack.phases["log_write"] == 2


def test_a_wait_in_the_queue_of_a_lock_has_a_name() -> None:
    world = World()
    namespace, other = world.open(), world.open()
    wrote(world, "n")
    run(other.update(["n"], lambda _held: SKIP))
    once = [True]

    def overtaken(held: dict[str, Any]) -> dict[str, bytes]:
        if once:
            once.clear()  # in a context of its own, as another process would be
            Context().run(run, other.update(["n"], lambda _held: {"n": b"other"}))
        return {"n": b"mine"}

    done, seen = run(world.costly().timed(lambda: namespace.update(["n"], overtaken)))
    assert done.how == "ticket"
    assert seen.phases["lock_wait"] > 0


def test_a_place_in_a_queue_is_an_operation() -> None:
    world = World()
    queue = fair_queue(world.open().place, "sandbox", capacity=2)
    _, seen = run(world.costly().timed(lambda: queue.acquire()))
    assert (seen.op, set(seen.phases)) == ("acquire", {"lock_wait"})


# --- the stopwatch ----------------------------------------------------------------------------------------------------


def test_time_is_only_moved_never_made() -> None:
    env = FakeEnv()
    with Operation(env, "update", "encode") as operation:
        env.advance(1)
        with during("lookup"):
            env.advance(2)
            with measured(env.boot, "log_write") as batch:
                env.advance(4)
            phases_of_batch = batch.end()
            env.advance(8)
            current = phases.current()
            assert current is not None
            current.credit(phases_of_batch)
        env.advance(16)
    assert operation.phases == {"encode": 17, "lookup": 10, "log_write": 4}
    assert operation.seconds == 31


def test_an_operation_inside_another_is_part_of_it() -> None:
    env = FakeEnv()
    with traced() as trace, Operation(env, "sync", "plan"):
        env.advance(1)
        with during("files"), Operation(env, "append", "encode"):
            env.advance(2)
    assert [(one.op, one.phases) for one in trace] == [
        ("append", {"encode": 2}),
        ("sync", {"plan": 1, "encode": 2}),
    ]


def test_names_are_those_of_the_table() -> None:
    """Every phase in the code is in the table, and every one of the table is in the code."""
    import re

    import swampstore

    used: set[str] = set()
    for path in Path(swampstore.__file__).parent.rglob("*.py"):
        text = path.read_text()
        used |= set(re.findall(r'during\("(\w+)"', text))
        used |= set(re.findall(r'Operation\([\w.]+, "\w+", "(\w+)"\)', text))
        used |= set(re.findall(r'measured\([\w.]+, "(\w+)"\)', text))
    assert used <= set(PHASES)
    assert set(PHASES) - used <= {"ack"}, "credited by name"


def test_nobody_looks_unless_asked() -> None:
    assert not phases.watched
    with traced():
        assert phases.watched
    assert not phases.watched
    laps = Laps(BlockingEnv().boot, "open")
    assert laps.end().keys() <= {"open"}


# --- the short way of small puts --------------------------------------------------------------------------------------


def test_small_puts_into_a_lane_file_sum_up_and_count(tmp_path: Path) -> None:
    """On the real clock: what the ack says is what the observer is told, and no more than has passed."""
    with swampstore.open(str(tmp_path / "store"), create=True) as store:
        namespace = store.namespace("ops")
        namespace.put("first", b"1")
        with traced() as trace:
            acks = [namespace.put("a", b"1"), namespace.put_many({"b": b"2", "c": b"3"}), namespace.delete("a")]
        assert [one.op for one in trace] == ["append"] * 3
        assert [one.records for one in trace] == [1, 2, 1]
        for ack, seen in zip(acks, trace, strict=True):
            assert dict(seen.phases) == ack.phases
            assert sum(ack.phases.values()) == pytest.approx(seen.seconds, rel=0.01)
            assert ack.phases["log_write"] > 0


def test_an_append_is_told_although_it_failed() -> None:
    world = World()
    namespace = world.open()
    run(namespace.prove())

    async def refuse(request: Request) -> None:
        if isinstance(request, PutRequest):
            raise StoreForbidden("no")

    world.store.before = refuse
    with traced() as trace, pytest.raises(StoreForbidden):
        run(namespace.put(Put(key="a", data=b"1")))
    assert [(one.op, one.outcome) for one in trace] == [("append", "store-forbidden")]
