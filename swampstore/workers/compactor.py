"""The compactor of one namespace: fold, merge when due, sweep, repack, automatic gc; once, or in a loop.

Invariants:
- Every step is safe at any time and beside any other compactor: leadership only saves work.
- A leader goes on folding while it merges.
- An idle namespace costs polls (two requests each, at growing distance) and no write.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import TYPE_CHECKING

import msgspec

from swampstore.env.base import Event
from swampstore.errors import AlreadyExists, SwampError
from swampstore.protocols.place import Place
from swampstore.protocols.register import Register
from swampstore.values.root import Root
from swampstore.values.tiers import merge_due
from swampstore.workers.archive import sort_due
from swampstore.workers.fold import FoldRead, fold, read_log
from swampstore.workers.leadership import Leadership
from swampstore.workers.merge import merge
from swampstore.workers.report import (
    CompactReport,
    FoldReport,
    MergeReport,
    RepackReport,
    SortReport,
    SweepReport,
    add_folds,
    add_sweeps,
)
from swampstore.workers.retire import retire_alone
from swampstore.workers.sweep_garbage import GarbageSweep, is_run, ripe_garbage
from swampstore.workers.sweep_log import sweep_log
from swampstore.workers.sweep_orphans import OrphanSweep

if TYPE_CHECKING:  # loaded when first used: most compactions are the short help of a client
    from swampstore.workers.gc.automatic import AutomaticGc
    from swampstore.workers.gc.report import GcReport

OnRound = Callable[[str, CompactReport], None]
OnError = Callable[[str, Exception], None]

_FOLDS_PER_ROUND = 64
_MERGE_TRIES = 3
_FOLD_MEANWHILE_S = 1.0
_IDLE_S = 15.0
_BACKOFF = 1.5
_LONG_IDLE_S = 60.0
_SLOWLY = 1.01
"""Past 15 s the distance of polls grows by so much each time: a minute after about an hour of idleness."""
_HOUR_S = 3600.0
_DAY_S = 24 * _HOUR_S
_REPACKS_A_DAY = 64

_log = logging.getLogger("swampstore.compactor")


def tombstones_wait(root: Root) -> bool:
    """Whether level 0 holds removals that have not met what they remove."""
    return any(ref.tombstones for ref in root.level0) or any(record.gone for record in root.inline)


def log_error(namespace: str, error: Exception) -> None:
    """The default for errors of a loop: the log, with the hint."""
    _log.error("namespace %s: %s %s", namespace, error, getattr(error, "hint", ""))


class Compactor:
    """Works for one namespace. ``register`` may be shared with readers of the same process."""

    def __init__(self, place: Place, register: Register | None = None) -> None:
        self._place = place
        self._register = register or Register(place)
        self._leadership = Leadership(place)
        # When each was last done (boot clock, s). Looking for uses and orphans reads the manifest: not in every round.
        self._retired_at = float("-inf")
        self._contents_at = float("-inf")
        self._archives_at = float("-inf")
        self._orphans_at = place.env.boot() - _DAY_S + _HOUR_S
        self._automatic: AutomaticGc | None = None

    @property
    def namespace(self) -> str:
        return self._place.names.namespace

    # --- single steps -------------------------------------------------------------------------------------------

    async def fold_once(self, *, stay: bool = False, insist: bool = False) -> tuple[FoldReport, FoldRead]:
        """One fold of what the log holds now (bounded). See :func:`swampstore.workers.fold.fold`."""
        try:
            return await fold(self._place, self._register, self._leadership, stay=stay, insist=insist)
        except AlreadyExists:
            # Two processes made the first root at once: it is there now.
            return await fold(self._place, self._register, self._leadership, stay=stay, insist=insist)

    async def merge_once(self, full: bool = False, *, stay: bool = False, insist: bool = False) -> MergeReport:
        """One merge of level 0 into the shards; with ``full`` the inline records too."""
        boot = self._place.env.boot
        folded_at = boot()

        async def fold_meanwhile() -> None:
            nonlocal folded_at
            if stay and boot() - folded_at >= _FOLD_MEANWHILE_S:
                await self.fold_once(stay=True)
                folded_at = boot()

        return await merge(
            self._place,
            self._register,
            self._leadership,
            stay=stay,
            insist=insist,
            full=full,
            between=fold_meanwhile,
        )

    async def sweep_once(self, *, stay: bool = False, insist: bool = False, orphans: bool = True) -> SweepReport:
        """Delete all that may go now: folded segments, garbage, and with ``orphans`` what nothing names."""
        read = await read_log(self._place, self._register)
        swept = SweepReport(segments=await sweep_log(self._place, read.listing, read.seen))
        swept = add_sweeps(swept, await self._garbage_sweep(stay, insist).run())
        if orphans:
            sweep = OrphanSweep(self._place, self._register, self._leadership, stay=stay, insist=insist)
            swept = add_sweeps(swept, await sweep.run())
        return swept

    # --- a round ------------------------------------------------------------------------------------------------

    async def round(self, *, stay: bool, insist: bool, full: bool = False) -> CompactReport:
        """Fold until the log is empty (bounded), merge if due or ``full``, sweep what is ripe, retire writers.

        ``stay`` keeps the leadership for the next round; ``insist`` is an explicit order of the user and takes it over at
        once. With neither this is the help of an ordinary client: it steps in only when nobody leads, and sweeps no
        contents.
        """
        env = self._place.env
        began = env.boot()
        prior = self._register.last.root if self._register.last else None
        folded, read = await self._fold_all(stay=stay, insist=insist)
        report = CompactReport(folded, MergeReport(), SweepReport())
        if not folded.not_leader:
            daily = stay and env.boot() - self._orphans_at >= _DAY_S
            # Contents are garbage only when the merge has brought the tombstones down to what they remove.
            full = full or (daily and tombstones_wait(read.seen.root))
            if full or merge_due(read.seen.root):
                report.merge = await self._merge(full, stay=stay, insist=insist)
            report.sweep = await self._sweep(read, stay=stay, insist=insist)
            if daily:
                report.repack = await self._repack(stay=stay, insist=insist)
            report.archive = await self._archive(full, stay=stay, insist=insist)
            if stay or insist:
                report.gc = await self._gc()
            if not (folded.published or folded.raced):
                report.retired = await self._retire(prior, read, stay=stay)
        last = self._register.last or read.seen
        report.root_version, report.seconds = last.root.version, env.boot() - began
        return report

    async def _fold_all(self, *, stay: bool, insist: bool) -> tuple[FoldReport, FoldRead]:
        """Fold until nothing is left or somebody else does it."""
        total, read = await self.fold_once(stay=stay, insist=insist)
        before = read.before
        for _ in range(_FOLDS_PER_ROUND):
            if not (total.published and read.left) or total.raced or total.not_leader:
                break
            more, read = await self.fold_once(stay=stay, insist=insist)
            total = add_folds(total, more)
        return total, msgspec.structs.replace(read, before=before)

    async def _merge(self, full: bool, *, stay: bool, insist: bool) -> MergeReport:
        merged = MergeReport()
        for _ in range(_MERGE_TRIES):
            merged = await self.merge_once(full, stay=stay, insist=insist)
            if not merged.raced:
                break
        return merged

    async def _sweep(self, read: FoldRead, *, stay: bool, insist: bool) -> SweepReport:
        boot = self._place.env.boot()
        swept = SweepReport(segments=await sweep_log(self._place, read.listing, read.before, read.seen))
        ripe = ripe_garbage(self._register.last or read.seen)
        contents = insist or (stay and boot - self._contents_at >= _HOUR_S)
        if any(contents or is_run(item) for item in ripe):
            swept = add_sweeps(swept, await self._garbage_sweep(stay, insist).run(contents=contents))
            self._contents_at = boot if contents else self._contents_at
        if stay and boot - self._orphans_at >= _DAY_S:
            sweep = OrphanSweep(self._place, self._register, self._leadership, stay=stay, insist=insist)
            swept = add_sweeps(swept, await sweep.run())
            self._orphans_at = boot
        return swept

    async def _repack(self, *, stay: bool, insist: bool) -> RepackReport:
        """Once a day, beside the look for orphans, which reads the manifest anyway."""
        from swampstore.workers.prune import repack_all

        most = _REPACKS_A_DAY
        return await repack_all(self._place, self._register, self._leadership, stay=stay, insist=insist, most=most)

    async def _archive(self, full: bool, *, stay: bool, insist: bool) -> SortReport | None:
        """Sort audit archives when that is due; look for old ones at most once an hour."""
        root = self._register.last.root if self._register.last else None
        if root is None or not (root.audit.fresh or root.audit.catalog):
            return None
        boot = self._place.env.boot()
        retain = insist or (stay and boot - self._archives_at >= _HOUR_S)
        if not (sort_due(root) or (full and root.audit.fresh) or retain):
            return None
        from swampstore.workers.archive_sort import look_after_archives

        self._archives_at = boot if retain else self._archives_at
        return await look_after_archives(
            self._place, self._register, self._leadership, stay=stay, insist=insist, full=full, retain=retain
        )

    async def _gc(self) -> GcReport | None:
        """Where retention is automatic: at most once an hour, and when something is due. The next round folds it."""
        last = self._register.last
        if last is None or not last.root.settings:
            return None
        if self._automatic is None:
            from swampstore.workers.gc.automatic import AutomaticGc

            self._automatic = AutomaticGc(self._place, self._register)
        return await self._automatic.run()

    async def _retire(self, prior: Root | None, read: FoldRead, *, stay: bool) -> int:
        """At most once an hour, when there was nothing to fold."""
        boot = self._place.env.boot()
        if prior is None or boot - self._retired_at < _HOUR_S:
            return 0
        self._retired_at = boot
        seen = self._register.last or read.seen
        if seen.root.version != read.seen.root.version:
            return 0
        return await retire_alone(self._register, self._leadership, self._place, prior, read.listing, seen, stay=stay)

    def _garbage_sweep(self, stay: bool, insist: bool) -> GarbageSweep:
        return GarbageSweep(self._place, self._register, self._leadership, stay=stay, insist=insist)

    # --- the loop -----------------------------------------------------------------------------------------------

    async def run(
        self,
        stop: Event,
        *,
        interval_s: float = 1.0,
        on_round: OnRound | None = None,
        on_error: OnError = log_error,
    ) -> None:
        """Round after round until ``stop`` is set; an idle namespace is polled at growing distance: 15 s
        soon, a minute after an hour or so.

        An error ends a round, not the loop: ``on_error`` is told.
        """
        delay = interval_s
        while not stop.is_set():
            delay = await self.step(delay, interval_s, on_round, on_error)
            await stop.wait(delay)

    async def step(self, delay: float, interval_s: float, on_round: OnRound | None, on_error: OnError) -> float:
        """One round of a loop; how many seconds to wait before the next."""
        try:
            report = await self.round(stay=True, insist=False)
        except (SwampError, AssertionError) as error:
            on_error(self.namespace, error)
            return min(max(delay, interval_s) * 2, _IDLE_S)
        if on_round is not None:
            on_round(self.namespace, report)
        return interval_s if report.busy else _longer(max(delay, interval_s), interval_s)


def _longer(delay: float, interval_s: float) -> float:
    """The next distance of polls of an idle namespace, in seconds."""
    if delay < _IDLE_S:
        return min(delay * _BACKOFF, _IDLE_S)
    return min(delay * _SLOWLY, max(_LONG_IDLE_S, interval_s))
