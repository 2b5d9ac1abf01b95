"""Examining and repairing a namespace, for the asyncio client."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:  # loaded when first used: most processes put or get, and start often
    from swampstore.client.core import CoreNamespace
    from swampstore.workers.doctor.finding import Report
    from swampstore.workers.doctor.mending import RepairReport


class AsyncCare:
    """The part of a namespace that looks after its health."""

    _core: CoreNamespace

    async def doctor(self, *, deep: bool = False, sample: int = 0, guards: bool = True) -> Report:
        """See :meth:`swampstore.client.care_blocking.Care.doctor`."""
        from swampstore.client.care import doctor

        return await doctor(self._core, deep=deep, sample=sample, guards=guards)

    async def repair(
        self, *, dry_run: bool = True, accept_loss: bool = False, deep: bool = False, alone: bool = False
    ) -> RepairReport:
        """See :meth:`swampstore.client.care_blocking.Care.repair`."""
        from swampstore.client.care import mend

        return await mend(self._core, dry_run=dry_run, accept_loss=accept_loss, deep=deep, alone=alone)
