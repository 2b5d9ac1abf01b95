"""Updates of many keys and lock names: one commit lane, with footprints (design page, "read-modify-write"; invariant 8).

Each job reads the tails of the lanes and what its footprint (keys and lock name) holds, then creates the next slot. If
the slot is taken, what it holds tells a neighbour (claim the next slot) from a conflict (read and decide again). Two
jobs of one process may share a slot.

Checked: when a job commits, it has seen every commit before it whose footprint meets its own.

Abstracted: the queue, folding and deletion of slots (``shared_lane``), reading and what is written.

Variants: *one lane* is the rule, exhausted for four jobs over two keys and three locks. Found wrong: a lane by the first
key, a lane by the lock name, a write that is not conditional, and a slot shared by drafts whose footprints meet.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import combinations
from typing import NamedTuple

from tests.spec.checker import Case, Fault, Model, Step, right, swap, wrong


class Job(NamedTuple):
    keys: tuple[str, ...]
    lock: str

    @property
    def footprint(self) -> frozenset[str]:
        return frozenset((*self.keys, f"lock {self.lock}"))


class Draft(NamedTuple):
    """``seen`` are the jobs committed in the snapshot, ``tail`` the last slot of the job's lane that is accounted for."""

    at: str = "idle"
    tail: int = 0
    seen: frozenset[int] = frozenset()


class State(NamedTuple):
    """``lanes`` are tuples of slots, a slot the jobs that it holds."""

    lanes: tuple[tuple[frozenset[int], ...], ...]
    drafts: tuple[Draft, ...]


JOBS = (Job(("a", "b"), "a"), Job(("b",), "b"), Job(("a",), "x"), Job(("b",), "x"))


@dataclass(frozen=True)
class Footprints(Model[State]):
    jobs: tuple[Job, ...] = JOBS
    lane: str = "one"
    conditional: bool = True
    merging: bool = False

    def initial(self) -> Iterator[State]:
        lanes = {"one": 1}.get(self.lane, 3)
        yield State(((),) * lanes, (Draft(),) * len(self.jobs))

    def lane_of(self, job: Job) -> int:
        if self.lane == "by key":
            return "ab".index(job.keys[0])
        return "abx".index(job.lock) if self.lane == "by lock" else 0

    def actions(self, state: State) -> Iterator[Step[State]]:
        for number, draft in enumerate(state.drafts):
            job = self.jobs[number]
            if draft.at == "idle":
                tail = len(state.lanes[self.lane_of(job)])
                seen = frozenset(other for lane in state.lanes for slot in lane for other in slot)
                yield f"job {number} {job.keys} reads", self.become(state, number, Draft("decided", tail, seen))
            elif draft.at == "decided":
                yield self.create(state, (number,))
        for one, other in combinations(range(len(self.jobs)), 2):
            if self.may_share(state, one, other):
                yield self.create(state, (one, other))

    def may_share(self, state: State, one: int, other: int) -> bool:
        drafts = state.drafts[one], state.drafts[other]
        apart = not self.jobs[one].footprint & self.jobs[other].footprint
        return (
            drafts[0].at == drafts[1].at == "decided"
            and drafts[0].tail == drafts[1].tail
            and self.lane_of(self.jobs[one]) == self.lane_of(self.jobs[other])
            and (apart or self.merging)
        )

    def create(self, state: State, numbers: tuple[int, ...]) -> Step[State]:
        lane_number = self.lane_of(self.jobs[numbers[0]])
        lane = state.lanes[lane_number]
        tail = state.drafts[numbers[0]].tail
        who = "jobs " + " and ".join(map(str, numbers)) if len(numbers) > 1 else f"job {numbers[0]}"
        if len(lane) > tail and self.conditional:
            held = lane[tail]
            for number in numbers:
                conflict = any(self.jobs[number].footprint & self.jobs[other].footprint for other in held)
                draft = Draft() if conflict else state.drafts[number]._replace(tail=tail + 1)
                state = self.become(state, number, draft)
            return f"{who} finds slot {tail + 1} of lane {lane_number} taken", state
        label = f"{who} commits in slot {len(lane) + 1} of lane {lane_number}"
        for number in numbers:
            missed = self.missed(state, number, numbers)
            if missed:
                return label, Fault(f"job {number} committed without having seen job {missed[0]}, which it meets")
            state = self.become(state, number, Draft("done"))
        lanes = swap(state.lanes, lane_number, (*lane, frozenset(numbers)))
        return label, state._replace(lanes=lanes)

    def missed(self, state: State, number: int, together: tuple[int, ...]) -> list[int]:
        before = {other for lane in state.lanes for slot in lane for other in slot} | set(
            together[: together.index(number)]
        )
        mine = self.jobs[number].footprint
        return sorted(o for o in before - state.drafts[number].seen if self.jobs[o].footprint & mine)

    def become(self, state: State, number: int, draft: Draft) -> State:
        return state._replace(drafts=swap(state.drafts, number, draft))

    def stuck(self, state: State) -> str | None:
        left = [number for number, draft in enumerate(state.drafts) if draft.at != "done"]
        return f"jobs {left} never committed" if left else None


CASES: tuple[Case, ...] = (
    right("one lane", Footprints(), deep=Footprints(jobs=(*JOBS, Job(("a",), "a"), Job(("a", "b"), "x")))),
    wrong("lane by key", Footprints(lane="by key"), "without having seen"),
    wrong("lane by lock name", Footprints(lane="by lock"), "without having seen"),
    wrong("unconditional write", replace(Footprints(), conditional=False), "without having seen"),
    wrong("merging footprints", replace(Footprints(), merging=True), "without having seen"),
)
