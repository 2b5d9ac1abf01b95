"""The FIFO queue over a store's verbs, for processes of many machines.

    <ns>/queue/<hash>/register       which tickets are finished, and the capacity; replaced by CAS
    <ns>/queue/<hash>/t/<number>     one ticket, create-only, dense from 1
    <ns>/queue/<hash>/h/<number>     a sign of life of a ticket that is granted, or near it

Numbers stand in names as 2^64-1 less the number, so that a listing begins with the highest ticket: one name is enough.

Invariants:
- A ticket's place follows from the register alone; after taking a ticket the register is read again before any grant.
- Grants follow ticket order; at most ``capacity`` tickets that nobody suspects are granted at once.
- Release, giving up and passing over add the ticket to the finished set: each may happen twice, in any order, or late.
- The wait never ends a caller's place; only the caller's own deadline does. Whoever leaves, however, finishes its
  ticket; who dies is passed over after its TTL once its turn is near.
- Ticket numbers are fencing tokens: they are never reused (the highest ticket is never deleted).

Source: the design page, "FIFO queue"; models ``mc_lock`` and ``mc_queue``.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from swampstore.env.clock import Span
from swampstore.errors import AlreadyExists, NotFound, SwampError
from swampstore.limits import HEARTBEAT_PLACES, POLL_MIN_S, TICKET_KEEP_MS, TICKET_TTL_S
from swampstore.protocols.queue_grant import Grant
from swampstore.protocols.queue_register import Pace, QueueBase, Waiting
from swampstore.stores.base import Create, Get, Got, Head, Headed, Info, List, Outcome, Page, Request
from swampstore.values.tickets import QueueRegister, Ticket, decode_ticket, encode_ticket

_LAST = (1 << 64) - 1
_CLEAN_EVERY = 64


class RemoteQueue(QueueBase):
    """See the module."""

    def ticket_name(self, number: int) -> str:
        return f"{self.folder}t/{_LAST - number:016x}"

    # --- looking ------------------------------------------------------------------------------------------------

    def requests(self) -> list[Request]:
        """What :meth:`contended` needs, to go along with other requests of a round."""
        return [Get(self.register_name), List(self.folder + "t/", limit=1)]

    def contended(self, answers: Sequence[Outcome]) -> bool:
        """Whether anybody holds or waits, from the outcomes of :meth:`requests`."""
        register, highest, _ = self._view(answers)
        return register.unfinished_below(highest + 1) > 0

    def _view(self, answers: Sequence[Outcome]) -> tuple[QueueRegister, int, bool]:
        """``(register, highest ticket, whether there is a register)``."""
        held, listed = answers
        register, etag = self.register_of(held)
        if isinstance(listed, SwampError):
            raise listed
        assert isinstance(listed, Page)
        known = register.ranges[-1][1] if register.ranges else register.floor
        return register, max([known, *map(_number, listed.items)]), bool(etag)

    async def unfinished(self) -> list[int]:
        """The numbers of all tickets that hold or wait, in order."""
        register, highest, _ = self._view(await self.place.store.many(self.requests()))
        return list(register.unfinished(highest + 1))

    async def ticket(self, number: int) -> Ticket | None:
        """Who holds or held ``number``; ``None`` when its ticket is gone."""
        name = self.ticket_name(number)
        try:
            got = await self.place.store.get(name)
        except NotFound:
            return None
        assert isinstance(got, Got)
        return decode_ticket(got.body, name)

    # --- queueing -----------------------------------------------------------------------------------------------

    async def acquire(
        self,
        *,
        deadline_s: float | None = None,
        bound: int | None = None,
        purpose: str = "",
        run_limit_s: float = 0.0,
        on_wait: Callable[[Waiting], None] | None = None,
    ) -> Grant:
        """Queue and wait for the grant, as long as it takes or ``deadline_s`` seconds.

        ``run_limit_s`` is how long the holder may go without progress before it shows as stuck (0 = never).

        Raises ``QueueFull`` at once when ``bound`` tickets wait already, ``DeadlinePassed`` (naming the holder and the
        place) at the deadline. However this ends without a grant, the ticket is finished.
        """
        began = Span(self.place.env)
        while True:
            number = await self._take_ticket(bound, purpose, run_limit_s)
            try:
                grant = await _Waiter(self, number, began).wait(deadline_s, on_wait)
                if grant is not None:
                    await grant.begin(run_limit_s)
                    return grant
            except BaseException:
                await self.finish(number)
                raise
            # Passed over while it waited (this process slept for longer than a TTL): the place is lost, queue again.

    async def _take_ticket(self, bound: int | None, purpose: str, run_limit_s: float) -> int:
        place = self.place
        host, pid = place.env.identity()
        register, highest, exists = self._view(await place.store.many(self.requests()))
        if not exists:
            register = await self.prepare()
        self.check_bound(register.unfinished_below(highest + 1), register.capacity, bound)
        await self._clean(register, highest)
        number = highest + 1
        while True:
            since = place.clock.now_ms()
            ticket = Ticket(self.name, number, place.env.random_bytes(12), host, pid, since, purpose, run_limit_s)
            try:
                await place.store.put(self.ticket_name(number), encode_ticket(ticket), Create())
            except AlreadyExists:
                number += 1
                continue
            return number

    async def _clean(self, register: QueueRegister, highest: int) -> None:
        """Now and then delete tickets and signs that are old and below the floor, never the highest ticket."""
        if register.floor < 2 or highest % _CLEAN_EVERY:
            return
        last = min(register.floor, highest)
        folders = [(self.folder + "t/", self.ticket_name(last)), (self.folder + "h/", self.sign_name(last))]
        for page in await self.place.store.many([List(folder, start_after=name) for folder, name in folders]):
            if isinstance(page, SwampError):
                raise page
            assert isinstance(page, Page)
            old = [item.name for item in page.items if page.time - item.modified > TICKET_KEEP_MS]
            if old:
                await self.place.store.delete(old)


class _Waiter:
    """The wait for a grant: polls the register by distance, gives signs when near, passes over the dead before it."""

    def __init__(self, queue: RemoteQueue, number: int, began: Span) -> None:
        self._queue = queue
        self._place = queue.place
        self._number = number
        self._began = began
        self._signs: dict[int, tuple[str, Span]] = {}
        self._passed_over = False
        self._last_sign = -TICKET_TTL_S
        self._pace = Pace()

    async def wait(self, deadline_s: float | None, on_wait: Callable[[Waiting], None] | None) -> Grant | None:
        """The grant, or ``None`` if this ticket was passed over meanwhile."""
        queue, env = self._queue, self._place.env
        while True:
            register, _ = await queue.read_register()
            if register.is_finished(self._number):
                return None
            before = register.unfinished_below(self._number)
            if before < register.capacity:
                return Grant(queue, self._number, self._passed_over, self._began.seconds())
            position = before - register.capacity + 1
            if on_wait is not None:
                on_wait(await self._waiting(register, position))
            if position <= HEARTBEAT_PLACES:
                await self._be_near(register)
            pause = min(POLL_MIN_S * position * (0.5 + env.random()), TICKET_TTL_S / 3)
            if deadline_s is not None:
                left = deadline_s - self._began.seconds()
                if left <= 0:
                    raise queue.too_late(position, deadline_s, await self._first(register))
                pause = min(pause, left)
            await env.sleep(pause)

    async def _waiting(self, register: QueueRegister, position: int) -> Waiting:
        waited = self._began.seconds()
        estimate = self._pace.estimate(position, waited)
        holder = await self._first(register)
        return Waiting(self._queue.name, self._number, position, waited, estimate, holder)

    async def _first(self, register: QueueRegister) -> Ticket | None:
        first = next(register.unfinished(self._number), None)
        return None if first is None else await self._queue.ticket(first)

    async def _be_near(self, register: QueueRegister) -> None:
        """Give a sign, and pass over those before us that have given none for a whole TTL."""
        env = self._place.env
        if env.boot() - self._last_sign >= TICKET_TTL_S / 3:
            await self._queue.write_sign(self._number, 0, 0)
            self._last_sign = env.boot()
        watched = list(register.unfinished(self._number))
        answers = await self._place.store.many([Head(self._queue.sign_name(number)) for number in watched])
        for number, answer in zip(watched, answers, strict=True):
            if isinstance(answer, SwampError) and not isinstance(answer, NotFound):
                raise answer
            sign = answer.info.etag if isinstance(answer, Headed) else ""
            held = self._signs.get(number)
            if held is None or held[0] != sign:
                self._signs[number] = (sign, Span(env))
            elif held[1].seconds() > TICKET_TTL_S:
                await self._queue.finish(number)
                self._passed_over = True


def _number(item: Info) -> int:
    tail = item.name.rpartition("/")[2]
    try:
        return _LAST - int(tail, 16)
    except ValueError:
        return 0
