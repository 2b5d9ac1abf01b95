"""What a stretch of sorted records says about retention, so that gc knows without reading whether it must look there.

A :class:`Summary` is made for every block and every run when its records are at hand, and joined (:func:`joined`) along
the key order without looking at a record again. The versions of one item lie side by side, so all items of a stretch are
complete but the first and the last, which may go on in the neighbours: those two are kept open (:class:`Edge`).

Invariants:
- Never too late: when an item that lies in the stretch alone has a version that retention would remove at some time, the
  summary says so for that time (``excess`` or ``due``). Too early costs a read; too late would be a fault.
- Joining is associative, and the joint of two stretches says what one made of all their records would say.
- An item among the versions of another one (a type, an id and a name may be cut in several ways) is never complete:
  ``due`` is 1 then, which is always.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import lru_cache

import msgspec

from swampstore.errors import CorruptObject
from swampstore.values.data import DATA_FOLDER, RAW
from swampstore.values.entry import TOMBSTONE, VERSIONED, Record
from swampstore.values.frame import UNREADABLE
from swampstore.values.lifetimes import parse_keep
from swampstore.values.version import version_ms

ALWAYS = 1
"""A time (ms) that has come whatever the clock says."""


class Fact(msgspec.Struct, frozen=True, gc=False):
    """What retention needs to know of one live version. Times in ms since the epoch; ``expires`` 0 = never.

    ``keep`` is how many versions its item keeps (0: no such rule), ``keep_ms`` how long they are kept (``None``: no rule).
    """

    item: str
    ordinal: int
    keep: int
    keep_ms: int | None
    created: int
    expires: int


class Edge(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """What a stretch holds of one item: ``count`` versions, the earliest made at ``oldest``.

    ``top`` is the highest ordinal; that version says what the item keeps, until it expires at ``top_expires``.
    """

    item: str
    count: int
    top: int
    keep: int
    keep_ms: int | None
    top_expires: int
    oldest: int

    @property
    def excess(self) -> int:
        """How many versions there are beyond those that the item keeps."""
        return max(self.count - self.keep, 0) if self.keep else 0

    @property
    def due(self) -> int:
        """When (ms) there may first be something to remove by age, or by the rule of an older version; 0 = never."""
        if self.count < 2:
            return 0
        aged = max(self.oldest + self.keep_ms, ALWAYS) if self.keep_ms is not None else 0
        return earliest((aged, self.top_expires))

    def acts(self, now_ms: int) -> bool:
        """Whether retention may have something to do for the item at ``now_ms``, if this is all there is of it."""
        return self.excess > 0 or 0 < self.due <= now_ms

    def with_more(self, other: Edge) -> Edge:
        """This and more of the same item."""
        top = self if self.top >= other.top else other
        return Edge(
            self.item,
            self.count + other.count,
            top.top,
            top.keep,
            top.keep_ms,
            top.top_expires,
            min(self.oldest, other.oldest),
        )

    @property
    def range(self) -> tuple[str, str]:
        """``(first, behind the last)`` of the keys that versions of the item may have."""
        return item_range(self.item)


class Summary(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """See the module. ``tail`` is ``None`` when there is one item only, ``head`` too when there is none.

    ``excess`` and ``due`` speak of the items between the two; ``versions`` counts the live versions of data.
    """

    versions: int = 0
    excess: int = 0
    due: int = 0
    head: Edge | None = None
    tail: Edge | None = None

    @property
    def last(self) -> Edge | None:
        """The item that may go on behind the stretch."""
        return self.tail or self.head

    def acts(self, now_ms: int) -> bool:
        """Whether there may be something to do for an item that is complete here."""
        return self.excess > 0 or 0 < self.due <= now_ms


NOTHING = Summary()


class _Kept(msgspec.Struct, frozen=True, gc=False):
    """The part of a :class:`~swampstore.values.data.Datum` that retention looks at: much cheaper to decode."""

    model_type: str = msgspec.field(name="t")
    model_id: str = msgspec.field(name="m")
    name: str = msgspec.field(name="n")
    ordinal: int = msgspec.field(name="o", default=0)
    keep: str = msgspec.field(name="k", default="")

    @property
    def item(self) -> str:
        return f"{DATA_FOLDER}{self.model_type}/{self.model_id}/{self.name}"

    def beside(self, other: _Kept) -> bool:
        """Whether both are versions of one item."""
        return self.name == other.name and self.model_id == other.model_id and self.model_type == other.model_type


class _About(msgspec.Struct, frozen=True, gc=False):
    """The part of a :class:`~swampstore.values.entry.Meta` that retention looks at."""

    data: _Kept | None = msgspec.field(name="d", default=None)
    created: int = msgspec.field(name="c", default=0)
    modified: int = msgspec.field(name="m", default=0)


_RAW_SUFFIX = f"/{RAW}"
_decode_about = msgspec.msgpack.Decoder(_About).decode


def names_version(key: str) -> bool:
    """Whether ``key`` has the form of a version's. That there is one its entry must say."""
    return key.endswith(_RAW_SUFFIX) and key.startswith(DATA_FOLDER)


