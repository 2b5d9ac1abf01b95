"""The FIFO queue of a local store: locked ticket files, judged by the kernel.

A holder that dies frees its place at once. A stopped one keeps its turn (its lock is held): it is named, and can be
passed over by force, through the same register that the remote queue has; then its commits are fenced.

Invariants: those of :mod:`swampstore.stores.tickets`; a ticket counts as unfinished while its file is locked and the
register does not call it finished; lower tickets that were once seen finished stay so. What a holder tells of itself (its
grant, its progress) stands in its ticket, so it goes when the ticket goes.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import msgspec

from swampstore.env.clock import Span
from swampstore.env.phases import Operation
from swampstore.limits import LOCAL_POLL_MAX_S, LOCAL_POLL_MIN_S, LOCAL_REGISTER_S, LOCAL_TICKETS_KEPT
from swampstore.protocols.place import Place
from swampstore.protocols.queue_grant import Grant
from swampstore.protocols.queue_register import Pace, QueueBase, Waiting, Wish
from swampstore.stores.base import Outcome, Request
from swampstore.stores.tickets import HeldTicket, TicketFolder
from swampstore.values.tickets import QueueRegister, Sign, Ticket, decode_ticket, encode_ticket


class LocalQueue(QueueBase):
    """See the module. ``root`` is the local store's directory."""

    def __init__(self, place: Place, name: str, root: str, *, capacity: int | None = None) -> None:
        super().__init__(place, name, capacity=capacity)
        self.files = TicketFolder(f"{root}/{self.folder}t", place.store.url, root)

    # --- looking ------------------------------------------------------------------------------------------------

    def requests(self) -> list[Request]:
        """Nothing: looking at local tickets is no request."""
        return []

    def contended(self, answers: Sequence[Outcome]) -> bool:  # noqa: ARG002 (the remote queue's needs them)
        """Whether anybody holds or waits."""
        return any(self.files.locked(number) for number in reversed(self.files.numbers()))

    def still_holds(self, number: int, answers: Sequence[Outcome]) -> bool:  # noqa: ARG002
        """Never: :meth:`contended` has looked later than any snapshot the question is about."""
        return False

    async def unfinished(self) -> list[int]:
        """The numbers of all tickets that hold or wait, in order."""
        register, _ = await self.read_register()
        numbers = self.files.numbers()
        return [number for number in numbers if not register.is_finished(number) and self.files.locked(number)]

    async def ticket(self, number: int) -> Ticket | None:
        """Who holds or held ``number``; ``None`` when its ticket is gone."""
        body = self.files.read(number)
        return None if body is None else decode_ticket(body, f"{self.folder}t/{number:016x}")

    async def write_sign(self, number: int, granted: int, progressed: int) -> None:
        """Note in the ticket when it was granted, and its last progress. Not synced: it is for people to see."""
        ticket = await self.holder(number)
        if ticket is not None:
            told = msgspec.structs.replace(ticket, granted=granted, progressed=progressed)
            self.files.rewrite(number, encode_ticket(told))

    async def signs(self, numbers: Sequence[int]) -> list[tuple[Sign | None, int]]:
        """See :meth:`QueueBase.signs`; the kernel knows who lives, so no sign has a time."""
        tickets = [await self.holder(number) for number in numbers]
        return [(Sign(b"", ticket.granted, ticket.progressed) if ticket else None, 0) for ticket in tickets]

    # --- queueing -----------------------------------------------------------------------------------------------

    async def prepare(self) -> QueueRegister:
        """The register, made when there is none: tickets are not synced, so after a loss of power it names the queue."""
        register, etag = await self.read_register()
        return register if etag else await self.change(lambda held: held)

    async def acquire(
        self,
        *,
        deadline_s: float | None = None,
        bound: int | None = None,
        purpose: str = "",
        run_limit_s: float = 0.0,
        on_wait: Callable[[Waiting], None] | None = None,
    ) -> Grant:
        """See :meth:`swampstore.protocols.queue_remote.RemoteQueue.acquire`."""
        wish = Wish(deadline_s, bound, purpose, run_limit_s).check()
        with Operation(self.place.env, "acquire", "lock_wait"):
            began = Span(self.place.env)
            await self.prepare()
            while True:
                if bound is not None:
                    await self._check_room(len(await self.unfinished()), bound)
                held = self._take(wish)
                grant: Grant | None = None
                try:
                    if bound is not None:
                        await self._check_room(sum(number < held.number for number in await self.unfinished()), bound)
                    grant = await _Waiter(self, held, began).wait(deadline_s, on_wait)
                    if grant is not None:
                        await grant.keep()
                        return grant
                except BaseException:
                    held.close()
                    raise
                held.close()  # passed over by force while it waited: queue again

    async def _check_room(self, unfinished: int, bound: int) -> None:
        register, _ = await self.read_register()
        if unfinished - register.capacity >= bound:
            raise self.full(unfinished, register.capacity, bound)

    def _take(self, wish: Wish) -> HeldTicket:
        env = self.place.env
        host, pid = env.identity()

        def body(number: int) -> bytes:
            since = self.place.clock.now_ms()
            return encode_ticket(Ticket(self.name, number, token, host, pid, since, wish.purpose, wish.run_limit_s))

        token = env.random_bytes(12)
        held = self.files.take(token, body)
        if held.number % LOCAL_TICKETS_KEPT == 0:
            self.files.clean(env.random_bytes(8), LOCAL_TICKETS_KEPT)
        return held


