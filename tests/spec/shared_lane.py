"""Committing in a shared lane while it is folded and its slots are deleted (design page, "shared-lane commit").

Clients that each add one to a key: list, root, derive from what they saw, create the next slot. Between any two steps a
client may be paused for longer than every grace. The lane is folded slot by slot; the root keeps the write ids of the
last few folded slots. Slots are deleted when the grace allows it.

The times are abstracted into one bit: a client's list is *fresh* for its 20 s, and a slot that it could not know to be
covered is not deleted while it is fresh (30 s after it is covered). A client may stop being fresh at any instant.

Checked: an acknowledged commit is part of the lane's history (the first creations of its slots); nobody commits twice;
who is told of a conflict is not in the history; a commit follows exactly the state of its key that it was derived from.

Abstracted: what is in a slot (only which key), several lanes, group commit and footprints of many keys (``footprints``).

Variants: *the rule* (stale lists are refreshed and the versions of the footprint are looked at again; what a late answer
says is settled by the watermark and the write ids), exhausted. *Any age* creates from a list of any age and relies on the
late checks alone: right as well, only dearer. Found wrong: created means committed; a root that is asked only for the
watermark (either answer); a refresh that does not look at the versions again; a late "somebody is there" that is believed
(it may be another late request, in a slot that was used, folded and deleted before), or that is not settled by the write
ids (an earlier request of the same client may be what was folded).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import NamedTuple

from tests.spec.checker import Case, Fault, Model, Step, dense, right, swap, wrong


class Client(NamedTuple):
    """``tail`` is the last slot accounted for, ``seen`` the value of its key there; ``covered`` the watermark when its
    list began, or -1 when the list is no longer fresh; ``slot`` is what it has created."""

    at: str = "idle"
    listed: frozenset[int] = frozenset()
    covered: int = -1
    tail: int = 0
    seen: int = -1
    slot: int = 0
    lost: bool = False


class State(NamedTuple):
    """``history`` names the first creator of every slot, ``present`` the slots there are with whose commit is in them."""

    history: tuple[int, ...]
    present: frozenset[tuple[int, int]]
    watermark: int
    clients: tuple[Client, ...]


@dataclass(frozen=True)
class SharedLane(Model[State]):
    keys: str = "aab"
    memory: int = 1
    refresh: str = "with versions"
    fresh_only: bool = True
    late: str = "write ids"
    taken: str = "settled"
    losers: tuple[int, ...] = ()

    def initial(self) -> Iterator[State]:
        yield State((), frozenset(), 0, (Client(),) * len(self.keys))

    def value(self, state: State, key: str, tail: int) -> int:
        return sum(self.keys[creator] == key for creator in state.history[:tail])

    def actions(self, state: State) -> Iterator[Step[State]]:
        for number in range(len(self.keys)):
            yield from self.client(state, number)
        if state.watermark < len(state.history):
            yield f"slot {state.watermark + 1} is folded", state._replace(watermark=state.watermark + 1)
        for slot, creator in sorted(state.present):
            if slot <= state.watermark and not any(0 <= c.covered < slot for c in state.clients):
                yield f"slot {slot} is deleted", state._replace(present=state.present - {(slot, creator)})

    def client(self, state: State, number: int) -> Iterator[Step[State]]:
        me = state.clients[number]
        if me.at in ("idle", "refresh"):
            listed = frozenset(slot for slot, _ in state.present)
            yield (
                f"client {number} lists",
                self.become(state, number, me._replace(at="root", listed=listed, covered=state.watermark)),
            )
        elif me.at == "root":
            yield f"client {number} reads the root", self.look(state, number, me)
        elif me.at == "ready" and (me.covered >= 0 or not self.fresh_only):
            yield f"client {number} sends slot {me.tail + 1}", self.become(state, number, me._replace(at="sent"))
        elif me.at == "ready":
            yield f"client {number} must refresh", self.become(state, number, me._replace(at="refresh"))
        elif me.at == "sent":
            yield self.land(state, number, me)
            if number in self.losers and not me.lost:
                yield from self.lose(state, number, me)
        elif me.at == "created":
            yield self.answer(state, number, me)
        if me.covered >= 0 and me.at not in ("idle", "refresh", "done"):
            yield f"client {number} sleeps", self.become(state, number, me._replace(covered=-1))

    def look(self, state: State, number: int, me: Client) -> State:
        """Put the list and the root together; a draft that was made before must still be true."""
        tail = dense(me.listed, state.watermark)
        key = self.keys[number]
        value = self.value(state, key, tail)
        unknown = tail > me.tail and self.refresh == "with versions"
        if me.seen < 0 or (unknown and value != me.seen):
            return self.become(state, number, me._replace(at="ready", listed=frozenset(), tail=tail, seen=value))
        return self.become(state, number, me._replace(at="ready", listed=frozenset(), tail=tail))

    def land(self, state: State, number: int, me: Client) -> Step[State]:
        """A request reaches the store and is answered, or, when an earlier one had landed, read back."""
        slot = me.tail + 1
        creator = next((who for there, who in state.present if there == slot), None)
        if creator == number:
            label = f"client {number} finds its own commit in slot {slot}"
            return label, self.become(state, number, me._replace(at="created", slot=slot))
        if creator is not None:
            return self.find(state, number, me, creator)
        label = f"client {number} creates slot {slot}"
        created = self.become(state, number, me._replace(at="created", slot=slot))
        new = created._replace(present=state.present | {(slot, number)})
        if slot <= len(state.history):
            return label + " again, which was deleted", new
        value = self.value(state, self.keys[number], slot - 1)
        if value != me.seen:
            return label, Fault(f"client {number} commits from value {me.seen} of its key, which is {value}")
        if number in state.history:
            return label, Fault(f"client {number} commits twice")
        return label, new._replace(history=(*state.history, number))

    def lose(self, state: State, number: int, me: Client) -> Iterator[Step[State]]:
        """The same, but the answer is lost: the same bytes are sent to the same slot again."""
        label, following = self.land(state, number, me)
        if isinstance(following, State) and following.present != state.present:
            again = self.become(following, number, me._replace(lost=True))
            yield f"{label}, and the answer is lost", again

    def find(self, state: State, number: int, me: Client, creator: int) -> Step[State]:
        slot = me.tail + 1
        label = f"client {number} finds slot {slot} taken by {creator}"
        if me.covered < 0 and self.taken == "settled" and state.watermark >= slot:
            verdict = self.remembered(state, number, slot)
            settled = {True: Client("done", slot=slot), False: me._replace(at="refresh"), None: Client("ambiguous")}
            return f"{label}, late, and asks for its write id: {verdict}", self.become(state, number, settled[verdict])
        if me.covered < 0 and self.taken == "looked at again":
            return f"{label}, late, and refreshes", self.become(state, number, me._replace(at="refresh"))
        met = self.keys[creator] == self.keys[number]
        return label, self.become(state, number, Client() if met else me._replace(at="ready", tail=slot))

    def answer(self, state: State, number: int, me: Client) -> Step[State]:
        slot = me.slot
        committed = self.become(state, number, Client("done", slot=slot))
        again = self.become(state, number, Client())
        if me.covered >= 0 or self.late == "believe":
            return f"client {number} is answered: committed", committed
        label = f"client {number} is answered late, reads watermark {state.watermark}"
        if state.watermark < slot or self.late == "watermark: committed":
            return f"{label}: committed", committed
        if self.late == "watermark: conflict":
            return f"{label}: conflict", again
        verdict = self.remembered(state, number, slot)
        settled = {True: committed, False: again, None: self.become(state, number, Client("ambiguous"))}
        return f"{label} and asks for its write id: {verdict}", settled[verdict]

    def remembered(self, state: State, number: int, slot: int) -> bool | None:
        """Whether a folded slot carries the client's write id; ``None`` when the root is past remembering."""
        return None if slot <= state.watermark - self.memory else state.history[slot - 1] == number

    def become(self, state: State, number: int, client: Client) -> State:
        return state._replace(clients=swap(state.clients, number, client))

    def problem(self, state: State) -> str | None:
        for number, client in enumerate(state.clients):
            if client.at == "done" and state.history[client.slot - 1] != number:
                return f"client {number} was told that it committed, and is not in the history"
        return None

    def stuck(self, state: State) -> str | None:
        left = [number for number, client in enumerate(state.clients) if client.at not in ("done", "ambiguous")]
        return f"clients {left} are stuck" if left else None


RULE = SharedLane()
LOSING = replace(RULE, keys="aa", losers=(0,))

CASES: tuple[Case, ...] = (
    right("the rule", RULE, deep=SharedLane(keys="aaba", memory=2)),
    right("the rule, three of one key", SharedLane(keys="aaa", memory=2), deep=SharedLane(keys="aabb")),
    right("answers lost", LOSING, deep=replace(LOSING, keys="aab", losers=(0, 1))),
    right("any age", replace(RULE, fresh_only=False), deep=replace(RULE, fresh_only=False, keys="aaba")),
    wrong("created means committed", replace(RULE, fresh_only=False, late="believe"), "not in the history"),
    wrong("root without write ids, conflict", replace(RULE, late="watermark: conflict"), "commits twice"),
    wrong(
        "root without write ids, committed",
        replace(RULE, fresh_only=False, late="watermark: committed"),
        "not in the history",
    ),
    wrong("late 412 believed", replace(RULE, taken="believed"), "commits from value"),
    wrong("late 412 not settled", replace(LOSING, taken="looked at again"), "commits twice"),
    wrong("refresh without versions", replace(RULE, refresh="tail only"), "commits from value"),
)
