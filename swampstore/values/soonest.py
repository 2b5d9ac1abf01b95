"""Where in a run there is first something to remove: with it in the root, a gc reads those blocks, not the run.

Each block has a time: when something in it expires, or when retention may act on an item of it, whichever comes first
(:mod:`~swampstore.values.summary`). An item at either end of a block counts for every block that holds keys below its path,
be they of versions or not, so that who reads all blocks whose time has come has seen that item to both its ends.

Invariants:
- Every block whose time comes before ``rest`` stands in ``spots``; with ``rest`` 0 no other block has a time.
- Never too late, for what lies in the run alone. Of the first and the last item of a run, which may go on in its
  neighbours, only a summary of the neighbours can tell.
- Of an item that is due, every block with a version of it is told of. What else lies below its path may be missing: roots
  written before counted one neighbour only, and of an item below whose first version another one lies no summary says so.
  Who sees too little of an item reads the rest of it.
- A reference that says nothing (an older program wrote it, or items lie among each other's versions) has a ``rest`` that
  has always come: nothing is left out.
- A spot holds all that it takes to read and check its block, but for the keys, which stand in the block.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Annotated, Protocol

import msgspec

from swampstore.values.summary import ALWAYS, Edge, Summary, earliest

SPOTS = 8
"""So many blocks of a run, some 30 bytes each, are told of in the root."""
_MOST_SPOTS = 64
"""A root that claims more for one run was not written by any program."""


class Spot(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """One block, as in the run's index, and its time ``due`` in ms."""

    offset: int
    size: int
    raw_size: int
    crc: int
    count: int
    form: int
    due: int


class Soonest(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """``spots`` in the order of their offsets; ``rest`` is the earliest time (ms) of any other block, 0 = none."""

    spots: Annotated[tuple[Spot, ...], msgspec.Meta(max_length=_MOST_SPOTS)] = ()
    rest: int = ALWAYS

    def at(self, now_ms: int) -> tuple[Spot, ...] | None:
        """The blocks whose time has come; ``None`` when there may be others."""
        if 0 < self.rest <= now_ms:
            return None
        return tuple(spot for spot in self.spots if spot.due <= now_ms)


UNSAID = Soonest()
"""That of a reference that does not say."""


class _Info(Protocol):
    """An entry of a block index."""

    @property
    def offset(self) -> int: ...
    @property
    def size(self) -> int: ...
    @property
    def raw_size(self) -> int: ...
    @property
    def crc(self) -> int: ...
    @property
    def count(self) -> int: ...
    @property
    def form(self) -> int: ...
    @property
    def first(self) -> str: ...
    @property
    def last(self) -> str: ...
    @property
    def expires(self) -> int: ...
    @property
    def summary(self) -> Summary: ...


def soonest(index: Sequence[_Info]) -> Soonest:
    """What a run with these blocks has to say."""
    times = due_times(index, whole=True)
    if times is None:
        return UNSAID
    order = sorted((time, number) for number, time in enumerate(times) if time)
    spots = (_spot(index[number], time) for time, number in order[:SPOTS])
    rest = order[SPOTS][0] if len(order) > SPOTS else 0
    return Soonest(tuple(sorted(spots, key=lambda spot: spot.offset)), rest)


def due_times(index: Sequence[_Info], *, whole: bool) -> list[int] | None:
    """The time of each block, 0 = none; ``None`` when there may be items among each other's versions.

    ``whole``: an item counts for whatever may hold a key below its path, else for the blocks with versions of it alone.
    """
    if any(info.summary.due == ALWAYS for info in index):
        return None
    times = [ALWAYS if info.summary.excess else earliest((info.expires, info.summary.due)) for info in index]
    for edge, first, last in _edges(index):
        if edge is None:
            return None
        due = ALWAYS if edge.excess else edge.due
        low, high = edge.range
        while whole and due and first > 0 and index[first].first >= low:
            first -= 1
        while whole and due and last + 1 < len(index) and index[last].last < high:
            last += 1
        for number in range(first, last + 1):
            times[number] = earliest((times[number], due))
    return times


def misfit(told: Soonest, index: Sequence[_Info]) -> str:
    """What ``told`` says of a run with these blocks that would mislead a reader, or the empty string.

    That it tells of a block sooner, or of fewer blocks around an item, misleads nobody.
    """
    if told.rest == ALWAYS:
        return ""
    times = due_times(index, whole=False)
    if times is None:
        return "the root tells of blocks in which items lie among each other's versions"
    spots = {spot.offset: spot for spot in told.spots}
    if list(spots.values()) != sorted(told.spots, key=lambda spot: spot.offset):
        return "the root tells of blocks out of order"
    for info, time in zip(index, times, strict=True):
        spot = spots.pop(info.offset, None)
        if spot is not None and spot != _spot(info, spot.due):
            return f"what the root tells of the block at {info.offset:,} is not so"
        said = told.rest if spot is None else spot.due
        if time and not 0 < said <= time:
            return f"the block at {info.offset:,} is due at {time} ms, and the root says {said or 'never'}"
    return f"the root tells of a block at {min(spots):,}, where there is none" if spots else ""


def _spot(info: _Info, due: int) -> Spot:
    return Spot(info.offset, info.size, info.raw_size, info.crc, info.count, info.form, due)


def _edges(index: Sequence[_Info]) -> Iterator[tuple[Edge | None, int, int]]:
    """The items at the ends of blocks, each put together, with the first and the last block it lies in.

    ``None`` for one among whose versions another item lies.
    """
    held: Edge | None = None
    first = last = 0
    for number, info in enumerate(index):
        for edge in (info.summary.head, info.summary.tail):
            if edge is None:
                continue
            if held is not None and held.item == edge.item:
                held, last = held.with_more(edge), number
                continue
            if held is not None:
                yield (None if edge.item.startswith(f"{held.item}/") else held), first, last
            held, first, last = edge, number, number
    if held is not None:
        yield held, first, last
