"""Folds, merges, and the splitting and joining of shards, on one root (design page, "merge"; invariants 2, 3, 6).

Folds join deltas into the inline part of level 0 one by one, and may spill it into a run. Two mergers (one may be a zombie)
read what is there, write new shards of one or two keys each, and publish on top of whatever the root is by then. A split or
a join may also come without changes.

Checked, in every root: of each key the newest folded version is found in inline records, runs or shards; ranges of shards
do not overlap; no object is named after it was replaced.

Abstracted: bytes, blocks, uploads, leadership (the zombie may always try).

Variants: *take out what was read* is the rule of :mod:`swampstore.workers.merge` (every input must still be there: runs and
shards by name, inline records by key and version), exhausted. Found wrong: a merge that clears level 0; one that only looks
whether its level-0 inputs are there, not its shards; one that takes inline records out by key alone.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import NamedTuple

from tests.spec.checker import Case, Model, Step, right, swap, wrong

Records = frozenset[tuple[str, int]]
NONE: Records = frozenset()


class Run(NamedTuple):
    """An immutable object: a level-0 run, or a shard that covers ``keys``."""

    name: int
    keys: str
    records: Records


class Root(NamedTuple):
    inline: Records = NONE
    runs: tuple[Run, ...] = ()
    shards: tuple[Run, ...] = ()


class Merge(NamedTuple):
    """Work that is done and not yet published: its inputs and outputs."""

    inputs: Root
    shards: tuple[Run, ...]


class State(NamedTuple):
    folded: int
    root: Root
    merges: tuple[Merge | None, ...]
    names: int
    replaced: frozenset[int]
    left: int


def joined(*parts: Records) -> Records:
    """Of each key the highest version."""
    newest: dict[str, int] = {}
    for part in parts:
        for key, version in part:
            newest[key] = max(version, newest.get(key, 0))
    return frozenset(newest.items())


@dataclass(frozen=True)
class Merges(Model[State]):
    deltas: str = "aba"
    mergers: int = 2
    merges: int = 3
    publish: str = "take out what was read"

    def initial(self) -> Iterator[State]:
        yield State(0, Root(), (None,) * self.mergers, 1, frozenset(), self.merges)

    def canonical(self, state: State) -> State:
        return state._replace(merges=tuple(sorted(state.merges, key=hash)))

    def actions(self, state: State) -> Iterator[Step[State]]:
        if state.folded < len(self.deltas):
            version = state.folded + 1
            key = self.deltas[state.folded]
            inline = joined(state.root.inline, frozenset([(key, version)]))
            yield (
                f"version {version} of {key} is folded",
                state._replace(folded=version, root=state.root._replace(inline=inline)),
            )
            run = Run(state.names, "", inline)
            yield (
                f"version {version} of {key} is folded, inline spills into run {run.name}",
                state._replace(
                    folded=version,
                    names=state.names + 1,
                    root=state.root._replace(inline=NONE, runs=(*state.root.runs, run)),
                ),
            )
        for number, merge in enumerate(state.merges):
            if merge is None and state.left:
                yield from self.work(state, number)
            elif merge is not None:
                yield self.finish(state, number, merge)

    # --- the work -----------------------------------------------------------------------------------------------

    def work(self, state: State, number: int) -> Iterator[Step[State]]:
        root = state.root
        for inline in (NONE, root.inline) if root.inline else (NONE,):
            if not (root.runs or inline):
                continue
            changed = {key for part in (inline, *(run.records for run in root.runs)) for key, _ in part}
            touched = tuple(shard for shard in root.shards if changed & set(shard.keys))
            for pieces in self.pieces(touched, root.shards):
                yield self.write(state, number, Root(inline, root.runs, pieces[0]), pieces[1])
        if root.shards:
            ranges = ("a", "b") if len(root.shards) == 1 else ("ab",)
            yield self.write(state, number, Root(NONE, (), root.shards), ranges)

    @staticmethod
    def pieces(touched: tuple[Run, ...], shards: tuple[Run, ...]) -> Iterator[tuple[tuple[Run, ...], tuple[str, ...]]]:
        """``(shards to rewrite, ranges of the new ones)``: as they are, split, or with a neighbour."""
        if not shards:
            yield (), ("ab",)
            yield (), ("a", "b")
            return
        yield touched, tuple(shard.keys for shard in touched)
        if len(shards) == 1:
            yield touched, ("a", "b")
        else:
            yield shards, ("ab",)

    def write(self, state: State, number: int, inputs: Root, ranges: tuple[str, ...]) -> Step[State]:
        records = joined(inputs.inline, *(run.records for run in (*inputs.runs, *inputs.shards)))
        names = range(state.names, state.names + len(ranges))
        shards = tuple(
            Run(name, keys, frozenset(record for record in records if record[0] in keys))
            for name, keys in zip(names, ranges, strict=True)
        )
        took = f"runs {[run.name for run in inputs.runs]}, inline {sorted(inputs.inline)}"
        label = f"merger {number} makes {[(shard.name, shard.keys) for shard in shards]} of {took}"
        return f"{label} and shards {[shard.name for shard in inputs.shards]}", state._replace(
            merges=swap(state.merges, number, Merge(inputs, shards)), names=names.stop, left=state.left - 1
        )

    # --- publishing ---------------------------------------------------------------------------------------------

    def finish(self, state: State, number: int, merge: Merge) -> Step[State]:
        root, inputs = state.root, merge.inputs
        idle = state._replace(merges=swap(state.merges, number, None))
        if not self.still_in(root, inputs):
            return f"merger {number} gives up", idle
        kept = tuple(shard for shard in root.shards if shard not in inputs.shards)
        if self.publish == "clear level 0":
            new = Root(NONE, (), (*kept, *merge.shards))
        else:
            out = {key for key, _ in inputs.inline}
            by_key = self.publish == "inline by key"
            inline = frozenset(r for r in root.inline if (r[0] not in out if by_key else r not in inputs.inline))
            new = Root(inline, tuple(run for run in root.runs if run not in inputs.runs), (*kept, *merge.shards))
        gone = frozenset(run.name for run in (*inputs.runs, *inputs.shards))
        return f"merger {number} publishes", idle._replace(root=new, replaced=state.replaced | gone)

    def still_in(self, root: Root, inputs: Root) -> bool:
        runs = set(inputs.runs) <= set(root.runs)
        shards = set(inputs.shards) <= set(root.shards)
        if self.publish == "shards not looked at":
            return runs and inputs.inline <= root.inline
        if self.publish == "inline by key":
            return runs and shards and {key for key, _ in inputs.inline} <= {key for key, _ in root.inline}
        return runs and shards and inputs.inline <= root.inline

    # --- what must hold -----------------------------------------------------------------------------------------

    def problem(self, state: State) -> str | None:
        root = state.root
        held = dict(joined(root.inline, *(run.records for run in (*root.runs, *root.shards))))
        for key in sorted(set(self.deltas)):
            newest = max((n for n, k in enumerate(self.deltas[: state.folded], 1) if k == key), default=0)
            if held.get(key, 0) != newest:
                return f"version {newest} of {key} was folded, and the root holds version {held.get(key, 0)}"
        covered = [key for shard in root.shards for key in shard.keys]
        if len(covered) != len(set(covered)):
            return f"shards {[(shard.name, shard.keys) for shard in root.shards]} overlap"
        named = {run.name for run in (*root.runs, *root.shards)}
        return f"{sorted(named & state.replaced)} is named again" if named & state.replaced else None


RULE = Merges()

CASES: tuple[Case, ...] = (
    right("take out what was read", RULE, deep=Merges(deltas="abab", mergers=2, merges=4)),
    wrong("merge clears level 0", replace(RULE, publish="clear level 0"), "was folded, and the root holds"),
    wrong("shards not looked at", replace(RULE, publish="shards not looked at"), "overlap"),
    wrong("inline by key alone", replace(RULE, publish="inline by key"), "was folded, and the root holds"),
)
