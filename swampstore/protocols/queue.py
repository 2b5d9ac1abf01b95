"""The FIFO queue over a store's verbs: a lock at capacity 1, an admission at capacity N.

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

import msgspec

from swampstore.env.base import Background
from swampstore.env.clock import Span
from swampstore.errors import (
    AlreadyExists,
    DeadlinePassed,
    NotFound,
    QueueFull,
    StaleWrite,
    SwampError,
    Undecided,
)
from swampstore.limits import HEARTBEAT_PLACES, POLL_MIN_S, TICKET_KEEP_MS, TICKET_TTL_S
from swampstore.protocols.place import Place
from swampstore.stores.base import (
    Create,
    Get,
    Got,
    Head,
    Headed,
    Info,
    List,
    Outcome,
    Overwrite,
    Page,
    Replace,
    Request,
)
from swampstore.values.tickets import (
    QueueRegister,
    Ticket,
    check_queue,
    decode_register,
    decode_ticket,
    encode_register,
    encode_ticket,
    queue_folder,
)

_LAST = (1 << 64) - 1
_CLEAN_EVERY = 64


class Waiting(msgspec.Struct, frozen=True):
    """Told to the caller while it queues. ``position`` 0 is granted; ``ahead`` names who holds, as far as known."""

    queue: str
    ticket: int
    position: int
    waited_s: float
    holder: Ticket | None = None


class View(msgspec.Struct, frozen=True):
    """The register and the highest ticket. ``etag`` is empty when there is no register; ``time`` is the store's, ms."""

    register: QueueRegister
    etag: str
    highest: int
    time: int

    @property
    def unfinished(self) -> int:
        return self.register.unfinished_below(self.highest + 1)


