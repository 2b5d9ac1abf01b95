"""A lock held over several steps: the mark that fences a holder whose turn has passed (design page, "passing over").

Holders take a ticket, wait until all lower ones are finished, read a value, decide, and commit the value plus one in the
commit lane. Any waiter may pass over any lower ticket at any instant (its owner sleeps, and may wake). A holder may end
without knowing whether its commit landed; it then releases the lock, and the request may land later. Optimists update
under the same lock name without a ticket, when a look at the queue and a look at the log, side by side, show nobody.

Every commit under the lock carries its footprint and writes the lock's mark: the highest ticket that has committed.

Checked: every committed value is derived from the one before it (no update is lost), so a holder that was passed over, or
met an optimist, never commits what it derived from an older value.

Abstracted: keys (one value), folding (``shared_lane``: a slot is known or its versions are looked at again), the queue's own
steps (``queue``).

Variants: *mark at every grant* is exhausted: a hold begins by committing its mark, and an optimist takes a mark whose
ticket is unfinished in the queue it has looked at for a queue in use. Found wrong: no mark at the grant; a mark only by
the waiter that did the passing over itself (another waiter, or an operator, may have done it, and an undecided commit needs
no passing over at all); optimists that do not look at the mark's ticket; optimists that set the mark back to 0.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import NamedTuple

from tests.spec.checker import Case, Fault, Model, Step, right, swap, wrong


class Slot(NamedTuple):
    """A slot of the commit lane: the mark it leaves, and the value."""

    mark: int
    value: int


class Party(NamedTuple):
    """``read`` is the value that it decides on, ``tail`` the last slot that its commit accounts for."""

    at: str = "idle"
    ticket: int = 0
    passed_over: bool = False
    read: int = 0
    mark: int = 0
    tail: int = 0
    free: bool = False
    looked: frozenset[int] = frozenset()


class State(NamedTuple):
    """``flying`` are requests whose senders have left: ``(slot, what it would hold, the value it was derived from)``."""

    lane: tuple[Slot, ...]
    tickets: int
    finished: frozenset[int]
    holders: tuple[Party, ...]
    optimists: tuple[Party, ...]
    suspicions: int
    undecided: int
    flying: frozenset[tuple[int, Slot, int]]


@dataclass(frozen=True)
class HeldLock(Model[State]):
    holders: int = 3
    optimists: int = 0
    suspicions: int = 2
    undecided: int = 0
    mark: str = "always"
    looks_at_mark: bool = True
    keeps_mark: bool = True

    def initial(self) -> Iterator[State]:
        yield State(
            (),
            0,
            frozenset(),
            (Party(),) * self.holders,
            (Party(),) * self.optimists,
            self.suspicions,
            self.undecided,
            frozenset(),
        )

    def canonical(self, state: State) -> State:
        return state._replace(
            holders=tuple(sorted(state.holders, key=hash)), optimists=tuple(sorted(state.optimists, key=hash))
        )

    @staticmethod
    def last(state: State) -> Slot:
        return state.lane[-1] if state.lane else Slot(0, 0)

    def actions(self, state: State) -> Iterator[Step[State]]:
        for number, me in enumerate(state.holders):
            yield from self.holder(state, number, me)
        for number, me in enumerate(state.optimists):
            yield from self.optimist(state, number, me)
        for request in sorted(state.flying):
            slot, held, read = request
            rest = state._replace(flying=state.flying - {request})
            if slot == len(state.lane) + 1:
                yield self.commit(rest, f"the undecided commit lands in slot {slot}", held, read)
            elif slot <= len(state.lane):
                yield f"the undecided commit is refused, slot {slot} is taken", rest

    def commit(self, state: State, label: str, held: Slot, read: int) -> Step[State]:
        value = self.last(state).value
        if read != value:
            return label, Fault(f"value {held.value} was derived from {read}, and {value} was there")
        return label, state._replace(lane=(*state.lane, held))

    # --- holders ------------------------------------------------------------------------------------------------

    def holder(self, state: State, number: int, me: Party) -> Iterator[Step[State]]:
        def become(party: Party, on: State = state) -> State:
            return on._replace(holders=swap(on.holders, number, party))

        last = self.last(state)
        who = f"holder {me.ticket}"
        if me.at == "idle":
            ticket = state.tickets + 1
            yield f"holder {ticket} takes its ticket", become(Party("waiting", ticket))._replace(tickets=ticket)
        elif me.at == "waiting":
            yield from self.wait(state, number, me)
        elif me.at == "marking":
            if last.mark > me.ticket:
                yield f"{who} is fenced at once", become(Party("fenced", me.ticket))
            else:
                marked = become(me._replace(at="granted"))
                yield self.commit(marked, f"{who} commits its mark", Slot(me.ticket, last.value), last.value)
        elif me.at == "granted":
            yield f"{who} reads value {last.value}", become(me._replace(at="decided", read=last.value))
        elif me.at == "decided":
            if last.mark > me.ticket:
                yield f"{who} is fenced by mark {last.mark}", become(Party("fenced", me.ticket))
            else:
                yield (
                    f"{who} is about to commit, mark is {last.mark}",
                    become(me._replace(at="committing", tail=len(state.lane))),
                )
        elif me.at == "committing":
            yield from self.send(state, number, me)
        elif me.at in ("done", "fenced"):
            finished = state.finished | {me.ticket}
            yield f"{who} releases", become(Party("gone", me.ticket))._replace(finished=finished)

    def wait(self, state: State, number: int, me: Party) -> Iterator[Step[State]]:
        if me.ticket in state.finished:
            party = Party("gone", me.ticket)
            yield (
                f"holder {me.ticket} finds its ticket finished",
                state._replace(holders=swap(state.holders, number, party)),
            )
            return
        lower = [ticket for ticket in range(1, me.ticket) if ticket not in state.finished]
        if not lower:
            marks = self.mark == "always" or (self.mark == "by who passed over" and me.passed_over)
            party = me._replace(at="marking" if marks else "granted", passed_over=False)
            yield f"holder {me.ticket} is granted", state._replace(holders=swap(state.holders, number, party))
        for ticket in lower if state.suspicions else ():
            over = swap(state.holders, number, me._replace(passed_over=True))
            yield (
                f"holder {me.ticket} passes over ticket {ticket}",
                state._replace(holders=over, finished=state.finished | {ticket}, suspicions=state.suspicions - 1),
            )

    def send(self, state: State, number: int, me: Party) -> Iterator[Step[State]]:
        def become(party: Party, on: State = state) -> State:
            return on._replace(holders=swap(on.holders, number, party))

        held = Slot(me.ticket, me.read + 1)
        if state.undecided:
            left = become(Party("done", me.ticket))
            yield (
                f"holder {me.ticket} sends slot {me.tail + 1} and never hears of it",
                left._replace(undecided=state.undecided - 1, flying=state.flying | {(me.tail + 1, held, me.read)}),
            )
        if me.tail < len(state.lane):
            yield f"holder {me.ticket} finds slot {me.tail + 1} taken", become(me._replace(at="decided"))
        else:
            done = become(Party("done", me.ticket))
            yield self.commit(done, f"holder {me.ticket} commits {held.value}", held, me.read)

    # --- optimists ----------------------------------------------------------------------------------------------

    def optimist(self, state: State, number: int, me: Party) -> Iterator[Step[State]]:
        """The queue and the log are looked at side by side: either may be answered first."""

        def become(party: Party, on: State = state) -> State:
            return on._replace(optimists=swap(on.optimists, number, party))

        last = self.last(state)
        who = f"optimist {number}"
        unfinished = [ticket for ticket in range(1, state.tickets + 1) if ticket not in state.finished]
        log = me._replace(read=last.value, mark=last.mark, tail=len(state.lane))
        queue = me._replace(free=not unfinished, looked=state.finished)
        if me.at == "idle":
            yield f"{who} reads value {last.value}, mark {last.mark}", become(log._replace(at="has read"))
            yield f"{who} looks at the queue: {unfinished}", become(queue._replace(at="has looked"))
        elif me.at == "has read":
            yield f"{who} looks at the queue: {unfinished}", become(queue._replace(at="ready"))
        elif me.at == "has looked":
            yield f"{who} reads value {last.value}, mark {last.mark}", become(log._replace(at="ready"))
        elif me.at == "ready":
            held_by_mark = self.looks_at_mark and me.mark and me.mark not in me.looked
            if not me.free or held_by_mark:
                yield f"{who} will queue", become(Party("gone"))
            elif me.tail < len(state.lane):
                yield f"{who} finds slot {me.tail + 1} taken and will queue", become(Party("gone"))
            else:
                held = Slot(me.mark if self.keeps_mark else 0, me.read + 1)
                yield self.commit(become(Party("gone")), f"{who} commits {held.value}, mark {held.mark}", held, me.read)

    def stuck(self, state: State) -> str | None:
        left = [party for party in state.holders if party.at not in ("gone", "waiting")]
        return f"{left} are stuck" if left else None


RULE = HeldLock()
MIXED = HeldLock(holders=2, optimists=1, suspicions=1)

CASES: tuple[Case, ...] = (
    right("mark at every grant", RULE, deep=HeldLock(holders=4, suspicions=3)),
    right("with undecided commits", HeldLock(undecided=1), deep=HeldLock(holders=4, undecided=2)),
    right("with optimists", MIXED, deep=HeldLock(holders=3, optimists=2, undecided=1)),
    wrong("no mark", replace(RULE, mark="never"), "was derived from"),
    wrong("mark by who passed over", replace(RULE, mark="by who passed over"), "was derived from"),
    wrong("mark by who passed over, undecided", HeldLock(2, 0, 0, 1, mark="by who passed over"), "was derived from"),
    wrong("optimist ignores the mark's ticket", replace(MIXED, looks_at_mark=False), "was derived from"),
    wrong("optimist resets the mark", replace(MIXED, keeps_mark=False), "was derived from"),
)