_ASKED_BEHIND = 8
"""How many tickets behind the front are asked a poll, in turn, for who is told its position: a row of hundreds of waiters
that were all asked by all, every 50 ms, would keep a processor busy."""


class _Waiter:
    """The wait for a grant: asks the kernel about the lower tickets, from the lowest.

    Every lower ticket is asked once at the beginning, and at a deadline. In between only those at the front are, which is
    what the grant needs, and a few of the others where somebody wants to know the position.
    """

    def __init__(self, queue: LocalQueue, held: HeldTicket, began: Span) -> None:
        self._queue = queue
        self._held = held
        self._began = began
        self._lower = [number for number in queue.files.numbers() if number < held.number]
        self._behind = 0
        """Where among the lower tickets the next ones to ask begin."""
        self._passed_over = False
        self._pace = Pace()

    async def wait(self, deadline_s: float | None, on_wait: Callable[[Waiting], None] | None) -> Grant | None:
        """The grant, or ``None`` if this ticket was passed over by force meanwhile.

        The kernel is asked every few ms; the register, which only people change, now and then, and before the grant.
        """
        queue, env, number = self._queue, self._queue.place.env, self._held.number
        register, read_at = (await queue.read_register())[0], env.boot()
        self._ask(register, len(self._lower))
        while True:
            if on_wait is not None:
                self._ask(register, _ASKED_BEHIND)
            before = self._before(register)
            if before < register.capacity or env.boot() - read_at >= LOCAL_REGISTER_S:
                register, read_at = (await queue.read_register())[0], env.boot()
                if register.is_finished(number):
                    return None
                before = self._before(register)
            if before < register.capacity:
                waited = self._began.seconds()
                held = self._held
                return Grant(
                    queue,
                    number,
                    self._passed_over,
                    waited,
                    capacity=register.capacity,
                    beats=False,
                    on_release=held.close,
                    lock_file=held.fileno(),
                )
            position = before - register.capacity + 1
            if on_wait is not None:
                on_wait(await self._waiting(before, position))
            pause = min(LOCAL_POLL_MIN_S * position, LOCAL_POLL_MAX_S)
            if deadline_s is not None:
                left = deadline_s - self._began.seconds()
                if left <= 0:
                    self._ask(register, len(self._lower))
                    position = len(self._lower) - register.capacity + 1
                    if position <= 0:
                        continue  # whoever was before has gone in this instant
                    raise queue.too_late(position, deadline_s, await self._first())
                pause = min(pause, left)
            await env.sleep(pause)

    def _before(self, register: QueueRegister) -> int:
        """How many lower tickets are unfinished, as far as they were asked; fewer than the capacity only if that is so."""
        at = 0
        while at < len(self._lower) and at < register.capacity:
            at += not self._forget(at, register)
        return len(self._lower)

    def _ask(self, register: QueueRegister, most: int) -> None:
        """Ask the next ``most`` lower tickets, all in turn, and forget the finished."""
        for _ in range(min(most, len(self._lower))):
            self._behind = self._behind if self._behind < len(self._lower) else 0
            self._behind += not self._forget(self._behind, register)

    def _forget(self, at: int, register: QueueRegister) -> bool:
        """Forget the lower ticket at ``at`` if it is finished; whether it was."""
        number = self._lower[at]
        locked, forced = self._queue.files.locked(number), register.is_finished(number)
        if locked and not forced:
            return False
        self._passed_over |= locked
        del self._lower[at]
        return True

    async def _waiting(self, before: int, position: int) -> Waiting:
        waited = self._began.seconds()
        estimate = self._pace.estimate(before, position, waited)
        return Waiting(self._queue.name, self._held.number, position, waited, estimate, await self._first())

    async def _first(self) -> Ticket | None:
        return await self._queue.holder(self._lower[0]) if self._lower else None
