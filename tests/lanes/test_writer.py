"""Writers whose lanes are files: the same records on both ways, shared frames, and when a lane is finished."""

from __future__ import annotations

import errno
import os
from typing import Any

import pytest

from swampstore.client import core
from swampstore.client.blocking import Namespace
from swampstore.client.core import CoreStore
from swampstore.env.blocking import BlockingEnv, run
from swampstore.errors import AmbiguousAppend, BadKey, Misuse, StoreFull, TooLarge
from swampstore.limits import BATCH_BYTES, HELP_LANE_RECORDS, INLINE_CONTENT_BYTES, LANE_FRAME_BYTES, SEGMENT_DELTAS
from swampstore.protocols import lane_life, lane_writer, small_puts, writer
from swampstore.protocols.lane_writer import Batch
from swampstore.stores import local_lanes
from swampstore.stores.local import LocalStore
from swampstore.stores.local_tails import LocalTails
from swampstore.values.deltas import Delete, Put
from swampstore.values.entry import Inline, Record, meta_of
from swampstore.values.version import split_version
from tests.lanes.conftest import frames_of, lane_names, open_ns


def everything(bare: Any) -> list[Record]:
    return [record for name in lane_names(bare) for record in frames_of(bare, name).records]


# --- what is written --------------------------------------------------------------------------------------------------


def test_the_short_way_writes_what_the_general_way_writes(ns: Namespace, bare: Any) -> None:
    """To the byte, but for the version and the time, which are drawn anew."""
    ns.put("opens the lane", b"")
    items = {"a": b"", "b/c": b"x" * 127, "d": os.urandom(300), "é": b"z" * INLINE_CONTENT_BYTES}
    for key, data in items.items():
        ns.put(key, data)
    ns.put_many(items)
    short, many = everything(bare)[1:5], everything(bare)[5:]
    ns._core.small = None
    for key, data in items.items():
        ns.put(key, data)
    general = everything(bare)[9:]
    assert [record.key for record in general] == list(items)
    for one, other, third in zip(short, many, general, strict=True):
        assert (one.key, one.flags, one.expires) == (third.key, third.flags, third.expires)
        stamp = meta_of(third).created
        for record in (one, other):
            assert record.value.replace(meta_of(record).created.to_bytes(8), stamp.to_bytes(8)) == third.value
            assert len(record.version) == len(third.version)
    versions = [record.version for record in everything(bare)]
    assert versions == sorted(versions)
    assert len({split_version(version)[0] for version in versions}) == len(versions)


def test_every_kind_of_append_goes_to_the_one_lane(ns: Namespace, bare: Any) -> None:
    acks = [ns.put("a", b"1"), ns.put("a", b"2"), ns.put("b", "text", tags={"x": "y"}), ns.delete("a")]
    acks += [ns.put_many({"c": b"1", "d": b"2"}), ns.append([Put(key="e", data=b"x" * 9000), Delete(key="b")])]
    (name,) = lane_names(bare)
    frames = frames_of(bare, name)
    assert [ack.slot for ack in acks] == list(frames.ends)
    assert {ack.lane for ack in acks} == {name.split("/")[-2]}
    assert [version for ack in acks for version in ack.versions] == [record.version for record in frames.records]
    assert sorted(entry.key for entry in ns.list()) == ["c", "d", "e"]
    assert ns.read("e") == b"x" * 9000


def test_acknowledged_says_how_durable_it_is(ns: Namespace, bare: Any) -> None:
    assert {ns.put("a", b"1").durable, ns.put("a", b"2").durable, ns.delete("a").durable} == {bare.lanes.durable}


def test_phases_sum_up_to_the_time_it_took(ns: Namespace) -> None:
    boot = BlockingEnv().boot
    for _ in range(20):
        began = boot()
        acks = [ns.put("a", b"1"), ns.put_many({"a": b"1"}), ns.delete("a")]
        took = boot() - began
        spent = sum(seconds for ack in acks for seconds in ack.phases.values())
        assert 0 < spent <= took
        if spent > 0.5 * took:  # the rest is this test's calls; a machine that stands still meanwhile proves nothing
            return
    raise AssertionError("the phases held less than half of the time, again and again")


@pytest.mark.parametrize("key", ["", "/a", "a//b", "a/../b", "a\0b", "x" * 1025, 5])
def test_the_short_way_checks_keys(ns: Namespace, key: Any) -> None:
    ns.put("a", b"")
    with pytest.raises(BadKey):
        ns.put(key, b"1")
    with pytest.raises(BadKey):
        ns.put_many({"b": b"1", key: b"2"})
    assert [entry.key for entry in ns.list()] == ["a"]


def test_a_batch_is_one_frame_or_none(ns: Namespace, bare: Any) -> None:
    ns.put("a", b"")
    with pytest.raises(TooLarge):
        ns.put_many({f"k{number}": b"" for number in range(SEGMENT_DELTAS + 1)})
    ns.put_many({f"k{number}": b"" for number in range(SEGMENT_DELTAS)})
    (name,) = lane_names(bare)
    assert frames_of(bare, name).count == 2
    assert len(frames_of(bare, name).records) == SEGMENT_DELTAS + 1


