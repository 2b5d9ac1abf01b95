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
  ticket; who dies is passed over after its TTL once its turn is near (:mod:`swampstore.protocols.queue_watch`), or once
  it is granted where nobody waits for so long (:mod:`swampstore.protocols.queue_overdue`).
- Ticket numbers are fencing tokens: they are never reused (the highest ticket is never deleted).

Source: the design page, "FIFO queue"; models ``mc_lock`` and ``mc_queue``.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from swampstore.env.clock import Span
from swampstore.env.phases import Operation
from swampstore.errors import AlreadyExists, CorruptObject, NotFound, QueueFull, SwampError
from swampstore.limits import (
    HEARTBEAT_PLACES,
    POLL_MIN_S,
    TICKET_KEEP_MS,
    TICKET_RETRY_CAP_S,
    TICKET_RETRY_S,
    TICKET_TTL_S,
)
from swampstore.protocols.queue_grant import Grant
from swampstore.protocols.queue_overdue import pass_over_overdue
from swampstore.protocols.queue_register import Pace, QueueBase, Waiting, Wish
from swampstore.protocols.queue_watch import Watch
from swampstore.stores.base import Create, Get, Got, Info, List, Outcome, Page, Request
from swampstore.values.tickets import QueueRegister, Ticket, decode_ticket, encode_ticket

_LAST = (1 << 64) - 1
_NUMBERS = 1 << 48
"""More tickets than any queue will see: a higher number is nobody's."""
_HEX = frozenset("0123456789abcdef")
_CLEAN_EVERY = 64
_EAGER_S = 0.015
_EAGER_FOR_S = 1.0
"""The next in line that reads ahead polls so often, for so long; after that as often as any waiter at its place."""


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

    def still_holds(self, number: int, answers: Sequence[Outcome]) -> bool:
        """Whether the register of ``answers`` does not yet call ``number`` finished."""
        return not self._view(answers)[0].is_finished(number)

    def _view(self, answers: Sequence[Outcome]) -> tuple[QueueRegister, int, bool]:
        """``(register, highest ticket, whether there is a register)``."""
        held, listed = answers
        register, etag = self.register_of(held)
        if isinstance(listed, SwampError):
            raise listed
        assert isinstance(listed, Page)
        known = register.ranges[-1][1] if register.ranges else register.floor
        return register, max([known, *map(self._number, listed.items)]), bool(etag)

    def _number(self, item: Info) -> int:
        """The number of a listed ticket. Raises ``CorruptObject`` for a name that no ticket has."""
        tail = item.name.removeprefix(self.folder + "t/")
        if len(tail) == 16 and not set(tail) - _HEX and (number := _LAST - int(tail, 16)) < _NUMBERS:
            return number
        raise CorruptObject(
            f"{item.name}: not a ticket's name", name=item.name, hint="somebody else wrote it: delete the object"
        )

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
        wish = Wish(deadline_s, bound, purpose, run_limit_s).check()
        with Operation(self.place.env, "acquire", "lock_wait"):
            began, passed_over = Span(self.place.env), False
            while True:
                taking = _Taking()
                grant: Grant | None = None
                try:
                    number = await self.place.env.detached(self._take_ticket(wish, taking))
                    grant = await _Waiter(self, number, began, passed_over=passed_over).wait(deadline_s, on_wait)
                    if grant is not None:
                        await grant.begin(run_limit_s)
                        return grant
                except QueueFull:
                    passed_over = await pass_over_overdue(self, taking.tried)
                    if not passed_over:
                        raise
                except BaseException:
                    taking.abandoned = True
                    if grant is not None:
                        await grant.release()
                    elif taking.number:
                        await self.place.env.detached(self.finish(taking.number))
                    raise
                # Passed over while it waited (this process slept for longer than a TTL): the place is lost, queue again.

    async def _take_ticket(self, wish: Wish, taking: _Taking) -> int:
        place = self.place
        host, pid = place.env.identity()
        register, highest, exists = self._view(await place.store.many(self.requests()))
        if not exists:
            register = await self.prepare()
        await self._clean(register, highest)
        number, lost = highest + 1, 0
        while True:
            taking.tried = number
            register = await self._check_room(register, number, wish.bound)
            since = place.clock.now_ms()
            dice = place.env.random_bytes(12)
            ticket = Ticket(self.name, number, dice, host, pid, since, wish.purpose, wish.run_limit_s)
            try:
                await place.store.put(self.ticket_name(number), encode_ticket(ticket), Create())
            except AlreadyExists:
                number = await self._next_number(number, lost := lost + 1)
                continue
            taking.number = number
            if taking.abandoned:
                await self.finish(number)
            return number

    async def _next_number(self, taken: int, lost: int) -> int:
        """The ticket to try after ``lost`` were taken by others.

        Where many come at once, every further try of all of them would be n * n / 2 requests: from the second loss on
        each waits a random while, twice as long each time, and looks where the line ends by then.
        """
        if lost == 1:
            return taken + 1
        env = self.place.env
        await env.sleep(env.random() * min(TICKET_RETRY_S * 2**lost, TICKET_RETRY_CAP_S))
        listed = await self.place.store.list(self.folder + "t/", limit=1)
        return max([taken, *map(self._number, listed.items)]) + 1

    async def _check_room(self, register: QueueRegister, number: int, bound: int | None) -> QueueRegister:
        """Raise ``QueueFull`` if ticket ``number`` would have ``bound`` waiting before it; the register it was seen by."""
        if bound is None or register.unfinished_below(number) - register.capacity < bound:
            return register
        register, _ = await self.read_register()
        unfinished = register.unfinished_below(number)
        if unfinished - register.capacity >= bound:
            raise self.full(unfinished, register.capacity, bound)
        return register

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


