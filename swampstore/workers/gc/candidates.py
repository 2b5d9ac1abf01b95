"""Which runs and blocks a gc has to look into: those whose summaries say so, and those beside something new.

Invariants:
- Whatever has expired, and every item that retention may act on, lies in what is chosen, with all versions of that item:
  a version in level 0 or in the log can turn versions in the shards into superseded ones, so its item is looked at too.
- What else lies below the path of such an item is chosen as well, but where another item lies there before its first
  version: then no summary names it.
- Choosing reads nothing but the root, level 0 and block indexes.
"""

from __future__ import annotations

import bisect
from collections.abc import Iterable, Sequence
from typing import NamedTuple, Protocol

from swampstore.values.data import parse_id_key, raw_of
from swampstore.values.entry import PENDING, Record
from swampstore.values.summary import Summary, concerned, fact_of, item_range, names_version

Span = tuple[str, str]
"""A range of keys: the first, and one behind the last."""


class Stretch(Protocol):
    """A run's reference, or a block's entry in an index."""

    @property
    def first(self) -> str: ...
    @property
    def last(self) -> str: ...
    @property
    def expires(self) -> int: ...
    @property
    def summary(self) -> Summary: ...


class Spans:
    """Ranges of keys, to be asked whether a stretch meets one of them."""

    def __init__(self, spans: Iterable[Span]) -> None:
        self._lows: list[str] = []
        self._highs: list[str] = []
        for low, high in sorted(spans):
            if self._lows and low <= self._highs[-1]:
                self._highs[-1] = max(self._highs[-1], high)
            else:
                self._lows.append(low)
                self._highs.append(high)

    def meet(self, first: str, last: str) -> bool:
        """Whether a key in [first, last] lies in one of them."""
        at = bisect.bisect_right(self._lows, last)
        return at > 0 and self._highs[at - 1] > first


def item_touched(record: Record) -> str | None:
    """The item whose retention ``record``, seen above the shards, may change; ``None`` for none."""
    if record.flags & PENDING:
        found = parse_id_key(record.key)
        return found[0] if found else None
    if record.gone and names_version(record.key):
        # Only to look there: what is a version the entries themselves say.
        named = raw_of(record.key)
        return named[0] if named else None
    fact = fact_of(record)
    return fact.item if fact is not None else None


class Choice(NamedTuple):
    """``numbers`` of the stretches to read; ``items`` must be read whole. Those of ``alone``, which are some of the
    ``numbers``, concern themselves only: no item that goes on in a neighbour, and nothing new, has to do with them."""

    numbers: list[int]
    items: set[str]
    alone: frozenset[int]


def chosen(stretches: Sequence[Stretch], touched: Iterable[str], now_ms: int) -> Choice:
    """Which of ``stretches`` (rising, disjoint) to read, given the items that something new has to do with."""
    found = concerned([stretch.summary for stretch in stretches], now_ms)
    items = {*touched, *found.items}
    spans = Spans(map(item_range, items))
    numbers: list[int] = []
    alone: set[int] = set()
    for number, stretch in enumerate(stretches):
        if spans.meet(stretch.first, stretch.last):
            numbers.append(number)
        elif number in found.numbers or 0 < stretch.expires <= now_ms:
            numbers.append(number)
            alone.add(number)
    return Choice(numbers, items, frozenset(alone))


class Unread:
    """The ranges that were passed over, in rising order: an item that reaches into one of them is not seen whole."""

    def __init__(self) -> None:
        self._firsts: list[str] = []
        self._lasts: list[str] = []

    def add(self, first: str, last: str) -> None:
        self._firsts.append(first)
        self._lasts.append(last)

    def spare(self, item: str) -> bool:
        """Whether no key of ``item`` can lie in them."""
        low, high = item_range(item)
        at = bisect.bisect_left(self._firsts, high)
        return at == 0 or self._lasts[at - 1] < low
