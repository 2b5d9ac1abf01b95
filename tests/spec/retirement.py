"""Writer retirement (design page, "writer retirement"; invariants 2 and 3).

One writer with two segments (writers do not depend on each other, given the floor). It is born when it sends its first
segment; a request may land at any later time. It may mark either segment as its last. Leaders read the root, list, read the
root again, and publish: a fold of all or nothing of what the list shows, the floor, and dropped watermarks. Folded segments
are deleted at any instant. Compaction may be down for any time.

Times are small numbers with the order of the real ones: the first acknowledgement (5 minutes) < the floor's lag (1 hour)
< a writer's life (24 hours) < the age at which an open writer's watermark is dropped (25 hours).

Checked: an acknowledged segment is folded, or in the log of a writer that is not retired; a folded segment that still lies
in the log looks neither new nor left behind.

Abstracted: the grace between publish and deletion (any instant), merges, other writers.

Variants: *the rule* is :mod:`swampstore.workers.retire`, exhausted with one leader over seven ticks of time and with two
over three (its first segment being its last). Found wrong: the floor by age alone (also when the list shows unfolded segments); by the time of the CAS instead
of the list; a late first acknowledgement; a watermark dropped while a segment is listed, or without having stood in a root
read before the list.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import NamedTuple

from tests.spec.checker import Case, Model, Step, dense, right, swap, wrong

Slots = frozenset[int]
NONE: Slots = frozenset()


class Root(NamedTuple):
    """``watermark`` is -1 when the root holds none; ``floor`` is the retire floor, a birth time."""

    watermark: int = -1
    floor: int = -1


class Writer(NamedTuple):
    """``closing`` is the number of the segment that is marked as the last (0: none will be)."""

    at: str = "unborn"
    born: int = 0
    slot: int = 1
    closing: int = 0


class Leader(NamedTuple):
    at: str = "idle"
    prior: int = -1
    listed: Slots = NONE
    time: int = 0
    root: Root = Root()


class State(NamedTuple):
    time: int
    log: Slots
    root: Root
    folded: Slots
    writer: Writer
    acked: Slots
    leaders: tuple[Leader, ...]


@dataclass(frozen=True)
class Retirement(Model[State]):
    ticks: int = 7
    leaders: int = 1
    closings: tuple[int, ...] = (0, 1, 2)
    first_ack: int = 1
    lag: int = 2
    life: int = 3
    drop_age: int = 4
    floor: str = "by the list"
    drop: str = "by the rule"

    def initial(self) -> Iterator[State]:
        yield State(0, NONE, Root(), NONE, Writer(), NONE, (Leader(),) * self.leaders)

    def canonical(self, state: State) -> State:
        return state._replace(leaders=tuple(sorted(state.leaders, key=hash)))

    def actions(self, state: State) -> Iterator[Step[State]]:
        if state.time < self.ticks:
            yield f"time is {state.time + 1}", state._replace(time=state.time + 1)
        yield from self.write(state)
        for number, leader in enumerate(state.leaders):
            yield from self.lead(state, number, leader)
        for slot in sorted(state.log):
            if slot <= state.root.watermark:
                yield f"segment {slot} is deleted", state._replace(log=state.log - {slot})

    def write(self, state: State) -> Iterator[Step[State]]:
        me = state.writer
        if me.at == "unborn":
            for closing in self.closings:
                mark = f", segment {closing} will be its last" if closing else ""
                yield (
                    f"a writer is born at {state.time} and sends segment 1{mark}",
                    state._replace(writer=Writer("sent", state.time, 1, closing)),
                )
        elif me.at == "sent":
            yield f"segment {me.slot} lands", state._replace(log=state.log | {me.slot}, writer=me._replace(at="landed"))
        elif me.at == "landed" and state.time - me.born <= (self.first_ack if me.slot == 1 else self.life):
            yield (
                f"segment {me.slot} is acknowledged",
                state._replace(acked=state.acked | {me.slot}, writer=me._replace(at="acked")),
            )
        elif me.at == "acked" and me.slot == 1 and me.closing != 1:
            yield "the writer sends segment 2", state._replace(writer=me._replace(at="sent", slot=2))

    # --- leaders ------------------------------------------------------------------------------------------------

    def lead(self, state: State, number: int, me: Leader) -> Iterator[Step[State]]:
        def become(leader: Leader, on: State = state) -> State:
            return on._replace(leaders=swap(on.leaders, number, leader))

        root = state.root
        if me.at == "idle":
            yield f"leader {number} knows watermark {root.watermark}", become(Leader("list", root.watermark))
        elif me.at == "list":
            yield (
                f"leader {number} lists {sorted(state.log)} at {state.time}",
                become(me._replace(at="root", listed=state.log, time=state.time)),
            )
        elif me.at == "root":
            yield f"leader {number} reads {root}", become(me._replace(at="publish", root=root))
        elif me.root != root:
            yield f"leader {number} loses its CAS", become(Leader())
        else:
            for folding in (True, False):
                new, folded = self.successor(state, me, folding)
                if new != root:
                    yield (
                        f"leader {number} publishes {new}",
                        become(Leader(), state._replace(root=new, folded=state.folded | folded)),
                    )
            yield f"leader {number} publishes nothing", become(Leader())

    def retired(self, state: State, root: Root) -> bool:
        return root.watermark < 0 and state.writer.born <= root.floor

    def successor(self, state: State, me: Leader, folding: bool) -> tuple[Root, Slots]:
        old = me.root
        start = max(old.watermark, 0)
        mark, folded = old.watermark, NONE
        if folding and not self.retired(state, old):
            last = dense(me.listed, start)
            if last > start:
                mark, folded = last, frozenset(range(start + 1, last + 1))
        unfolded = any(slot > max(mark, 0) for slot in me.listed) and not self.retired(state, Root(mark, old.floor))
        began = state.time if self.floor == "by the CAS" else me.time
        floor = old.floor if unfolded and self.floor != "by age" else max(old.floor, began - self.lag)
        if self.may_drop(state, me, mark, floor):
            mark = -1
        return Root(mark, floor), folded

    def may_drop(self, state: State, me: Leader, mark: int, floor: int) -> bool:
        writer = state.writer
        stood = self.drop == "without a prior root" or me.prior == mark
        gone = self.drop == "while listed" or not me.listed
        over = (0 < writer.closing <= mark) or writer.born <= me.time - self.drop_age
        return mark >= 0 and stood and gone and over and writer.born <= floor

    # --- what must hold -----------------------------------------------------------------------------------------

    def problem(self, state: State) -> str | None:
        retired, mark = self.retired(state, state.root), state.root.watermark
        for slot in sorted(state.acked - state.folded):
            if retired or slot <= mark or not all(s in state.log or s in state.folded for s in range(1, slot + 1)):
                return f"segment {slot} was acknowledged, and is lost"
        for slot in sorted(state.log & state.folded):
            if mark < 0:
                return f"segment {slot} was folded, and looks {'left behind' if retired else 'new'}"
        return None


RULE = Retirement()
SHORT = Retirement(ticks=4, first_ack=0, lag=1, life=2, drop_age=3, leaders=2)

CASES: tuple[Case, ...] = (
    right("the rule", RULE, deep=replace(RULE, ticks=8, leaders=2)),
    right("the rule, two leaders", replace(SHORT, ticks=3, closings=(1,)), deep=replace(SHORT, ticks=5)),
    wrong("floor by age alone", replace(RULE, floor="by age"), "and is lost"),
    wrong("floor by the time of the CAS", replace(RULE, floor="by the CAS"), "and is lost"),
    wrong("late first acknowledgement", replace(RULE, first_ack=9), "and is lost"),
    wrong("drop while listed", replace(RULE, drop="while listed"), "and looks"),
    wrong("drop without a prior root", replace(SHORT, drop="without a prior root"), "was"),
)
