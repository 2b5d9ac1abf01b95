"""A granted place in a queue: it runs until it is released.

Invariants: the grant clock starts at the grant, not in the queue; a sign of life is no progress; release is idempotent
and may come late.
"""

from __future__ import annotations

import logging
from collections.abc import Callable

from swampstore.env.base import Background
from swampstore.errors import FencedError, TryAgain
from swampstore.limits import TICKET_TTL_S
from swampstore.protocols.queue_register import QueueBase
from swampstore.values.tickets import QueueRegister

_log = logging.getLogger("swampstore")


class Grant:
    """``number`` is the fencing token; ``passed_over`` says that the grant stepped over somebody who seemed dead.

    ``beats`` says that signs of life are needed (no kernel watches the holder); ``on_release`` runs last. ``known`` is the
    register of the grant: while nobody else ends or joins at another capacity, the release needs no read of it.
    ``capacity`` is that of the queue when it was granted. ``lock_file`` is the descriptor of the locked file that is the
    place, where a kernel watches the holder.
    """

    def __init__(
        self,
        queue: QueueBase,
        number: int,
        passed_over: bool,
        waited_s: float,
        *,
        capacity: int,
        beats: bool = True,
        on_release: Callable[[], None] | None = None,
        known: tuple[QueueRegister, str] | None = None,
        lock_file: int | None = None,
    ) -> None:
        self.queue = queue
        self.number = number
        self.passed_over = passed_over
        self.waited_s = waited_s
        self.capacity = capacity
        self.lock_file = lock_file
        self._granted = queue.place.clock.now_ms()
        self._progressed = 0
        self._on_release = on_release
        self._known = known
        self._released = False
        self._process = queue.place.env.process_token()
        self._beat: Background | None = queue.place.env.every(TICKET_TTL_S / 3, self._live) if beats else None

    async def begin(self, run_limit_s: float) -> None:
        """Start the run clock where others can see it, if a limit was named."""
        if run_limit_s > 0:
            await self.keep()

    async def keep(self) -> None:
        """Give a sign of life."""
        await self.queue.write_sign(self.number, self._granted, self._progressed)

    async def _live(self) -> None:
        """The sign in the background: a store that does not answer for a while must not end the signs for good."""
        try:
            await self.keep()
        except TryAgain as error:
            _log.warning("queue %s: ticket %d gave no sign of life: %s", self.queue.name, self.number, error)

    async def check(self) -> None:
        """Raise ``FencedError`` if the place was passed on meanwhile: one read. Whoever slept finds out before it acts."""
        register, _ = await self.queue.read_register()
        if register.is_finished(self.number):
            raise FencedError(
                f"the place in queue {self.queue.name!r} (ticket {self.number}) was passed on",
                hint="this process gave no sign of life for too long, or was passed over by force; queue again",
            )

    async def progress(self) -> None:
        """Say that the work moves on: the run clock starts again."""
        self._progressed = self.queue.place.clock.now_ms()
        await self.keep()

    async def release(self) -> None:
        """End it. Idempotent; a failure to reach the store is raised (the ticket is then passed over after its TTL).

        In a forked child it does nothing: the place is the parent's.
        """
        env = self.queue.place.env
        if self._process != env.process_token():
            return
        beat, self._beat = self._beat, None
        try:
            if beat is not None:
                await beat.stop()
        finally:
            if not self._released:
                await env.detached(self._end())

    async def _end(self) -> None:
        if self._on_release is None:
            await self.queue.finish(self.number, known=self._known)
        else:
            self._on_release()
            self.lock_file = None
        self._released = True
