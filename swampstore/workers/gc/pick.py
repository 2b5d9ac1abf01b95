"""Of a block's records those that a gc has to look at one by one: in most blocks a few of many hundred.

Invariants:
- Everything that has expired is picked, with the metadata beside it; so is whatever shares its key with a record above,
  and metadata at the end of the block: its version may be the first of the next one.
- Of an item all versions are picked with their metadata, or none: none only when the item lies in this block alone, nothing
  of it has expired, nothing new has to do with it, and retention would keep all of it.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Collection

from swampstore.values.block import Block
from swampstore.values.data import METADATA
from swampstore.values.entry import TOMBSTONE, VERSIONED
from swampstore.values.summary import fact_of, item_range, names_version

_FEW = 8
"""When more than one record in so many has expired, picking costs more than it saves."""


def picked(rows: Block, above: Collection[str], items: Collection[str], now_ms: int) -> Block:
    """What is left of ``rows`` (at least one). ``above`` are keys of newer records, ``items`` those to be seen whole."""
    due = {at for at, expires in enumerate(rows.expires) if 0 < expires <= now_ms}
    if len(due) * _FEW > len(rows):
        return rows
    numbers = {*due, *rows.places(above), *rows.places({_beside(rows.keys[at]) for at in due})}
    if rows.keys[-1].endswith(f"/{METADATA}"):
        numbers.add(len(rows) - 1)
    for item, versions in _items(rows).items():
        if item in items or _goes_on(rows, item) or not due.isdisjoint(versions) or _acts(rows, versions):
            low, high = item_range(item)
            numbers.update(range(bisect_left(rows.keys, low), bisect_left(rows.keys, high)))
    return rows if len(numbers) == len(rows) else rows.pick(sorted(numbers))


def _beside(key: str) -> str:
    return f"{key.rpartition('/')[0]}/{METADATA}"


def _items(rows: Block) -> dict[str, list[int]]:
    """The versions of data, item by item, by their numbers."""
    found: dict[str, list[int]] = {}
    for at, flags in enumerate(rows.flags):
        if flags & (VERSIONED | TOMBSTONE) == VERSIONED and names_version(key := rows.keys[at]):
            found.setdefault(key.rsplit("/", 2)[0], []).append(at)
    return found


def _goes_on(rows: Block, item: str) -> bool:
    """Whether there may be more of ``item`` in a neighbour of the block."""
    low, high = item_range(item)
    return rows.keys[0] >= low or rows.keys[-1] < high


def _acts(rows: Block, versions: list[int]) -> bool:
    """Whether retention may give up one of these, which are all that there is of their item."""
    if len(versions) < 2:
        return False
    keys = rows.keys
    newest = max(versions, key=lambda at: (len(keys[at]), keys[at]))  # ordinals have no leading zeros
    fact = fact_of(rows.record(newest))
    if fact is None:
        return True
    return len(versions) > fact.keep if fact.keep else fact.keep_ms is not None
