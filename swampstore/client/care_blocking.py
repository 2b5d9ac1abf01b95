"""Examining and repairing a namespace, for the blocking client. Its twin is ``care_aio``."""

from __future__ import annotations

from typing import TYPE_CHECKING

from swampstore.env.blocking import run

if TYPE_CHECKING:  # loaded when first used: most processes put or get, and start often
    from swampstore.client.core import CoreNamespace
    from swampstore.workers.doctor.finding import Report
    from swampstore.workers.doctor.mending import RepairReport


class Care:
    """The part of a namespace that looks after its health."""

    _core: CoreNamespace

    def doctor(self, *, deep: bool = False, sample: int = 0, guards: bool = True) -> Report:
        """What is wrong with the namespace: findings with a code, an object's name and what to do.

        Cheap by default: some 20 requests, one for each run, six for each queue. ``guards`` also tries forbidden writes
        on throw-away names (some 40 small requests more). ``deep`` reads everything and checks every hash; with
        ``sample`` only about that many contents.
        """
        from swampstore.client.care import doctor

        return run(doctor(self._core, deep=deep, sample=sample, guards=guards))

    def repair(
        self, *, dry_run: bool = True, accept_loss: bool = False, deep: bool = False, alone: bool = False
    ) -> RepairReport:
        """Mend what can be mended with proof; by default only say what would be done, and what it cannot bring back.

        A repair that loses something needs ``accept_loss``. ``deep`` also mends what only reading everything tells.
        ``alone`` promises that no other process uses the namespace, so that nothing need be waited for (a minute and a
        half, for a lost root).

        Raises ``Misuse`` for a loss that was not accepted.
        """
        from swampstore.client.care import mend

        return run(mend(self._core, dry_run=dry_run, accept_loss=accept_loss, deep=deep, alone=alone))
