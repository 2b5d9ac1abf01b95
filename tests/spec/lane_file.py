"""Deleting a lane that is one file (design page, "Local fast lane").

The owner appends frames to its file and keeps it locked while it may still append. The fold moves the watermark up to
the frames there are. A sweeper deletes a file that seems fully folded.

Checked: an acknowledged frame is below the watermark or in a file that is still linked.

Abstracted: bytes (the size counts frames), torn frames, the folder.

Variants: *owner's lock* (take the owner's lock without blocking, compare size and watermark under it, then unlink) is the
rule, exhausted. Found wrong: unlinking a live lane file when its size equals the watermark; comparing before taking the
lock.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import NamedTuple

from tests.spec.checker import Case, Model, Step, right, swap, wrong


class Sweeper(NamedTuple):
    at: str = "idle"
    equal: bool = False


class State(NamedTuple):
    """``locked`` is who holds the lock: ``owner``, the number of a sweeper, or nobody (the empty string)."""

    frames: int
    acked: int
    watermark: int
    linked: bool
    locked: str
    owner: str
    sweepers: tuple[Sweeper, ...]


@dataclass(frozen=True)
class LaneFile(Model[State]):
    frames: int = 3
    sweepers: int = 2
    rule: str = "lock, compare"

    def initial(self) -> Iterator[State]:
        yield State(0, 0, 0, True, "owner", "alive", (Sweeper(),) * self.sweepers)

    def actions(self, state: State) -> Iterator[Step[State]]:
        if state.owner == "alive" and state.frames < self.frames and state.acked == state.frames:
            yield "the owner writes a frame", state._replace(frames=state.frames + 1)
        if state.owner == "alive" and state.acked < state.frames:
            yield "the frame is acknowledged", state._replace(acked=state.frames)
        if state.owner == "alive":
            yield "the owner is finished", state._replace(owner="finished", locked="")
        if state.linked and state.watermark < state.frames:
            yield f"the fold passes frame {state.watermark + 1}", state._replace(watermark=state.watermark + 1)
        for number, me in enumerate(state.sweepers):
            yield from self.sweep(state, number, me)

    def sweep(self, state: State, number: int, me: Sweeper) -> Iterator[Step[State]]:
        equal = state.frames == state.watermark
        compared = f"sweeper {number} sees frames {state.frames}, watermark {state.watermark}"
        first, then = ("lock", "compare") if self.rule == "lock, compare" else ("compare", "lock")
        step = {"idle": first, "first": then, "second": "unlink"}.get(me.at)
        at = "first" if me.at == "idle" else "second"
        if not state.linked or step is None:
            return
        if step == "lock" and self.rule == "no lock":
            yield f"sweeper {number} goes on", self.become(state, number, me._replace(at=at))
        elif step == "lock" and not state.locked:
            locked = state._replace(locked=str(number))
            yield f"sweeper {number} takes the lock", self.become(locked, number, me._replace(at=at))
        elif step == "compare":
            yield compared, self.become(state, number, Sweeper(at, equal))
        elif step == "unlink":
            free = state.locked if state.locked != str(number) else ""
            done = self.become(state._replace(locked=free), number, Sweeper())
            label = f"sweeper {number} unlinks the file" if me.equal else f"sweeper {number} leaves the file"
            yield label, done._replace(linked=not me.equal)

    @staticmethod
    def become(state: State, number: int, sweeper: Sweeper) -> State:
        return state._replace(sweepers=swap(state.sweepers, number, sweeper))

    def problem(self, state: State) -> str | None:
        if not state.linked and state.acked > state.watermark:
            return f"frame {state.acked} was acknowledged in a file that is gone; the watermark is {state.watermark}"
        return None


CASES: tuple[Case, ...] = (
    right("owner's lock", LaneFile(), deep=LaneFile(frames=6, sweepers=3)),
    wrong("size equals watermark", replace(LaneFile(), rule="no lock"), "in a file that is gone"),
    wrong("compare before the lock", replace(LaneFile(), rule="compare, lock"), "in a file that is gone"),
)
