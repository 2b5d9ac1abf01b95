"""Fenced appends and followers of a stream, across the fold (design page, "fenced streams").

Writers hold a tail of stream a (the slot of its last record, 0 = empty) and append with it as a fence; others append to
stream b in the same lane, or to a without a fence. Slots are folded, and the fold writes the entry (stream, tail); folded
slots are deleted at any instant. A fenced append first learns where the lane ends from a fresh list and root, and looks at
every slot between its tail and there. A follower lists slot by slot (a list is not one instant), reads the root, and gives
out what lies behind its position, round after round.

Checked: a fenced append commits only if its tail is the stream's tail at that very slot; what a follower has given out is
at every time all of the stream up to its position, in order.

Abstracted: late answers (``shared_lane``), several records in a slot, group commit.

Variants: *tail entry* is the rule of :mod:`swampstore.protocols.stream`, exhausted. Found wrong: an append that looks only at
the slots still in the log; a follower that reads past a gap.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import NamedTuple

from tests.spec.checker import Case, Fault, Model, Step, dense, right, swap, wrong

Slots = frozenset[int]
NONE: Slots = frozenset()


class Writer(NamedTuple):
    """``held`` is the tail it fences with, ``listed`` what its list showed, ``slot`` the one it will create, ``covered`` the
    watermark when its list began (-1: it holds none)."""

    at: str = "idle"
    held: int = 0
    listed: Slots = NONE
    slot: int = 0
    covered: int = -1


class Follower(NamedTuple):
    at: str = "idle"
    page: int = 0
    listed: Slots = NONE
    root: int = 0
    given: tuple[int, ...] = ()


class State(NamedTuple):
    """``lane`` names the stream of every slot ever created."""

    lane: str
    present: Slots
    watermark: int
    writers: tuple[Writer, ...]
    follower: Follower


@dataclass(frozen=True)
class Streams(Model[State]):
    fenced: int = 2
    others: str = "ba"
    follows: bool = False
    looks: str = "tail entry"
    gaps: bool = False

    def initial(self) -> Iterator[State]:
        count = self.fenced + len(self.others)
        yield State("", NONE, 0, (Writer(),) * count, Follower())

    def actions(self, state: State) -> Iterator[Step[State]]:
        for number, me in enumerate(state.writers):
            if number < self.fenced:
                yield from self.append(state, number, me)
            elif me.at == "idle":
                stream = self.others[number - self.fenced]
                slot = len(state.lane) + 1
                yield f"slot {slot} gets a record of {stream}", self.create(state, number, me, stream)
        if state.watermark < len(state.lane):
            yield f"slot {state.watermark + 1} is folded", state._replace(watermark=state.watermark + 1)
        for slot in sorted(state.present):
            if slot <= state.watermark and not any(0 <= w.covered < slot for w in state.writers):
                yield f"slot {slot} is deleted", state._replace(present=state.present - {slot})
        if self.follows:
            yield from self.follow(state)

    @staticmethod
    def tail(state: State, until: int) -> int:
        """The last slot of stream a up to ``until``."""
        return state.lane[:until].rfind("a") + 1

    @staticmethod
    def create(state: State, number: int, me: Writer, stream: str) -> State:
        slot = len(state.lane) + 1
        writers = swap(state.writers, number, me._replace(at="done", covered=-1, listed=NONE))
        return state._replace(lane=state.lane + stream, present=state.present | {slot}, writers=writers)

    # --- fenced appends -----------------------------------------------------------------------------------------

    def append(self, state: State, number: int, me: Writer) -> Iterator[Step[State]]:
        def become(writer: Writer) -> State:
            return state._replace(writers=swap(state.writers, number, writer))

        if me.at == "idle":
            held = self.tail(state, len(state.lane))
            yield f"writer {number} holds tail {held}", become(Writer("holding", held))
        elif me.at == "holding":
            yield (
                f"writer {number} lists {sorted(state.present)}",
                become(me._replace(at="root", listed=state.present, covered=state.watermark)),
            )
        elif me.at == "root":
            yield self.look(state, number, me)
        elif me.at == "create":
            yield self.land(state, number, me)

    def look(self, state: State, number: int, me: Writer) -> Step[State]:
        end = dense(me.listed, state.watermark)
        between = range(me.held + 1, end + 1)
        if self.looks == "tail entry":
            moved = self.tail(state, end) != me.held
        else:
            moved = any(state.lane[slot - 1] == "a" for slot in between if slot in me.listed)
        new = me._replace(at="refused", covered=-1) if moved else me._replace(at="create", slot=end + 1)
        writers = swap(state.writers, number, new._replace(listed=NONE))
        verdict = "the tail has moved" if moved else f"slot {end + 1} is next"
        return f"writer {number} reads watermark {state.watermark}: {verdict}", state._replace(writers=writers)

    def land(self, state: State, number: int, me: Writer) -> Step[State]:
        if me.slot in state.present:
            met = state.lane[me.slot - 1] == "a"
            new = me._replace(at="refused", covered=-1) if met else me._replace(slot=me.slot + 1)
            label = f"writer {number} finds a record of {state.lane[me.slot - 1]} in slot {me.slot}"
            return label, state._replace(writers=swap(state.writers, number, new))
        label = f"writer {number} appends in slot {me.slot}, fenced by tail {me.held}"
        tail = self.tail(state, len(state.lane))
        if me.slot != len(state.lane) + 1:
            return label, Fault(f"slot {me.slot} was used before")
        if tail != me.held:
            return label, Fault(f"an append fenced by tail {me.held} commits, and the tail is {tail}")
        return label, self.create(state, number, me, "a")

    # --- followers ----------------------------------------------------------------------------------------------

    def follow(self, state: State) -> Iterator[Step[State]]:
        me = state.follower
        pages = self.fenced + len(self.others)
        if me.at == "idle":
            yield "the follower begins", state._replace(follower=Follower("list", 1, NONE, 0, me.given))
        elif me.at == "list":
            shown = state.present & {me.page}
            at = "list" if me.page < pages else "root"
            yield (
                f"the follower lists slot {me.page}: {'there' if shown else 'not there'}",
                state._replace(follower=me._replace(at=at, page=me.page + 1, listed=me.listed | shown)),
            )
        elif me.at == "root":
            yield (
                f"the follower reads watermark {state.watermark}",
                state._replace(follower=me._replace(at="read", root=state.watermark)),
            )
        elif me.at == "read":
            yield self.give(state, me)

    def give(self, state: State, me: Follower) -> Step[State]:
        wanted = {slot for slot in me.listed if slot > me.root}
        if not self.gaps:
            wanted = {slot for slot in wanted if slot <= dense(me.listed, me.root)}
        label = f"the follower reads slots {sorted(wanted)}"
        if not wanted <= state.present:
            return f"{label}: one is gone, again", state._replace(follower=Follower(given=me.given))
        position = me.given[-1] if me.given else 0
        held = [slot for slot in sorted({*range(1, me.root + 1), *wanted}) if slot > position]
        given = me.given + tuple(slot for slot in held if state.lane[slot - 1] == "a")
        return f"{label} and has given {list(given)}", state._replace(follower=Follower(given=given))

    @staticmethod
    def records(state: State, until: int) -> tuple[int, ...]:
        return tuple(slot for slot, stream in enumerate(state.lane[:until], 1) if stream == "a")

    def problem(self, state: State) -> str | None:
        given = state.follower.given
        if given and given != self.records(state, given[-1]):
            return f"the follower has given {list(given)} of {list(self.records(state, given[-1]))}"
        return None


RULE = Streams()
FOLLOW = Streams(fenced=0, others="aba", follows=True)

CASES: tuple[Case, ...] = (
    right("tail entry", RULE, deep=Streams(fenced=3, others="baa")),
    right("follower", FOLLOW, deep=Streams(fenced=1, others="aba", follows=True)),
    wrong("tail entry forgotten", replace(RULE, looks="log only"), "and the tail is"),
    wrong("follower past a gap", replace(FOLLOW, gaps=True), "has given"),
)
