"""The register of one queue, and what every queue has in common whatever judges who is alive.

Invariants:
- The register changes by compare-and-swap only, and only by changes that may be applied twice.
- Changing the capacity revokes nobody: it only says how many lower tickets may be unfinished at the next grant.
"""

from __future__ import annotations

import shlex
from collections.abc import Awaitable, Callable, Sequence
from typing import TypeAlias

import msgspec

from swampstore.errors import (
    AlreadyExists,
    Damaged,
    DeadlinePassed,
    Misuse,
    NotFound,
    QueueFull,
    StaleWrite,
    SwampError,
    Undecided,
)
from swampstore.limits import POLL_MIN_S, QUEUE_BOUND
from swampstore.protocols.place import Place
from swampstore.stores.base import Create, Get, Got, Outcome, Overwrite, Replace, Request
from swampstore.values.tickets import (
    QueueRegister,
    Sign,
    Ticket,
    check_capacity,
    check_purpose,
    check_queue,
    check_seconds,
    decode_register,
    decode_sign,
    encode_register,
    encode_sign,
    queue_folder,
)

_LAST = (1 << 64) - 1


class Waiting(msgspec.Struct, frozen=True):
    """Told to a caller while it queues. ``position`` counts the grants it waits for; ``holder`` is the first in line.

    ``estimate_s`` is the wait that is left at the pace seen so far, ``None`` before anything moved.
    """

    queue: str
    ticket: int
    position: int
    waited_s: float
    estimate_s: float | None = None
    holder: Ticket | None = None


Along: TypeAlias = Callable[[Sequence[Request]], Awaitable[Sequence[Outcome]]]
"""Carries out requests in one parallel round with requests of its own; their outcomes."""


class QueueBase:
    """One queue of a namespace, by name; ``capacity`` counts when the queue does not exist yet."""

    def __init__(self, place: Place, name: str, *, capacity: int | None = None) -> None:
        self.name = check_queue(name)
        self.place = place
        self.folder = place.names.queue(queue_folder(name))
        self._capacity = check_capacity(capacity) if capacity is not None else None
        self.along: Along | None = None
        """Set by a caller that will read something once it is granted: the next in line reads it with its first polls."""

    @property
    def register_name(self) -> str:
        return self.folder + "register"

    def sign_name(self, number: int) -> str:
        """Where a ticket's signs of life lie. Names count down, so that a listing begins with the highest."""
        return f"{self.folder}h/{_LAST - number:016x}"

    # --- the register -------------------------------------------------------------------------------------------

    def register_of(self, answer: Outcome) -> tuple[QueueRegister, str]:
        """``(register, etag)`` of the answer to a read of it; a new one without ETag when there is none."""
        if isinstance(answer, NotFound):
            return QueueRegister(self.name, b"", self._capacity or 1), ""
        if isinstance(answer, SwampError):
            raise answer
        assert isinstance(answer, Got)
        return decode_register(answer.body, self.register_name), answer.etag

    async def read_register(self) -> tuple[QueueRegister, str]:
        """The register now: one request."""
        try:
            return self.register_of(await self.place.store.get(self.register_name))
        except NotFound as error:
            return self.register_of(error)

    async def change(
        self, change: Callable[[QueueRegister], QueueRegister], known: tuple[QueueRegister, str] | None = None
    ) -> QueueRegister:
        """Apply ``change`` (idempotent) by compare-and-swap until it holds.

        ``known`` is what a read has answered, however long ago: if it still stands, the read is saved.
        """
        while True:
            register, etag = known or await self.read_register()
            known = None
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

    async def finish(self, *numbers: int, known: tuple[QueueRegister, str] | None = None) -> None:
        """Add ``numbers`` to the finished: release, give up, or pass over. Idempotent. ``known``: see :meth:`change`."""

        def finished(register: QueueRegister) -> QueueRegister:
            for number in numbers:
                register = register.finish(number)
            return register

        await self.change(finished, known)

    async def pass_over(self, number: int) -> None:
        """End a ticket by force. Raises ``NotFound`` for one that nobody has: finished in advance, it would admit too many."""
        if isinstance(number, bool) or not isinstance(number, int) or number < 1:
            raise Misuse(f"ticket {number!r}", hint="a ticket's number, as status() shows it")
        register, _ = await self.read_register()
        if not register.is_finished(number) and number not in await self.unfinished():
            raise NotFound(
                f"queue {self.name!r} has no ticket {number}", hint="see who waits: swamp datastore queue show"
            )
        await self.finish(number)

    async def unfinished(self) -> list[int]:
        """The numbers of all tickets that hold or wait, in order."""
        raise NotImplementedError

    async def set_capacity(self, capacity: int) -> None:
        """Change the capacity, live. Raises ``Misuse`` for an absurd one."""
        check_capacity(capacity)
        await self.change(lambda register: register.resize(capacity))

    async def prepare(self) -> QueueRegister:
        """The register, made with the wanted capacity if the caller named one and there is none."""
        register, etag = await self.read_register()
        if self._capacity is not None and not etag:
            return await self.change(lambda held: held)
        return register

    # --- signs of life ------------------------------------------------------------------------------------------

    async def write_sign(self, number: int, granted: int, progressed: int) -> None:
        """Say that ``number`` lives; times are the store's, ms, 0 = not yet."""
        sign = Sign(self.place.env.random_bytes(8), granted, progressed)
        await self.place.store.put(self.sign_name(number), encode_sign(sign), Overwrite())

    async def signs(self, numbers: Sequence[int]) -> list[tuple[Sign | None, int]]:
        """The last sign of each of ``numbers`` and when it was given (store's time, ms); ``None`` and 0 for none.

        One that cannot be read is a sign of life all the same: ``None``, and when it was given.
        """
        names = [self.sign_name(number) for number in numbers]
        answers = await self.place.store.many([Get(name) for name in names])
        return [_sign(answer, name) for answer, name in zip(answers, names, strict=True)]

    async def ticket(self, number: int) -> Ticket | None:
        """Who holds or held ``number``; ``None`` when its ticket is gone."""
        raise NotImplementedError

    async def holder(self, number: int) -> Ticket | None:
        """Like :meth:`ticket`, to be shown: a ticket that cannot be read is nobody known, and no reason to stop."""
        try:
            return await self.ticket(number)
        except Damaged:
            return None

    # --- words --------------------------------------------------------------------------------------------------

    def full(self, unfinished: int, capacity: int, bound: int) -> QueueFull:
        """The error when ``bound`` callers wait already."""
        return QueueFull(
            f"queue {self.name!r} is full: {unfinished} tickets at capacity {capacity}, bound {bound}",
            hint="try again later, or raise the bound",
        )

    def too_late(self, position: int, deadline_s: float, holder: Ticket | None) -> DeadlinePassed:
        """The error of a deadline that passed in the queue, naming who holds."""
        who, age = "nobody known", ""
        if holder is not None:
            who = f"{holder.host}:{holder.pid} ({holder.purpose or 'no purpose given'})"
            age = f", ticket {holder.number} taken {(self.place.clock.now_ms() - holder.since) / 1000:.0f} s ago"
        return DeadlinePassed(
            f"{deadline_s:g} s passed in the queue for {self.name!r}: position {position}, held by {who}{age}",
            hint=f"wait longer, or see who it is: swamp datastore queue show {shlex.quote(self.name)}",
        )


