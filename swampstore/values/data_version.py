"""A version of a datum as callers see it, and all versions of one datum put in their order.

Invariants:
- The newest comes first: pending versions by id, then numbered ones by ordinal. What has expired, was removed, or only
  looks like a version by its path is not among them.
"""

from __future__ import annotations

from typing import Any

import msgspec

from swampstore.values.data import Datum, Model, parse_id_key, raw_path
from swampstore.values.entry import PENDING, VERSIONED, Entry, Meta, Record, entry_of
from swampstore.values.keys import INTERNAL
from swampstore.values.lifetimes import format_time
from swampstore.values.version import put_of


class DataVersion(msgspec.Struct, frozen=True):
    """One version of a datum. ``ordinal`` is ``None`` while it is pending; ``id`` names it at once and for ever."""

    entry: Entry

    @property
    def _datum(self) -> Datum:
        datum = self.entry.meta.data
        assert datum is not None
        return datum

    @property
    def _meta(self) -> Meta:
        return self.entry.meta

    @property
    def key(self) -> str:
        """The path of its contents, or the library's own key while it is pending."""
        return self.entry.key

    @property
    def id(self) -> str:
        return self.entry.version.hex()

    @property
    def pending(self) -> bool:
        """Whether the fold has yet to give it an ordinal."""
        return INTERNAL in self.entry.key

    @property
    def ordinal(self) -> int | None:
        return None if self.pending else self._datum.ordinal

    @property
    def model(self) -> Model:
        return self._datum.model

    @property
    def name(self) -> str:
        return self._datum.name

    @property
    def item(self) -> str:
        """The path that all versions of the datum share."""
        return self._datum.item

    @property
    def size(self) -> int:
        """Bytes of contents."""
        return self._meta.size

    @property
    def sha256(self) -> str:
        """Hexadecimal, or empty when the contents were never hashed."""
        return self.entry.sha256

    @property
    def content_type(self) -> str:
        return self._meta.content_type

    @property
    def tags(self) -> dict[str, str]:
        return self._meta.tags

    @property
    def lifetime(self) -> str:
        return self._meta.lifetime or "infinite"

    @property
    def keep(self) -> str:
        """Retention as text: a count or an age; empty when nothing was said."""
        return self._datum.keep

    @property
    def owner(self) -> dict[str, Any]:
        return self._datum.owner

    @property
    def created(self) -> int:
        """Ms since the epoch."""
        return self._meta.created

    @property
    def expires(self) -> int:
        """Ms since the epoch, 0 = at no fixed time."""
        return self.entry.expires

    @property
    def streaming(self) -> bool:
        return self._datum.streaming

    @property
    def lifecycle(self) -> str:
        """``active`` or ``deleted``."""
        return self._datum.lifecycle or "active"

    @property
    def deleted(self) -> bool:
        """Whether this version says that the datum is gone; ``renamed_to`` may say where it went."""
        return self._datum.deleted

    @property
    def renamed_to(self) -> str:
        return self._datum.renamed_to

    @property
    def extra(self) -> dict[str, Any]:
        """Fields of ``metadata.yaml`` that this library does not know."""
        return self._datum.extra

    @property
    def stamped(self) -> bool:
        """Whether the fold gave the ordinal (rather than an import or a sync)."""
        return self._datum.stamped

    def describe(self) -> dict[str, Any]:
        """The machine-readable form used by ``--json``."""
        shown: dict[str, Any] = {
            "modelType": self._datum.model_type,
            "modelId": self._datum.model_id,
            "name": self.name,
            "id": self.id,
            "version": self.ordinal,
            "pending": self.pending,
            "size": self.size,
            "contentType": self.content_type,
            "lifetime": self.lifetime,
            "tags": self.tags,
            "createdAt": format_time(self.created),
            "streaming": self.streaming,
            "lifecycle": self.lifecycle,
        }
        optional: dict[str, Any] = {
            "checksum": self.sha256,
            "garbageCollection": self.keep,
            "ownerDefinition": self.owner,
            "expiresAt": format_time(self.expires) if self.expires else "",
            "renamedTo": self.renamed_to,
            "extra": self.extra,
            "path": "" if self.pending else self.key,
        }
        return shown | {name: value for name, value in optional.items() if value}


class Item:
    """All that a snapshot holds of one datum, collected record by record (winners only, in any order)."""

    def __init__(self, path: str, now_ms: int) -> None:
        self.path = path
        self._now = now_ms
        self._pending: list[DataVersion] = []
        self._numbered: list[DataVersion] = []
        self._removed: set[bytes] = set()

    def add(self, record: Record) -> None:
        """Take in a record of the datum; anything else is passed over."""
        if record.gone:
            if parse_id_key(record.key):
                self._removed.add(put_of(record.version))
            return
        if not record.flags & (PENDING | VERSIONED) or (record.expires and record.expires <= self._now):
            return
        version = version_of(record)
        if version is not None and version.item == self.path:
            (self._pending if version.pending else self._numbered).append(version)

    def versions(self) -> list[DataVersion]:
        """The versions there are, newest first."""
        pending = sorted(self._pending, key=lambda version: version.id, reverse=True)
        numbered = [version for version in self._numbered if version.entry.version not in self._removed]
        return [*pending, *sorted(numbered, key=lambda version: version.ordinal or 0, reverse=True)]


def version_of(record: Record) -> DataVersion | None:
    """The version that ``record`` (a put) is; ``None`` if it has no such fields, or lies where they do not say."""
    entry = entry_of(record)
    datum = entry.meta.data
    if datum is None:
        return None
    if record.flags & PENDING or record.key == raw_path(datum.item, datum.ordinal):
        return DataVersion(entry)
    return None
