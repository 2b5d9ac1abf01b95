"""The checkers themselves: good histories pass, every known bad one is found, and brute force agrees."""

from __future__ import annotations

import itertools
import random
from pathlib import Path
from typing import Any

import pytest

from swampstore.errors import Undecided, VersionConflict
from tests.histories import linear
from tests.histories.checks import check_all
from tests.histories.linear import Move, TooHard, check_linear
from tests.histories.record import FOREVER, Op, Recorder, load


def op(kind: str, begin: int, end: int, gave: Any = None, how: str = "ok", tried: Any = (), **about: Any) -> Op:
    return Op("p", kind, about, begin, FOREVER if how == "unknown" else end, how, gave, list(tried))


def put(begin: int, end: int, key: str, how: str = "ok") -> Op:
    return op("append", begin, end, how=how, items={key: key})


def listed(begin: int, end: int, *keys: str) -> Op:
    return op("list", begin, end, {key: key for key in keys}, prefix="")


def update(begin: int, end: int, read: Any, wrote: Any, how: str = "ok") -> Op:
    return op("update", begin, end, [read, wrote] if how == "ok" else None, how, [[read, wrote]], key="k")


def look(begin: int, end: int, value: Any) -> Op:
    return op("look", begin, end, value, key="k")


def push(begin: int, end: int, record: str, expected: str | None = None, how: str = "ok") -> Op:
    return op("push", begin, end, how=how, stream="s", record=record, expected=expected)


def tell(begin: int, end: int, *records: str) -> Op:
    return op("tell", begin, end, list(records), stream="s")


def cas(begin: int, end: int, old: Any, new: Any, how: str = "ok") -> Op:
    return op("cas", begin, end, how=how, name="root", old=old, new=new)


def see(begin: int, end: int, value: Any) -> Op:
    return op("see", begin, end, value, name="root")


GOOD = {
    "a write in flight may be read or not": [put(1, 9, "a"), listed(2, 3), listed(4, 5, "a"), listed(10, 11, "a")],
    "an unknown write may appear late": [put(1, 2, "a", "unknown"), listed(3, 4), listed(5, 6, "a")],
    "an unknown write may never appear": [put(1, 2, "a", "unknown"), listed(3, 4), listed(5, 6)],
    "deleted": [put(1, 2, "a"), op("delete", 3, 4, keys=["a"]), listed(5, 6)],
    "a delete in flight": [put(1, 2, "a"), op("delete", 3, 9, keys=["a"]), listed(4, 5), listed(6, 7, "a")],
    "a chain": [update(1, 2, None, "1"), update(3, 4, "1", "2"), look(5, 6, "2")],
    "overlapping, in the other order": [update(1, 9, "1", "2"), update(2, 8, None, "1")],
    "an unknown update that took effect": [update(1, 2, None, "1", "unknown"), look(3, 4, None), look(5, 6, "1")],
    "a fence": [push(1, 2, "a", ""), push(3, 4, "b", "", "fail"), push(5, 6, "b", "a"), tell(7, 8, "a", "b")],
    "unfenced": [push(1, 8, "a"), push(2, 9, "b"), tell(3, 4, "b"), tell(10, 11, "b", "a")],
    "an unknown push": [push(1, 2, "a", "", "unknown"), push(3, 4, "b", "a"), tell(5, 6, "a", "b")],
    "a root": [
        cas(1, 2, None, "r1"),
        cas(3, 4, None, "r9", "fail"),
        cas(5, 8, "r1", "r2"),
        see(6, 7, "r1"),
        see(9, 9, "r2"),
    ],
}

