"""The sweep of orphans: what nothing names and what is old (design page, "sweep", "Orphan").

An uploader writes a content and later appends the delta that names it, at the latest 12 hours after; folds happen at any
instant. A merger writes a shard and later publishes it by CAS, having checked at most 6 hours after; it may be stopped between
that check and its CAS. A sweeper lists objects that are 24 hours old, lists the log, reads the root, and deletes what none of
them names; before it deletes a shard it replaces the root.

Time is abstracted into the age of each object: *young* (its maker may still name it), then *late* (its maker must not any
more), then *old* (the sweeper may list it).

Checked: no object is deleted that a delta in the log or the root names.

Abstracted: quarantine, pins (``pins``), the garbage list (``contents``): an object once named goes through it.

Variants: *objects, log, root* is the rule of :mod:`swampstore.workers.sweep_orphans`, exhausted. Found wrong: the objects
listed last; the root before the log; an append that does not look at the age; a shard deleted without replacing the root.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import NamedTuple

from tests.spec.checker import Case, Model, Step, right, wrong

AGES = ("", "young", "late", "old")
Names = frozenset[str]
NONE: Names = frozenset()


class Sweeper(NamedTuple):
    """``done`` counts its steps; ``root`` is the version it has read last."""

    done: int = 0
    found: Names = NONE
    named: Names = NONE
    root: int = 0


class State(NamedTuple):
    """``ages`` of the content and of the shard; ``merger`` is the root version it will replace (-1: it has given up or is
    done)."""

    ages: tuple[str, str]
    objects: Names
    appended: bool
    log: Names
    named: Names
    version: int
    merger: int
    sweeper: Sweeper


@dataclass(frozen=True)
class Orphans(Model[State]):
    order: tuple[str, ...] = ("objects", "log", "root")
    uploader_looks: bool = True
    replaces_root: bool = True

    def initial(self) -> Iterator[State]:
        yield State(("", ""), NONE, False, NONE, NONE, 1, 0, Sweeper())

    def actions(self, state: State) -> Iterator[Step[State]]:
        for number, name in enumerate(("content", "shard")):
            age = state.ages[number]
            if age != "old":
                ages = list(state.ages)
                ages[number] = AGES[AGES.index(age) + 1]
                objects = state.objects | {name} if not age else state.objects
                label = f"the {name} is uploaded" if not age else f"the {name} is {ages[number]}"
                yield label, state._replace(ages=(ages[0], ages[1]), objects=objects)
        yield from self.upload(state)
        if state.log:
            yield (
                "the delta is folded",
                state._replace(log=NONE, named=state.named | state.log, version=state.version + 1),
            )
        yield from self.merge(state)
        yield from self.sweep(state)

    def upload(self, state: State) -> Iterator[Step[State]]:
        age = state.ages[0]
        if not state.appended and (age == "young" or (age and not self.uploader_looks)):
            yield (
                "the delta that names the content is appended",
                state._replace(appended=True, log=state.log | {"content"}),
            )

    def merge(self, state: State) -> Iterator[Step[State]]:
        if state.merger == 0 and state.ages[1] == "young":
            yield f"the merger is about to publish on root {state.version}", state._replace(merger=state.version)
        elif state.merger > 0 and state.merger == state.version:
            yield (
                "the merger publishes its shard",
                state._replace(named=state.named | {"shard"}, version=state.version + 1, merger=-1),
            )
        elif state.merger > 0:
            yield (
                "the merger loses its CAS and reads the root again",
                state._replace(merger=0 if state.ages[1] == "young" else -1),
            )

    def sweep(self, state: State) -> Iterator[Step[State]]:
        me = state.sweeper
        if me.done < 3:
            step = self.order[me.done]
            old = frozenset(name for number, name in enumerate(("content", "shard")) if state.ages[number] == "old")
            new = {
                "objects": me._replace(found=state.objects & old),
                "log": me._replace(named=me.named | state.log),
                "root": me._replace(named=me.named | state.named, root=state.version),
            }[step]
            shown = {"objects": new.found, "log": state.log, "root": state.named}[step]
            verb = "reads the" if step == "root" else "lists the"
            yield f"the sweeper {verb} {step}: {sorted(shown)}", state._replace(sweeper=new._replace(done=me.done + 1))
            return
        going = me.found - me.named
        if me.done == 3 and "shard" in going and self.replaces_root:
            yield self.replace_root(state, me)
        elif me.done in (3, 4) and going:
            yield (
                f"the sweeper deletes {sorted(going)}",
                state._replace(objects=state.objects - going, sweeper=Sweeper(5)),
            )
        elif me.done in (3, 4):
            yield "the sweeper has found no orphan and begins again", state._replace(sweeper=Sweeper())

    @staticmethod
    def replace_root(state: State, me: Sweeper) -> Step[State]:
        if me.root == state.version:
            return "the sweeper replaces the root", state._replace(
                version=state.version + 1, sweeper=me._replace(done=4)
            )
        return "the sweeper loses its CAS and reads the root again", state._replace(
            sweeper=me._replace(root=state.version, named=me.named | (state.named & {"shard"}))
        )

    def problem(self, state: State) -> str | None:
        lost = sorted((state.log | state.named) - state.objects)
        return f"the {lost[0]} is named and deleted" if lost else None


RULE = Orphans()

CASES: tuple[Case, ...] = (
    right("objects, log, root", RULE),
    wrong("objects listed last", replace(RULE, order=("log", "root", "objects")), "content is named and deleted"),
    wrong("root before log", replace(RULE, order=("objects", "root", "log")), "content is named and deleted"),
    wrong("age not looked at", replace(RULE, uploader_looks=False), "content is named and deleted"),
    wrong("root not replaced", replace(RULE, replaces_root=False), "shard is named and deleted"),
)
