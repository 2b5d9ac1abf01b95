"""What must hold of a history: the books of appends, and registers, streams and the root as one plain object each.

Kinds of operations (``about``; ``gave``):

- ``append`` (``items``: key -> value) and ``delete`` (``keys``): blind writes; a key is put once, by one process.
- ``list`` (``prefix``; key -> value): a read of one snapshot.
- ``update`` (``key``, ``tried`` pairs of what it read and wrote; the last pair) and ``look`` (``key``; value or None).
- ``push`` (``stream``, ``record``, ``expected``: the record it was fenced on, "" for none at all, None unfenced) and
  ``tell`` (``stream``; all records in order).
- ``cas`` (``old``, ``new``) and ``see`` (value): the root register.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Hashable, Iterable, Sequence
from typing import Any

from tests.histories.linear import Move, check_linear
from tests.histories.record import Op


def check_all(ops: Sequence[Op]) -> list[str]:
    """Every check; what is wrong, in words."""
    wrong = check_appends(ops) + check_monotonic(ops)
    wrong += _each(ops, ("update", "look"), "key", _register_move, None)
    wrong += _each(ops, ("push", "tell"), "stream", _stream_move, ())
    return wrong + _each(ops, ("cas", "see"), "name", _root_move, None)


# --- blind writes -----------------------------------------------------------------------------------------------------


def check_appends(ops: Sequence[Op]) -> list[str]:
    """Every acknowledged append is in every read that begins later, and nothing is read that nobody wrote."""
    wrong: list[str] = []
    puts = {key: (op, value) for op in ops if op.kind == "append" for key, value in op.about["items"].items()}
    deletes = {key: op for op in ops if op.kind == "delete" for key in op.about["keys"]}
    for read in ops:
        if read.kind != "list" or not read.ok:
            continue
        for key, value in read.gave.items():
            put = puts.get(key)
            if put is None or put[0].begin > read.end or put[0].how == "fail":
                wrong.append(f"{read.process} read {key!r}, which nobody had written")
            elif put[1] != value:
                wrong.append(f"{read.process} read {value!r} at {key!r}, where {put[1]!r} was written")
            gone = deletes.get(key)
            if gone is not None and gone.ok and gone.end < read.begin:
                wrong.append(f"{read.process} read {key!r} after its delete was acknowledged")
        for key, (put_op, _) in puts.items():
            known = key.startswith(read.about["prefix"]) and put_op.ok and put_op.end < read.begin
            gone = deletes.get(key)
            if known and key not in read.gave and (gone is None or gone.begin > read.end):
                wrong.append(f"{read.process} did not find {key!r}, acknowledged to {put_op.process} before")
    return wrong


def check_monotonic(ops: Sequence[Op]) -> list[str]:
    """What one read has found every read that begins after its end finds, and atomic batches are whole."""
    wrong: list[str] = []
    deletes = {key: op for op in ops if op.kind == "delete" for key in op.about["keys"]}
    reads = [op for op in ops if op.kind == "list" and op.ok]
    for batch in (op for op in ops if op.kind == "append" and len(op.about["items"]) > 1):
        keys = {key for key in batch.about["items"] if key not in deletes}
        wrong += [
            f"{read.process} read a part of the batch {sorted(keys)}"
            for read in reads
            if keys & read.gave.keys() not in (set(), keys)
        ]
    for prefix in {read.about["prefix"] for read in reads}:
        ended = sorted((read for read in reads if read.about["prefix"] == prefix), key=lambda read: read.end)
        seen: set[str] = set()
        at = 0
        for read in sorted(ended, key=lambda read: read.begin):
            while ended[at].end < read.begin:
                seen |= ended[at].gave.keys()
                at += 1
            lost = {key for key in seen - read.gave.keys() if key not in deletes or deletes[key].begin > read.end}
            wrong += [f"{read.process} did not find {key!r}, which an earlier read had found" for key in sorted(lost)]
    return wrong


# --- objects with an order --------------------------------------------------------------------------------------------


def _each(
    ops: Sequence[Op], kinds: tuple[str, ...], by: str, move: Callable[[Op], Move | None], start: Hashable
) -> list[str]:
    groups: dict[str, list[Move]] = defaultdict(list)
    for op in ops:
        if op.kind in kinds and (made := move(op)) is not None:
            groups[op.about[by]].append(made)
    return [
        f"{kinds[0]} {name!r}: {problem}" for name, moves in groups.items() for problem in check_linear(moves, start)
    ]


def _register_move(op: Op) -> Move | None:
    label = f"{op.process} {op.kind} {op.how} {op.tried or op.gave}"
    if op.kind == "look":
        return Move(op.begin, op.end, _only_if(op.gave), label=label) if op.ok else None
    if op.ok:
        read, wrote = op.gave
        return Move(op.begin, op.end, _swap([(read, wrote)]), label=label)
    if op.how == "fail" or not op.tried:
        return None
    return Move(op.begin, op.end, _swap(op.tried), may_be_skipped=True, label=label)


def _root_move(op: Op) -> Move | None:
    label = f"{op.process} {op.kind} {op.how} {op.about}"
    if op.kind == "see":
        return Move(op.begin, op.end, _only_if(op.gave), label=label) if op.ok else None
    old, new = op.about["old"], op.about["new"]
    if op.how == "fail":
        return Move(op.begin, op.end, lambda state: [state] if state != old else [], label=label)
    return Move(op.begin, op.end, _swap([(old, new)]), may_be_skipped=op.unknown, label=label)


def _stream_move(op: Op) -> Move | None:
    label = f"{op.process} {op.kind} {op.how} {op.about} {op.gave}"
    if op.kind == "tell":
        return Move(op.begin, op.end, _only_if(tuple(op.gave)), label=label) if op.ok else None
    record, expected = op.about["record"], op.about["expected"]

    def fits(state: tuple[str, ...]) -> bool:
        return expected is None or (state[-1] if state else "") == expected

    if op.how == "fail":
        return Move(op.begin, op.end, lambda state: [] if fits(state) else [state], label=label)
    return Move(
        op.begin,
        op.end,
        lambda state: [(*state, record)] if fits(state) else [],
        may_be_skipped=op.unknown,
        label=label,
    )


def _only_if(value: Hashable) -> Callable[[Any], Iterable[Hashable]]:
    return lambda state: [state] if state == value else []


def _swap(pairs: Iterable[Sequence[Any]]) -> Callable[[Any], Iterable[Hashable]]:
    held = [tuple(pair) for pair in pairs]
    return lambda state: [new for old, new in held if old == state]
