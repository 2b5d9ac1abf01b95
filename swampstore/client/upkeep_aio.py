"""Upkeep of a namespace, for the asyncio client: gc, prune, automatic retention."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:  # loaded when first used: most processes put or get, and start often
    from swampstore.client.core import CoreNamespace
    from swampstore.workers.gc.automatic import Retention
    from swampstore.workers.gc.report import GcReport
    from swampstore.workers.prune import PruneReport


class AsyncUpkeep:
    """The part of a namespace that takes away what nobody needs any more."""

    _core: CoreNamespace

    async def gc(self, *, dry_run: bool = True) -> GcReport:
        """See :meth:`swampstore.client.upkeep_blocking.Upkeep.gc`."""
        from swampstore.client.tidying import gc

        return await gc(self._core, dry_run=dry_run)

    async def gc_runs(
        self, *, outputs: str | None = None, workflow_runs: str | None = None, dry_run: bool = True
    ) -> GcReport:
        """See :meth:`swampstore.client.upkeep_blocking.Upkeep.gc_runs`."""
        from swampstore.client.tidying import gc_runs

        return await gc_runs(self._core, outputs=outputs, workflow_runs=workflow_runs, dry_run=dry_run)

    async def prune(self, *, dry_run: bool = True) -> PruneReport:
        """See :meth:`swampstore.client.upkeep_blocking.Upkeep.prune`."""
        from swampstore.client.tidying import prune

        return await prune(self._core, dry_run=dry_run)

    async def retention(self) -> Retention:
        """See :meth:`swampstore.client.upkeep_blocking.Upkeep.retention`."""
        from swampstore.client.tidying import retention

        return await retention(self._core)

    async def set_retention(self, *, auto: bool) -> Retention:
        """See :meth:`swampstore.client.upkeep_blocking.Upkeep.set_retention`."""
        from swampstore.client.tidying import set_retention

        return await set_retention(self._core, auto=auto)
