"""What stands in a queue, to be seen by people: who holds, who waits, who is stuck, who is dead.

    queued    waits for its grant
    running   granted, and not past its run limit
    stuck     granted, and without progress for longer than its run limit (a sign of life is no progress)
    dead      granted or next, and without a sign of life for a whole TTL; it will be passed over

Granted is who says so, or stands before the capacity: lowering the capacity revokes nobody, so more may be granted than it
allows. (In a bucket a holder without a run limit says so with its first sign, some seconds after the grant.)

On a local store the kernel knows who lives: a dead ticket is finished at once, and is not shown.
"""

from __future__ import annotations

import msgspec

from swampstore.errors import CorruptObject, Damaged, NotFound, SwampError, UnknownFormat
from swampstore.limits import HEARTBEAT_PLACES, LIST_PAGES, STORE_TIME_GRAIN_MS, TICKET_TTL_S
from swampstore.protocols.place import Place
from swampstore.protocols.queue import FairQueue
from swampstore.protocols.queue_local import LocalQueue
from swampstore.stores.base import Get, Got, Outcome
from swampstore.values.tickets import Sign, Ticket, decode_register, decode_ticket, queue_folder


class TicketStatus(msgspec.Struct, frozen=True):
    """One unfinished ticket. ``position`` is 0 for those granted. Ages in seconds; ``run_limit_s`` 0 = none.

    ``idle_s`` is the time since the grant or the last progress, ``None`` when the ticket has told neither. A ticket that
    cannot be read has an empty ``host``.
    """

    ticket: int
    state: str
    position: int
    host: str = ""
    pid: int = 0
    purpose: str = ""
    age_s: float = 0.0
    idle_s: float | None = None
    run_limit_s: float = 0.0


class QueueStatus(msgspec.Struct, frozen=True):
    """A queue at a glance; ``tickets`` in order, at most as many as asked for, ``unfinished`` counts all."""

    queue: str
    capacity: int
    unfinished: int
    tickets: tuple[TicketStatus, ...]

    @property
    def holders(self) -> tuple[TicketStatus, ...]:
        """Those that are granted, as far as they were asked for."""
        return tuple(ticket for ticket in self.tickets if ticket.position == 0)

    @property
    def held(self) -> int:
        """How many are granted: more than the capacity, after it was lowered."""
        return max(min(self.unfinished, self.capacity), len(self.holders))

    @property
    def waiting(self) -> int:
        """How many wait for their grant."""
        return self.unfinished - self.held


async def queue_status(queue: FairQueue, *, limit: int = 100) -> QueueStatus:
    """The state of ``queue``: four requests, and two for each of the first ``limit`` tickets (side by side)."""
    place = queue.place
    register, _ = await queue.read_register()
    numbers = await queue.unfinished()
    shown = numbers[:limit]
    place.clock.calibrate(await place.store.now())
    signs = await queue.signs(shown)
    tickets: list[TicketStatus] = []
    for at, (number, (sign, signed_ms)) in enumerate(zip(shown, signs, strict=True)):
        ticket = await queue.holder(number)
        granted = sign is not None and sign.granted > 0
        position = 0 if granted else max(at - register.capacity + 1, 0)
        near = granted or at < register.capacity + HEARTBEAT_PLACES
        watched = near and not isinstance(queue, LocalQueue)
        tickets.append(_status(place.clock.now_ms(), number, position, ticket, sign, signed_ms, watched=watched))
    return QueueStatus(queue.name, register.capacity, len(numbers), tuple(tickets))


def _status(
    now_ms: int, number: int, position: int, ticket: Ticket | None, sign: Sign | None, signed_ms: int, *, watched: bool
) -> TicketStatus:
    moved_ms = max(sign.granted, sign.progressed) if sign else 0
    limit_s = ticket.run_limit_s if ticket else 0.0
    state = "queued" if position else "running"
    idle_s = max(now_ms - moved_ms, 0) / 1000 if moved_ms else None
    if not position and limit_s > 0 and idle_s is not None and idle_s > limit_s:
        state = "stuck"
    last_ms = max(signed_ms, ticket.since if ticket else 0)
    if watched and now_ms - last_ms > TICKET_TTL_S * 1000 + 2 * STORE_TIME_GRAIN_MS:
        state = "dead"
    if ticket is None:
        return TicketStatus(number, state, position, idle_s=idle_s)
    return TicketStatus(
        ticket=number,
        state=state,
        position=position,
        host=ticket.host,
        pid=ticket.pid,
        purpose=ticket.purpose,
        age_s=max(now_ms - ticket.since, 0) / 1000,
        idle_s=idle_s,
        run_limit_s=limit_s,
    )


async def queue_names(place: Place) -> list[str]:
    """The names of all queues and locks that were ever waited for in the namespace, sorted: two requests each.

    Raises ``CorruptObject`` for a folder whose register and tickets name no queue, ``UnknownFormat`` when newer ones may.
    """
    found: list[str] = []
    after = ""
    for _ in range(LIST_PAGES * LIST_PAGES):
        page = await place.store.list(place.names.queues, start_after=after, limit=1)
        if not page.items:
            break
        folder = page.items[0].name.removeprefix(place.names.queues).partition("/")[0]
        found.append(await queue_name(place, folder))
        after = f"{place.names.queues}{folder}/\U0010ffff"
    return sorted(found)


async def queue_name(place: Place, folder: str) -> str:
    """The name of the queue in ``folder``.

    Raises ``CorruptObject`` when nothing in it names one, ``UnknownFormat`` when that is for a newer program to say (who
    deleted the folder as damaged would free a lock that is held), ``StoreUnavailable``.
    """
    base = place.names.queue(folder)
    tickets = await place.store.list(base + "t/", limit=3)
    names = [base + "register", *(item.name for item in tickets.items)]
    newer: UnknownFormat | None = None
    for name, answer in zip(names, await place.store.many([Get(name) for name in names]), strict=True):
        try:
            queue = _queue_in(name, answer)
        except UnknownFormat as error:
            newer = error
            continue
        if queue is not None and queue_folder(queue) == folder:
            return queue
    if newer is not None:
        raise newer
    raise CorruptObject(f"{base}: nothing in it names its queue", name=base, hint="somebody else wrote it: delete it")


def _queue_in(name: str, answer: Outcome) -> str | None:
    """The queue that an object names, if it is there and whole. Raises what the store did, and ``UnknownFormat``."""
    if isinstance(answer, SwampError) and not isinstance(answer, NotFound):
        raise answer
    if not isinstance(answer, Got):
        return None
    try:
        return (decode_register if name.endswith("/register") else decode_ticket)(answer.body, name).queue
    except UnknownFormat:
        raise
    except Damaged:
        return None