def fact_of(record: Record) -> Fact | None:
    """What retention knows of ``record``; ``None`` unless it is a live version of data. Raises ``CorruptObject``."""
    about = _about(record)
    if about is None or about.data is None:
        return None
    keep, keep_ms = rule_of(about.data.keep)
    return Fact(about.data.item, about.data.ordinal, keep, keep_ms, _made(about, record), record.expires)


def _about(record: Record) -> _About | None:
    if record.flags & (TOMBSTONE | VERSIONED) != VERSIONED or not names_version(record.key):
        return None
    try:
        return _decode_about(record.value)
    except UNREADABLE as error:
        raise CorruptObject(f"the entry of {record.key!r} cannot be read: {error}", name=record.key) from error


def _made(about: _About, record: Record) -> int:
    return about.created or about.modified or version_ms(record.version)


@lru_cache(maxsize=1000)
def rule_of(text: str) -> tuple[int, int | None]:
    """``(how many versions stay, how long they stay in ms)`` of a retention's text; ``(0, None)``: all, for ever."""
    try:
        keep = parse_keep(text)
    except ValueError:
        return 0, None  # what nobody can read removes nothing
    return (max(keep.count, 1), None) if keep.count is not None else (0, keep.ms)


def item_range(item: str) -> tuple[str, str]:
    """``(first, behind the last)`` of the keys below the path of an item."""
    return f"{item}/", f"{item}0"  # "0" follows "/"


def summary_of(records: Iterable[Record]) -> Summary:
    """The summary of records in key order. Made for every block that is written: it makes one edge for each item."""
    builder = _Builder()
    top: _Kept | None = None
    count = expires = oldest = 0
    for record in records:
        about = _about(record)
        if about is None or about.data is None:
            continue
        kept, made = about.data, _made(about, record)
        if top is not None and kept.beside(top):
            count += 1
            oldest = min(oldest, made)
            if kept.ordinal > top.ordinal:
                top, expires = kept, record.expires
            continue
        if top is not None:
            builder.add(top, count, expires, oldest)
        top, count, expires, oldest = kept, 1, record.expires, made
    if top is not None:
        builder.add(top, count, expires, oldest)
    return builder.summary()


def joined(parts: Iterable[Summary]) -> Summary:
    """The summary of stretches that follow each other in key order."""
    builder = _Builder()
    for part in parts:
        builder.join(part)
    return builder.summary()


class _Builder:
    """Walks along the key order. ``_head`` is closed on its left only by the stretch's begin, ``_last`` is open."""

    def __init__(self) -> None:
        self._versions = self._excess = self._due = 0
        self._head: Edge | None = None
        self._last: Edge | None = None

    def add(self, top: _Kept, count: int, expires: int, oldest: int) -> None:
        self._versions += count
        keep, keep_ms = rule_of(top.keep)
        self._edge(Edge(top.item, count, top.ordinal, keep, keep_ms, expires, oldest))

    def join(self, part: Summary) -> None:
        self._versions += part.versions
        if part.head is not None:
            self._edge(part.head)
        self._excess += part.excess
        self._due = earliest((self._due, part.due))
        if part.tail is not None:
            self._edge(part.tail)

    def _edge(self, edge: Edge) -> None:
        last = self._last
        if last is None:
            self._last = edge
        elif last.item == edge.item:
            self._last = last.with_more(edge)
        else:
            if edge.item.startswith(f"{last.item}/"):
                self._due = ALWAYS
            if self._head is None:
                self._head = last
            else:
                self._excess += last.excess
                self._due = earliest((self._due, last.due))
            self._last = edge

    def summary(self) -> Summary:
        if self._last is None:
            return Summary(self._versions, self._excess, self._due)
        if self._head is None:
            return Summary(self._versions, self._excess, self._due, self._last)
        return Summary(self._versions, self._excess, self._due, self._head, self._last)


class Concerned(msgspec.Struct, frozen=True):
    """Numbers of the stretches to be read, and the items that say so and lie in more than one of them."""

    numbers: frozenset[int]
    items: frozenset[str]


def concerned(parts: Sequence[Summary], now_ms: int) -> Concerned:
    """Which of ``parts``, which follow each other in key order, retention may have something to do in at ``now_ms``."""
    numbers: set[int] = set()
    items: set[str] = set()
    last: Edge | None = None
    inside: list[int] = []

    def close() -> None:
        if last is not None and last.acts(now_ms):
            numbers.update(inside)
            items.add(last.item)

    for number, part in enumerate(parts):
        if part.acts(now_ms):
            numbers.add(number)
        for edge in (part.head, part.tail):
            if edge is None:
                continue
            if last is not None and last.item == edge.item:
                last = last.with_more(edge)
                inside.append(number)
                continue
            if last is not None and edge.item.startswith(f"{last.item}/"):
                numbers.update((*inside, number))
                items.add(last.item)
            close()
            last, inside = edge, [number]
    close()
    return Concerned(frozenset(numbers), frozenset(items))


def earliest(times: Iterable[int]) -> int:
    """The least of ``times`` that is not 0; 0 if there is none."""
    return min((time for time in times if time), default=0)