def test_one_shot_processes_write_segments(bare: Any) -> None:
    shot = CoreStore(bare, BlockingEnv(), one_shot=True).namespace("ops")
    shot._proved = True
    run(shot.put(Put(key="a", data=b"1")))
    assert lane_names(bare) == []
    assert len(run(bare.list("ops/log/")).items) == 1


def test_appends_read_and_list_nothing(local: LocalStore, monkeypatch: pytest.MonkeyPatch) -> None:
    ns = open_ns(local)
    ns.put("a", b"")

    def refuse(*_: Any, **__: Any) -> Any:
        raise AssertionError("asked the store")

    for verb in ("get", "put", "list", "head", "many", "delete", "now"):
        monkeypatch.setattr(local, verb, refuse)
    for number in range(50):
        ns.put(f"k/{number}", b"x")
    ns.put_many({"b": b"1", "c": b"2"})
    ns.delete("a")


# --- when a lane is finished ------------------------------------------------------------------------------------------


def failing_once(monkeypatch: pytest.MonkeyPatch, call: str, code: int, times: int = 1) -> None:
    real, left = getattr(os, call), [times]

    def one(*args: Any) -> Any:
        if left[0]:
            left[0] -= 1
            raise OSError(code, os.strerror(code))
        return real(*args)

    monkeypatch.setattr(local_lanes.os, call, one)


