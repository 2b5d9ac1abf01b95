"""How one request is brought to a decided end: what to send next after each outcome.

A conditional write whose answer is lost, or whose retry meets its own earlier attempt, looks like a conflict. So after
every outcome but success the object is read back and its bytes are compared: every conditional body carries a write id,
so equal bytes are ours.

    outcome of a create            next                     outcome of a replace
    stored                         done                     stored
    exists, 409, 5xx, no answer    read back                stale, missing, 409, 5xx, no answer
      equal bytes                    done, it is ours         equal bytes
      other bytes                    AlreadyExists(found)     other bytes and another ETag: StaleWrite(found)
      not there                      send the same again      the ETag we named: send the same again
      no answer                      wait, send again         no answer
    any other refusal              done: that refusal, or ``Undecided`` if an earlier attempt may have landed
    deadline                       ``Undecided``

Invariants:
- A conditional write is never reported as lost to another while the object holds our bytes.
- The bytes and the name never change between attempts.
"""

from __future__ import annotations

from swampstore.errors import AlreadyExists, NotFound, StaleWrite, StoreUnavailable, SwampError, Undecided
from swampstore.stores.base import Create, Get, Got, Outcome, Put, Replace, Request, Stored
from swampstore.stores.names import check_body

FOUND_BYTES = 16 << 20
"""How much of another's object is read back at most; ``found.size`` tells the whole."""


class Plain:
    """A request without a condition: the same again until the store answers."""

    def __init__(self, request: Request) -> None:
        self.request = request
        self.result: Outcome | None = None
        self.waits = False  # the next attempt comes after a pause
        self.reading = False  # what is sent next reads back
        self._last: SwampError | None = None

    def next(self) -> Request:
        """What to send now."""
        return self.request

    def take(self, outcome: Outcome) -> None:
        """Learn the outcome of what was sent; sets ``result`` when the request is decided."""
        if isinstance(outcome, StoreUnavailable):
            self._last, self.waits = outcome, True
        else:
            self.result = outcome

    def give_up(self, seconds: float, attempts: int) -> None:
        """End undecided: the deadline has passed."""
        if self._last is not None:
            self._last.add_note(f"given up after {attempts} attempts in {seconds:.1f} s")
        self.result = self._last


class Conditional(Plain):
    """A create or a replace: settled by reading back."""

    def __init__(self, request: Put, when: Create | Replace) -> None:
        check_body(request.body, when)
        super().__init__(request)
        self._name = request.name
        self._body = request.body
        self._when = when
        self._may_have_landed = False

    def next(self) -> Request:
        if self.reading:
            return Get(self._name, span=(0, max(len(self._body), FOUND_BYTES)))  # type: ignore[arg-type]
        return self.request

    def take(self, outcome: Outcome) -> None:
        """Learn the outcome of the write, or of the read-back that follows it."""
        self.waits = False
        if self.reading:
            self.reading = False
            self._read_back(outcome)
        elif not isinstance(outcome, SwampError):
            self.result = outcome
        elif isinstance(outcome, StoreUnavailable | AlreadyExists | StaleWrite | NotFound):
            self._may_have_landed |= isinstance(outcome, StoreUnavailable)
            self._last, self.reading = outcome, True
        else:
            self._refuse(outcome)

    def _read_back(self, outcome: Outcome) -> None:
        if isinstance(outcome, Got):
            self._compare(outcome)
        elif isinstance(outcome, NotFound) and isinstance(self._when, Replace):
            self.result = outcome
        elif isinstance(outcome, NotFound | StoreUnavailable):
            self.waits = True
        elif isinstance(outcome, SwampError):
            self._refuse(outcome)
        else:
            raise TypeError(f"a read-back was answered with {outcome!r}")

    def _compare(self, found: Got) -> None:
        if found.size == len(found.body) and found.body == self._body:
            self.result = Stored(found.etag, found.time)
        elif isinstance(self._when, Create):
            self.result = AlreadyExists(f"{self._name} exists and is another's", found=found)
        elif found.etag == self._when.etag:
            self.waits = True
        else:
            self.result = StaleWrite(f"{self._name} is no longer the version {self._when.etag}", found=found)

    def _refuse(self, refusal: SwampError) -> None:
        self._last = refusal
        self.result = self._undecided("a later attempt was refused") if self._may_have_landed else refusal

    def give_up(self, seconds: float, attempts: int) -> None:
        self.result = self._undecided(f"{attempts} attempts in {seconds:.1f} s brought no decision")

    def _undecided(self, why: str) -> Undecided:
        error = Undecided(
            f"whether {self._name} was written is not known: {why} (last: {self._last})",
            name=self._name,
            hint="read the object before anything else is written in its place",
        )
        error.__cause__ = self._last
        return error


def settling(request: Request) -> Plain:
    """The way to a decided end that fits ``request``. Raises ``Misuse`` for a streamed body with a condition."""
    if isinstance(request, Put) and isinstance(request.when, Create | Replace):
        return Conditional(request, request.when)
    return Plain(request)
