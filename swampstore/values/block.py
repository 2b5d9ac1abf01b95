"""Blocks: a stretch of sorted records held as columns, so that what is only carried is never looked at one by one.

Stored, a block is one zstd frame of msgpack. Form 2, which is written, is an array of the five columns of
:class:`Block`; form 1, which is still read, an array of records. Values are opaque bytes here: a merge moves them in
whole stretches, without making an object of a record that does not change.

Invariants:
- Keys rise strictly; all columns are of one length. The sum of a block is made of what it holds when it is written,
  never derived from what it ought to hold.
- Joining two blocks gives what joining their records one by one gives (:mod:`swampstore.values.join`).
- A block never changes once it is made: its lists may be shared.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Iterable, Sequence
from itertools import pairwise
from operator import itemgetter, lt
from typing import Any

import msgspec

from swampstore.errors import CorruptObject, Inconsistent
from swampstore.limits import BLOCK_PLAIN_BYTES
from swampstore.values.bounds import check_count, check_version_bytes
from swampstore.values.entry import HAS_BASE, TOMBSTONE, VERSIONED, Record, sum_of
from swampstore.values.frame import UNREADABLE
from swampstore.values.join import kept_loser, newer
from swampstore.values.summary import NOTHING, Summary, earliest, summary_of

RECORDS, COLUMNS = 1, 2
"""Forms of a stored block."""
OVERHEAD = 40
"""Bytes that a record takes beside its key and its value, roughly."""
_SPARSE = 8
"""With fewer changes than one in so many records the stretches between them are moved whole."""


class Block(msgspec.Struct, array_like=True, gc=False):
    """See the module. ``len(block)`` is how many records it holds."""

    keys: list[str]
    versions: list[bytes]
    flags: list[int]
    expires: list[int]
    values: list[bytes]

    @classmethod
    def of(cls, records: Sequence[Record]) -> Block:
        """A block of records in key order."""
        return cls(
            [record.key for record in records],
            [record.version for record in records],
            [record.flags for record in records],
            [record.expires for record in records],
            [record.value for record in records],
        )

    @classmethod
    def joined(cls, blocks: Sequence[Block]) -> Block:
        """Blocks that follow each other in key order, as one."""
        if len(blocks) == 1:
            return blocks[0]
        columns: list[list[Any]] = [[], [], [], [], []]
        for block in blocks:
            for column, more in zip(columns, block.columns, strict=True):
                column += more
        return cls(*columns)

    @property
    def columns(self) -> tuple[list[Any], ...]:
        return self.keys, self.versions, self.flags, self.expires, self.values

    def __len__(self) -> int:
        return len(self.keys)

    def __bool__(self) -> bool:
        return bool(self.keys)

    # --- records --------------------------------------------------------------------------------------------------

    def record(self, at: int) -> Record:
        """One of the records, by its number."""
        return Record(self.keys[at], self.versions[at], self.flags[at], self.expires[at], self.values[at])

    def records(self) -> list[Record]:
        """All of them, in key order."""
        return list(map(Record, self.keys, self.versions, self.flags, self.expires, self.values))

    def find(self, key: str) -> Record | None:
        """The record of ``key``."""
        at = bisect_left(self.keys, key)
        return self.record(at) if at < len(self.keys) and self.keys[at] == key else None

    def places(self, keys: Iterable[str]) -> list[int]:
        """The numbers of the records with these keys, of those that are here."""
        mine, found = self.keys, []
        for key in keys:
            at = bisect_left(mine, key)
            if at < len(mine) and mine[at] == key:
                found.append(at)
        return found

    # --- parts ----------------------------------------------------------------------------------------------------

    def cut(self, start: int, end: int) -> Block:
        """Records number ``start`` up to ``end``, exclusive."""
        if start <= 0 and end >= len(self.keys):
            return self
        part = slice(start, end)
        return Block(self.keys[part], self.versions[part], self.flags[part], self.expires[part], self.values[part])

    def between(self, low: str, high: str) -> Block:
        """The records with keys from ``low`` to ``high``, both included."""
        keys = self.keys
        if not keys or (low <= keys[0] and keys[-1] <= high):
            return self
        return self.cut(bisect_left(keys, low), bisect_left(keys, high + "\0"))

    def pick(self, numbers: Sequence[int]) -> Block:
        """The records with these numbers, in that order."""
        if len(numbers) < 2:
            return Block(*([column[at] for at in numbers] for column in self.columns))
        take = itemgetter(*numbers)
        return Block(*(list(take(column)) for column in self.columns))

    def numbers(self, flag: int, wanted: Callable[[Record], bool]) -> list[int]:
        """The numbers of those records with ``flag`` that are ``wanted``; without such a flag nothing is looked at."""
        if not self.flagged(flag):
            return []
        return [at for at, flags in enumerate(self.flags) if flags & flag and wanted(self.record(at))]

    def without(self, numbers: Sequence[int]) -> Block:
        """What is left when the records with these numbers are taken out."""
        if not numbers:
            return self
        out = set(numbers)
        return self.pick([at for at in range(len(self.keys)) if at not in out])

    # --- what it says about itself --------------------------------------------------------------------------------

    def flagged(self, flag: int) -> int:
        """How many records have ``flag``."""
        return sum(self.flags.count(flags) for flags in set(self.flags) if flags & flag)

    @property
    def expires_first(self) -> int:
        """The earliest expiry in ms, 0 = none."""
        return earliest(set(self.expires))

    @property
    def sum(self) -> int:
        """The sum of all :func:`~swampstore.values.entry.record_sum`, made of the columns as they are."""
        return sum_of(self.keys, self.versions, self.values)

    @property
    def summary(self) -> Summary:
        """What retention may have to do here. Looks into versions of data, into nothing else."""
        kinds = {flags for flags in set(self.flags) if flags & (VERSIONED | TOMBSTONE) == VERSIONED}
        if not kinds:
            return NOTHING
        return summary_of(self.record(at) for at, flags in enumerate(self.flags) if flags in kinds)

    @property
    def raw_bytes(self) -> int:
        """About how much the records take, decoded."""
        return sum(map(len, self.keys)) + sum(map(len, self.values)) + OVERHEAD * len(self.keys)

    def sizes(self) -> list[int]:
        """About how much each record takes, decoded."""
        return [OVERHEAD + key + value for key, value in zip(map(len, self.keys), map(len, self.values), strict=True)]

    def check(self) -> None:
        """Raise ``Inconsistent`` unless keys rise strictly and every column has an item for each."""
        keys = self.keys
        if not all(map(lt, keys, keys[1:])):
            before, after = next((a, b) for a, b in pairwise(keys) if a >= b)
            raise Inconsistent(f"keys of a run must rise: {before!r} before {after!r}")
        if {len(column) for column in self.columns} != {len(keys)}:
            raise Inconsistent("a block's columns differ in length; nothing was written")


EMPTY = Block([], [], [], [], [])


# --- joining ---------------------------------------------------------------------------------------------------------


class Joint(msgspec.Struct, gc=False):
    """What became of two blocks: ``block``, the records it lost, and conflict entries made."""

    block: Block
    dropped: list[Record]
    made: list[Record]


def join_blocks(held: Block, more: Block) -> Joint:
    """Join two blocks; see :func:`swampstore.values.join.join_counted`, which this equals."""
    if not held.keys or not more.keys:
        return Joint(more if not held.keys else held, [], [])
    if more.keys[-1] < held.keys[0] or held.keys[-1] < more.keys[0]:
        return Joint(Block.joined([more, held] if more.keys[-1] < held.keys[0] else [held, more]), [], [])
    joint = _spliced(held, more) if len(more) * _SPARSE < len(held) else _interleaved(held, more)
    if joint.made:
        late = join_blocks(joint.block, Block.of(sorted(joint.made, key=_key)))
        joint = Joint(late.block, joint.dropped + late.dropped, joint.made + late.made)
    return joint


def _spliced(held: Block, more: Block) -> Joint:
    """A few changes put between long stretches of ``held``."""
    joint = Joint(held, [], [])
    steps: list[tuple[int, int, int]] = []  # up to which number of held, where held goes on, which number of more
    keys, at = held.keys, 0
    for number, key in enumerate(more.keys):
        at = bisect_left(keys, key, at)
        if at == len(keys) or keys[at] != key:
            steps.append((at, at, number))
        elif _meet(held, at, more, number, joint):
            steps.append((at, at + 1, number))
    if steps:
        splice = _inserted if any(end == following for end, following, _ in steps) else _replaced
        joint.block = Block(*(splice(*columns, steps) for columns in zip(held.columns, more.columns, strict=True)))
    return joint


def _inserted(column: list[Any], new: list[Any], steps: Sequence[tuple[int, int, int]]) -> list[Any]:
    out: list[Any] = []
    start = 0
    for end, following, number in steps:
        out += column[start:end]
        out.append(new[number])
        start = following
    out += column[start:]
    return out


def _replaced(column: list[Any], new: list[Any], steps: Sequence[tuple[int, int, int]]) -> list[Any]:
    """The same where nothing is put in between."""
    out = column.copy()
    for at, _, number in steps:
        out[at] = new[number]
    return out


def _interleaved(held: Block, more: Block) -> Joint:
    """Two blocks of like size."""
    joint = Joint(held, [], [])
    lost: set[int] = set()
    for key in sorted(set(held.keys).intersection(more.keys)):
        at, number = bisect_left(held.keys, key), bisect_left(more.keys, key)
        lost.add(at if _meet(held, at, more, number, joint) else len(held) + number)
    both = Block.joined([held, more])
    order = sorted(range(len(both)), key=both.keys.__getitem__)
    joint.block = both.pick([at for at in order if at not in lost] if lost else order)
    return joint


def _meet(held: Block, at: int, more: Block, number: int, joint: Joint) -> bool:
    """Two records of one key: whether that of ``more`` wins. The loser is noted."""
    mine, other = held.record(at), more.record(number)
    winner = newer(mine, other)
    wins = winner is other
    loser = mine if wins else other
    joint.dropped.append(loser)
    if winner.flags & HAS_BASE:
        kept = kept_loser(winner, loser)
        if kept is not None:
            joint.made.append(kept)
    return wins


def _key(record: Record) -> str:
    return record.key


# --- bytes -----------------------------------------------------------------------------------------------------------

_encode = msgspec.msgpack.Encoder().encode
_decode_records = msgspec.msgpack.Decoder(list[Record]).decode
_decode_columns = msgspec.msgpack.Decoder(Block).decode
_decode_sketch = msgspec.msgpack.Decoder(list[msgspec.Raw]).decode


def encode_block(block: Block) -> bytes:
    """The decoded bytes of a block, in the form that is written."""
    return _encode(block)


def decode_columns(raw: bytes, form: int, count: int, name: str) -> Block:
    """The block of ``count`` records in ``raw``. Raises ``CorruptObject`` naming the object, and nothing else."""
    try:
        if form == RECORDS:
            check_count(raw, count, "records in a block", name)
            block = Block.of(_decode_records(raw))
        elif form == COLUMNS:
            check_count(raw, len(Block.__struct_fields__), "columns in a block", name)
            if len(raw) > BLOCK_PLAIN_BYTES:
                for column in _decode_sketch(raw):
                    check_count(column, count, "records in a block", name)
            block = _decode_columns(raw)
        else:
            raise CorruptObject(f"{name}: a block of form {form}", name=name)
    except UNREADABLE as error:
        raise CorruptObject(f"{name}: {error}", name=name) from error
    if {len(column) for column in block.columns} != {count}:
        raise CorruptObject(f"{name}: a block that claims {count} records holds {len(block)}", name=name)
    check_version_bytes(block.versions, name)
    return block
