"""What a sync asks of the store: nothing new, little new, much that it does not follow."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from swampstore.env.blocking import run
from swampstore.protocols.runs import load_indexes
from swampstore.stores.base import Overwrite
from swampstore.values.deltas import Put
from swampstore.workers.sync import tree as tree_module
from tests.sync.machines import OLD, Machine

Make = Callable[..., Machine]


@pytest.mark.parametrize("compacted", [False, True])
def test_nothing_new_is_two_requests_and_no_hashing(
    machine: Make, monkeypatch: pytest.MonkeyPatch, compacted: bool
) -> None:
    a, b = machine("a"), machine("b")
    for number in range(30):
        a.write(f"{number}", b"x" * 6000)
    a.sync()
    if compacted:
        a.compact()
        a.sync()
    b.sync()

    def no_reading(*_: object) -> None:
        raise AssertionError("a file was read")

    monkeypatch.setattr(tree_module.Tree, "chunks", no_reading)
    for one in (a, b):
        report = one.sync()
        assert (report.unchanged, report.idle, report.skipped) == (30, True, [])
        assert one.last is not None
        assert dict(one.last.counts) == {"list": 1, "get": 1}


def test_a_pull_after_ten_changes_reads_ten_segments(machine: Make) -> None:
    a, b = machine("a"), machine("b")
    for number in range(3000):
        a.write(f"d/{number:05}", b"x" * 100)
    a.sync()
    a.compact()
    b.sync()
    for number in range(10):
        a.write(f"d/{number * 250:05}", f"new {number}")
        a.write(f"e/{number}", "e")
        a.sync(pull=False)
    assert b.sync().pulled == 20
    assert b.requests == 2 + 10
    assert a.files() == b.files()


def test_a_merge_is_followed_by_blocks_not_by_the_index(machine: Make) -> None:
    a, b = machine("a"), machine("b")
    tags = {"filler": "x" * 1000}  # so that few entries fill many blocks
    run(a.namespace().append([Put(key=f"k/{number:06}", data=b"x", tags=tags) for number in range(3_000)]))
    a.compact()
    b.sync()
    run(a.namespace().append([Put(key="k/001500", data=b"changed", tags=tags)]))
    a.compact()
    shard = run(a.namespace().register.read()).root.shards[0]
    assert len(run(load_indexes(a.namespace().place, [shard]))[0]) > 8
    report = b.sync()
    assert report.pulled == 1
    assert b.requests <= 2 + 1 + 2, b.last and b.last.names


def test_one_shot_marks_only_the_last_append(machine: Make) -> None:
    a, b = machine("a", one_shot=True), machine("b")
    for number in range(2500):
        a.write(f"{number}", b"x" * 3000)
    report = a.sync()
    assert report.appends > 1
    lanes = {name.split("/")[-2] for name in a.store._objects if "/log/" in name}
    assert len(lanes) == 1
    b.sync()
    assert len(b.files()) == 2500


def test_a_push_of_a_few_files_reads_the_log_and_the_block_index_in_one_round(machine: Make) -> None:
    a, b = machine("a"), machine("b")
    run(a.namespace().append([Put(key=f"k/{number:06}", data=b"%d" % number) for number in range(600)]))
    a.compact()
    for number in range(3):
        run(a.namespace().append([Put(key=f"k/{number:06}", data=b"newer")]))
    b.write("k/000000", "another", mtime=OLD)
    b.write("k/0000005", "new")
    report = b.sync(pull=False)
    assert (report.pushed, [skip.path for skip in report.skipped]) == (1, ["k/000000"])
    assert b.last is not None
    # the list and the root; three segments and an index; a block; the append
    assert (b.last.rounds, dict(b.last.counts)) == (4, {"list": 1, "get": 1 + 3 + 1 + 1, "put": 1}), b.last.names


def test_what_was_read_ahead_and_is_damaged_is_judged_as_ever(machine: Make) -> None:
    a, b = machine("a"), machine("b")
    run(a.namespace().append([Put(key=f"k/{number:06}", data=b"x") for number in range(100)]))
    a.compact()
    there = set(a.store._objects)
    run(a.namespace().append([Put(key="k/000001", data=b"newer")]))
    (segment,) = set(a.store._objects) - there
    body = run(a.store.get(segment)).body
    run(a.store.put(segment, body[:-1] + bytes([body[-1] ^ 1]), Overwrite()))
    b.write("k/000001", "here")
    b.sync(pull=False)
    assert b.last is not None
    reads = [name for name in b.last.names if name == f"get {segment}"]
    assert len(reads) == 1 + 2, b.last.names  # ahead; then as whoever reads a segment: two whole reads that agree


def test_a_push_of_a_few_files_does_not_read_the_index(machine: Make) -> None:
    a, b = machine("a"), machine("b")
    run(a.namespace().append([Put(key=f"k/{number:06}", data=b"%d" % number) for number in range(6_000)]))
    a.compact()
    b.write("k/000007", "another", mtime=OLD)
    b.write("k/000008", "8")
    for number in range(25):
        b.write(f"b/{number}", "new")
    report = b.sync(pull=False)
    assert (report.pushed, report.appends) == (25, 1)
    assert [skip.path for skip in report.skipped] == ["k/000007"]
    assert b.last is not None
    assert (b.last.rounds, dict(b.last.counts)) == (4, {"list": 1, "get": 3, "put": 1}), b.last.names
    report = b.sync(pull=False)
    assert (report.pushed, b.requests) == (0, 2)
    run(a.namespace().append([Put(key="b/3", data=b"changed elsewhere")]))
    b.write("b/3", "changed here")
    report = b.sync(pull=False)
    assert {skip.path for skip in report.skipped} == {"k/000007", "b/3"}
    b.remove("b/4")
    assert b.sync(pull=False).deleted_remote == 1
    report = b.sync()
    assert report.pulled >= 5_998
    assert {conflict.path for conflict in report.conflicts} == {"k/000007", "b/3"}
    assert len(b.files()) == 6_000 + 24 + 2
