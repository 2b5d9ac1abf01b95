"""The FIFO queue by signs of life, capacity 1 and 2 (design page, "FIFO queue"; invariant 9).

Parties look at the queue, take the next ticket (create-only), read the register and wait for their turn. Any of them may
be paused between two steps, die at any step, or be suspected and passed over though it lives. A change of the register
may be applied although its answer is lost; it is then applied again. Old tickets are swept at any instant, below the floor
and never the highest. The capacity may change while the queue is used.

Checked: at a grant no more parties run than the capacity says (those passed over are fenced elsewhere, see
``held_lock``; when the capacity falls nobody is revoked, nor loses a turn that had come); whoever is granted has nobody with a lower ticket, neither finished nor running, more than the capacity
allows before it; a ticket number is never granted twice; who has not died is served in the end.

Abstracted: time (a suspicion is possible at any instant, as many as the scope allows), the CAS of the register (one step),
positions and heartbeats.

Variants: *finished set* is the rule of :mod:`swampstore.protocols.queue_remote`, exhausted at capacity 1, 2 and changing.
Found wrong: a ticket without reading the register again after taking it; a serving number at capacity 2; counting
releases.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import NamedTuple

from tests.spec.checker import Case, Fault, Model, Step, right, swap, wrong


class Register(NamedTuple):
    """``finished`` is the set of finished tickets; ``count`` stands for it in the variants that only keep a number."""

    capacity: int
    finished: frozenset[int] = frozenset()
    count: int = 0


class Party(NamedTuple):
    """``view`` is the register it read before it took its ticket."""

    at: str = "idle"
    ticket: int = 0
    view: Register | None = None


class State(NamedTuple):
    register: Register
    tickets: frozenset[int]
    parties: tuple[Party, ...]
    granted: frozenset[int]
    passed: frozenset[int]
    deaths: int
    suspicions: int
    lost: int
    changes: tuple[int, ...]
    most: int


@dataclass(frozen=True)
class Queue(Model[State]):
    parties: int = 3
    capacity: int = 1
    deaths: int = 1
    suspicions: int = 1
    lost: int = 1
    changes: tuple[int, ...] = ()
    most_tickets: int = 4
    register: str = "finished set"
    look_again: bool = True

    def initial(self) -> Iterator[State]:
        yield State(
            Register(self.capacity),
            frozenset(),
            (Party(),) * self.parties,
            frozenset(),
            frozenset(),
            self.deaths,
            self.suspicions,
            self.lost,
            self.changes,
            self.capacity,
        )

    def canonical(self, state: State) -> State:
        return state._replace(parties=tuple(sorted(state.parties, key=hash)))

    # --- the register -------------------------------------------------------------------------------------------

    def finish(self, register: Register, ticket: int) -> Register:
        done = register.finished | {ticket}
        count = max(register.count, ticket) if self.register == "serving number" else register.count + 1
        return register._replace(finished=done, count=0 if self.register == "finished set" else count)

    def is_finished(self, register: Register, ticket: int) -> bool:
        return self.register == "finished set" and ticket in register.finished

    def may_run(self, register: Register, ticket: int) -> bool:
        if self.register == "finished set":
            unfinished = sum(lower not in register.finished for lower in range(1, ticket))
            return ticket not in register.finished and unfinished < register.capacity
        return ticket <= register.count + register.capacity

    @staticmethod
    def floor(register: Register) -> int:
        floor = 0
        while floor + 1 in register.finished:
            floor += 1
        return floor

    # --- what happens -------------------------------------------------------------------------------------------

    def actions(self, state: State) -> Iterator[Step[State]]:
        for number, me in enumerate(state.parties):
            yield from self.party(state, number, me)
            if me.at in ("taking", "waiting", "running") and state.deaths:
                dead = self.become(state, number, me._replace(at="dead", view=None))
                yield f"party {number} dies while {me.at}", dead._replace(deaths=state.deaths - 1)
        yield from self.pass_over(state)
        yield from self.sweep(state)
        if state.changes:
            capacity = state.changes[0]
            yield (
                f"the capacity becomes {capacity}",
                state._replace(
                    register=state.register._replace(capacity=capacity),
                    changes=state.changes[1:],
                    most=max(state.most, capacity),
                ),
            )

    def party(self, state: State, number: int, me: Party) -> Iterator[Step[State]]:
        register = state.register
        if me.at == "idle":
            highest = max([0, *state.tickets, *register.finished])
            if highest < self.most_tickets:
                yield (
                    f"party {number} looks, highest is {highest}",
                    self.become(state, number, Party("taking", highest + 1, register)),
                )
        elif me.at == "taking" and me.ticket in state.tickets:
            yield (
                f"party {number} finds ticket {me.ticket} taken",
                self.become(state, number, me._replace(ticket=me.ticket + 1)),
            )
        elif me.at == "taking":
            view = None if self.look_again else me.view
            taken = self.become(state, number, Party("waiting", me.ticket, view))
            yield f"party {number} takes ticket {me.ticket}", taken._replace(tickets=state.tickets | {me.ticket})
        elif me.at == "waiting":
            yield from self.wait(state, number, me)
        elif me.at == "running" and self.is_finished(register, me.ticket):
            yield f"party {number} ends, passed over", self.become(state, number, Party("done"))
        elif me.at in ("running", "releasing"):
            yield from self.release(state, number, me)

    def wait(self, state: State, number: int, me: Party) -> Iterator[Step[State]]:
        register = me.view or state.register
        if self.is_finished(register, me.ticket):
            yield f"party {number} finds ticket {me.ticket} finished", self.become(state, number, Party())
        elif self.may_run(register, me.ticket):
            label = f"ticket {me.ticket} of party {number} is granted"
            problem = self.wrong_grant(state, me.ticket)
            running = self.become(state, number, Party("running", me.ticket))
            yield label, Fault(problem) if problem else running._replace(granted=state.granted | {me.ticket})
        elif me.view is not None:
            yield f"party {number} looks again", self.become(state, number, me._replace(view=None))

    def wrong_grant(self, state: State, ticket: int) -> str:
        running = [p.ticket for p in state.parties if p.at == "running" and p.ticket not in state.passed]
        # Who was entitled before the capacity fell keeps its turn; nobody later than those who run gets one.
        capacity = state.register.capacity if ticket > max(running, default=0) else state.most
        if len(running) >= capacity:
            return f"ticket {ticket} is granted beside {sorted(running)} at capacity {capacity}"
        if ticket in state.granted:
            return f"ticket {ticket} is granted twice"
        before = [p.ticket for p in state.parties if p.at == "waiting" and p.ticket < ticket]
        lower = [other for other in before if other not in state.register.finished]
        if len(lower) + sum(other < ticket for other in running) >= state.register.capacity:
            return f"ticket {ticket} is granted before {lower}"
        return ""

    def release(self, state: State, number: int, me: Party) -> Iterator[Step[State]]:
        register = self.finish(state.register, me.ticket)
        done = self.become(state, number, Party("done"))
        yield f"party {number} releases ticket {me.ticket}", done._replace(register=register)
        if state.lost and me.at == "running":
            unsure = self.become(state, number, me._replace(at="releasing"))
            yield (
                f"party {number} releases ticket {me.ticket}, and the answer is lost",
                unsure._replace(register=register, lost=state.lost - 1),
            )

    def pass_over(self, state: State) -> Iterator[Step[State]]:
        """A waiter finishes a ticket before it whose owner gives no sign: it is dead, or only seems so."""
        last = max((p.ticket for p in state.parties if p.at == "waiting"), default=0)
        for party in state.parties:
            if party.ticket >= last or party.ticket in state.passed or party.at not in ("waiting", "running", "dead"):
                continue
            if party.ticket not in state.tickets or self.is_finished(state.register, party.ticket):
                continue
            if party.at == "dead" or state.suspicions:
                spent = party.at != "dead"
                yield (
                    f"ticket {party.ticket} ({party.at}) is passed over",
                    state._replace(
                        register=self.finish(state.register, party.ticket),
                        passed=state.passed | {party.ticket},
                        suspicions=state.suspicions - spent,
                    ),
                )

    def sweep(self, state: State) -> Iterator[Step[State]]:
        floor = self.floor(state.register)
        for ticket in sorted(state.tickets):
            if ticket < min(floor, max(state.tickets)):
                yield f"ticket {ticket} is swept", state._replace(tickets=state.tickets - {ticket})

    def become(self, state: State, number: int, party: Party) -> State:
        return state._replace(parties=swap(state.parties, number, party))

    def stuck(self, state: State) -> str | None:
        left = [party for party in state.parties if party.at in ("taking", "waiting", "running", "releasing")]
        return f"{left} wait for ever" if left else None


ONE = Queue(parties=4, most_tickets=5)
TWO = Queue(parties=4, most_tickets=5, capacity=2)
CALM = replace(TWO, deaths=0, suspicions=0)

CASES: tuple[Case, ...] = (
    right("finished set, capacity 1", ONE, deep=replace(ONE, parties=5, most_tickets=7, deaths=2, suspicions=2)),
    right("finished set, capacity 2", TWO, deep=replace(TWO, parties=5, most_tickets=7, deaths=2, suspicions=2)),
    right("capacity changes", replace(CALM, capacity=1, changes=(2, 1)), deep=replace(TWO, parties=5, changes=(1, 2))),
    wrong("ticket without post-check", replace(ONE, look_again=False, suspicions=0, deaths=0), "is granted twice"),
    wrong("serving number", replace(CALM, register="serving number", lost=0), "is granted before"),
    wrong("counting releases", replace(CALM, register="counting"), "is granted before"),
)
