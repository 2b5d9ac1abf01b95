"""A lane that is one file: appended to, folded, read, deleted (design page, "Local fast lane"; invariants 3, 4, 7).

The owner appends frames to its file and keeps it locked while it may still append: a frame is torn while it is written,
then whole, then on the disk, then acknowledged (*buffered*: acknowledged when it is whole). It may die at any instant, and
the machine may lose its power: then what was not synced is there or torn, frame by frame. A compactor reads the whole
frames past the watermark, syncs the file, publishes. Sweepers delete a file that is folded. A reader reads the root, then
the file; a file that is gone sends it back to the root.

Checked: an acknowledged frame is below the watermark and was applied, or is in a linked file with nothing torn before it (a
power loss may take unsynced frames of a buffered lane); a reader sees every frame acknowledged before it began; the watermark
never lies past the whole frames (such a file could neither be swept nor be understood); a finished file is deleted in the end.

Abstracted: bytes (offsets count frames), the folder, contents (see ``log`` and ``merge`` for joins and the CAS).

Variants: *owner's lock* is the rule, for durable and buffered lanes, exhausted. Found wrong: unlinking without the lock,
unlinking without looking at the frames, looking before the lock is taken, a watermark past a torn frame, a fold that does
not sync or syncs before it reads, cutting a torn tail off, and a reader that takes a file that is gone for an empty one.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import product
from typing import NamedTuple

from tests.spec.checker import Case, Fault, Model, Step, right, swap, wrong

TORN, CUT, WHOLE = "torn", "cut", "whole"
"""What a frame of the file is. ``CUT``: it is being written, and what was written of it has been cut off."""


class Sweeper(NamedTuple):
    at: str = "idle"
    equal: bool = False


class Compactor(NamedTuple):
    """``end`` is how far it has read the file."""

    at: str = "idle"
    end: int = 0


class Reader(NamedTuple):
    """``acked`` is what was acknowledged when it began, ``root`` the watermark it has read."""

    at: str = "idle"
    acked: int = 0
    root: int = 0


class State(NamedTuple):
    """``synced`` counts frames that are on the disk, ``locked`` is who holds the lock: ``owner``, a sweeper, nobody."""

    frames: tuple[str, ...] = ()
    synced: int = 0
    acked: int = 0
    watermark: int = 0
    linked: bool = True
    locked: str = "owner"
    owner: str = "idle"
    losses: int = 0
    compactor: Compactor = Compactor()
    sweepers: tuple[Sweeper, ...] = ()
    reader: Reader = Reader()


def good(state: State) -> int:
    """How many whole frames the file begins with."""
    return next((at for at, frame in enumerate(state.frames) if frame != WHOLE), len(state.frames))


@dataclass(frozen=True)
class LaneFile(Model[State]):
    frames: int = 2
    sweepers: int = 1
    losses: int = 1
    buffered: bool = False
    reads: bool = True
    sweep: str = "lock, compare"
    fold: str = "read, sync"
    stop_at_torn: bool = True
    cut: bool = False
    gone_is_empty: bool = False

    def initial(self) -> Iterator[State]:
        yield State(losses=self.losses, sweepers=(Sweeper(),) * self.sweepers)

    def actions(self, state: State) -> Iterator[Step[State]]:
        if state.owner != "finished":
            yield from self.write(state)
            yield "the owner is finished, or dies", state._replace(owner="finished", locked="")
        if self.cut and state.frames and state.frames[-1] == TORN:
            yield "somebody cuts the torn tail off", state._replace(frames=(*state.frames[:-1], CUT))
        if state.losses:
            yield from self.lose_power(state)
        yield from self.compact(state)
        for number, me in enumerate(state.sweepers):
            yield from self.remove(state, number, me)
        if self.reads:
            yield from self.read(state)

    # --- the owner ----------------------------------------------------------------------------------------------

    def write(self, state: State) -> Iterator[Step[State]]:
        last = len(state.frames)
        if state.owner == "idle" and last < self.frames:
            yield f"the owner begins frame {last + 1}", state._replace(frames=(*state.frames, TORN), owner="writing")
        elif state.owner == "writing":
            whole = TORN if state.frames[-1] == CUT else WHOLE  # what was cut off is missing in it
            yield f"frame {last} is written", state._replace(frames=(*state.frames[:-1], whole), owner="written")
        elif state.owner == "written" and (self.buffered or state.synced == last):
            yield f"frame {last} is acknowledged", state._replace(acked=last, owner="idle")
        elif state.owner == "written":
            yield f"the owner syncs frame {last}", state._replace(synced=last)

    def lose_power(self, state: State) -> Iterator[Step[State]]:
        """Everybody stops; of what was not synced, any part may be missing."""
        kept, loose = state.frames[: state.synced], state.frames[state.synced :]
        choices = [(WHOLE, TORN) if frame == WHOLE else (TORN,) for frame in loose]
        for left in product(*choices):
            after = state._replace(
                frames=(*kept, *left),
                synced=len(state.frames),
                losses=state.losses - 1,
                locked="",
                owner="finished",
                compactor=Compactor(),
                sweepers=(Sweeper(),) * self.sweepers,
                reader=Reader("done"),
            )
            if self.buffered:
                after = after._replace(acked=min(state.acked, max(good(after), state.watermark)))
            yield f"power is lost: {', '.join(after.frames) or 'nothing written'}", after

    # --- the others ---------------------------------------------------------------------------------------------

    def compact(self, state: State) -> Iterator[Step[State]]:
        me = state.compactor
        order = {"read, sync": ("read", "sync"), "sync, read": ("sync", "read"), "read": ("read",)}[self.fold]
        step = (*order, "publish")[("idle", "first", "second").index(me.at)]
        after = me._replace(at={"idle": "first", "first": "second"}.get(me.at, "idle"))
        end = good(state) if self.stop_at_torn else len(state.frames)
        if step == "publish":
            published = state._replace(watermark=max(state.watermark, me.end), compactor=Compactor())
            lost = [at for at in range(state.watermark, me.end) if state.frames[at] != WHOLE]
            if lost and self.stop_at_torn:
                yield "the fold publishes", Fault(f"frame {lost[0] + 1} was applied and is torn")
            yield f"the fold publishes watermark {me.end}", published
        elif not state.linked:
            return
        elif step == "sync":
            yield "the compactor syncs the file", state._replace(synced=self.flushed(state), compactor=after)
        elif end > state.watermark:
            yield f"the compactor reads up to frame {end}", state._replace(compactor=after._replace(end=end))

    @staticmethod
    def flushed(state: State) -> int:
        """The frames that a sync makes durable: all but the one that is being written."""
        return max(state.synced, len(state.frames) - (state.owner == "writing"))

    def remove(self, state: State, number: int, me: Sweeper) -> Iterator[Step[State]]:
        equal = good(state) == state.watermark or self.sweep == "no compare"
        first, then = ("compare", "lock") if self.sweep == "compare, lock" else ("lock", "compare")
        step = {"idle": first, "first": then, "second": "unlink"}[me.at]
        at = "first" if me.at == "idle" else "second"
        if not state.linked or not state.watermark + (state.owner == "finished"):
            return
        if step == "lock" and self.sweep == "no lock":
            yield f"sweeper {number} goes on", self.become(state, number, me._replace(at=at))
        elif step == "lock" and not state.locked:
            locked = state._replace(locked=str(number))
            yield f"sweeper {number} takes the lock", self.become(locked, number, me._replace(at=at))
        elif step == "compare":
            compared = f"sweeper {number} sees frames {good(state)}, watermark {state.watermark}"
            yield compared, self.become(state, number, Sweeper(at, equal))
        elif step == "unlink":
            free = state.locked if state.locked != str(number) else ""
            done = self.become(state._replace(locked=free), number, Sweeper())
            label = f"sweeper {number} unlinks the file" if me.equal else f"sweeper {number} leaves the file"
            yield label, done._replace(linked=not me.equal)

    @staticmethod
    def become(state: State, number: int, sweeper: Sweeper) -> State:
        return state._replace(sweepers=swap(state.sweepers, number, sweeper))

    def read(self, state: State) -> Iterator[Step[State]]:
        me = state.reader
        if me.at == "idle" and state.linked:
            yield "the reader lists the file", state._replace(reader=Reader("root", state.acked))
        elif me.at in ("root", "again"):
            at = "file" if me.at == "root" else "done"
            label = f"the reader reads watermark {state.watermark}"
            yield self.seen(state, label, me._replace(at=at, root=state.watermark), state.watermark)
        elif me.at == "file" and state.linked:
            end = max(good(state), me.root)
            yield self.seen(state, f"the reader reads frames {me.root + 1} to {end}", me._replace(at="done"), end)
        elif me.at == "file":
            at = "done" if self.gone_is_empty else "again"
            yield self.seen(state, "the reader finds no file", me._replace(at=at), me.root)

    @staticmethod
    def seen(state: State, label: str, reader: Reader, end: int) -> Step[State]:
        if reader.at == "done" and end < reader.acked:
            return label, Fault(f"the reader missed frame {end + 1}, acknowledged before it began")
        return label, state._replace(reader=reader)

    # --- what must hold -----------------------------------------------------------------------------------------

    def problem(self, state: State) -> str | None:
        whole = good(state)
        if not state.linked and state.acked > state.watermark:
            return f"frame {state.acked} was acknowledged in a file that is gone; the watermark is {state.watermark}"
        if state.linked and state.acked > max(whole, state.watermark):
            return f"frame {state.acked} was acknowledged and cannot be read: frame {whole + 1} is torn"
        if state.linked and state.watermark > whole:
            return f"the watermark is {state.watermark}, and only {whole} frames are whole"
        return None

    def stuck(self, state: State) -> str | None:
        return "a finished file stays for ever" if state.linked and state.owner == "finished" else None


RULE = LaneFile()
NO_LOSS = replace(RULE, losses=0, reads=False)

CASES: tuple[Case, ...] = (
    right("owner's lock", RULE, deep=replace(RULE, frames=4, sweepers=2)),
    right("owner's lock, buffered", replace(RULE, buffered=True), deep=replace(RULE, buffered=True, frames=4)),
    right("two sweepers", replace(NO_LOSS, sweepers=2, frames=3), deep=replace(RULE, sweepers=3, frames=3)),
    wrong("size equals watermark", replace(NO_LOSS, sweep="no lock"), "in a file that is gone"),
    wrong("compare before the lock", replace(NO_LOSS, sweep="compare, lock"), "in a file that is gone"),
    wrong("unlink without a look", replace(NO_LOSS, sweep="no compare"), "in a file that is gone"),
    wrong("watermark past a torn frame", replace(NO_LOSS, stop_at_torn=False), "only 0 frames are whole"),
    wrong("fold without sync", replace(RULE, fold="read", buffered=True), "frames are whole"),
    wrong("sync before reading", replace(RULE, fold="sync, read", buffered=True), "frames are whole"),
    wrong("torn tail cut off", replace(NO_LOSS, cut=True), "cannot be read"),
    wrong("gone taken for empty", replace(RULE, losses=0, gone_is_empty=True), "the reader missed frame"),
)
