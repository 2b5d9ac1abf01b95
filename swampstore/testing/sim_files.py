"""Lane files in a simulation: appends that are torn by a crash or a pause, and an auditor that looks at every byte.

    inner = MemoryStore(env, lanes=True)
    audited = AuditedStore(sim, inner, names)          # audited.lanes: AuditedFiles
    SimStore(process, audited, faults).lanes           # SimFiles: what the process uses

Invariants:
- An append is seen in two parts whenever the dice say so; between them others run, and the owner may die or stand still.
- The lock of a dead process is free, that of one that stands still is not.
- A write that failed may have left everything, a part or nothing; its owner is told that it failed.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import TYPE_CHECKING

from swampstore.errors import NotFound, StoreUnavailable
from swampstore.protocols.slots import Broken
from swampstore.protocols.tails import pieces_of
from swampstore.stores.base import Got, Info, Page
from swampstore.stores.lanes import LOOK_BYTES, LaneLook
from swampstore.stores.memory_lanes import MemoryLaneFile, MemoryLanes
from swampstore.testing.sim import Process
from swampstore.values.lane_file import HEADER_BYTES, decode_frames
from swampstore.values.names import Names, slot_part
from swampstore.values.segment import Segment

if TYPE_CHECKING:
    from swampstore.testing.sim_store import SimStore

_FILE_BYTES = (500, 2_000, 20_000)
"""Small files, so that writers move on to the next."""
_TORN = 0.3


class AuditedFiles:
    """The lane files of a simulated store, looked at whenever one changes.

    ``on_frame`` is told of every frame that is whole, ``on_removed`` of a file that is deleted, with how far it was read.
    """

    def __init__(
        self,
        inner: MemoryLanes,
        names: Names,
        body: Callable[[str], bytes | None],
        fail: Callable[[str], None],
        on_frame: Callable[[Segment, int], None],
        on_removed: Callable[[str, int], None],
    ) -> None:
        self.inner = inner
        self.owners: dict[str, tuple[Process, MemoryLaneFile]] = {}
        self.ends: dict[str, int] = {}
        """How far the whole frames of each lane reach."""
        self.synced: dict[str, int] = {}
        """How far each lane is on the disk."""
        self._names = names
        self._body = body
        self._fail = fail
        self._on_frame = on_frame
        self._on_removed = on_removed

    async def open_lane(self, process: Process, name: str, header: bytes, size: int) -> MemoryLaneFile:
        """A new file, locked by ``process``."""
        lane = self._names.parse_lane_file(name)
        assert lane is not None
        if lane in self.ends:
            self._fail(f"{name} is made again [1]")
        file = await self.inner.open_lane(name, header, size)
        self.ends[lane] = HEADER_BYTES
        self.owners[name] = process, file
        return file

    def written(self, name: str) -> None:
        """The file ``name`` has more in it than before: frames that are whole now count from now on."""
        lane, body = self._names.parse_lane_file(name), self._body(name)
        assert lane is not None
        if body is None:
            return
        start = self.ends[lane]
        while (frames := decode_frames(body[start:], lane, start, name)).count:
            whole = frames.count == 1
            first = frames if whole else decode_frames(body[start : frames.ends[0]], lane, start, name)
            for piece in pieces_of(lane, name, start, first):
                if isinstance(piece, Broken):
                    self._fail(f"{name}: {piece.reason}")
                else:
                    self._on_frame(piece, start)
            start = self.ends[lane] = first.end

    async def sync_lane(self, name: str) -> None:
        """Everything that is whole is on the disk."""
        await self.inner.sync_lane(name)
        self.on_disk(name)

    def on_disk(self, name: str) -> None:
        """The file ``name`` was synced."""
        lane = self._names.parse_lane_file(name)
        assert lane is not None
        self.synced[lane] = self.ends[lane]

    async def remove_lane(self, name: str, covered: int) -> bool:
        """As the store does it; the locks of dead processes are free."""
        held = self.owners.get(name)
        if held is not None and held[0].dead:
            held[1].close()
        was = self._body(name) is not None
        gone = await self.inner.remove_lane(name, covered)
        if gone and was:
            self.removed(name)
        return gone

    def removed(self, name: str) -> None:
        """The file is gone: its owner must be, and all it held is folded."""
        process, file = self.owners[name]
        if not (process.dead or file.closed):
            self._fail(f"{name} is deleted while {process.name} may append to it [4]")
        lane = self._names.parse_lane_file(name)
        assert lane is not None
        self._on_removed(lane, self.ends[lane])


class SimFile:
    """A lane file in the hands of a simulated process. See :class:`swampstore.stores.lanes.LaneFile`."""

    def __init__(self, store: SimStore, files: AuditedFiles, file: MemoryLaneFile) -> None:
        self.size = store.process.dice.choice(_FILE_BYTES)
        self._store = store
        self._files = files
        self._file = file

    @property
    def end(self) -> int:
        return self._file.end

    async def append(self, frames: bytes) -> int:
        """Takes time; may be seen half done; may fail before, within or after it."""
        store, dice, faults = self._store, self._store.process.dice, self._store.faults
        await store.travel()
        if dice.random() < faults.refused:
            self.close()
            raise StoreUnavailable("simulated: the disk refused")
        cut = dice.randint(1, len(frames) - 1) if dice.random() < _TORN else 0
        if cut:
            self._write(frames[:cut])
            await store.travel()
            if dice.random() < faults.lost:
                self.close()
                raise StoreUnavailable("simulated: the disk failed in the middle of a write")
        now = self._write(frames[cut:])
        await store.travel()
        if dice.random() < faults.lost:
            self.close()
            raise StoreUnavailable("simulated: the disk failed at the sync")
        self._files.on_disk(self._file.name)
        return now

    def _write(self, part: bytes) -> int:
        now = self._file.append_now(part)
        self._store.process.sim.note(f"  {self._store.process.name} Append {self._file.name} {self._file.end}")
        self._files.written(self._file.name)
        return now

    def close(self) -> None:
        """See :meth:`swampstore.stores.lanes.LaneFile.close`."""
        self._file.close()


class SimFiles:
    """The lane files as one simulated process uses them. See :class:`swampstore.stores.lanes.LaneStore`."""

    durable = True
    chosen = True
    direct = False
    sized = False

    def __init__(self, store: SimStore, files: AuditedFiles) -> None:
        self._store = store
        self._files = files

    async def open_lane(self, name: str, header: bytes, size: int) -> SimFile:
        """See :meth:`swampstore.stores.lanes.LaneStore.open_lane`."""
        await self._store.travel()
        file = await self._files.open_lane(self._store.process, name, header, size)
        await self._store.travel()
        return SimFile(self._store, self._files, file)

    async def look(self, folder: str, file: str, ends: Mapping[str, int], after: Mapping[str, int]) -> LaneLook | None:
        """See :meth:`swampstore.stores.lanes.LaneStore.look`: one request after the other, and others act in between.

        Only for who leaves something out; a listing of everything is one request, beside that for the root.
        """
        if not after:
            return None
        page, listed = await self._listed(folder)
        lane_of = {item.name: item.name.removeprefix(folder).split("/")[0] for item in listed}
        files = {f"{folder}{lane}/{file}": lane for lane in ends}
        items = [item for item in listed if item.name not in files and lane_of[item.name] not in after]
        for lane, slot in after.items():
            items += await self._count_up(f"{folder}{lane}/", slot)
        there: set[str] = set()
        found: dict[str, bytes] = {}
        for name in [item.name for item in listed if item.name in files]:
            lane = files[name]
            with suppress(NotFound):
                got = await self._store.get(name, span=(ends[lane], LOOK_BYTES))
                assert isinstance(got, Got)
                there.add(lane)
                if got.body.strip(b"\0"):
                    found[lane] = got.body
        return LaneLook(Page(tuple(items), False, page.time), frozenset(there), found)

    async def _listed(self, folder: str) -> tuple[Page, list[Info]]:
        """All there is in ``folder``, and the first page of it."""
        first = page = await self._store.list(folder)
        items = list(page.items)
        while page.more:
            page = await self._store.list(folder, start_after=items[-1].name)
            items += page.items
        return first, items

    async def _count_up(self, folder: str, slot: int) -> list[Info]:
        found: list[Info] = []
        with suppress(NotFound):
            while True:
                slot += 1
                found.append((await self._store.head(folder + slot_part(slot))).info)
        return found

    async def sync_lane(self, name: str) -> None:
        """See :meth:`swampstore.stores.lanes.LaneStore.sync_lane`."""
        await self._store.travel()
        await self._files.sync_lane(name)

    async def remove_lane(self, name: str, covered: int) -> bool:
        """See :meth:`swampstore.stores.lanes.LaneStore.remove_lane`."""
        await self._store.travel()
        self._store.process.sim.note(f"  {self._store.process.name} Remove {name} {covered}")
        return await self._files.remove_lane(name, covered)
