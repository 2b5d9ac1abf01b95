"""Contents that several entries share, and the garbage sweep (design page, "sweep"; invariant 5).

One content is named by entry k. Carriers read an entry that names it and append an entry of their own with the same
location; every entry is deleted at some instant. Folds join all that is in the log; a fold that drops at least as many names as
it adds calls the content garbage, since its version; one that adds more takes it off the list. A sweeper waits out the
grace, looks for uses (list the log, then read the root), checks by CAS that the item is still the one it looked at, deletes.

The grace (24 hours) is far longer than a location may be carried (1 hour): an item is not ripe while a carrier holds the
location from a root before the item's.

Checked: the content is there while an entry of the root or of the log names it.

Abstracted: packs (a count instead of a look), reading whole manifests, pins (``pins``), orphans (``orphans``).

Variants: *look again* is the rule of :mod:`swampstore.workers.sweep_garbage`, :mod:`swampstore.workers.uses` and
:mod:`swampstore.workers.tally`, exhausted; the other order of the look is right too, because every fold that moves a name
renews the item (orphans have no item: see there). Found wrong: garbage for ever (no second look); a look without the bound
on carrying; an item that keeps its old date when it is dropped once more.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import NamedTuple

from tests.spec.checker import Case, Model, Step, right, swap, wrong

Keys = frozenset[str]


class Root(NamedTuple):
    """``names`` are the entries that name the content; ``since`` is its garbage item's version, 0 without one."""

    version: int = 1
    names: Keys = frozenset("k")
    since: int = 0


class Carrier(NamedTuple):
    at: str = "idle"
    read: int = 0


class Sweeper(NamedTuple):
    at: str = "idle"
    since: int = 0
    logged: Keys = frozenset()
    named: bool = False


class State(NamedTuple):
    """``log`` holds unfolded deltas: ``+x`` puts entry x with the content's location, ``-x`` deletes it."""

    root: Root
    log: tuple[str, ...]
    deleted: Keys
    content: bool
    carriers: tuple[Carrier, ...]
    sweeper: Sweeper


@dataclass(frozen=True)
class Contents(Model[State]):
    carriers: int = 2
    look: str = "log, root"
    bounded: bool = True
    renewed: bool = True

    def initial(self) -> Iterator[State]:
        yield State(Root(), (), frozenset(), True, (Carrier(),) * self.carriers, Sweeper())

    @staticmethod
    def live(state: State) -> Keys:
        names = set(state.root.names)
        for delta in state.log:
            (names.add if delta[0] == "+" else names.discard)(delta[1])
        return frozenset(names)

    def actions(self, state: State) -> Iterator[Step[State]]:
        live = self.live(state)
        for number, me in enumerate(state.carriers):
            yield from self.carry(state, number, me, live)
        for key in sorted(live - state.deleted):
            yield f"entry {key} is deleted", state._replace(log=(*state.log, f"-{key}"), deleted=state.deleted | {key})
        if state.log:
            yield self.fold(state)
        yield from self.sweep(state)

    def carry(self, state: State, number: int, me: Carrier, live: Keys) -> Iterator[Step[State]]:
        key = "xyz"[number]
        if me.at == "idle" and live:
            yield (
                f"carrier {number} reads the location",
                state._replace(carriers=swap(state.carriers, number, Carrier("holding", state.root.version))),
            )
        elif me.at == "holding":
            done = swap(state.carriers, number, Carrier("done"))
            yield (
                f"carrier {number} appends entry {key} with it",
                state._replace(log=(*state.log, f"+{key}"), carriers=done),
            )
            yield f"carrier {number} has held it for an hour and drops it", state._replace(carriers=done)

    def fold(self, state: State) -> Step[State]:
        root = state.root
        names, change = set(root.names), 0
        for delta in state.log:
            if delta[0] == "+":
                names.add(delta[1])
                change += 1
            elif delta[1] in names:
                names.discard(delta[1])
                change -= 1
        version = root.version + 1
        since = 0 if change > 0 else version if self.renewed or not root.since else root.since
        new = Root(version, frozenset(names), since)
        return f"{list(state.log)} is folded into {new}", state._replace(root=new, log=())

    def sweep(self, state: State) -> Iterator[Step[State]]:
        me, root = state.sweeper, state.root
        order = ("read the log", "read the root") if self.look == "log, root" else ("read the root", "read the log")
        step = {"ripe": order[0], "half": order[1]}.get(me.at, me.at)
        held = any(carrier.at == "holding" and carrier.read < root.since for carrier in state.carriers)
        if step == "idle" and root.since and not (held and self.bounded):
            at = "publish" if self.look == "none" else "ripe"
            yield f"the garbage of version {root.since} is ripe", state._replace(sweeper=Sweeper(at, root.since))
        elif step == "read the log":
            logged = frozenset(delta[1] for delta in state.log if delta[0] == "+")
            yield (
                f"the sweeper reads the log: {sorted(logged)}",
                state._replace(sweeper=self.after(me)._replace(logged=logged, named=me.named or bool(logged))),
            )
        elif step == "read the root":
            yield (
                f"the sweeper reads the root: {sorted(root.names)}",
                state._replace(sweeper=self.after(me)._replace(named=me.named or bool(root.names))),
            )
        elif step == "publish":
            yield self.publish(state, me)
        elif step == "delete":
            yield "the content is deleted", state._replace(content=False, sweeper=Sweeper("done"))

    @staticmethod
    def after(me: Sweeper) -> Sweeper:
        return me._replace(at="half" if me.at == "ripe" else "publish")

    @staticmethod
    def publish(state: State, me: Sweeper) -> Step[State]:
        root = state.root
        if root.since != me.since:
            return "the item is another one by now", state._replace(sweeper=Sweeper())
        if me.named:
            new = root._replace(version=root.version + 1, since=0)
            return "the content is in use and leaves the list", state._replace(root=new, sweeper=Sweeper())
        new = root._replace(version=root.version + 1)
        return "the sweep floor is raised", state._replace(root=new, sweeper=me._replace(at="delete"))

    def problem(self, state: State) -> str | None:
        named = state.root.names | {delta[1] for delta in state.log if delta[0] == "+"}
        if not state.content and named & self.live(state):
            return f"entries {sorted(named & self.live(state))} name the content, which is deleted"
        return None


RULE = Contents()

CASES: tuple[Case, ...] = (
    right("look again", RULE, deep=Contents(carriers=3)),
    right("root before log", replace(RULE, look="root, log"), deep=Contents(carriers=3, look="root, log")),
    wrong("garbage for ever", replace(RULE, look="none"), "name the content"),
    wrong("look without the bound", replace(RULE, bounded=False), "name the content"),
    wrong("dropped again, old date", replace(RULE, renewed=False), "name the content"),
)
