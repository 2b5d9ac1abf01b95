"""The middle level: when level 0 is merged within itself because the shards below would cost too much to rewrite.

A merge to the bottom rewrites every shard that a change falls into. Where changes are few and lie everywhere, that is the
whole manifest for a few thousand records. So level 0 is kept as *sorted runs* (one run, or several side by side that do
not overlap), and equal ones are joined into larger ones, until they are worth the shards they fall into.

Nothing of this is written down: it is told from the sizes and bounds that the root holds of every run anyway, and every
reader treats all runs of level 0 alike.

Invariants:
- A merge to the bottom takes all of level 0; one within level 0 takes its newest runs without a gap and puts the result in
  their place, so runs stay in the order of their folds.
- There are at most ``LEVEL0_RUNS - 1`` sorted runs of each size class when nothing is due, so reads stay bounded: classes
  grow by ``LEVEL0_RUNS``, and what is worth its shards goes to the bottom.
- A record is rewritten once for each class and once for each ``1 / MIDDLE_SHARE`` of the shards it falls into.
"""

from __future__ import annotations

from collections.abc import Sequence

from swampstore.limits import LEVEL0_RUNS, MIDDLE_FREE_BYTES, MIDDLE_SHARE, MIDDLE_UNIT_BYTES
from swampstore.values.root import Root, RunRef


def merge_due(root: Root) -> bool:
    """Whether a compactor should merge: to the bottom, or within level 0."""
    return len(root.level0) >= LEVEL0_RUNS and (worth_the_shards(root) or bool(to_join(root.level0)))


def worth_the_shards(root: Root) -> bool:
    """Whether the shards that level 0 falls into may be rewritten for what it holds."""
    below = sum(ref.size for ref in root.shards if any(_overlap(ref, run) for run in root.level0))
    return below <= MIDDLE_FREE_BYTES or sum(run.size for run in root.level0) * MIDDLE_SHARE >= below


def to_join(level0: Sequence[RunRef]) -> tuple[RunRef, ...]:
    """The newest runs that should become one sorted run; empty when there is nothing to do."""
    runs = sorted_runs(level0)
    classes = [size_class(sum(ref.size for ref in run)) for run in runs]
    for limit in sorted(set(classes)):
        start = len(runs)
        while start > 0 and classes[start - 1] <= limit:
            start -= 1
        if classes[start:].count(limit) >= LEVEL0_RUNS:
            return tuple(ref for run in runs[start:] for ref in run)
    return ()


def sorted_runs(level0: Sequence[RunRef]) -> list[list[RunRef]]:
    """Neighbours in the list that lie side by side in key order, together."""
    found: list[list[RunRef]] = []
    for ref in level0:
        if found and found[-1][-1].last < ref.first:
            found[-1].append(ref)
        else:
            found.append([ref])
    return found


def size_class(size: int) -> int:
    """0 for small ones; one more each time the size is ``LEVEL0_RUNS`` times as large."""
    number, limit = 0, MIDDLE_UNIT_BYTES
    while size > limit:
        number, limit = number + 1, limit * LEVEL0_RUNS
    return number


def _overlap(a: RunRef, b: RunRef) -> bool:
    return a.first <= b.last and b.first <= a.last
