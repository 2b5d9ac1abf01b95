"""Queues and locks: who is stuck, who is dead, what cannot be read."""

from __future__ import annotations

from swampstore.errors import Damaged, UnknownFormat
from swampstore.protocols.queue import fair_queue
from swampstore.protocols.queue_status import TicketStatus, queue_name, queue_status
from swampstore.workers.doctor.finding import Finding
from swampstore.workers.doctor.sight import Sight

QUEUES = 200
"""Queues looked at, some six requests each; more are only said to be there."""
_TICKETS = 20


async def check_queues(sight: Sight) -> list[Finding]:
    """Every queue that was ever waited for, up to a bound."""
    place, after = sight.place, ""
    found: list[Finding] = []
    for _ in range(QUEUES):
        page = await place.store.list(place.names.queues, start_after=after, limit=1)
        if not page.items:
            return found
        folder = page.items[0].name.removeprefix(place.names.queues).partition("/")[0]
        found += await _check_queue(sight, folder)
        after = f"{place.names.queues}{folder}/\U0010ffff"
    text = f"there are more than {QUEUES} queues; only these were looked at"
    return [*found, Finding("many-queues", "note", place.names.queues, text)]


async def _check_queue(sight: Sight, folder: str) -> list[Finding]:
    base = sight.place.names.queue(folder)
    try:
        name = await queue_name(sight.place, folder)
        status = await queue_status(fair_queue(sight.place, name), limit=_TICKETS)
    except UnknownFormat as error:  # somebody holds a place there, and nobody is to delete it
        return [Finding("newer-format", "error", error.name or base, str(error), "upgrade swampstore on this machine")]
    except Damaged as error:
        hint = "nobody can queue there until it is gone: when nobody holds it, delete this folder"
        return [Finding("queue-damaged", "error", error.name or base, str(error), hint)]
    return [
        Finding(f"holder-{ticket.state}", "warning", base, _told(name, ticket), _hint(name, ticket))
        for ticket in status.tickets
        if ticket.state in ("stuck", "dead")
    ]


def _told(queue: str, ticket: TicketStatus) -> str:
    who = f"{ticket.host}:{ticket.pid}" if ticket.host else "somebody"
    what = f" ({ticket.purpose})" if ticket.purpose else ""
    if ticket.state == "dead":
        return f"queue {queue!r}: ticket {ticket.ticket} of {who}{what} gives no sign of life"
    return f"queue {queue!r}: {who}{what} holds ticket {ticket.ticket} past its run limit of {ticket.run_limit_s:.0f} s"


def _hint(queue: str, ticket: TicketStatus) -> str:
    if ticket.state == "dead":
        return "whoever waits passes it over"
    return f"see what it does; to pass it over: swamp datastore lock release --name {queue} --force"
