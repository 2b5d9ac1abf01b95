"""The rules between a root and its successor: each broken one is refused, and a good step is not."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from swampstore.errors import CorruptObject
from swampstore.values.names import writer_lane
from swampstore.values.root import (
    NO_GARBAGE,
    NO_ROOT,
    Garbage,
    Quarantined,
    Root,
    RunRef,
    check_successor,
    decode_root,
    encode_root,
    garbage_list,
    successor_problem,
)
from swampstore.values.tiers import merge_due
from swampstore.values.version import make_writer_id

OLD_LANE = writer_lane(make_writer_id(1000, b"old---"))
NEW_LANE = writer_lane(make_writer_id(5000, b"new---"))
BAD_SEGMENT = Quarantined("ns/log/x/1", "checksum", 7)


def run(first: str, last: str, name: str, count: int = 1) -> RunRef:
    return RunRef(first, last, name, 100, 50, count, 0, b"d" * 32, 1, 0)


A, B, C = run("a", "b", "shard/a"), run("c", "d", "shard/b"), run("e", "f", "shard/c")
OLD = Root(
    version=7,
    nonce=b"seven",
    nonces=(b"six", b"five"),
    epoch=3,
    hlc=100,
    watermarks={OLD_LANE: 4, NEW_LANE: 2, "s00": 9},
    retire_floor=1000,
    sweep_floor=5,
    shards=(A, B),
    level0=(run("a", "z", "l0/x"),),
    packs={"p": 2},
    garbage_raw=garbage_list([Garbage("shard/old", 6, 1)]),
    quarantine=(BAD_SEGMENT,),
)


def step(**changes: Any) -> Root:
    return msgspec.structs.replace(OLD, **({"version": 8, "nonce": b"eight", "nonces": (b"seven", b"six")} | changes))


GOOD: dict[str, dict[str, Any]] = {
    "nothing but a new nonce": {},
    "everything on": {"epoch": 4, "hlc": 101, "retire_floor": 1001, "sweep_floor": 6, "watermarks": {OLD_LANE: 5, NEW_LANE: 2, "s00": 10, "s01": 1}},
    "a writer retired at the floor": {"watermarks": {NEW_LANE: 2, "s00": 9}},
    "a writer retired by this very floor": {"retire_floor": 5000, "watermarks": {OLD_LANE: 4, "s00": 9}},
    "a shard replaced": {"shards": (A, C), "garbage_raw": garbage_list([*OLD.garbage, Garbage("shard/b", 8, 2)])},
    "another quarantine": {"quarantine": (BAD_SEGMENT, Quarantined("ns/log/x/2", "bad", 8))},
    "garbage gone": {"garbage_raw": NO_GARBAGE},
}  # fmt: skip

BROKEN: dict[str, tuple[dict[str, Any], str]] = {
    "a version skipped": ({"version": 9}, "followed by 9"),
    "the same version": ({"version": 7}, "followed by 7"),
    "a version back": ({"version": 6}, "followed by 6"),
    "the nonce of the last": ({"nonce": b"seven"}, "nonce was used"),
    "the nonce of one before": ({"nonce": b"five"}, "nonce was used"),
    "no nonce": ({"nonce": b""}, "without version or nonce"),
    "an epoch back": ({"epoch": 2}, "goes back"),
    "a clock back": ({"hlc": 99}, "goes back"),
    "a retire floor back": ({"retire_floor": 999}, "goes back"),
    "a sweep floor back": ({"sweep_floor": 4}, "goes back"),
    "a watermark back": ({"watermarks": {**OLD.watermarks, NEW_LANE: 1}}, "goes back from 2 to 1"),
    "a watermark of a shared lane back": ({"watermarks": {**OLD.watermarks, "s00": 8}}, "goes back from 9 to 8"),
    "a watermark of zero": ({"watermarks": {**OLD.watermarks, "s01": 0}}, "below 1"),
    "a watermark dropped above the floor": ({"watermarks": {OLD_LANE: 4, "s00": 9}}, "dropped above"),
    "a watermark dropped one above the floor": ({"retire_floor": 4999, "watermarks": {OLD_LANE: 4, "s00": 9}}, "dropped above"),
    "a shared lane dropped": ({"watermarks": {OLD_LANE: 4, NEW_LANE: 2}, "retire_floor": 1 << 40}, "dropped above"),
    "a quarantine forgotten": ({"quarantine": ()}, "left the quarantine"),
    "a quarantine reworded": ({"quarantine": (Quarantined("ns/log/x/1", "fine", 7),)}, "left the quarantine"),
    "shards out of order": ({"shards": (B, A)}, "out of order"),
    "shards that share a key": ({"shards": (A, run("b", "d", "shard/b"))}, "overlap"),
    "a shard inside another": ({"shards": (run("a", "f", "shard/a"), B)}, "overlap"),
    "a shard named twice": ({"shards": (A, run("c", "d", "shard/a"))}, "named twice"),
    "a run of level 0 named twice": ({"level0": (run("a", "b", "l0/x"), run("a", "b", "l0/x"))}, "named twice"),
    "a shard in use and in garbage": ({"garbage_raw": garbage_list([Garbage("shard/a", 8, 1)])}, "in use and in garbage"),
    "a run of level 0 in use and in garbage": ({"garbage_raw": garbage_list([Garbage("l0/x", 8, 1)])}, "in use and in garbage"),
    "a shard turned round": ({"shards": (run("b", "a", "shard/a"),)}, "inverted"),
    "a shard of nothing": ({"shards": (run("a", "b", "shard/a", 0),)}, "empty"),
    "a pack with less than nobody": ({"packs": {"p": -1}}, "negative member count"),
    "a lane that is none": ({"watermarks": {**OLD.watermarks, "x00": 1}}, "not a lane"),
    "a lane without a name": ({"watermarks": {**OLD.watermarks, "": 1}}, "not a lane"),
    "a writer that is none": ({"watermarks": {**OLD.watermarks, "wzz": 1}}, "not a lane"),
}  # fmt: skip


@pytest.mark.parametrize("changes", GOOD.values(), ids=GOOD)
def test_a_good_step_is_taken(changes: dict[str, Any]) -> None:
    check_successor(OLD, step(**changes))


@pytest.mark.parametrize(("changes", "why"), BROKEN.values(), ids=BROKEN)
def test_a_broken_step_is_refused(changes: dict[str, Any], why: str) -> None:
    with pytest.raises(AssertionError, match=why):
        check_successor(OLD, step(**changes))


def test_the_first_root_is_version_one() -> None:
    check_successor(NO_ROOT, Root(1, b"one", watermarks={"s00": 3}))
    assert "followed by 2" in successor_problem(NO_ROOT, Root(2, b"two"))


ALONE = ["shards out of order", "a shard named twice", "a watermark of zero", "no nonce", "a lane that is none"]


@pytest.mark.parametrize("case", ALONE)
def test_a_root_that_is_broken_by_itself_is_not_believed(case: str) -> None:
    with pytest.raises(CorruptObject, match="ns/root"):
        decode_root(encode_root(step(**BROKEN[case][0])), "ns/root")


def test_a_garbage_list_stays_encoded_until_it_is_asked_for() -> None:
    items = (Garbage("shard/old", 6, 1), Garbage("blob/older", 5, 0))
    root = decode_root(encode_root(step(garbage_raw=garbage_list(items))), "ns/root")
    assert root.garbage == items
    strange = decode_root(encode_root(step(garbage_raw=msgspec.Raw(b"\x91\x01"))), "ns/root")
    with pytest.raises(CorruptObject, match="garbage list of root version"):
        _ = strange.garbage
    with pytest.raises(CorruptObject):
        decode_root(encode_root(step(garbage_raw=msgspec.Raw(b"\xc1"))), "ns/root")


def test_retired_is_dropped_and_born_at_or_before_the_floor() -> None:
    root = step(watermarks={"s00": 9})
    assert root.retired(OLD_LANE)  # born at the floor
    assert not root.retired(NEW_LANE)  # born after: new
    assert not root.retired("s01")  # shared lanes never retire
    assert not OLD.retired(OLD_LANE)  # it has a watermark


def test_counts_of_the_root() -> None:
    assert OLD.entries == 3
    assert OLD.watermark("s00") == 9
    assert OLD.watermark("s07") == 0
    assert not merge_due(OLD)
    assert merge_due(step(level0=tuple(run("a", "b", f"l0/{n}") for n in range(4))))
