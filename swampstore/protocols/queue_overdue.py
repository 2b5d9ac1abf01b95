"""Dead holders found by callers who do not stay for a whole TTL: those with a short deadline, or with a bound.

A watch sees a TTL pass by itself (:mod:`swampstore.protocols.queue_watch`). Where everybody gives up sooner nobody would,
and a dead holder would keep its place for ever. So who gives up writes into the register which tickets it found granted,
and when; whoever comes a TTL later goes by that and by the time of their signs.

Invariants:
- Times are the store's alone, of its answers. A ticket is noted as granted only when the register grants it, and a grant
  ends by finishing or by a change of the capacity, which takes the notes away: so a noted ticket has owed signs since.
- It is passed over when since its note and since its last sign more than a TTL has passed (and the grain of store times).
"""

from __future__ import annotations

import itertools

import msgspec

from swampstore.errors import NotFound, SwampError
from swampstore.limits import STORE_TIME_GRAIN_MS, TICKET_NOTES, TICKET_TTL_S
from swampstore.protocols.queue_register import QueueBase
from swampstore.stores.base import Got, Head, Headed, Outcome
from swampstore.values.tickets import QueueRegister

_OVERDUE_MS = TICKET_TTL_S * 1000 + 2 * STORE_TIME_GRAIN_MS


async def pass_over_overdue(queue: QueueBase, below: int) -> bool:
    """Pass over the holders among the tickets below ``below`` that owe a sign; whether there were any."""
    answer, now = await _read(queue)
    register, etag = queue.register_of(answer)
    granted, known = _granted(register, below), dict(register.noted)
    due = [number for number in sorted(granted) if now - known.get(number, now) > _OVERDUE_MS]
    silent = await _silent(queue, due)
    if silent:
        await queue.finish(*silent)
    elif granted - set(known):
        await _note(queue, granted, now, (register, etag) if etag else None)
    return bool(silent)


async def _read(queue: QueueBase) -> tuple[Outcome, int]:
    """The answer to a read of the register, and the store's time then."""
    store = queue.place.store
    try:
        got = await store.get(queue.register_name)
    except NotFound as error:
        return error, await store.now()
    assert isinstance(got, Got)
    return got, got.time


async def _note(queue: QueueBase, seen: set[int], now_ms: int, held: tuple[QueueRegister, str] | None) -> None:
    """Note those of ``seen`` that are still granted: they were so at ``now_ms``."""

    def noted(register: QueueRegister) -> QueueRegister:
        known = dict(register.noted)
        fresh = (seen & _granted(register, max(seen) + 1)) - set(known)
        both = known | dict.fromkeys(fresh, now_ms)
        return msgspec.structs.replace(register, noted=tuple(sorted(both.items()))) if fresh else register

    await queue.change(noted, held)


def _granted(register: QueueRegister, below: int) -> set[int]:
    """The first granted tickets: as many as may be noted."""
    return set(itertools.islice(register.unfinished(below), min(register.capacity, TICKET_NOTES)))


async def _silent(queue: QueueBase, numbers: list[int]) -> list[int]:
    """Those of ``numbers`` whose last sign is overdue, or that never gave one."""
    silent: list[int] = []
    answers = await queue.place.store.many([Head(queue.sign_name(number)) for number in numbers]) if numbers else []
    for number, answer in zip(numbers, answers, strict=True):
        if isinstance(answer, Headed):
            if answer.time - answer.info.modified > _OVERDUE_MS:
                silent.append(number)
        elif isinstance(answer, NotFound):
            silent.append(number)
        else:
            assert isinstance(answer, SwampError)
            raise answer
    return silent