@pytest.mark.parametrize("short", [True, False])
@pytest.mark.parametrize("call", ["pwrite", "fdatasync"])
def test_what_failed_goes_to_a_new_lane(
    call: str, short: bool, local: LocalStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    ns = open_ns(local)
    first = ns.put("a", b"1")
    failing_once(monkeypatch, call, errno.EIO)
    second = ns.put("a", b"2") if short else ns.delete("a")
    assert second.lane != first.lane
    assert len(lane_names(local)) == 2
    written = [record.version for record in everything(local)]
    assert sorted(set(written)) == [first.version, second.version]
    third = ns.put("b", b"3")
    assert third.lane == second.lane
    assert first.version < second.version < third.version


def test_a_full_disk_says_so_and_goes_on_later(local: LocalStore, monkeypatch: pytest.MonkeyPatch) -> None:
    ns = open_ns(local)
    ns.put("a", b"1")
    with monkeypatch.context() as patch:
        failing_once(patch, "pwrite", errno.ENOSPC, 2)
        with pytest.raises(StoreFull):
            ns.put("b", b"2")
    ns.put("c", b"3")
    assert [entry.key for entry in ns.list()] == ["a", "c"]


def test_what_may_have_landed_is_called_undecided(local: LocalStore, monkeypatch: pytest.MonkeyPatch) -> None:
    ns = open_ns(local)
    ns.put("a", b"1")
    failing_once(monkeypatch, "fdatasync", errno.EIO, 2)
    with pytest.raises(AmbiguousAppend, match="synced"):
        ns.put("b", b"2")


@pytest.mark.parametrize("short", [True, False])
def test_what_may_have_landed_is_undecided_though_the_next_try_was_refused(
    short: bool, local: LocalStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A refusal would say that nothing was written, and the first try is still in its lane."""
    ns = open_ns(local)
    ns.put("a", b"1")
    failing_once(monkeypatch, "fdatasync", errno.EIO)
    failing_once(monkeypatch, "ftruncate", errno.ENOSPC)
    with pytest.raises(AmbiguousAppend):
        ns.put("b", b"2") if short else ns.put("b", b"2", tags={"x": "y"})
    assert [entry.key for entry in ns.list()] == ["a", "b"]


def test_a_full_file_is_followed_by_another(local: LocalStore) -> None:
    ns = open_ns(local)
    ns._core.writer.files._file_bytes = 4096  # type: ignore[union-attr]
    acks = [ns.put(f"k/{number:02}", b"x" * 500) for number in range(30)]
    assert len({ack.lane for ack in acks}) == len(lane_names(local)) > 4
    assert len(list(ns.list("k/"))) == 30
    for name in lane_names(local):
        assert frames_of(local, name).end <= 4096


def test_many_puts_that_no_frame_holds_are_refused(ns: Namespace, bare: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Readers stop at a larger frame: what was acknowledged in it would be gone, and all behind it."""
    assert BATCH_BYTES <= LANE_FRAME_BYTES
    ns.put("a", b"")
    for module in (small_puts, writer):
        monkeypatch.setattr(module, "BATCH_BYTES", 1500)
    with pytest.raises(TooLarge):
        ns.put_many({f"k{number}": b"x" * 400 for number in range(4)})
    ns.put_many({f"k{number}": b"x" * 300 for number in range(3)})
    assert [len(record.key) for record in everything(bare)] == [1, 2, 2, 2]


def test_of_many_puts_large_contents_do_not_travel_in_the_frame(ns: Namespace, bare: Any) -> None:
    ns.put("a", b"")
    ns.put_many({"b": b"x" * INLINE_CONTENT_BYTES, "c": b"y"})
    ns.put_many({"d": b"x" * (INLINE_CONTENT_BYTES + 1), "e": b"y"})
    inline = {record.key: isinstance(meta_of(record).at, Inline) for record in everything(bare)}
    assert inline == {"a": True, "b": True, "c": True, "d": False, "e": True}


@pytest.mark.parametrize(
    ("queued", "frames"),
    [
        ("aaaa", [4]),
        ("aaaaa", [4, 1]),
        ("aaAa", [2, 2]),
        ("AA", [1, 1]),
        ("bbb", [2, 1]),
        ("bbB", [2, 1]),
        ("Bb", [1, 1]),
        ("a.a", [2, 1]),
        (".a", [1, 1]),
        ("aa.", [3]),
    ],
)
def test_what_is_queued_is_cut_into_frames_that_readers_take(
    queued: str, frames: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """At most four records and ten bytes go into one, nothing follows a batch that ends the lane, and no batch is cut."""
    monkeypatch.setattr(lane_writer, "SEGMENT_DELTAS", 4)
    monkeypatch.setattr(lane_writer, "LANE_FRAME_BYTES", 10)
    kinds = {
        "a": lambda: Batch(b"-", 1),
        "A": lambda: Batch(b"-", 3),
        "b": lambda: Batch(b"-" * 5, 1),
        "B": lambda: Batch(b"-" * 10, 1),
        ".": lambda: Batch(b"", 0, closing=True),
    }
    batches = [kinds[kind]() for kind in queued]
    cut: list[list[Batch]] = []
    while batches[sum(map(len, cut)) :]:
        cut.append(lane_writer._frame_of(batches, sum(map(len, cut))))
    assert [len(frame) for frame in cut] == frames
    assert [batch for frame in cut for batch in frame] == batches


def test_closing_says_in_the_lane_that_it_ends(bare: Any) -> None:
    ns = open_ns(bare)
    ns.put("a", b"1")
    run(ns._core.leave())
    (name,) = lane_names(bare)
    frames = frames_of(bare, name)
    assert frames.closed
    assert run(bare.lanes.remove_lane(name, frames.end))
    with pytest.raises(Misuse):
        ns.put("b", b"2")


def test_a_forked_child_is_refused_and_the_parent_goes_on(local: LocalStore) -> None:
    ns = open_ns(local)
    ns.put("a", b"1")
    child = os.fork()
    if child == 0:
        refused = 0
        for write in (lambda: ns.put("b", b"2"), lambda: ns.put_many({"b": b"2"}), lambda: ns.delete("a")):
            try:
                write()
            except Misuse:
                refused += 1
        os._exit(0 if refused == 3 else 1)
    assert os.waitpid(child, 0)[1] == 0
    ns.put("c", b"3")
    assert [entry.key for entry in ns.list()] == ["a", "c"]


def test_who_appends_much_looks_after_the_log(local: LocalStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lane_life, "HELP_LANE_BYTES", 20_000)
    ns = open_ns(local)
    for number in range(200):
        ns.put(f"k/{number}", b"x" * 300)
    assert ns.status().root_version > 0
    assert ns.status().log_depth < 100
    counts = ns._core.writer.files.counts  # type: ignore[union-attr]
    assert counts.unhelped < HELP_LANE_RECORDS


def test_who_is_far_ahead_of_the_fold_folds_whoever_leads(local: LocalStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another process leads and does nothing: the helpful fold gives way to it, back-pressure does not."""
    monkeypatch.setattr(lane_life, "HELP_LANE_BYTES", 4_000)
    ns, leader = open_ns(local), open_ns(local)
    ns.put("a", b"")
    run(leader._core.compactor().round(stay=True, insist=True))

    def fill(prefix: str) -> int:
        for number in range(100):
            ns.put(f"{prefix}/{number}", b"x" * 300)
        return ns._core.writer.files.unfolded(run(ns._core.register.read()).root)  # type: ignore[union-attr]

    assert fill("without") > 30_000
    monkeypatch.setattr(core, "DEEP_LANE_BYTES", 10_000)
    assert fill("with") < 20_000
    assert len(list(ns.list("with"))) == 200


@pytest.mark.parametrize("led", [True, False])
def test_who_helps_reads_no_lane_while_a_compactor_works(
    local: LocalStore, monkeypatch: pytest.MonkeyPatch, led: bool
) -> None:
    monkeypatch.setattr(lane_life, "HELP_LANE_BYTES", 4_000)
    looks: list[str] = []
    look = LocalTails.look

    def counted(self: LocalTails, *given: Any, **named: Any) -> Any:
        looks.append("look")
        return look(self, *given, **named)

    monkeypatch.setattr(LocalTails, "look", counted)
    ns, leader = open_ns(local), open_ns(local)
    ns.put("a", b"")
    run(leader._core.compactor().round(stay=led, insist=True))
    looks.clear()
    for number in range(100):
        ns.put(f"k/{number}", b"x" * 300)
    assert bool(looks) is not led