class _Taking:
    """A ticket being taken: whoever ends last, its caller (given up) or the request, gives it back."""

    tried = 0
    number = 0
    abandoned = False


class _Waiter:
    """The wait for a grant: polls the register by distance, gives signs when near, passes over the dead before it."""

    def __init__(self, queue: RemoteQueue, number: int, began: Span, *, passed_over: bool) -> None:
        self._queue = queue
        self._place = queue.place
        self._number = number
        self._began = began
        self._watch = Watch(queue, number, passed_over=passed_over)
        self._last_sign = -TICKET_TTL_S
        self._pace = Pace()
        self._next_since: float | None = None

    async def wait(self, deadline_s: float | None, on_wait: Callable[[Waiting], None] | None) -> Grant | None:
        """The grant, or ``None`` if this ticket was passed over meanwhile."""
        queue, env = self._queue, self._place.env
        while True:
            register, etag = await self._look()
            if register.is_finished(self._number):
                return None
            before = register.unfinished_below(self._number)
            if before < register.capacity:
                capacity, waited = register.capacity, self._began.seconds()
                known = (register, etag) if etag and capacity == 1 else None
                return Grant(queue, self._number, self._watch.passed_over, waited, capacity=capacity, known=known)
            position = before - register.capacity + 1
            if position == 1 and self._next_since is None:
                self._next_since = env.boot()
            if on_wait is not None:
                on_wait(await self._waiting(register, position))
            if position <= HEARTBEAT_PLACES and env.boot() - self._last_sign >= TICKET_TTL_S / 3:
                self._last_sign = env.boot()
                await queue.write_sign(self._number, 0, 0)
            if await self._watch.look(register, position):
                continue
            soonest = _EAGER_S if self._eager() else POLL_MIN_S * position
            pause = min(soonest * (0.5 + env.random()), TICKET_TTL_S / 3)
            if deadline_s is not None:
                left = deadline_s - self._began.seconds()
                if left <= 0:
                    if await pass_over_overdue(queue, self._number):
                        self._watch.passed_over = True
                        continue
                    raise queue.too_late(position, deadline_s, await self._first(register))
                pause = min(pause, left)
            await env.sleep(pause)

    def _eager(self) -> bool:
        """Whether to read ahead: next in line, and not for long. Who holds for long costs nobody lists."""
        since = self._next_since
        return self._queue.along is not None and since is not None and self._place.env.boot() - since < _EAGER_FOR_S

    async def _look(self) -> tuple[QueueRegister, str]:
        """The register now; for who is next in line, along with what it will read once it is granted."""
        queue = self._queue
        if queue.along is None or not self._eager():
            return await queue.read_register()
        (answer,) = await queue.along([Get(queue.register_name)])
        return queue.register_of(answer)

    async def _waiting(self, register: QueueRegister, position: int) -> Waiting:
        waited = self._began.seconds()
        estimate = self._pace.estimate(register.unfinished_below(self._number), position, waited)
        holder = await self._first(register)
        return Waiting(self._queue.name, self._number, position, waited, estimate, holder)

    async def _first(self, register: QueueRegister) -> Ticket | None:
        first = next(register.unfinished(self._number), None)
        return None if first is None else await self._queue.holder(first)