class FairQueue:
    """One queue of a namespace, by name."""

    def __init__(self, place: Place, name: str, *, capacity: int | None = None) -> None:
        self.name = check_queue(name)
        self.place = place
        self._capacity = capacity
        self._folder = place.names.queue(queue_folder(name))

    # --- names --------------------------------------------------------------------------------------------------

    @property
    def register_name(self) -> str:
        return self._folder + "register"

    def ticket_name(self, number: int) -> str:
        return f"{self._folder}t/{_LAST - number:016x}"

    def heartbeat_name(self, number: int) -> str:
        return f"{self._folder}h/{_LAST - number:016x}"

    # --- looking ------------------------------------------------------------------------------------------------

    def requests(self) -> list[Request]:
        """What :meth:`view` needs, to go along with other requests of a round."""
        return [Get(self.register_name), List(self._folder + "t/", limit=1)]

    def contended(self, answers: Sequence[Outcome]) -> bool:
        """Whether anybody holds or waits, from the outcomes of :meth:`requests`."""
        held, listed = answers
        if isinstance(held, NotFound) and isinstance(listed, Page) and not listed.items:
            return False
        register, _ = self._register_of(held)
        return register.unfinished_below(self._highest_of(listed, register) + 1) > 0

    async def view(self) -> View:
        """Register and highest ticket, in one parallel round."""
        held, listed = await self.place.store.many(self.requests())
        register, etag = self._register_of(held)
        highest = self._highest_of(listed, register)
        return View(register, etag, highest, self.place.clock.now_ms())

    def _register_of(self, answer: Outcome) -> tuple[QueueRegister, str]:
        if isinstance(answer, NotFound):
            return QueueRegister(self.name, b"", self._capacity or 1), ""
        if isinstance(answer, SwampError):
            raise answer
        assert isinstance(answer, Got)
        return decode_register(answer.body, self.register_name), answer.etag

    def _highest_of(self, answer: Outcome, register: QueueRegister) -> int:
        if isinstance(answer, SwampError):
            raise answer
        assert isinstance(answer, Page)
        known = register.ranges[-1][1] if register.ranges else register.floor
        return max([known, *(_number(item) for item in answer.items)])

    async def ticket(self, number: int) -> Ticket | None:
        """Who holds or held ``number``; ``None`` when its ticket is gone."""
        name = self.ticket_name(number)
        try:
            got = await self.place.store.get(name)
        except NotFound:
            return None
        assert isinstance(got, Got)
        return decode_ticket(got.body, name)

    # --- changing the register ----------------------------------------------------------------------------------

    async def _change(self, change: Callable[[QueueRegister], QueueRegister]) -> QueueRegister:
        """Apply ``change`` by compare-and-swap until it holds. ``change`` must be idempotent."""
        while True:
            register, etag = self._register_of(await self._read_register())
            wanted = change(register)
            if wanted is register and etag:
                return register
            wanted = msgspec.structs.replace(wanted, nonce=self.place.env.random_bytes(12))
            try:
                when = Replace(etag) if etag else Create()
                await self.place.store.put(self.register_name, encode_register(wanted), when)
            except (StaleWrite, AlreadyExists, NotFound, Undecided):
                await self.place.env.sleep(self.place.env.random() * POLL_MIN_S)
                continue
            return wanted

    async def _read_register(self) -> Outcome:
        try:
            return await self.place.store.get(self.register_name)
        except NotFound as error:
            return error

    async def finish(self, number: int) -> None:
        """Add ``number`` to the finished: release, give up, or pass over. Idempotent."""
        await self._change(lambda register: register.finish(number))

    async def set_capacity(self, capacity: int) -> None:
        """Change the capacity. Nobody is revoked: a smaller one takes effect as holders end."""
        await self._change(
            lambda register: (
                register if register.capacity == capacity else msgspec.structs.replace(register, capacity=capacity)
            )
        )

    # --- queueing -----------------------------------------------------------------------------------------------

    async def acquire(
        self,
        *,
        deadline_s: float | None = None,
        bound: int | None = None,
        purpose: str = "",
        on_wait: Callable[[Waiting], None] | None = None,
    ) -> Grant:
        """Queue and wait for the grant, as long as it takes or ``deadline_s`` seconds.

        Raises ``QueueFull`` at once when ``bound`` tickets wait already, ``DeadlinePassed`` (naming the holder and the
        place) at the deadline. However this ends without a grant, the ticket is finished.
        """
        began = Span(self.place.env)
        while True:
            number = await self._take_ticket(bound, purpose)
            try:
                grant = await _Waiter(self, number, began).wait(deadline_s, on_wait)
            except BaseException:
                await self.finish(number)
                raise
            if grant is not None:
                return grant
            # Passed over while it waited (this process slept for longer than a TTL): the place is lost, queue again.

    async def _take_ticket(self, bound: int | None, purpose: str) -> int:
        place = self.place
        host, pid = place.env.identity()
        view = await self.view()
        if self._capacity is not None and not view.etag:
            await self._change(lambda register: register)
        waiting = view.unfinished - view.register.capacity
        if bound is not None and waiting >= bound:
            raise QueueFull(
                f"queue {self.name!r} is full: {view.unfinished} tickets at capacity {view.register.capacity}, bound {bound}",
                hint="try again later",
            )
        await self._clean(view)
        number = view.highest + 1
        while True:
            ticket = Ticket(self.name, number, place.env.random_bytes(12), host, pid, view.time, purpose)
            try:
                await place.store.put(self.ticket_name(number), encode_ticket(ticket), Create())
            except AlreadyExists:
                number += 1
                continue
            return number

    async def _clean(self, view: View) -> None:
        """Now and then delete tickets and heartbeats that are old and below the floor, never the highest ticket."""
        if view.register.floor < 2 or view.highest % _CLEAN_EVERY:
            return
        last = min(view.register.floor, view.highest)
        folders = [(self._folder + "t/", self.ticket_name(last)), (self._folder + "h/", self.heartbeat_name(last))]
        for page in await self.place.store.many([List(folder, start_after=name) for folder, name in folders]):
            if isinstance(page, SwampError):
                raise page
            assert isinstance(page, Page)
            old = [item.name for item in page.items if page.time - item.modified > TICKET_KEEP_MS]
            if old:
                await self.place.store.delete(old)


