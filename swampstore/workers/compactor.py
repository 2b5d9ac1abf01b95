"""The compactor of one namespace: fold, merge when due, sweep; once, or in a loop.

Invariants:
- Every step is safe at any time and beside any other compactor: leadership only saves work.
- A leader goes on folding while it merges.
"""

from __future__ import annotations

from swampstore.errors import AlreadyExists
from swampstore.protocols.place import Place
from swampstore.protocols.register import Register
from swampstore.workers.fold import FoldRead, fold
from swampstore.workers.leadership import Leadership
from swampstore.workers.merge import merge
from swampstore.workers.report import CompactReport, FoldReport, MergeReport, SweepReport
from swampstore.workers.sweep_log import sweep_log

_FOLDS_PER_ROUND = 64
_MERGE_TRIES = 3


class Compactor:
    """Works for one namespace. ``register`` may be shared with readers of the same process."""

    def __init__(self, place: Place, register: Register | None = None) -> None:
        self._place = place
        self._register = register or Register(place)
        self._leadership = Leadership(place)

    async def fold_once(self, *, stay: bool = False, insist: bool = False) -> tuple[FoldReport, FoldRead]:
        """One fold of what the log holds now (bounded). See :func:`swampstore.workers.fold.fold`."""
        return await fold(self._place, self._register, self._leadership, stay=stay, insist=insist)

    async def merge_once(self, full: bool = False, *, stay: bool = False, insist: bool = False) -> MergeReport:
        """One merge of level 0 into the shards; with ``full`` the inline records too."""

        async def fold_meanwhile() -> None:
            if stay:
                await self.fold_once(stay=True)

        return await merge(
            self._place,
            self._register,
            self._leadership,
            stay=stay,
            insist=insist,
            full=full,
            between=fold_meanwhile,
        )

    async def round(self, *, stay: bool, insist: bool, full: bool = False) -> CompactReport:
        """Fold until the log is empty (bounded), merge if due or ``full``, sweep the log.

        ``stay`` keeps the leadership; ``insist`` is an explicit order of the user and takes it over at once.
        """
        began = self._place.env.boot()
        total, read = await self._fold_all(stay=stay, insist=insist)
        merged = MergeReport()
        if not total.not_leader and (full or read.seen.root.merge_due):
            for _ in range(_MERGE_TRIES):
                merged = await self.merge_once(full, stay=stay, insist=insist)
                if not merged.raced:
                    break
        swept = SweepReport()
        if not total.not_leader:
            swept.segments = await sweep_log(self._place, read.listing, self._register.last or read.seen)
        last = self._register.last or read.seen
        return CompactReport(total, merged, swept, last.root.version, self._place.env.boot() - began)

    async def _fold_all(self, *, stay: bool, insist: bool) -> tuple[FoldReport, FoldRead]:
        """Fold until nothing is left or somebody else does it."""
        total, read = await self._fold_again(stay=stay, insist=insist)
        for _ in range(_FOLDS_PER_ROUND):
            if not (total.published and read.slots) or total.raced:
                break
            more, read = await self._fold_again(stay=stay, insist=insist)
            total = added(total, more)
        return total, read

    async def _fold_again(self, *, stay: bool, insist: bool) -> tuple[FoldReport, FoldRead]:
        try:
            return await self.fold_once(stay=stay, insist=insist)
        except AlreadyExists:
            # Two processes made the first root at once: it is there now.
            return await self.fold_once(stay=stay, insist=insist)


def added(a: FoldReport, b: FoldReport) -> FoldReport:
    """Two folds as one report."""
    return FoldReport(
        published=a.published or b.published,
        segments=a.segments + b.segments,
        deltas=a.deltas + b.deltas,
        dropped=a.dropped + b.dropped,
        quarantined=a.quarantined + b.quarantined,
        spilled=a.spilled or b.spilled,
        raced=b.raced,
        not_leader=b.not_leader,
    )
