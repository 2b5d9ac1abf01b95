"""Which shards a merge rewrites, and into pieces of what size.

Invariants:
- The ranges of shards cover all keys: a shard's range goes from its bound to the next shard's; the first also takes what
  lies before it. A path and its conflict entries lie in one range.
- Only shards whose range holds a change are rewritten, plus at most one small neighbour per group, plus shards that
  consist of tombstones nothing needs any more.
"""

from __future__ import annotations

import bisect
from collections.abc import Callable, Iterable, Sequence

import msgspec

from swampstore.limits import SHARD_TARGET_DIVISOR, SHARD_TARGET_MAX_BYTES, SHARD_TARGET_MIN_BYTES
from swampstore.protocols.place import Place
from swampstore.protocols.runs import load_rows
from swampstore.values.join import conflict_of
from swampstore.values.names import unique_ms
from swampstore.values.root import Root, RunRef
from swampstore.workers.level0 import END, Level0

_BLOCKS_AT_ONCE = 16
_SMALL = 4
"""A result smaller than the target by this factor joins a neighbour."""


class Group(msgspec.Struct, frozen=True):
    """Adjacent shards ``[start, end)`` rewritten together into ``pieces`` objects of about ``piece_bytes``.

    Without any shards yet, both are 0 and the group stands for all keys.
    """

    start: int
    end: int
    pieces: int
    piece_bytes: int


class Plan(msgspec.Struct, frozen=True):
    """``uppers[i]`` is where the range of shard ``i`` ends (exclusive)."""

    groups: tuple[Group, ...]
    uppers: tuple[str, ...]

    @property
    def shards(self) -> list[int]:
        """Numbers of the shards that are rewritten, in order."""
        return [number for group in self.groups for number in range(group.start, group.end)]


def target_bytes(root: Root) -> int:
    """The size a shard of this namespace should have."""
    total = sum(ref.size for ref in (*root.shards, *root.level0))
    return min(max(total // SHARD_TARGET_DIVISOR, SHARD_TARGET_MIN_BYTES), SHARD_TARGET_MAX_BYTES)


def bounds(shards: Sequence[RunRef]) -> list[str]:
    """The lowest key of each shard's range (the first range is open below)."""
    found: list[str] = []
    before = ""
    for ref in shards:
        path = conflict_of(ref.first)
        found.append(path if path is not None and path > before else ref.first)
        before = ref.last
    return found


async def plan_merge(place: Place, root: Root, level0: Level0, line_ms: int) -> Plan:
    """Which shards of ``root`` the records of ``level0`` touch. ``line_ms``: tombstones below it may be dropped."""
    lows = bounds(root.shards)
    uppers = (*lows[1:], END) if lows else (END,)
    incoming = await _touched(place, lows, level0)
    target = target_bytes(root)
    if not root.shards:
        return Plan((_group(0, 0, sum(incoming.values()), target),), uppers)
    sizes = [ref.size + incoming.get(number, 0) for number, ref in enumerate(root.shards)]
    touched = set(incoming)
    touched |= {number for number, ref in enumerate(root.shards) if _only_old_tombstones(ref, line_ms)}
    for start, end in list(_runs_of(sorted(touched))):
        touched |= _small_neighbour(sizes, start, end, target)
    groups = [_group(start, end, sum(sizes[start:end]), target) for start, end in _runs_of(sorted(touched))]
    return Plan(tuple(groups), uppers)


def plan_middle(runs: Sequence[RunRef]) -> Plan:
    """Runs of level 0 joined into a larger sorted run, in pieces that fit into memory."""
    return Plan((_group(0, 0, sum(ref.size for ref in runs), SHARD_TARGET_MAX_BYTES),), (END,))


async def _touched(place: Place, lows: Sequence[str], level0: Level0) -> dict[int, int]:
    """Numbers of the shards that a level-0 record falls into, with about how many stored bytes fall there."""
    incoming: dict[int, int] = {}

    def count(number: int, size: int) -> None:
        incoming[number] = incoming.get(number, 0) + size

    def place_of(key: str) -> int:
        return max(bisect.bisect_right(lows, key) - 1, 0)

    spread = []
    for ref, info in level0.blocks:
        first, last = place_of(info.first), place_of(info.last)
        if last - first <= 1:
            # A block begins and ends with a record, so both are touched.
            count(first, info.size if first == last else info.size // 2)
            count(last, 0 if first == last else info.size // 2)
        else:
            spread.append((ref, info))
    for start in range(0, len(spread), _BLOCKS_AT_ONCE):
        part = spread[start : start + _BLOCKS_AT_ONCE]
        for (_, info), rows in zip(part, await load_rows(place, part), strict=True):
            _count_spread(rows.keys, [info.size // len(rows)] * len(rows), lows, count)
    _count_spread(level0.inline.keys, level0.inline.sizes(), lows, count)
    return incoming


def _count_spread(
    keys: Sequence[str], sizes: Sequence[int], lows: Sequence[str], count: Callable[[int, int], None]
) -> None:
    """Count records in key order: from range to range, not one by one."""
    start = 0
    while start < len(keys):
        number = max(bisect.bisect_right(lows, keys[start]) - 1, 0)
        end = bisect.bisect_left(keys, lows[number + 1], lo=start) if number + 1 < len(lows) else len(keys)
        count(number, sum(sizes[start:end]))
        start = end


def _only_old_tombstones(ref: RunRef, line_ms: int) -> bool:
    """Whether a quarter of a shard or more is tombstones, all of them past their time (it was made before the line)."""
    return ref.tombstones * 4 >= ref.count and unique_ms(ref.name.rpartition("/")[2]) < line_ms


def _small_neighbour(sizes: Sequence[int], start: int, end: int, target: int) -> set[int]:
    """The smaller neighbour of a group that will be much smaller than the target, if both together fit it."""
    size = sum(sizes[start:end])
    if size * _SMALL >= target:
        return set()
    beside = [number for number in (start - 1, end) if 0 <= number < len(sizes)]
    best = min(beside, key=lambda number: sizes[number], default=None)
    return {best} if best is not None and size + sizes[best] <= target else set()


def _runs_of(numbers: Iterable[int]) -> Iterable[tuple[int, int]]:
    """Rising numbers as ranges ``[start, end)`` of neighbours."""
    start = end = -1
    for number in numbers:
        if number != end:
            if start >= 0:
                yield start, end
            start = number
        end = number + 1
    if start >= 0:
        yield start, end


def _group(start: int, end: int, size: int, target: int) -> Group:
    pieces = max(1, round(size / target))
    return Group(start, end, pieces, max(size // pieces, 1))
