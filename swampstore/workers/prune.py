"""Prune: everything that takes space and that nobody can reach any more goes now, as far as its grace allows.

In order: leftovers of versions (tombstones), packs that are more than half dead (rewritten), garbage whose grace has
passed, orphans. A dry run looks at the same things and changes nothing.

Invariants: bytes are those of objects, from listings of the store, and of what was really deleted.
"""

from __future__ import annotations

import msgspec

from swampstore.protocols.place import Place
from swampstore.protocols.register import Register
from swampstore.protocols.snapshot import SnapshotReader
from swampstore.values.names import UniqueKind
from swampstore.workers.gc.leftovers import collect_leftovers
from swampstore.workers.gc.run import Append
from swampstore.workers.leadership import Leadership
from swampstore.workers.objects import list_sizes
from swampstore.workers.repack import Repack
from swampstore.workers.report import RepackReport
from swampstore.workers.sweep_garbage import GarbageSweep
from swampstore.workers.sweep_orphans import OrphanSweep

_KINDS: tuple[UniqueKind, ...] = ("blob", "pack", "l0", "shard", "eph", "audit")
_REPACKS = 64
"""Repacks in a row, each of a bounded size."""


class PruneReport(msgspec.Struct):
    """``bytes`` is what was (or would be) deleted now: ``garbage_bytes`` and ``orphan_bytes`` together.

    ``repacked`` packs free ``repacked_bytes`` when their grace is over; ``waiting`` objects of ``waiting_bytes`` are
    garbage whose grace runs still. ``leftovers`` counts entries.
    """

    dry_run: bool = True
    leftovers: int = 0
    garbage: int = 0
    garbage_bytes: int = 0
    orphans: int = 0
    orphan_bytes: int = 0
    repacked: int = 0
    repacked_bytes: int = 0
    waiting: int = 0
    waiting_bytes: int = 0
    seconds: float = 0.0

    @property
    def bytes(self) -> int:
        """Bytes of objects that go now."""
        return self.garbage_bytes + self.orphan_bytes

    @property
    def removed(self) -> int:
        """Objects, entries and packs that it has to do with."""
        return self.leftovers + self.garbage + self.orphans + self.repacked


class Prune:
    """One prune of a namespace."""

    def __init__(self, place: Place, register: Register, reader: SnapshotReader, append: Append) -> None:
        self._place = place
        self._register = register
        self._reader = reader
        self._append = append
        self._leadership = Leadership(place)

    async def run(self, *, dry_run: bool) -> PruneReport:
        """Do it, whoever leads; or with ``dry_run`` say what it would do."""
        began = self._place.env.boot()
        report = PruneReport(dry_run=dry_run)
        left = await collect_leftovers(self._place, self._reader, self._append, dry_run=dry_run)
        report.leftovers = left.entries
        repacked = await repack_all(self._place, self._register, self._leadership, dry_run=dry_run)
        report.repacked, report.repacked_bytes = repacked.packs, repacked.bytes
        listed = {item.name for item in (await self._register.read()).root.garbage}
        sizes = await list_sizes(self._place, _KINDS, listed) if listed else {}
        sweep = GarbageSweep(self._place, self._register, self._leadership, stay=False, insist=True)
        if dry_run:
            deleted = await sweep.preview()
        else:
            await sweep.run()
            deleted = sweep.deleted
        report.garbage = len(deleted)
        report.garbage_bytes = sum(sizes.get(name, 0) for name in deleted)
        orphans = OrphanSweep(self._place, self._register, self._leadership, stay=False, insist=True)
        swept = await orphans.run(dry_run=dry_run)
        report.orphans, report.orphan_bytes = swept.orphans, swept.bytes
        gone = set(deleted)
        waiting = [item.name for item in (await self._register.read()).root.garbage if item.name not in gone]
        report.waiting, report.waiting_bytes = len(waiting), sum(sizes.get(name, 0) for name in waiting)
        report.seconds = self._place.env.boot() - began
        return report


async def repack_all(
    place: Place,
    register: Register,
    leadership: Leadership,
    *,
    stay: bool = False,
    insist: bool = True,
    dry_run: bool = False,
    most: int = _REPACKS,
) -> RepackReport:
    """Repack until nothing is left to repack, at most ``most`` times; the sum of it."""
    total = RepackReport()
    for _ in range(most):
        report = await Repack(place, register, leadership, stay=stay, insist=insist).run(dry_run=dry_run)
        total = RepackReport(
            published=total.published or report.published,
            raced=report.raced,
            packs=total.packs + report.packs,
            packs_made=total.packs_made + report.packs_made,
            members=total.members + report.members,
            shards_written=total.shards_written + report.shards_written,
            bytes=total.bytes + report.bytes,
            live_bytes=total.live_bytes + report.live_bytes,
            left=report.left,
        )
        if not report.published or not report.left:
            break
    return total
