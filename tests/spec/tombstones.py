"""When a tombstone may be forgotten (design page, "merge").

A key was put long ago (version 0, at the bottom level). One party deletes it at some instant: the tombstone's version is
the time. One writer puts the key twice; a version may have been taken a little before its writer's birth, and a request may
land at any later time, acknowledged or not. A leader folds, raises the retire floor, drops watermarks; a merge takes level 0
to the bottom and forgets tombstones there.

Checked: no put with a version below a tombstone's is ever visible again after that tombstone was folded.

Abstracted: the steps of a leader (``retirement``), deletion of segments, other keys.

Variants: *below floor and births* is the rule of :mod:`swampstore.workers.merge` (a margin below the retire floor and below
the birth of every writer that has a watermark; only at the bottom), exhausted. Found wrong: forgotten by age alone; by the
floor alone; with too small a margin; in level 0.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import NamedTuple

from tests.spec.checker import Case, Model, Step, right, wrong


class Record(NamedTuple):
    version: int
    gone: bool = False


class Writer(NamedTuple):
    """``sent`` are its slots that have not landed, with the versions they hold."""

    born: int = -1
    slot: int = 0
    sent: tuple[tuple[int, int], ...] = ()


class State(NamedTuple):
    time: int
    writer: Writer
    log: tuple[tuple[int, int], ...]
    watermark: int
    floor: int
    level0: Record | None
    bottom: Record | None
    deleted: int


def newest(*records: Record | None) -> Record | None:
    return max((record for record in records if record is not None), default=None)


@dataclass(frozen=True)
class Tombstones(Model[State]):
    ticks: int = 6
    lag: int = 1
    life: int = 2
    drop_age: int = 3
    early: int = 3
    margin: int = 1
    rule: str = "below floor and births"

    def initial(self) -> Iterator[State]:
        yield State(0, Writer(), (), -1, -1, None, Record(0), -1)

    def actions(self, state: State) -> Iterator[Step[State]]:
        if state.time < self.ticks:
            yield f"time is {state.time + 1}", state._replace(time=state.time + 1)
        if state.deleted < 0:
            yield (
                f"the key is deleted, version {state.time}",
                state._replace(deleted=state.time, level0=newest(state.level0, Record(state.time, True))),
            )
        yield from self.write(state)
        yield from self.lead(state)
        yield from self.merge(state)

    def write(self, state: State) -> Iterator[Step[State]]:
        me, now = state.writer, state.time
        if me.born < 0:
            for version in range(max(now - self.early, 0), now + 1):
                yield (
                    f"a writer is born at {now}, sends a put of version {version}",
                    state._replace(writer=Writer(now, 1, ((1, version),))),
                )
        elif me.slot == 1 and now - me.born <= self.life and not me.sent:
            yield f"the writer sends a put of version {now}", state._replace(writer=Writer(me.born, 2, ((2, now),)))
        for put in me.sent:
            yield (
                f"the put of version {put[1]} lands",
                state._replace(writer=me._replace(sent=()), log=(*state.log, put)),
            )

    def lead(self, state: State) -> Iterator[Step[State]]:
        born, retired = state.writer.born, state.watermark < 0 and state.writer.born <= state.floor
        if state.log and not retired:
            put = state.log[0]
            yield (
                f"the put of version {put[1]} is folded",
                state._replace(log=state.log[1:], watermark=put[0], level0=newest(state.level0, Record(put[1]))),
            )
        floor = max(state.floor, state.time - self.lag)
        if (retired or not state.log) and floor > state.floor:
            yield f"the floor rises to {floor}", state._replace(floor=floor)
        if state.watermark >= 0 and not state.log and born <= min(state.floor, state.time - self.drop_age):
            yield "the writer's watermark is dropped", state._replace(watermark=-1)

    def merge(self, state: State) -> Iterator[Step[State]]:
        if state.level0 is None:
            return
        joined = newest(state.level0, state.bottom)
        forgotten = state._replace(level0=None, bottom=None)
        due = self.due(state, joined)
        if not due:
            yield "a merge takes level 0 to the bottom", state._replace(level0=None, bottom=joined)
        elif joined == state.level0 or joined == state.bottom:
            yield f"a merge forgets the tombstone of version {state.deleted}", forgotten
        if self.rule == "in level 0" and self.due(state, state.level0):
            yield f"the tombstone of version {state.deleted} is forgotten in level 0", state._replace(level0=None)

    def due(self, state: State, record: Record | None) -> bool:
        if record is None or not record.gone:
            return False
        births = [state.writer.born] if state.watermark >= 0 else []
        if self.rule == "by age":
            return record.version < state.time - self.margin - 1
        if self.rule == "by the floor":
            births = []
        return record.version < min([state.floor, *births]) - self.margin

    def problem(self, state: State) -> str | None:
        visible = newest(state.level0, state.bottom)
        if visible is not None and not visible.gone and visible.version < state.deleted:
            return f"version {visible.version} is back, which the tombstone of version {state.deleted} had removed"
        return None


RULE = Tombstones()

CASES: tuple[Case, ...] = (
    right("below floor and births", RULE, deep=Tombstones(ticks=12, life=4, drop_age=5, lag=2)),
    wrong("forgotten by age", replace(RULE, rule="by age"), "is back"),
    wrong("by the floor alone", replace(RULE, rule="by the floor"), "is back"),
    wrong("too small a margin", replace(RULE, margin=0), "is back"),
    wrong("forgotten in level 0", replace(RULE, rule="in level 0"), "is back"),
)
