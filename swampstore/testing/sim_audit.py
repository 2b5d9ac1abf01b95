"""An auditor between the simulated processes and their store: it looks at every effect, and checks the invariants there.

    inner = MemoryStore(sim.process("store").env)
    audited = AuditedStore(sim, inner, Names("ops"))
    SimStore(process, audited, faults)              # for every process
    ...
    audited.problems                                # what was found, first to last; the run is halted at the first

It reads what the processes wrote with the decoders of the formats and nothing else of theirs; what must hold it works out
by itself (:mod:`.sim_truth`, :mod:`.sim_lanes`). Numbers in brackets are those of the design page, section 5.

Invariants:
- An effect is looked at before anybody else can act on it.
- Nothing is changed on its way; a problem never surfaces as an error of the call that caused it, for that might be caught.
"""

from __future__ import annotations

from collections.abc import Sequence

from swampstore.errors import NotFound
from swampstore.limits import (
    CONTENT_GRACE_MS,
    DELETE_GRACE_MS,
    LEADER_TTL_MS,
    ORPHAN_AGE_MS,
    PIN_TTL_MS,
    SHARD_GRACE_MS,
)
from swampstore.stores.base import (
    Body,
    Create,
    Got,
    Headed,
    NotModified,
    Outcome,
    Page,
    Request,
    Stored,
    When,
    outcome,
)
from swampstore.stores.memory import MemoryStore
from swampstore.testing.env import START_MS
from swampstore.testing.sim import Sim
from swampstore.testing.sim_files import AuditedFiles
from swampstore.testing.sim_lanes import Lanes, Queues
from swampstore.testing.sim_store import COURIER
from swampstore.testing.sim_truth import Truth
from swampstore.values.entry import content_of
from swampstore.values.lane_file import HEADER_BYTES
from swampstore.values.names import Names, lane_writer
from swampstore.values.root import NO_ROOT, Root, decode_root, root_problem, successor_problem
from swampstore.values.segment import Segment, decode_segment

Slot = tuple[str, int]


