"""Log, fold, deletion and readers (design page, "append", "fold", "read"; invariants 1, 3, 4, 6, 10).

Writers append to lanes of their own; a request may be sent twice and the second may land at any later time. Two
compactors fold, either of which may be a zombie. Folded segments are deleted at any instant. A reader lists lane by lane
(deeper scope: name by name), not in one instant.

Checked: an acknowledged slot is at every instant in the log past the watermark or folded; nothing is folded twice; a
reader's snapshot holds every slot acknowledged before it began, and nothing twice.

Abstracted: contents, joins (see ``merge``), leadership (either compactor may always try), writer ids (``retirement``).

Variants: *exact watermark* and *side by side with grace* are the rules of :mod:`swampstore.protocols.log` and
:mod:`swampstore.workers.fold` and are exhausted. Found wrong: a watermark by the largest slot seen anywhere; root before
list without looking at the root again; list and root side by side without the grace; deletion before the publish.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import NamedTuple

from tests.spec.checker import Case, Fault, Model, Step, right, swap, wrong

Slot = tuple[int, int]
Slots = frozenset[Slot]
NONE: Slots = frozenset()


class Writer(NamedTuple):
    slot: int = 1
    waiting: bool = False
    resent: bool = False


class Root(NamedTuple):
    """``folded`` is the index itself, as the set of slots joined into it."""

    version: int
    watermarks: tuple[int, ...]
    folded: Slots


class Compactor(NamedTuple):
    at: str = "idle"
    listed: Slots = NONE
    root: Root | None = None
    page: int = 0


class Reader(NamedTuple):
    at: str = "idle"
    acked: Slots = NONE
    listed: Slots = NONE
    root: Root | None = None
    got: Slots = NONE
    page: int = 0


class State(NamedTuple):
    log: Slots
    sent: tuple[Slot, ...]
    acked: Slots
    root: Root
    writers: tuple[Writer, ...]
    compactors: tuple[Compactor, ...]
    reader: Reader


@dataclass(frozen=True)
class Log(Model[State]):
    slots: tuple[int, ...] = (2, 1)
    compactors: int = 1
    resends: bool = True
    pages_by_name: bool = False
    watermark: str = "exact"
    reader: str = "list, root"
    readers: bool = True
    grace: bool = False
    delete: str = "published"

    def initial(self) -> Iterator[State]:
        lanes = len(self.slots)
        root = Root(0, (0,) * lanes, NONE)
        yield State(NONE, (), NONE, root, (Writer(),) * lanes, (Compactor(),) * self.compactors, Reader())

    def pages(self) -> list[Slots]:
        """What a listing shows at one instant each, in order."""
        lanes = [[(lane, slot) for slot in range(1, last + 1)] for lane, last in enumerate(self.slots)]
        if self.pages_by_name:
            return [frozenset([name]) for lane in lanes for name in lane]
        return [frozenset(lane) for lane in lanes]

    def actions(self, state: State) -> Iterator[Step[State]]:
        for lane in range(len(self.slots)):
            yield from self.write(state, lane)
        for number, slot in enumerate(state.sent):
            rest = state.sent[:number] + state.sent[number + 1 :]
            yield f"the request for slot {slot} lands", state._replace(sent=rest, log=state.log | {slot})
        for number in range(self.compactors):
            yield from self.fold(state, number)
        if self.delete == "published":
            yield from self.sweep(state)
        if self.readers:
            yield from self.read(state)

    # --- writers ------------------------------------------------------------------------------------------------

    def write(self, state: State, lane: int) -> Iterator[Step[State]]:
        me = state.writers[lane]
        slot = (lane, me.slot)
        if not me.waiting and me.slot <= self.slots[lane]:
            sent = tuple(sorted((*state.sent, slot)))
            yield (
                f"writer {lane} sends slot {slot}",
                state._replace(sent=sent, writers=swap(state.writers, lane, me._replace(waiting=True))),
            )
        if me.waiting and self.resends and lane == 0 and not me.resent:
            sent = tuple(sorted((*state.sent, slot)))
            yield (
                f"writer {lane} has no answer and sends slot {slot} again",
                state._replace(sent=sent, writers=swap(state.writers, lane, me._replace(resent=True))),
            )
        if me.waiting and slot in state.log:
            yield (
                f"writer {lane}: slot {slot} is acknowledged",
                state._replace(
                    acked=state.acked | {slot}, writers=swap(state.writers, lane, Writer(me.slot + 1, False, me.resent))
                ),
            )

    # --- compactors ---------------------------------------------------------------------------------------------

    def fold(self, state: State, number: int) -> Iterator[Step[State]]:
        me = state.compactors[number]

        def become(new: Compactor) -> tuple[Compactor, ...]:
            return swap(state.compactors, number, new)

        if me.at in ("idle", "list"):
            page = self.pages()[me.page]
            at = "root" if me.page + 1 == len(self.pages()) else "list"
            listed = me.listed | (state.log & page)
            yield (
                f"compactor {number} lists page {me.page}",
                state._replace(compactors=become(Compactor(at, listed, None, me.page + 1))),
            )
        elif me.at == "root":
            yield (
                f"compactor {number} reads root {state.root.version}",
                state._replace(compactors=become(Compactor("segments", me.listed, state.root))),
            )
        elif me.at == "segments":
            assert me.root is not None
            new = self.unfolded(me.listed, me.root)
            if not new <= state.log or not new:
                yield (
                    f"compactor {number} has nothing to fold, or a segment is gone",
                    state._replace(compactors=become(Compactor())),
                )
                return
            if self.delete == "before":
                yield (
                    f"compactor {number} reads {sorted(new)} and deletes them",
                    state._replace(log=state.log - new, compactors=become(me._replace(at="publish"))),
                )
            else:  # What happens between the last read and the CAS only matters by the root it leaves.
                yield self.publish(state, number, me, become(Compactor()))
        else:
            yield self.publish(state, number, me, become(Compactor()))

    def publish(self, state: State, number: int, me: Compactor, compactors: tuple[Compactor, ...]) -> Step[State]:
        assert me.root is not None
        if me.root.version != state.root.version:
            return f"compactor {number} loses its CAS", state._replace(compactors=compactors)
        new = self.unfolded(me.listed, me.root)
        label = f"compactor {number} publishes root {me.root.version + 1} with {sorted(new)}"
        if new & me.root.folded:
            return label, Fault(f"{sorted(new & me.root.folded)} is folded twice")
        marks = list(me.root.watermarks)
        for lane, slot in new:
            marks[lane] = max(marks[lane], slot)
        if self.watermark == "largest":
            marks = [max(marks)] * len(marks)
        root = Root(me.root.version + 1, tuple(marks), me.root.folded | new)
        return label, state._replace(root=root, compactors=compactors)

    def unfolded(self, listed: Slots, root: Root) -> Slots:
        if self.watermark == "largest":
            return frozenset(name for name in listed if name[1] > root.watermarks[name[0]])
        new: set[Slot] = set()
        for lane, mark in enumerate(root.watermarks):
            while (lane, mark + 1) in listed:
                mark += 1
                new.add((lane, mark))
        return frozenset(new)

    def sweep(self, state: State) -> Iterator[Step[State]]:
        for slot in sorted(state.log):
            if slot[1] <= state.root.watermarks[slot[0]] and not self.in_grace(state, slot):
                yield f"slot {slot} is deleted", state._replace(log=state.log - {slot})

    def in_grace(self, state: State, slot: Slot) -> bool:
        """A reader that lists beside an older root is faster than the delete grace, or reads the root once more."""
        held = state.reader.root
        return self.grace and state.reader.at == "list" and held is not None and slot[1] > held.watermarks[slot[0]]

    # --- the reader ---------------------------------------------------------------------------------------------

    def read(self, state: State) -> Iterator[Step[State]]:
        me = state.reader
        pages = self.pages()
        if me.at == "idle":
            early = None if self.reader == "list, root" else state.root
            yield (
                "the reader begins" + ("" if early is None else f" with root {early.version}"),
                state._replace(reader=Reader("list", state.acked, NONE, early)),
            )
        elif me.at == "list":
            at = {"list, root": "root", "root, list, root": "again"}.get(self.reader, "get")
            yield (
                f"the reader lists page {me.page}",
                state._replace(
                    reader=me._replace(
                        at=at if me.page + 1 == len(pages) else "list",
                        listed=me.listed | (state.log & pages[me.page]),
                        page=me.page + 1,
                    )
                ),
            )
        elif me.at == "root":
            yield (
                f"the reader reads root {state.root.version}",
                state._replace(reader=me._replace(at="get", root=state.root)),
            )
        elif me.at == "again":
            new = me._replace(at="get") if me.root == state.root else Reader("list", me.acked, NONE, state.root)
            yield f"the reader looks again and finds root {state.root.version}", state._replace(reader=new)
        elif me.at == "get":
            yield self.get(state, me)

    def get(self, state: State, me: Reader) -> Step[State]:
        assert me.root is not None
        wanted = sorted(self.unfolded_read(me.listed, me.root) - me.got)
        if not wanted:
            held = me.root.folded | me.got
            if me.root.folded & me.got:
                return "the reader is done", Fault(f"{sorted(me.root.folded & me.got)} counts twice in one snapshot")
            if not me.acked <= held:
                return "the reader is done", Fault(f"the reader missed {sorted(me.acked - held)}, acknowledged before")
            return "the reader is done", state._replace(reader=Reader("done"))
        if wanted[0] in state.log:
            return f"the reader reads slot {wanted[0]}", state._replace(reader=me._replace(got=me.got | {wanted[0]}))
        return f"the reader finds slot {wanted[0]} gone and starts again", state._replace(
            reader=Reader("idle", me.acked)._replace(
                at="list", root=None if self.reader == "list, root" else state.root
            )
        )

    def unfolded_read(self, listed: Slots, root: Root) -> Slots:
        return Log.unfolded(Log(watermark="exact"), listed, root)

    def canonical(self, state: State) -> State:
        return state._replace(compactors=tuple(sorted(state.compactors, key=hash)))

    # --- what must hold -----------------------------------------------------------------------------------------

    def problem(self, state: State) -> str | None:
        for lane, slot in sorted(state.acked - state.root.folded):
            if (lane, slot) not in state.log:
                return f"slot {(lane, slot)} was acknowledged and is nowhere"
            if slot <= state.root.watermarks[lane]:
                return f"slot {(lane, slot)} was acknowledged and lies below the watermark, never folded"
        return None


LANES = Log(slots=(1, 1))
DEEP = Log(slots=(2, 1))

CASES: tuple[Case, ...] = (
    right("exact watermark", LANES, deep=DEEP),
    right("a lane listed name by name", Log(slots=(2,), pages_by_name=True), deep=replace(DEEP, pages_by_name=True)),
    right("two compactors", replace(LANES, compactors=2, readers=False), deep=replace(LANES, compactors=2)),
    right(
        "root, list, root",
        replace(LANES, reader="root, list, root", resends=False),
        deep=replace(DEEP, reader="root, list, root"),
    ),
    right("side by side, in the grace", replace(LANES, reader="side by side", grace=True, resends=False)),
    wrong("largest watermark", replace(DEEP, watermark="largest"), "never folded"),
    wrong("root before list", replace(LANES, reader="root, list"), "the reader missed"),
    wrong("side by side, no grace", replace(LANES, reader="side by side"), "the reader missed"),
    wrong("delete before publish", replace(LANES, delete="before"), "nowhere"),
)
