"""How far a lane was folded, when the root that said so is lost (``docs/decisions/0012``).

One lane: its slots land densely, each once the one before is acknowledged, before, during and after the rebuild. The old
root folds them and is lost at some instant; what it covered is deleted in any order at any time (a sweep may be cut off, or
still at work). The doctor lists the lane twice, slot by slot (pages of a listing are not one moment), and publishes a root
with the watermark it concludes; that root folds on, and what it folded may be deleted too. Where a gap shows behind its
watermark, the doctor looks again.

Checked: no acknowledged slot that the old root had not folded is passed over; in the end all of them are applied.

Abstracted: other lanes, retirement, contents, what was folded into the lost root alone.

Variants: *the highest missing of two listings* is the rule of :mod:`swampstore.workers.rebuild` and of the repair of
watermarks, exhausted. Found wrong: one listing; the last listed slot; the one before the first listed; not looking again;
looking again only at a lane that was unknown.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import NamedTuple

from tests.spec.checker import Case, Model, Step, right, wrong

Slots = frozenset[int]
NONE: Slots = frozenset()


class Doctor(NamedTuple):
    """``pos`` is the next slot that the listing at hand looks at."""

    at: str = "idle"
    pos: int = 1
    first: Slots = NONE
    second: Slots = NONE


class State(NamedTuple):
    """``folded`` is the old root's watermark, ``mark`` the new one's (0: none), ``applied`` what the new one folded."""

    top: int = 0
    acked: int = 0
    folded: int = 0
    gone: Slots = NONE
    root: str = "old"
    mark: int = 0
    applied: Slots = NONE
    doctor: Doctor = Doctor()

    def there(self, slot: int) -> bool:
        return slot <= self.top and slot not in self.gone


@dataclass(frozen=True)
class Rebuild(Model[State]):
    slots: int = 3
    rule: str = "highest missing"
    listings: int = 2
    again: str = "gaps"

    def initial(self) -> Iterator[State]:
        yield State()

    def actions(self, state: State) -> Iterator[Step[State]]:
        if state.top == state.acked < self.slots:
            yield f"slot {state.top + 1} lands", state._replace(top=state.top + 1)
        if state.acked < state.top:
            yield f"slot {state.top} is acknowledged", state._replace(acked=state.top)
        for slot in range(1, max(state.folded, state.mark) + 1):
            if state.there(slot):
                yield f"slot {slot} is deleted", state._replace(gone=state.gone | {slot})
        if state.root == "old":
            if state.folded < state.top:
                yield f"the old root folds slot {state.folded + 1}", state._replace(folded=state.folded + 1)
            yield "the root is lost", state._replace(root="lost")
        yield from self.examine(state)
        following = state.mark + 1
        if state.root == "new" and state.there(following):
            yield (
                f"the new root folds slot {following}",
                state._replace(mark=following, applied=state.applied | {following}),
            )

    def examine(self, state: State) -> Iterator[Step[State]]:
        me = state.doctor
        if me.at == "idle":
            if state.root == "lost" or (state.root == "new" and self.looks_again(state)):
                yield "the doctor begins", state._replace(doctor=Doctor("first"))
        elif me.at in ("first", "second"):
            if me.pos <= self.slots:
                held: Slots = frozenset({me.pos}) if state.there(me.pos) else NONE
                seen = me._replace(pos=me.pos + 1, **{me.at: getattr(me, me.at) | held})
                yield f"the {me.at} listing looks at slot {me.pos}", state._replace(doctor=seen)
            elif me.at == "first" and self.listings == 2:
                yield "the second listing begins", state._replace(doctor=me._replace(at="second", pos=1))
            else:
                yield from self.publish(state)

    def publish(self, state: State) -> Iterator[Step[State]]:
        mark = max(self.concluded(state.doctor), state.mark)
        yield f"a root with watermark {mark}", state._replace(root="new", mark=mark, doctor=Doctor())

    def looks_again(self, state: State) -> bool:
        gap = not state.there(state.mark + 1) and any(map(state.there, range(state.mark + 2, self.slots + 1)))
        return gap and (self.again == "gaps" or (self.again == "unknown" and state.mark == 0))

    def concluded(self, doctor: Doctor) -> int:
        first, second = doctor.first, doctor.second if self.listings == 2 else doctor.first
        if not first:
            return 0
        if self.rule == "last listed":
            return max(first)
        if self.rule == "first listed":
            return min(first) - 1
        return max((slot for slot in range(1, max(first)) if slot not in second), default=0)

    def problem(self, state: State) -> str | None:
        for slot in range(state.folded + 1, min(state.mark, state.acked) + 1):
            if slot not in state.applied:
                return f"slot {slot} was acknowledged and is passed over"
        return None

    def stuck(self, state: State) -> str | None:
        for slot in range(state.folded + 1, state.acked + 1):
            if slot not in state.applied:
                return f"slot {slot} was acknowledged and is never applied"
        return None


RULE = Rebuild()

CASES: tuple[Case, ...] = (
    right("the highest missing of two listings", RULE, deep=Rebuild(slots=5)),
    wrong("one listing", replace(RULE, listings=1), "passed over"),
    wrong("the last listed slot", replace(RULE, rule="last listed"), "passed over"),
    wrong("before the first listed slot", replace(RULE, rule="first listed"), "passed over"),
    wrong("not looking again", replace(RULE, again="no"), "never applied"),
    wrong("only at an unknown lane", replace(RULE, again="unknown"), "never applied"),
)