class AuditedStore:
    """See the module. A store over ``inner``; ``names`` is the namespace that is looked at."""

    def __init__(self, sim: Sim, inner: MemoryStore, names: Names) -> None:
        self._sim = sim
        self._names = names
        self._of_queues = names.queues
        self.inner = inner
        self.problems: list[str] = []
        self.roots = 0
        self.root = NO_ROOT
        self.slots: dict[Slot, Segment] = {}
        """What every slot held when it was created for the first time."""
        self._frames: dict[str, list[int]] = {}
        self._bytes: dict[str, int] = {}
        self._made: dict[str, int] = {}
        self._owner: dict[str, str] = {}
        self._high: dict[str, int] = {}
        self._covered: dict[str, dict[int, int]] = {}
        self._top: dict[str, int] = {}
        self._acked: dict[str, set[int]] = {}
        self._garbage: dict[str, int] = {}
        self._pins: dict[str, int] = {}
        self._confirmed: dict[str, frozenset[str]] = {}
        self._saved: dict[str, frozenset[str]] = {}
        self._led_at = 0
        self.truth = Truth(names, self.body, self.fail)
        files = inner.lanes
        self.lanes = AuditedFiles(files, names, self.body, self.fail, self._framed, self._removed) if files else None
        self.shared = Lanes(self.fail)
        self.queues = Queues(self.fail)

    @property
    def url(self) -> str:
        return self.inner.url

    @property
    def clock_ms(self) -> int:
        """The store's time."""
        return START_MS + int(self._sim.now * 1000)

    def who(self) -> str:
        """The process at work, or the one that sent what arrives just now."""
        assert self._sim.running is not None
        return self._sim.running.process.name.removeprefix(COURIER)

    def fail(self, problem: str) -> None:
        """Note a problem and halt the run."""
        self.problems.append(f"{self._sim.now:.3f} s, {self.who()}: {problem}")
        self._sim.halted = True

    def body(self, name: str) -> bytes | None:
        """The bytes of an object, past everything; ``None`` when there is none."""
        found = self.inner._objects.get(name)
        return found.body if found else None

    # --- told by the actors -------------------------------------------------------------------------------------

    def acknowledged(self, lane: str, slot: int, versions: Sequence[bytes]) -> None:
        """An append was acknowledged: its slot holds it, and will be read. [3]"""
        segment = self.slots.get((lane, slot))
        there = {record.version for record in segment.records} if segment else set()
        if not there.issuperset(versions):
            self.fail(f"slot {slot} of lane {lane} was acknowledged and is another's")
            return
        self._acked.setdefault(lane, set()).add(slot)
        self._check_acked(lane)

    def _check_acked(self, lane: str) -> None:
        """Every acknowledged slot of ``lane`` that was not covered is in the store, and no reader passes it by. [3]"""
        top = self._top.get(lane, 0)
        waiting = self._acked[lane] = {slot for slot in self._acked[lane] if slot > top}
        for slot in waiting:
            if self.root.retired(lane):
                self.fail(f"slot {slot} of lane {lane} was acknowledged, and its writer is retired")
            elif self.body(self._home(lane, slot)) is None:
                self.fail(f"slot {slot} of lane {lane} was acknowledged, is not folded, and is gone")

    def _home(self, lane: str, slot: int) -> str:
        """The object that a slot lies in."""
        of_file = self.lanes is not None and lane in self.lanes.ends
        return self._names.lane_file(lane) if of_file else self._names.segment(lane, slot)

    # --- effects ------------------------------------------------------------------------------------------------

    def _check_put(self, name: str, body: bytes, when: When) -> None:
        slot = self._names.parse_segment(name)
        unique = self._names.parse_unique(name)
        if slot is not None:
            self._put_slot(slot, name, body, when)
        elif name == self._names.root:
            self._put_root(body)
        elif unique is not None and unique[0] == "pin":
            self._pins[name] = self.clock_ms
        elif unique is not None:
            if self._bytes.setdefault(name, hash(body)) != hash(body):
                self.fail(f"{name} is used again for other bytes [5]")
            self._made[name] = self.clock_ms
        elif name.startswith(self._of_queues):
            self.queues.put(self.who(), name, body)
        elif name.startswith(self._names.saved("")):
            self._saved[name] = self.truth.named_by(decode_root(body, name))

    def _put_slot(self, slot: Slot, name: str, body: bytes, when: When) -> None:
        lane, number = slot
        if not isinstance(when, Create):
            self.fail(f"{name} is written without the condition that nobody has [1]")
        if slot in self.slots:
            if number > self._top.get(lane, 0):
                self.fail(f"slot {number} of lane {lane} is created again and is not covered [1]")
            return  # brought back behind the watermark: inert
        if number != self._high.get(lane, 0) + 1:
            self.fail(f"lane {lane} goes from slot {self._high.get(lane, 0)} to {number} [1]")
        if lane_writer(lane) is not None and self._owner.setdefault(lane, self.who()) != self.who():
            self.fail(f"lane {lane} belongs to {self._owner[lane]} [1]")
        self._high[lane] = number
        segment = self.slots[slot] = decode_segment(body, name, lane, number)
        self.shared.take(segment)

    def _framed(self, segment: Segment, start: int) -> None:
        """A frame of a lane file is whole, that begins at ``start``."""
        lane, end = segment.header.lane, segment.header.slot
        if end <= self._top.get(lane, 0):
            self.fail(f"the frame at {start} of lane {lane} appears below the watermark {self._top[lane]} [4]")
        if self._owner.setdefault(lane, self.who()) != self.who():
            self.fail(f"lane {lane} belongs to {self._owner[lane]} [1]")
        self.slots[lane, end] = segment
        self._frames.setdefault(lane, []).append(end)

    def _removed(self, lane: str, end: int) -> None:
        """A lane file is gone, whose frames end at ``end``."""
        name = self._names.lane_file(lane)
        if end == HEADER_BYTES:
            return
        covered = self._covered.get(lane, {}).get(end)
        if covered is None:
            self.fail(f"{name} is deleted before a root covers it up to {end} [4]")
        elif self.clock_ms - covered < DELETE_GRACE_MS:
            self.fail(f"{name} is deleted {self.clock_ms - covered} ms after it was covered [4]")
        if any(item.name == name for item in self.root.quarantine):
            self.fail(f"{name} is deleted, and is in the quarantine")

    def _put_root(self, body: bytes) -> None:
        old, new = self.root, decode_root(body, self._names.root)
        problem = root_problem(new) or successor_problem(old, new)
        if problem:
            self.fail(f"root {new.version}: {problem} [2]")
        if (
            new.leader
            and old.leader
            and new.leader.id != old.leader.id
            and self.clock_ms - self._led_at < LEADER_TTL_MS
        ):
            self.fail(f"root {new.version}: {new.leader.who} takes over from {old.leader.who} that has just published")
        self.root, self._led_at, self.roots = new, self.clock_ms, self.roots + 1
        self._cover(new)
        listed = {item.name for item in new.garbage}
        self._garbage = {name: self._garbage.get(name, self.clock_ms) for name in listed}
        self.truth.compare(new, self.clock_ms)
        for lane in list(self._acked):
            self._check_acked(lane)

    def _cover(self, new: Root) -> None:
        quarantined = {item.name for item in new.quarantine}
        for lane, mark in new.watermarks.items():
            segments = []
            for number in self._newly_covered(lane, mark):
                segment = self.slots.get((lane, number))
                if segment is None:
                    self.fail(f"root {new.version} covers slot {number} of lane {lane}, which nobody made")
                elif self._home(lane, number) not in quarantined:
                    segments.append(segment)
                self._covered.setdefault(lane, {})[number] = self.clock_ms
            self._top[lane] = max(self._top.get(lane, 0), mark)
            if segments:
                self.truth.take(segments, new.settings)

    def _newly_covered(self, lane: str, mark: int) -> Sequence[int]:
        """The slots that a root with watermark ``mark`` covers for the first time."""
        top = self._top.get(lane, 0)
        if self.lanes is None or lane not in self.lanes.ends:
            return range(top + 1, mark + 1)
        ends = self._frames.get(lane, ())
        if mark > top and mark not in ends:
            self.fail(f"the watermark {mark} of lane {lane} is not behind a whole frame [4]")
        if mark > top and mark > self.lanes.synced.get(lane, 0):
            self.fail(f"the watermark {mark} of lane {lane} covers frames that are not on the disk [7]")
        return [end for end in ends if top < end <= mark]

    def _check_delete(self, name: str) -> None:
        slot = self._names.parse_segment(name)
        if self.lanes is not None and self._names.parse_lane_file(name) is not None:
            self.lanes.removed(name)
        unique = self._names.parse_unique(name)
        age = self.clock_ms - self._made.get(name, self.clock_ms)
        if slot is not None:
            self._delete_slot(slot, name)
        elif name == self._names.root:
            self.fail("the root is deleted")
        elif unique is not None and unique[0] == "pin":
            del self._pins[name]
        elif unique is not None:
            self._delete_unique(name.removeprefix(self._names.prefix), unique[0], age)
        elif name.startswith(self._of_queues):
            modified = self.inner._objects[name].modified
            self.queues.deleted(name, self.clock_ms - modified)
        elif name.startswith(self._names.saved("")):
            del self._saved[name]

    def _delete_slot(self, slot: Slot, name: str) -> None:
        lane, number = slot
        covered = self._covered.get(lane, {}).get(number)
        if covered is None:
            self.fail(f"{name} is deleted before a root covers it [4]")
        elif self.clock_ms - covered < DELETE_GRACE_MS:
            self.fail(f"{name} is deleted {self.clock_ms - covered} ms after it was covered [4]")
        if any(item.name == name for item in self.root.quarantine):
            self.fail(f"{name} is deleted, and is in the quarantine")

    def _delete_unique(self, short: str, kind: str, age: int) -> None:
        root, since = self.root, self._garbage.get(short)
        if any(ref.name == short for ref in root.runs):
            self.fail(f"{short} is deleted, and root {root.version} names it [5]")
        grace = CONTENT_GRACE_MS if kind in ("blob", "pack") else SHARD_GRACE_MS
        if since is None and age < ORPHAN_AGE_MS and not self._never_named(short):
            self.fail(f"{short} is deleted, {age} ms old, and no root calls it garbage [5]")
        if since is not None and self.clock_ms - since < grace:
            self.fail(f"{short} is deleted {self.clock_ms - since} ms after it became garbage [5]")
        if kind in ("blob", "pack") and short in self.truth.named() | self._in_log():
            self.fail(f"{short} is deleted, and a record names it [5]")
        if since is not None and any(self.clock_ms - written < PIN_TTL_MS / 2 for written in self._pinned(short)):
            self.fail(f"{short} is deleted, and a pin that was confirmed holds it")
        if any(short in held for held in self._saved.values()):
            self.fail(f"{short} is deleted, and a saved snapshot needs it")

    def _never_named(self, short: str) -> bool:
        """Whether an upload is taken back by its own maker: no slot has ever named it."""
        return all(content_of(record) != short for segment in self.slots.values() for record in segment.records)

    def _in_log(self) -> set[str]:
        return {
            name
            for (lane, number), segment in self.slots.items()
            if number > self._top.get(lane, 0) and self.body(self._home(lane, number)) is not None
            for record in segment.records
            if (name := content_of(record)) is not None
        }

    # --- pins that their readers have confirmed ------------------------------------------------------------------

    def hold(self, pin: str, root: Root) -> None:
        """A reader relies on ``pin`` from now on for everything that ``root`` names."""
        self._confirmed[pin] = frozenset(ref.name for ref in root.runs)

    def _pinned(self, short: str) -> list[int]:
        return [self._pins[pin] for pin, held in self._confirmed.items() if short in held and pin in self._pins]

    # --- the verbs ----------------------------------------------------------------------------------------------

    async def get(
        self, name: str, *, span: tuple[int, int] | None = None, if_none_match: str | None = None
    ) -> Got | NotModified:
        queue = name.startswith(self._of_queues)
        try:
            got = await self.inner.get(name, span=span, if_none_match=if_none_match)
        except NotFound as error:
            if queue:
                self.queues.got(self.who(), name, error)
            raise
        if queue and isinstance(got, Got):
            self.queues.got(self.who(), name, got.body)
        return got

    async def put(self, name: str, body: Body, when: When) -> Stored:
        stored = await self.inner.put(name, body, when)
        assert isinstance(body, bytes)
        self._check_put(name, body, when)
        return stored

    async def head(self, name: str) -> Headed:
        return await self.inner.head(name)

    async def list(self, prefix: str, *, start_after: str = "", limit: int = 1000) -> Page:
        return await self.inner.list(prefix, start_after=start_after, limit=limit)

    async def delete(self, names: Sequence[str]) -> None:
        for name in names:
            if self.body(name) is not None:
                self._check_delete(name)
        await self.inner.delete(names)

    async def now(self) -> int:
        return self.clock_ms

    async def many(self, requests: Sequence[Request]) -> Sequence[Outcome]:
        return [await outcome(self, request) for request in requests]

    async def close(self) -> None: ...