class Grant:
    """A place in the queue that runs. ``number`` is the fencing token. End it with :meth:`release`."""

    def __init__(self, queue: FairQueue, number: int, passed_over: bool, waited_s: float) -> None:
        self.queue = queue
        self.number = number
        self.passed_over = passed_over
        self.waited_s = waited_s
        self._beat: Background | None = queue.place.env.every(TICKET_TTL_S / 3, self.keep)

    async def keep(self) -> None:
        """Give a sign of life."""
        await _heartbeat(self.queue, self.number)

    async def release(self) -> None:
        """End it. Idempotent; a failure to reach the store is raised (the ticket is then passed over after its TTL)."""
        beat, self._beat = self._beat, None
        try:
            if beat is not None:
                await beat.stop()
        finally:
            await self.queue.finish(self.number)


async def _heartbeat(queue: FairQueue, number: int) -> None:
    body = queue.place.env.random_bytes(8)
    await queue.place.store.put(queue.heartbeat_name(number), body, Overwrite())


class _Waiter:
    """The wait for a grant: polls the register by distance, heartbeats when near, passes over the dead before it."""

    def __init__(self, queue: FairQueue, number: int, began: Span) -> None:
        self._queue = queue
        self._place = queue.place
        self._number = number
        self._began = began
        self._signs: dict[int, tuple[str, Span]] = {}
        self._passed_over = False
        self._last_beat = -TICKET_TTL_S

    async def wait(self, deadline_s: float | None, on_wait: Callable[[Waiting], None] | None) -> Grant | None:
        """The grant, or ``None`` if this ticket was passed over meanwhile."""
        queue, env = self._queue, self._place.env
        while True:
            register, _ = queue._register_of(await queue._read_register())
            if register.is_finished(self._number):
                return None
            before = register.unfinished_below(self._number)
            if before < register.capacity:
                return Grant(queue, self._number, self._passed_over, self._began.seconds())
            position = before - register.capacity + 1
            if on_wait is not None:
                on_wait(Waiting(queue.name, self._number, position, self._began.seconds(), await self._first(register)))
            if position <= HEARTBEAT_PLACES:
                await self._be_near(register)
            pause = min(POLL_MIN_S * position * (1 + env.random()), TICKET_TTL_S / 3)
            if deadline_s is not None:
                left = deadline_s - self._began.seconds()
                if left <= 0:
                    raise await self._too_late(register, position, deadline_s)
                pause = min(pause, left)
            await env.sleep(pause)

    async def _first(self, register: QueueRegister) -> Ticket | None:
        first = next(register.unfinished(self._number), None)
        return None if first is None else await self._queue.ticket(first)

    async def _too_late(self, register: QueueRegister, position: int, deadline_s: float) -> DeadlinePassed:
        holder = await self._first(register)
        who = f"{holder.host}:{holder.pid} ({holder.purpose or 'no purpose given'})" if holder else "nobody known"
        age = (
            f", ticket {holder.number} taken {(self._place.clock.now_ms() - holder.since) / 1000:.0f} s ago"
            if holder
            else ""
        )
        return DeadlinePassed(
            f"{deadline_s:g} s passed in the queue for {self._queue.name!r}: position {position}, held by {who}{age}",
            hint="wait longer, or see: swamp datastore lock status",
        )

    async def _be_near(self, register: QueueRegister) -> None:
        """Heartbeat, and pass over those before us that have given no sign of life for a whole TTL."""
        env = self._place.env
        if env.boot() - self._last_beat >= TICKET_TTL_S / 3:
            await _heartbeat(self._queue, self._number)
            self._last_beat = env.boot()
        watched = list(register.unfinished(self._number))
        answers = await self._place.store.many([Head(self._queue.heartbeat_name(number)) for number in watched])
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
