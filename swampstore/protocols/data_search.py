"""Searching the data model: one pass over the paths that can match, versions put together item by item.

Invariants: memory is bounded by the versions of one item, not by how many match; a search reads one snapshot.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from datetime import datetime
from fnmatch import fnmatchcase
from typing import Any, TypedDict

import msgspec

from swampstore.errors import Misuse
from swampstore.protocols.place import Place
from swampstore.protocols.snapshot import Snapshot
from swampstore.values.data import DATA_FOLDER, Model, parse_id_key, parse_model
from swampstore.values.data_version import DataVersion, Item
from swampstore.values.entry import PENDING, VERSIONED, Record, meta_of
from swampstore.values.keys import check_key


class DataFilter(TypedDict, total=False):
    """What callers say of :class:`Wanted`; times may be a ``datetime``."""

    model: Model | str | None
    model_type: str | None
    name: str | None
    tags: dict[str, str] | None
    lifetime: str | None
    owner: dict[str, Any] | str | None
    since: int | datetime | None
    until: int | datetime | None
    content_type: str | None
    limit: int | None
    latest_only: bool


class Wanted(msgspec.Struct, frozen=True, kw_only=True):
    """What is searched for; every field that is given must match.

    ``name`` and ``content_type`` may hold ``*`` and ``?``; ``tags`` and an ``owner`` map must be part of the version's;
    a text as ``owner`` must be one of its values. ``since`` and ``until`` bound the time of creation (ms, until excluded).
    """

    model: Model | str | None = None
    model_type: str | None = None
    name: str | None = None
    tags: dict[str, str] = {}
    lifetime: str | None = None
    owner: dict[str, Any] | str | None = None
    since: int | None = None
    until: int | None = None
    content_type: str | None = None
    limit: int | None = None
    latest_only: bool = True

    def prefix(self) -> str:
        """What the paths of all matches begin with. Raises ``BadName``, ``BadKey``, ``Misuse``."""
        if self.limit is not None and (type(self.limit) is not int or self.limit < 1):
            raise Misuse(f"limit={self.limit!r}", hint="1 or more, or None for all")
        if self.model is not None:
            model = parse_model(self.model)
            return f"{DATA_FOLDER}{model.type}/{model.id}/"
        return f"{DATA_FOLDER}{check_key(self.model_type)}/" if self.model_type is not None else DATA_FOLDER

    def matches(self, version: DataVersion) -> bool:
        """Whether ``version`` is one of those searched for."""
        return (
            (self.model is None or version.model == parse_model(self.model))
            and self.model_type in (None, version.model.type)
            and (self.name is None or fnmatchcase(version.name, self.name))
            and self.tags.items() <= version.tags.items()
            and self.lifetime in (None, version.lifetime)
            and self._owned(version.owner)
            and (self.since is None or version.created >= self.since)
            and (self.until is None or version.created < self.until)
            and (self.content_type is None or fnmatchcase(version.content_type, self.content_type))
        )

    def _owned(self, owner: dict[str, Any]) -> bool:
        if isinstance(self.owner, dict):
            return all(name in owner and owner[name] == value for name, value in self.owner.items())
        return self.owner is None or self.owner in owner.values()


async def search(place: Place, snapshot: Snapshot, wanted: Wanted) -> AsyncIterator[DataVersion]:
    """The versions that match, by item, newest first; only the newest of each item unless asked otherwise."""
    left = wanted.limit
    groups = _Groups(place.clock.now_ms())
    async for records in snapshot.records(wanted.prefix(), internal=True):
        for item in groups.add(records):
            for version in _matching(item, wanted):
                yield version
                left = left - 1 if left is not None else None
                if left == 0:
                    return
    for item in groups.rest():
        for version in _matching(item, wanted):
            yield version
            left = left - 1 if left is not None else None
            if left == 0:
                return


def _matching(item: Item, wanted: Wanted) -> Iterator[DataVersion]:
    versions = item.versions()
    if wanted.latest_only:
        versions = [version for version in versions[:1] if not version.deleted]
    return (version for version in versions if wanted.matches(version))


class _Groups:
    """Records in key order, gathered by item; an item is handed out when no later key can be its own."""

    def __init__(self, now_ms: int) -> None:
        self._now = now_ms
        self._open: dict[str, Item] = {}

    def add(self, records: list[Record]) -> Iterator[Item]:
        """Take in ``records`` and hand out the items that are complete by now."""
        for record in records:
            path = _item_of(record)
            if path is None:
                continue
            item = self._open.get(path)
            if item is None:
                yield from self._close(record.key)
                item = self._open[path] = Item(path, self._now)
            item.add(record)

    def _close(self, key: str) -> Iterator[Item]:
        """The open items that ``key`` lies behind."""
        for path in [path for path in self._open if key > path + "0"]:  # the character behind the slash
            yield self._open.pop(path)

    def rest(self) -> Iterator[Item]:
        yield from self._open.values()


def _item_of(record: Record) -> str | None:
    """The item that a record says something of."""
    if record.gone:
        found = parse_id_key(record.key)
        return found[0] if found else None
    if record.flags & (PENDING | VERSIONED):
        datum = meta_of(record).data
        return datum.item if datum else None
    return None
