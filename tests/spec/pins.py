"""Pins of long readers and the sweep floor (design page, "sweep"; invariant 5).

A reader takes a snapshot of the root, writes a pin with its version, reads the root again, and starts over if the sweep
floor has passed its version. Merges replace objects at any instant: each root names one object, and calls the one before it
garbage since its own version. Two sweepers raise the floor by CAS, list the pins, delete what no pin holds, and take it off
the list. Graces are abstracted away: the sweep may begin at once.

Checked: nothing that the snapshot of a pinned reader names is deleted while its pin is there.

Abstracted: time to live and renewal of pins (a pin renewed late counts as written anew), saved snapshots (pins without end).

Variants: *floor, then pins* with the second look at the root is the rule of :mod:`swampstore.protocols.pins` and
:mod:`swampstore.workers.sweep_garbage`, exhausted. Found wrong: no second look at the root; pins listed before the floor is
raised.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import NamedTuple

from tests.spec.checker import Case, Model, Step, right, swap, wrong


class Root(NamedTuple):
    """Version v of the index names object v. ``since`` is the version of the CAS, which also counts floors and clean-ups;
    ``garbage`` holds ``(object, since)``."""

    since: int = 1
    named: int = 1
    garbage: frozenset[tuple[int, int]] = frozenset()
    floor: int = 0


class Reader(NamedTuple):
    at: str = "idle"
    version: int = 0
    named: int = 0


class Sweeper(NamedTuple):
    at: str = "idle"
    going: frozenset[tuple[int, int]] = frozenset()
    lowest: int = -1


class State(NamedTuple):
    root: Root
    objects: frozenset[int]
    readers: tuple[Reader, ...]
    sweepers: tuple[Sweeper, ...]


@dataclass(frozen=True)
class Pins(Model[State]):
    merges: int = 2
    readers: int = 1
    sweepers: int = 2
    look_again: bool = True
    floor_first: bool = True

    def initial(self) -> Iterator[State]:
        yield State(Root(), frozenset([1]), (Reader(),) * self.readers, (Sweeper(),) * self.sweepers)

    def canonical(self, state: State) -> State:
        return state._replace(readers=tuple(sorted(state.readers)), sweepers=tuple(sorted(state.sweepers, key=hash)))

    def actions(self, state: State) -> Iterator[Step[State]]:
        root = state.root
        if root.named <= self.merges:
            new = root.named + 1
            garbage = root.garbage | {(root.named, root.since + 1)}
            yield (
                f"root {root.since + 1} names object {new} in place of {root.named}",
                state._replace(root=Root(root.since + 1, new, garbage, root.floor), objects=state.objects | {new}),
            )
        for number, reader in enumerate(state.readers):
            for label, new_reader in self.read(state, reader):
                yield f"reader {number} {label}", state._replace(readers=swap(state.readers, number, new_reader))
        for number, sweeper in enumerate(state.sweepers):
            yield from self.sweep(state, number, sweeper)

    def read(self, state: State, me: Reader) -> Iterator[tuple[str, Reader]]:
        root = state.root
        if me.at == "idle":
            yield f"takes root {root.since}", Reader("snapshot", root.since, root.named)
        elif me.at == "snapshot":
            yield f"pins version {me.version}", me._replace(at="pinned" if self.look_again else "reading")
        elif me.at == "pinned" and root.floor > me.version:
            yield f"finds floor {root.floor} above its version and starts over", Reader()
        elif me.at == "pinned":
            yield f"looks again, floor {root.floor}", me._replace(at="reading")
        elif me.at == "reading":
            yield "unpins", Reader("done")

    def sweep(self, state: State, number: int, me: Sweeper) -> Iterator[Step[State]]:
        def become(sweeper: Sweeper, on: State = state) -> State:
            return on._replace(sweepers=swap(on.sweepers, number, sweeper))

        root = state.root
        who = f"sweeper {number}"
        order = ("raise", "list") if self.floor_first else ("list", "raise")
        step = {"first": order[0], "second": order[1]}.get(me.at, me.at)
        if step == "idle" and root.garbage:
            yield f"{who} wants {sorted(root.garbage)}", become(Sweeper("first", root.garbage))
        elif step == "raise":
            floor = max(root.floor, *(since for _, since in me.going))
            going = me.going & root.garbage
            raised = state._replace(root=root._replace(since=root.since + (floor > root.floor), floor=floor))
            yield f"{who} raises the floor to {floor}", become(self.after(me)._replace(going=going), raised)
        elif step == "list":
            pinned = [reader.version for reader in state.readers if reader.at in ("pinned", "reading")]
            lowest = min(pinned, default=-1)
            yield f"{who} lists pins: {pinned}", become(self.after(me)._replace(lowest=lowest))
        elif step == "delete":
            free = frozenset(item for item in me.going if me.lowest < 0 or item[1] <= me.lowest)
            objects = state.objects - {name for name, _ in free}
            yield f"{who} deletes {sorted(free)}", become(Sweeper("unlist", free), state._replace(objects=objects))
        elif step == "unlist":
            new = root._replace(garbage=root.garbage - me.going)
            yield f"{who} takes {sorted(me.going)} off the list", become(Sweeper(), state._replace(root=new))

    @staticmethod
    def after(me: Sweeper) -> Sweeper:
        return me._replace(at="second" if me.at == "first" else "delete")

    def problem(self, state: State) -> str | None:
        for number, reader in enumerate(state.readers):
            if reader.at == "reading" and reader.named not in state.objects:
                return f"reader {number} has pinned version {reader.version}, and its object {reader.named} is deleted"
        if state.root.named not in state.objects:
            return f"object {state.root.named} is in use and deleted"
        return None


RULE = Pins()

CASES: tuple[Case, ...] = (
    right("floor, then pins", RULE, deep=Pins(merges=3, readers=2)),
    right("two readers", Pins(readers=2, sweepers=1), deep=Pins(merges=4, readers=2, sweepers=1)),
    wrong("root not read again", replace(RULE, look_again=False), "is deleted"),
    wrong("pins before floor", replace(RULE, floor_first=False), "is deleted"),
)