BAD = {
    "a lost append": [put(1, 2, "a"), listed(3, 4)],
    "a phantom": [listed(1, 2, "a")],
    "read before it was written": [listed(1, 2, "a"), put(3, 4, "a")],
    "refused, yet there": [put(1, 2, "a", "fail"), listed(3, 4, "a")],
    "other contents": [put(1, 2, "a"), op("list", 3, 4, {"a": "b"}, prefix="")],
    "unread again": [put(1, 9, "a"), listed(2, 3, "a"), listed(4, 5)],
    "a deleted one is back": [put(1, 2, "a"), op("delete", 3, 4, keys=["a"]), listed(5, 6, "a")],
    "half a batch": [op("append", 1, 9, items={"a": "a", "b": "b"}), listed(2, 3, "a")],
    "a lost update": [update(1, 9, None, "1"), update(2, 8, None, "2")],
    "a stale look": [update(1, 2, None, "1"), look(3, 4, None)],
    "back again": [update(1, 9, None, "1"), look(2, 3, "1"), look(4, 5, None)],
    "read what nobody wrote": [look(1, 2, "7")],
    "an unknown update twice": [
        update(1, 2, "0", "1", "unknown"), update(1, 2, None, "0"), look(3, 4, "1"), update(5, 6, "1", "0"), look(7, 8, "1"),
    ],
    "two of one fence": [push(1, 9, "a", ""), push(2, 8, "b", "")],
    "a fence that refused without reason": [push(1, 2, "a", "", "fail"), tell(3, 4)],
    "a lost record": [push(1, 2, "a"), push(3, 4, "b"), tell(5, 6, "b")],
    "records in another order": [push(1, 2, "a"), push(3, 4, "b"), tell(5, 6, "b", "a")],
    "two winners of one root": [cas(1, 9, None, "r1"), cas(2, 8, None, "r2")],
    "a root that went back": [cas(1, 2, None, "r1"), cas(3, 4, "r1", "r2"), see(5, 6, "r1")],
}  # fmt: skip


@pytest.mark.parametrize("name", GOOD)
def test_good(name: str) -> None:
    assert check_all(GOOD[name]) == []


@pytest.mark.parametrize("name", BAD)
def test_known_bad(name: str) -> None:
    assert check_all(BAD[name])


def by_brute_force(moves: list[Move], start: Any) -> bool:
    for count in range(len(moves) + 1):
        for order in itertools.permutations(moves, count):
            skipped = [move for move in moves if move not in order]
            if all(move.may_be_skipped for move in skipped) and _valid(order, start):
                return True
    return False


def _valid(order: tuple[Move, ...], start: Any) -> bool:
    for at, move in enumerate(order):
        if any(later.end < move.begin and not later.may_be_skipped for later in order[at + 1 :]):
            return False
    states = {start}
    for move in order:
        states = {after for state in states for after in move.states(state)}
    return bool(states)


def test_brute_force_agrees() -> None:
    dice, verdicts = random.Random(3), []
    for _ in range(400):
        moves = []
        for number in range(dice.randint(1, 5)):
            begin = dice.randint(0, 8)
            old, new = dice.randint(0, 2), dice.randint(0, 2)
            reads = dice.random() < 0.4

            def states(state: int, old: int = old, new: int = new, reads: bool = reads) -> list[int]:
                return [] if state != old else [state if reads else new]

            moves.append(Move(begin, begin + dice.randint(0, 6), states, dice.random() < 0.3, str(number)))
        verdict = check_linear(moves, 0) == []
        assert verdict == by_brute_force(moves, 0), moves
        verdicts.append(verdict)
    assert 100 < sum(verdicts) < 300


def test_a_long_history_is_no_trouble_and_a_hopeless_one_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    chain = [update(at, at + 20, str(at - 1) if at else None, str(at)) for at in range(600)]
    assert check_all(chain) == []
    assert check_all([*chain, look(700, 701, "598")])
    monkeypatch.setattr(linear, "STEPS_MAX", 50)
    added = [Move(0, 9, lambda state, at=at: [state + at], label=str(at)) for at in range(20)]  # type: ignore[misc]
    with pytest.raises(TooHard):
        check_linear([*added, Move(10, 11, lambda state: [], label="never")], 0)


def test_what_is_recorded_is_loaded(tmp_path: Path) -> None:
    recorder = Recorder(tmp_path / "one.jsonl")
    with recorder.doing("update", key="k") as doing:
        doing.trying([None, "1"])
        doing.gave = [None, "1"]
    with recorder.doing("push", fails=(VersionConflict,), stream="s"):
        raise VersionConflict("x", expected=None, current=None)
    with recorder.doing("append", items={}):
        raise Undecided("x")
    with pytest.raises(ZeroDivisionError), recorder.doing("append", items={}):
        raise ZeroDivisionError
    recorder.invoke("append", items={})
    ops = load(tmp_path.iterdir())
    assert [(one.how, one.end == FOREVER) for one in ops] == [
        ("ok", False), ("fail", False), ("unknown", True), ("unknown", True), ("unknown", True),
    ]  # fmt: skip
    assert ops[0].tried == [[None, "1"]]


def test_a_line_that_a_kill_tore_says_nothing(tmp_path: Path) -> None:
    path = tmp_path / "one.jsonl"
    recorder = Recorder(path)
    with recorder.doing("read", key="k") as doing:
        doing.gave = "x" * 100
    whole = path.read_bytes()
    for cut in (1, 50):
        path.write_bytes(whole[:-cut])
        (op,) = load([path])
        assert op.unknown
