"""The data model: ordinals, ids, heads and metadata of every datum agree with each other.

Fed with every winning record in key order. An item's head and ids come before its versions, with the keys of other items
in between, so items are kept on a stack until their range of keys is passed.
"""

from __future__ import annotations

import msgspec

from swampstore.errors import Damaged
from swampstore.values.data import decode_ordinal, encode_ordinal, head_key, head_version, parse_id_key, raw_of
from swampstore.values.entry import CONFLICT, OPAQUE, PENDING, VERSIONED, Record, meta_of
from swampstore.values.keys import INTERNAL
from swampstore.values.version import put_of
from swampstore.workers.doctor.finding import Finding

_HEAD_END = "\0data"
_AFTER_SLASH = "0"
_METADATA_END = "/metadata.yaml"


class _Item(msgspec.Struct):
    """What was seen of one datum: ``ids`` by ordinal, ``top`` the highest ordinal of a folded version."""

    path: str
    head: int = 0
    ids: dict[int, bytes] = {}
    found: set[int] = set()
    stamped: bool = False
    top: int = 0


class DataModel:
    """``heads`` are those to raise: item to ordinal. ``fresh`` are keys that no fold has taken in yet."""

    def __init__(self, now_ms: int, fresh: frozenset[str]) -> None:
        self._now = now_ms
        self._fresh = fresh
        self._open: list[_Item] = []
        self._metadata = ""
        self.findings: list[Finding] = []
        self.heads: dict[str, int] = {}
        self.versions = 0

    def feed(self, record: Record) -> None:
        """Take in the next record."""
        key = record.key
        while self._open and not self._covers(self._open[-1].path, key):
            self._close(self._open.pop())
        if record.flags & CONFLICT:
            return
        try:
            if INTERNAL in key:
                self._internal(record)
            elif key.endswith(_METADATA_END):
                self._metadata = key.removesuffix(_METADATA_END) if not record.gone else ""
            elif (found := raw_of(key)) is not None:
                self._raw(record, *found)
        except Damaged as error:
            self.findings.append(Finding("entry-damaged", "error", key, str(error), "write the key again"))

    def end(self) -> None:
        """There are no more records."""
        while self._open:
            self._close(self._open.pop())

    @staticmethod
    def _covers(item: str, key: str) -> bool:
        return key.startswith(item) and item <= key < item + _AFTER_SLASH

    def _item(self, path: str) -> _Item:
        for item in self._open:
            if item.path == path:
                return item
        self._open.append(_Item(path))
        return self._open[-1]

    def _internal(self, record: Record) -> None:
        if record.gone or record.flags & (OPAQUE | PENDING) != OPAQUE:
            return
        found = parse_id_key(record.key)
        if found is None:
            if record.key.endswith(_HEAD_END) and record.key.count(INTERNAL) == 1:
                item = self._item(record.key.removesuffix(_HEAD_END))
                item.head = decode_ordinal(record.value, record.key)
            return
        item, ordinal = self._item(found[0]), decode_ordinal(record.value, record.key)
        if ordinal in item.ids:
            text = f"two versions have the ordinal {ordinal}: {item.ids[ordinal].hex()} and {found[1].hex()}"
            hint = "a root was rebuilt, or two programs number: keep one of them under a new put"
            self.findings.append(Finding("ordinal-twice", "error", found[0], text, hint))
        item.ids[ordinal] = found[1]

    def _raw(self, record: Record, path: str, ordinal: int) -> None:
        if record.gone:
            if any(item.path == path for item in self._open):
                self._item(path).found.add(ordinal)
            return
        if not record.flags & VERSIONED:
            return
        item, datum = self._item(path), meta_of(record).data
        item.found.add(ordinal)
        self.versions += 1
        if datum is None or datum.item != path or datum.ordinal != ordinal:
            text = "the fields of this version do not say what its path says"
            hint = "readers believe the fields; write it again"
            self.findings.append(Finding("data-mismatch", "error", record.key, text, hint))
            return
        if record.key not in self._fresh:
            item.top = max(item.top, ordinal)
        expired = bool(record.expires) and record.expires <= self._now
        if self._metadata != record.key.rpartition("/")[0] and not expired and record.key not in self._fresh:
            text = "a version without metadata.yaml beside it"
            hint = "an export of it would not be taken for a version; put the datum again, or delete the version"
            self.findings.append(Finding("no-metadata", "warning", record.key, text, hint))
        if datum.stamped and item.ids.get(ordinal) != put_of(record.version):
            text = f"no id stands for this version, which the fold numbered {ordinal}"
            hint = "it is found by its ordinal, not by its id; put it again if ids are used"
            self.findings.append(Finding("id-missing", "warning", record.key, text, hint))

    def _close(self, item: _Item) -> None:
        for ordinal, id_ in item.ids.items():
            if ordinal not in item.found:
                text = f"id {id_.hex()} stands for version {ordinal}, which is not there"
                hint = "it was deleted by its path, not as a version"
                self.findings.append(Finding("id-dangling", "note", item.path, text, hint))
        if item.head < item.top:
            self.heads[item.path] = item.top
            text = f"the head says {item.head}, but there is a version {item.top}: its number could be given again"
            self.findings.append(Finding("head-too-low", "error", item.path, text, "repair raises it", True))


def head_of(item: str, ordinal: int) -> Record:
    """The head that says ``ordinal``."""
    return Record(head_key(item), head_version(ordinal), OPAQUE, 0, encode_ordinal(ordinal))
