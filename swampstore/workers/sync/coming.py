"""Files that a sync is about to place: what may lie in the tree before its row is written, or after a kill without one.

Each is a row of ``meta``: its name is made of the key and the version, its value is the time the file will
have (ms) and the hash of its contents. It is written before the file is placed, and goes with the row that says so. Without it another sync of the tree, or the next
one after a kill, would take the file for one that somebody wrote here: a conflict with whatever came after it.

Invariant: a file is taken for a version only if its contents and its time are that version's.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import msgspec

from swampstore.workers.sync.database import Database, damaged, typed

_COMING = "coming:"
_LAST = "~"
"""Behind every version as hexadecimal digits."""
_TIME_BYTES = 8


class Arrival(msgspec.Struct, frozen=True, gc=False):
    """A version that comes into the tree: the hash of its contents and the time of its file (ms)."""

    version: bytes
    sha256: bytes
    modified: int


class Coming(Database):
    """The part of the state that tells of files on their way into the tree."""

    def set_coming(self, rows: Iterable[tuple[str, Arrival]]) -> None:
        """Within a transaction: the keys and versions of files that may be placed from now on."""
        self._db.executemany(
            "INSERT OR REPLACE INTO meta VALUES (?, ?)",
            ((_before(key) + one.version.hex(), one.modified.to_bytes(_TIME_BYTES) + one.sha256) for key, one in rows),
        )

    def coming(self, keys: Sequence[str]) -> dict[str, tuple[Arrival, ...]]:
        """What may have come of those of ``keys`` of which anything may, the newest version first."""
        found: dict[str, tuple[Arrival, ...]] = {}
        wanted = "SELECT name, value FROM meta WHERE name >= ? AND name < ? ORDER BY name DESC"
        with typed(self.name):
            if self._db.execute(f"{wanted} LIMIT 1", (_COMING, _COMING + "\U0010ffff")).fetchone() is None:
                return found
            for key in keys:
                first = _before(key)
                rows = self._db.execute(wanted, (first, first + _LAST)).fetchall()
                if rows:
                    found[key] = tuple(_arrival(name[len(first) :], kept, self.name) for name, kept in rows)
        return found

    def forget_coming(self, key: str, version: bytes) -> None:
        """Within a transaction: ``version`` of ``key`` is in the tree, so nothing older comes any more."""
        first = _before(key)
        self._db.execute("DELETE FROM meta WHERE name >= ? AND name <= ?", (first, first + version.hex()))

    def forget_all_coming(self) -> None:
        """Within a transaction."""
        self._db.execute("DELETE FROM meta WHERE name >= ? AND name < ?", (_COMING, _COMING + "\U0010ffff"))


def _before(key: str) -> str:
    return f"{_COMING}{key}\0"


def _arrival(version: str, kept: bytes, name: str) -> Arrival:
    """Raises ``CorruptObject`` naming the state's file: a tree may come from anywhere, with the state in it."""
    try:
        return Arrival(bytes.fromhex(version), kept[_TIME_BYTES:], int.from_bytes(kept[:_TIME_BYTES]))
    except (TypeError, ValueError) as error:
        raise damaged(name, error) from error
