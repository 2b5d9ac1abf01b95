"""Upkeep of a namespace, for the blocking client: gc, prune, automatic retention. Its twin is ``upkeep_aio``."""

from __future__ import annotations

from typing import TYPE_CHECKING

from swampstore.env.blocking import run

if TYPE_CHECKING:  # loaded when first used: most processes put or get, and start often
    from swampstore.client.core import CoreNamespace
    from swampstore.workers.gc.automatic import Retention
    from swampstore.workers.gc.report import GcReport
    from swampstore.workers.prune import PruneReport


class Upkeep:
    """The part of a namespace that takes away what nobody needs any more."""

    _core: CoreNamespace

    def gc(self, *, dry_run: bool = True) -> GcReport:
        """Remove versions whose lifetime is over or that their datum's retention gives up, and entries that expired.

        By default only says what would go. One pass over what is concerned, one append, no lock. The newest version of a
        datum is never given up by retention. Contents are deleted by the compactor, a day after.
        """
        from swampstore.client.tidying import gc

        return run(gc(self._core, dry_run=dry_run))

    def gc_runs(
        self, *, outputs: str | None = None, workflow_runs: str | None = None, dry_run: bool = True
    ) -> GcReport:
        """Remove records of old outputs and of ended workflow runs, and the data that lived for runs that are gone.

        ``outputs`` and ``workflow_runs`` are ages (``"7d"``), by default 30 days. By default only says what would go.
        """
        from swampstore.client.tidying import gc_runs

        return run(gc_runs(self._core, outputs=outputs, workflow_runs=workflow_runs, dry_run=dry_run))

    def prune(self, *, dry_run: bool = True) -> PruneReport:
        """Give back space now: leftovers, half-dead packs, garbage past its grace, orphans of crashed processes.

        By default only says what would go, in bytes of objects.
        """
        from swampstore.client.tidying import prune

        return run(prune(self._core, dry_run=dry_run))

    def retention(self) -> Retention:
        """Whether the compactor runs a gc by itself, and when it last did."""
        from swampstore.client.tidying import retention

        return run(retention(self._core))

    def set_retention(self, *, auto: bool) -> Retention:
        """Let the compactor run a gc by itself, at most once an hour, when one is due. ``gc()`` is the preview."""
        from swampstore.client.tidying import set_retention

        return run(set_retention(self._core, auto=auto))