def _sign(answer: Outcome, name: str) -> tuple[Sign | None, int]:
    if isinstance(answer, NotFound):
        return None, 0
    if isinstance(answer, SwampError):
        raise answer
    assert isinstance(answer, Got)
    try:
        return decode_sign(answer.body, name), answer.modified
    except Damaged:
        return None, answer.modified


class Wish(msgspec.Struct, frozen=True):
    """How somebody queues: see :meth:`swampstore.protocols.queue_remote.RemoteQueue.acquire`."""

    deadline_s: float | None = None
    bound: int | None = None
    purpose: str = ""
    run_limit_s: float = 0.0

    def check(self) -> Wish:
        """Raise ``Misuse`` for absurd values."""
        check_seconds("deadline", self.deadline_s)
        check_seconds("run limit", self.run_limit_s)
        check_purpose(self.purpose)
        bound = self.bound
        if bound is not None and (
            isinstance(bound, bool) or not isinstance(bound, int) or not 0 <= bound <= QUEUE_BOUND
        ):
            raise Misuse(f"a bound of {bound!r}", hint=f"0 to {QUEUE_BOUND} waiting callers, or None")
        return self


class Pace:
    """How fast the queue moves, for the estimate that a waiter is shown."""

    def __init__(self) -> None:
        self._first: tuple[int, float] | None = None

    def estimate(self, before: int, position: int, waited_s: float) -> float | None:
        """Seconds left at the pace seen so far, ``before`` being the unfinished tickets before this one.

        The position alone would not do: it also moves when the capacity is changed, and nobody has ended then.
        """
        if self._first is None:
            self._first = before, waited_s
        ended, seconds = self._first[0] - before, waited_s - self._first[1]
        return position * seconds / ended if ended > 0 else None
