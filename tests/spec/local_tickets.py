"""Local tickets: locked files, judged by the kernel, with a floor file (design page, "FIFO queue", locally).

Parties list the ticket files, lock a file and link it under the next number, read the floor file, and wait until none of
the lower tickets they saw is locked. Any may be stopped between two steps or die (the kernel then frees its lock). One
that has its ticket may clean first: it looks for the lowest locked ticket, replaces the floor file, then deletes below it.

Checked: never two holders at once; the number of every grant is higher than that of the one before (a fencing token).

Abstracted: capacities above 1 (``queue``), passing over by force (``held_lock``), file names and temporary files.

Variants: *floor file* is the rule of :mod:`swampstore.stores.tickets` with one cleaner at a time, exhausted. Found wrong:
no floor file; two cleaners at once (the slower one lowers the floor again, below tickets that the faster one deleted).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import NamedTuple

from tests.spec.checker import Case, Fault, Model, Step, right, swap, wrong


class Party(NamedTuple):
    """``lower`` are the tickets it waits for, ``plan`` the floor that it is about to write or to delete below."""

    at: str = "idle"
    number: int = 0
    rounds: int = 0
    lower: frozenset[int] = frozenset()
    plan: int = 0


class State(NamedTuple):
    files: frozenset[int]
    locked: frozenset[int]
    floor: int
    last: int
    cleanings: int
    deaths: int
    parties: tuple[Party, ...]


@dataclass(frozen=True)
class LocalTickets(Model[State]):
    parties: int = 4
    rounds: int = 1
    cleanings: int = 2
    deaths: int = 0
    floor_file: bool = True
    one_cleaner: bool = True

    def initial(self) -> Iterator[State]:
        nothing: frozenset[int] = frozenset()
        yield State(nothing, nothing, 0, 0, self.cleanings, self.deaths, (Party(),) * self.parties)

    def canonical(self, state: State) -> State:
        return state._replace(parties=tuple(sorted(state.parties, key=hash)))

    def actions(self, state: State) -> Iterator[Step[State]]:
        for number, me in enumerate(state.parties):
            yield from self.party(state, number, me)
            if state.deaths and me.at in ("checking", "waiting", "running", "cleaning", "deleting"):
                gone = self.become(state, number, Party("dead"))
                yield (
                    f"party {number} dies while {me.at}",
                    gone._replace(locked=state.locked - {me.number}, deaths=state.deaths - 1),
                )

    def party(self, state: State, number: int, me: Party) -> Iterator[Step[State]]:
        if me.at == "idle" and me.rounds < self.rounds:
            ticket = max([0, *state.files]) + 1
            yield (
                f"party {number} lists, next is {ticket}",
                self.become(state, number, me._replace(at="linking", number=ticket)),
            )
        elif me.at == "linking" and me.number in state.files:
            yield (
                f"party {number} finds ticket {me.number} taken",
                self.become(state, number, me._replace(number=me.number + 1)),
            )
        elif me.at == "linking":
            at = "checking" if self.floor_file else "waiting"
            linked = state._replace(files=state.files | {me.number}, locked=state.locked | {me.number})
            yield (
                f"party {number} links ticket {me.number}, locked",
                self.become(linked, number, me._replace(at=at, lower=self.below(state, me.number))),
            )
        elif me.at == "checking":
            yield self.check_floor(state, number, me)
        elif me.at == "waiting":
            yield from self.wait(state, number, me)
        elif me.at == "cleaning":
            yield (
                f"party {number} writes floor {me.plan}",
                self.become(state._replace(floor=me.plan), number, me._replace(at="deleting")),
            )
        elif me.at == "deleting":
            files = frozenset(ticket for ticket in state.files if ticket >= me.plan)
            yield (
                f"party {number} deletes tickets below {me.plan}",
                self.become(state._replace(files=files), number, me._replace(at="waiting", plan=0)),
            )
        elif me.at == "running":
            yield (
                f"party {number} releases ticket {me.number}",
                self.become(state._replace(locked=state.locked - {me.number}), number, Party("idle", 0, me.rounds + 1)),
            )

    def check_floor(self, state: State, number: int, me: Party) -> Step[State]:
        if me.number >= state.floor:
            waiting = me._replace(at="waiting", lower=self.below(state, me.number))
            return f"party {number} reads floor {state.floor}", self.become(state, number, waiting)
        again = max([me.number, *state.files]) + 1
        unlocked = state._replace(locked=state.locked - {me.number})
        return f"party {number} reads floor {state.floor}: ticket {me.number} is void", self.become(
            unlocked, number, Party("linking", again, me.rounds)
        )

    def wait(self, state: State, number: int, me: Party) -> Iterator[Step[State]]:
        others = [party for party in state.parties if party.at in ("cleaning", "deleting")]
        if state.cleanings and not (self.one_cleaner and others):
            plan = max(min(state.locked & state.files, default=max(state.files)), state.floor)
            yield (
                f"party {number} looks for the lowest locked ticket: {plan}",
                self.become(
                    state._replace(cleanings=state.cleanings - 1), number, me._replace(at="cleaning", plan=plan)
                ),
            )
        if me.lower & state.locked:
            return
        label = f"ticket {me.number} of party {number} is granted"
        running = [party.number for party in state.parties if party.at == "running"]
        if running:
            yield label, Fault(f"tickets {running[0]} and {me.number} run at once")
        elif me.number <= state.last:
            yield label, Fault(f"ticket {me.number} is granted after {state.last}")
        else:
            yield label, self.become(state._replace(last=me.number), number, me._replace(at="running"))

    @staticmethod
    def below(state: State, number: int) -> frozenset[int]:
        return frozenset(ticket for ticket in state.files if ticket < number)

    @staticmethod
    def become(state: State, number: int, party: Party) -> State:
        return state._replace(parties=swap(state.parties, number, party))

    def stuck(self, state: State) -> str | None:
        left = [party for party in state.parties if party.at not in ("idle", "dead")]
        return f"{left} wait for ever" if left else None


RULE = LocalTickets()

CASES: tuple[Case, ...] = (
    right("floor file", RULE, deep=replace(RULE, rounds=2, deaths=1)),
    right(
        "floor file, deaths", replace(RULE, parties=3, rounds=2, deaths=1), deep=replace(RULE, parties=5, cleanings=3)
    ),
    wrong("no floor file", replace(RULE, parties=3, floor_file=False), "is granted after"),
    wrong("two cleaners at once", replace(RULE, rounds=2, one_cleaner=False), "is granted after"),
)
