"""A legacy index as a stream: bytes in, entries out, memory flat whatever the index's size.

The shape is ``{version: 1, ..., entries: {<rel>: {size, lastModified, sha256?, ...}}}``; members may come in any order.

Invariants:
- Nothing is guessed: a truncated, malformed or over-nested index raises, at the latest in :meth:`finish`. Entries handed
  out before that came from the good part; who needs all or nothing waits for ``finish``.
- One entry of an odd form in a whole index is told to ``bad`` and left out; without ``bad`` it raises.
- The key of the map is the rel; a ``key`` inside an entry and another machine's ``localMtime`` are not looked at.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import ijson
import msgspec

from swampstore.errors import CorruptObject, UnknownFormat
from swampstore.values.lifetimes import parse_time
from swampstore.workers.legacy.limits import BRACKETS_PER_PIECE, ENTRY_BYTES, PARSE_BYTES

_SIZE_LIMIT = 1 << 63
_HINT = "restore the index, or rebuild the list of entries from a listing of the store"


Bad = Callable[[str, str], None]
"""Told of an entry that cannot be read: its rel, and why."""


class LegacyEntry(msgspec.Struct, frozen=True, gc=False):
    """One file of a legacy store. ``last_modified_ms`` is since the epoch; ``sha256`` is 32 bytes where it is known."""

    rel: str
    size: int
    last_modified_ms: int
    sha256: bytes | None = None


def newer(one: LegacyEntry, other: LegacyEntry) -> LegacyEntry:
    """Which of two entries of one rel counts: the later modified, in a tie the second."""
    return one if one.last_modified_ms > other.last_modified_ms else other


class EntryReader:
    """Parses one index object, ``name`` in errors. Feed it all the bytes in order, then call :meth:`finish`."""

    def __init__(self, name: str, bad: Bad | None = None) -> None:
        self._name = name
        self._bad = bad
        self._items = ijson.sendable_list()
        self._parser = ijson.kvitems_coro(self._items, "entries", use_float=True)
        # A second look at the beginning only: which version this is, and that there are entries at all.
        self._events = ijson.sendable_list()
        self._head: Any = ijson.parse_coro(self._events, use_float=True)
        self._version: Any = None
        self._has_entries = False
        self._since_item = 0

    def feed(self, data: bytes) -> list[LegacyEntry]:
        """The entries that ``data`` completes. Raises ``CorruptObject`` or ``UnknownFormat``."""
        found: list[LegacyEntry] = []
        for start in range(0, len(data), PARSE_BYTES):
            piece = data[start : start + PARSE_BYTES]
            self._guard(piece)
            self._advance(piece)
            self._since_item = 0 if self._items else self._since_item + len(piece)
            found += [entry for key, value in self._items if (entry := self._entry(key, value)) is not None]
            self._items.clear()
        return found

    def finish(self) -> None:
        """Check that the index was whole. Raises ``CorruptObject`` or ``UnknownFormat``."""
        try:
            self._parser.close()
            if self._head:
                self._head.close()
                self._look()
        except (ijson.JSONError, UnicodeDecodeError) as error:
            raise self._broken(_first_line(error)) from error
        if self._version is None:
            raise self._broken("it has no version")
        if not self._has_entries:
            raise self._broken("it has no map of entries")

    def _guard(self, piece: bytes) -> None:
        if piece.count(b"[") + piece.count(b"{") > BRACKETS_PER_PIECE:
            raise self._broken("it is nested too densely to be an index")
        if self._since_item > ENTRY_BYTES:
            raise self._broken(f"{ENTRY_BYTES} bytes without an entry")

    def _advance(self, piece: bytes) -> None:
        try:
            if self._head:
                self._head.send(piece)
                self._look()
            self._parser.send(piece)
        except (ijson.JSONError, UnicodeDecodeError) as error:
            raise self._broken(_first_line(error)) from error

    def _look(self) -> None:
        for path, event, value in self._events:
            if path == "version" and event == "number":
                self._check_version(value)
            elif path == "entries" and event == "start_map":
                self._has_entries = True
        self._events.clear()
        if self._has_entries and self._version is not None:
            self._head = None

    def _check_version(self, value: Any) -> None:
        if value != 1:
            message = f"{self._name} has index version {value}, and this reads version 1"
            raise UnknownFormat(message, name=self._name, hint="upgrade, or import from a listing of the store")
        self._version = value

    def _entry(self, rel: str, value: Any) -> LegacyEntry | None:
        try:
            return _read_entry(rel, value)
        except (TypeError, ValueError, OverflowError) as error:
            if self._bad is None:
                raise self._broken(f"the entry of {rel[:200]!r} cannot be read: {error}") from error
            self._bad(rel, str(error))
            return None

    def _broken(self, why: str) -> CorruptObject:
        return CorruptObject(f"the legacy index {self._name} cannot be read: {why}", name=self._name, hint=_HINT)


def _read_entry(rel: str, value: Any) -> LegacyEntry:
    """One entry. Times before 1970 count as 1970. Raises ``ValueError``, ``TypeError`` or ``OverflowError``."""
    if type(value) is not dict:
        raise ValueError("it is not a map")
    size, modified, digest = value.get("size"), value.get("lastModified"), value.get("sha256")
    if type(size) is not int or not 0 <= size < _SIZE_LIMIT:
        raise ValueError("it has no usable size")
    when = max(parse_time(modified), 0) if modified is not None else 0
    sha256 = bytes.fromhex(digest) if digest is not None else None
    if sha256 is not None and len(sha256) != 32:
        raise ValueError(f"its sha256 has {len(sha256)} bytes")
    return LegacyEntry(rel, size, when, sha256)


def _first_line(error: Exception) -> str:
    """What the parser complains of, without its picture of the place."""
    said = error.args[0] if error.args and not isinstance(error, UnicodeError) else str(error)
    text = said.decode("utf-8", "replace") if isinstance(said, bytes) else str(said)
    return text.strip().split("\n")[0]
