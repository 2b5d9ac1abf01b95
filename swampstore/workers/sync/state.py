"""What a tree knows of its last syncs with one namespace: an SQLite file in the tree's ``.swampstore`` folder.

    files    what both sides hold, as of the last sync of each path
    remote   the newest record seen of a key where that is not what ``files`` says (tombstones are records too)
    kept     conflict entries of the namespace that wait to be written beside their path
    loose    keys last seen live outside the shards, and where (see :mod:`swampstore.workers.sync.mirror`)
    marks    per scope: the root, slots and runs that are fully compared
    meta     the newest version seen, notes, and files on their way (:mod:`swampstore.workers.sync.coming`)

Invariants:
- ``files`` holds only what was seen on both sides; a row is written after the append is acknowledged or the file is
  placed, so a crash loses rows and never invents one.
- The record known of a key only ever moves to a higher version: ``remote`` before ``files``; older news change nothing.
- Every change is one transaction; a process that is killed leaves the state before it or after it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Container, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, TypeAlias, TypeVar

import msgspec

from swampstore.values.frame import UNREADABLE
from swampstore.values.keys import LAST_SUFFIX
from swampstore.workers.sync.coming import Arrival, Coming
from swampstore.workers.sync.database import damaged, typed
from swampstore.workers.sync.marks import Mark
from swampstore.workers.sync.options import STATE_FOLDER

T = TypeVar("T")

_IN = 500
_FILES = """
SELECT f.key, f.version, f.size, f.mtime_ns, f.inode, f.sha256, f.at_ms, f.expires, f.labels,
       r.version, r.gone, r.size, r.sha256, r.modified, r.expires, r.labels
  FROM files f LEFT JOIN remote r ON r.key = f.key WHERE f.key >= ?1 AND f.key < ?2
"""
_ALL = f"""{_FILES}
UNION ALL
SELECT r.key, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL,
       r.version, r.gone, r.size, r.sha256, r.modified, r.expires, r.labels
  FROM remote r WHERE r.key >= ?1 AND r.key < ?2 AND r.gone = 0 AND NOT EXISTS (SELECT 1 FROM files WHERE key = r.key)
ORDER BY 1
"""
_PENDING = f"""
SELECT r.key, f.version, f.size, f.mtime_ns, f.inode, f.sha256, f.at_ms, f.expires, f.labels,
       r.version, r.gone, r.size, r.sha256, r.modified, r.expires, r.labels
  FROM remote r LEFT JOIN files f ON f.key = r.key
 WHERE r.key >= ?1 AND r.key < ?2 AND (r.gone = 0 OR f.key IS NOT NULL)
UNION ALL
{_FILES} AND f.expires > 0 AND f.expires <= ?3 AND r.key IS NULL
ORDER BY 1
"""


class Row(msgspec.Struct, frozen=True, gc=False):
    """What both sides hold. ``at_ms`` is when the row was written (wall clock); ``labels`` see :class:`Labels`."""

    version: bytes
    size: int
    mtime_ns: int
    inode: int
    sha256: bytes
    at_ms: int
    expires: int
    labels: bytes | None


class RemoteRow(msgspec.Struct, frozen=True, gc=False):
    """The newest record of a key, when it is not the one in ``files``."""

    version: bytes
    gone: bool
    size: int
    sha256: bytes | None
    modified: int
    expires: int
    labels: bytes | None


Beside: TypeAlias = tuple[str, Row | None, RemoteRow | None]
"""A key, what both sides hold of it, and what is newer in the namespace."""
Seen: TypeAlias = tuple[Row | None, RemoteRow | None, tuple[Arrival, ...]]
"""The same of a key, and what may have come."""


_decode_mark = msgspec.msgpack.Decoder(Mark).decode
_decode_notes = msgspec.msgpack.Decoder(list[str]).decode
_encode = msgspec.msgpack.Encoder().encode


def decode_mark(kept: bytes, name: str) -> Mark:
    """A kept mark. Raises ``CorruptObject`` naming the state's file."""
    return _decoded(_decode_mark, kept, name)


def _decoded(decode: Callable[[bytes], T], kept: bytes, name: str) -> T:
    try:
        return decode(kept)
    except (*UNREADABLE, TypeError) as error:  # a column of SQLite may hold a value of any type
        raise damaged(name, error) from error


def state_path(tree: Path, url: str, namespace: str) -> Path:
    """Where the state of ``tree`` and this namespace lies."""
    digest = hashlib.sha256(f"{url}\0{namespace}".encode()).hexdigest()[:24]
    return tree / STATE_FOLDER / f"{digest}.db"


class State(Coming):
    """The open state. ``path`` ``None`` keeps it in memory (a dry run of a tree that was never synced)."""

    # --- marks --------------------------------------------------------------------------------------------------

    def mark(self, scope: str) -> Mark | None:
        with typed(self.name):
            found = self._db.execute("SELECT mark FROM marks WHERE scope = ?", (scope,)).fetchone()
        return decode_mark(found[0], self.name) if found else None

    def drop_marks(self, kind: str) -> None:
        """Within a transaction: forget the marks whose scope begins with ``kind``."""
        self._db.execute("DELETE FROM marks WHERE substr(scope, 1, ?) = ?", (len(kind), kind))

    def marks(self) -> list[Mark]:
        """The marks of every scope."""
        with typed(self.name):
            return [decode_mark(mark, self.name) for (mark,) in self._db.execute("SELECT mark FROM marks")]

    def set_mark(self, scope: str, mark: Mark) -> None:
        """Within a transaction."""
        self._db.execute("INSERT OR REPLACE INTO marks VALUES (?, ?)", (scope, _encode(mark)))

    def forget_all(self) -> None:
        """The namespace is another one: nothing is known of it."""
        with self.transaction():
            for table in ("files", "remote", "kept", "loose", "marks", "meta WHERE name = 'hlc'"):
                self._db.execute(f"DELETE FROM {table}")
            self.forget_all_coming()

    @property
    def newest_version(self) -> bytes:
        """The highest version ever seen here. Raises ``CorruptObject``."""
        found = self._db.execute("SELECT value FROM meta WHERE name = 'hlc'").fetchone()
        return _decoded(b"".__add__, found[0], self.name) if found else b""

    def raise_newest(self, version: bytes) -> None:
        """Within a transaction."""
        if version > self.newest_version:
            self._db.execute("INSERT OR REPLACE INTO meta VALUES ('hlc', ?)", (version,))

    # --- what is known of the namespace -------------------------------------------------------------------------

    def known(self, keys: Sequence[str]) -> dict[str, tuple[bytes, bool, bytes | None]]:
        """``(version, gone, sha256)`` of the newest record known of each of ``keys`` of which one is known."""
        known: dict[str, tuple[bytes, bool, bytes | None]] = {}
        with typed(self.name):
            for part in _parts(keys):
                marks = ",".join("?" * len(part))
                for key, version, sha256 in self._db.execute(
                    f"SELECT key, version, sha256 FROM files WHERE key IN ({marks})", part
                ):
                    known[key] = (version, False, sha256)
                for key, version, gone, sha256 in self._db.execute(
                    f"SELECT key, version, gone, sha256 FROM remote WHERE key IN ({marks})", part
                ):
                    if key not in known or version > known[key][0] or gone:
                        known[key] = (version, bool(gone), sha256)
        return known

    def note(self, rows: Iterable[tuple[str, bytes, bool, int, bytes | None, int, int, bytes | None]]) -> None:
        """Write records down as the newest known (within a transaction): the columns of ``remote``.

        Older news than what is known change nothing: another sync of this tree may have written more down meanwhile.
        """
        self._db.executemany(
            "INSERT INTO remote SELECT ?1,?2,?3,?4,?5,?6,?7,?8"
            " WHERE NOT EXISTS (SELECT 1 FROM files f WHERE f.key = ?1 AND f.version > ?2)"
            " ON CONFLICT (key) DO UPDATE SET version = excluded.version,"
            " gone = excluded.gone, size = excluded.size, sha256 = excluded.sha256, modified = excluded.modified,"
            " expires = excluded.expires, labels = excluded.labels WHERE excluded.version > version OR (excluded.version = version AND excluded.gone)",
            rows,
        )

    def note_kept(self, rows: Iterable[tuple[str, bytes, bool]]) -> None:
        """Write conflict entries down (within a transaction)."""
        self._db.executemany(
            "INSERT INTO kept VALUES (?,?,?) ON CONFLICT (key) DO UPDATE SET version = excluded.version,"
            " gone = excluded.gone WHERE excluded.version >= version",
            rows,
        )

    def kept(self, prefix: str) -> list[tuple[str, bytes]]:
        """``(key, version)`` of the conflict entries that wait."""
        with typed(self.name):
            return self._db.execute(
                "SELECT key, version FROM kept WHERE gone = 0 AND key >= ? AND key < ? ORDER BY key",
                (prefix, prefix + LAST_SUFFIX),
            ).fetchall()

    # --- loose keys ---------------------------------------------------------------------------------------------

    def set_loose(self, rows: Iterable[tuple[str, str]]) -> None:
        self._db.executemany("INSERT OR REPLACE INTO loose VALUES (?, ?)", rows)

    def unset_loose(self, keys: Iterable[str]) -> None:
        if self._db.execute("SELECT 1 FROM loose LIMIT 1").fetchone() is None:
            return
        self._db.executemany("DELETE FROM loose WHERE key = ?", ((key,) for key in keys))

    def loose_from(self, prefix: str, sources: Container[str]) -> list[str]:
        """Keys under ``prefix`` last seen in a place that is not one of ``sources``."""
        with typed(self.name):
            found = self._db.execute(
                "SELECT key, source FROM loose WHERE key >= ? AND key < ?", (prefix, prefix + LAST_SUFFIX)
            )
            return [key for key, source in found if source not in sources]

    def start_touching(self) -> None:
        """Begin anew to collect the keys that a refresh meets."""
        with typed(self.name):
            self._db.execute("CREATE TEMP TABLE IF NOT EXISTS touched (key TEXT PRIMARY KEY) WITHOUT ROWID")
            self._db.execute("DELETE FROM touched")

    def touch(self, keys: Iterable[str]) -> None:
        with typed(self.name):
            self._db.execute("BEGIN")
            self._db.executemany("INSERT OR IGNORE INTO touched VALUES (?)", ((key,) for key in keys))
            self._db.execute("COMMIT")

    def untouched(self, first: str, last: str) -> list[str]:
        """Keys in [first, last] whose newest known record is live, that are not loose and were not touched."""
        with typed(self.name):
            found = self._db.execute(
                "SELECT key FROM (SELECT key FROM files WHERE key >= ?1 AND key <= ?2"
                " UNION SELECT key FROM remote WHERE gone = 0 AND key >= ?1 AND key <= ?2) AS k"
                " WHERE NOT EXISTS (SELECT 1 FROM remote r WHERE r.key = k.key AND r.gone = 1)"
                " AND NOT EXISTS (SELECT 1 FROM loose l WHERE l.key = k.key)"
                " AND NOT EXISTS (SELECT 1 FROM touched t WHERE t.key = k.key)",
                (first, last),
            )
            return [key for (key,) in found]

    @property
    def empty(self) -> bool:
        """Whether nothing was ever synced or seen."""
        with typed(self.name):
            return not any(
                self._db.execute(f"SELECT 1 FROM {table} LIMIT 1").fetchone() for table in ("files", "remote")
            )

    # --- what both sides hold -----------------------------------------------------------------------------------

    def rows(self, prefix: str, *, unsynced: bool) -> Iterator[Beside]:
        """Every synced key in key order, with what is newer; ``unsynced``: also live keys that were never synced."""
        with typed(self.name):
            for found in self._db.execute(_ALL if unsynced else f"{_FILES} ORDER BY 1", (prefix, prefix + LAST_SUFFIX)):
                yield _beside(found)

    def pending(self, prefix: str, now_ms: int) -> Iterator[Beside]:
        """The keys under ``prefix`` whose newest record is not what both sides hold, and those that have expired."""
        with typed(self.name):
            for found in self._db.execute(_PENDING, (prefix, prefix + LAST_SUFFIX, now_ms)):
                yield _beside(found)

    def beside(self, keys: Sequence[str]) -> list[Beside]:
        """What is known of each of ``keys``, in their order."""
        known: dict[str, Beside] = {}
        with typed(self.name):
            for part in _parts(keys):
                marks = ",".join("?" * len(part))
                both = f"SELECT * FROM files WHERE key IN ({marks})"
                for found in self._db.execute(both, part):
                    known[found[0]] = (found[0], Row(*found[1:]), None)
                for found in self._db.execute(f"SELECT * FROM remote WHERE key IN ({marks})", part):
                    row = known[found[0]][1] if found[0] in known else None
                    known[found[0]] = (found[0], row, RemoteRow(found[1], bool(found[2]), *found[3:]))
        return [known.get(key, (key, None, None)) for key in keys]

    def seen(self, keys: Sequence[str]) -> dict[str, Seen]:
        """What is known of ``keys``, and what may have come, at one moment."""
        with self.moment():
            coming = self.coming(keys)
            return {key: (row, remote, coming.get(key, ())) for key, row, remote in self.beside(keys)}

    def is_live(self, key: str) -> bool:
        """Whether ``key`` is in the namespace as far as is known."""
        with typed(self.name):
            found = self._db.execute(
                "SELECT 1 FROM files WHERE key = ?1 UNION ALL SELECT 1 FROM remote WHERE key = ?1 AND gone = 0", (key,)
            )
            return found.fetchone() is not None

    def known_below(self, low: str, high: str) -> list[str]:
        """The keys in [low, high) that are, or were, known; in order."""
        with typed(self.name):
            found = self._db.execute(
                "SELECT key FROM files WHERE key >= ?1 AND key < ?2"
                " UNION SELECT key FROM remote WHERE key >= ?1 AND key < ?2 ORDER BY 1",
                (low, high),
            )
            return [key for (key,) in found]

    def notes(self, name: str) -> list[str]:
        """What :meth:`set_notes` kept."""
        with typed(self.name):
            found = self._db.execute("SELECT value FROM meta WHERE name = ?", (name,)).fetchone()
        return _decoded(_decode_notes, found[0], self.name) if found else []

    def set_notes(self, name: str, notes: Sequence[str]) -> None:
        """Keep a few texts for the next sync (within a transaction)."""
        self._db.execute("INSERT OR REPLACE INTO meta VALUES (?, ?)", (name, msgspec.msgpack.encode(list(notes))))

    def holds(self, prefix: str, count: int) -> bool:
        """Whether more than ``count`` keys under ``prefix`` are synced."""
        with typed(self.name):
            found = self._db.execute(
                "SELECT 1 FROM files WHERE key >= ? AND key < ? LIMIT 1 OFFSET ?",
                (prefix, prefix + LAST_SUFFIX, count),
            )
            return found.fetchone() is not None

    def reserved(self) -> list[str]:
        """Live keys of the namespace under names that sync keeps for itself."""
        with typed(self.name):
            found = self._db.execute("SELECT key FROM remote WHERE gone = 0 AND instr(key, ?) > 0", (STATE_FOLDER,))
            return [key for (key,) in found]

    def unsynced(self, key: str) -> RemoteRow | None:
        """The newest record of a key that was never synced; ``None`` if none is known."""
        with typed(self.name):
            found = self._db.execute(
                "SELECT version, gone, size, sha256, modified, expires, labels FROM remote WHERE key = ?", (key,)
            ).fetchone()
        return RemoteRow(found[0], bool(found[1]), *found[2:]) if found else None

    def synced_keys(self, prefix: str, limit: int) -> list[str]:
        """The first ``limit`` synced keys under ``prefix``."""
        with typed(self.name):
            found = self._db.execute(
                "SELECT key FROM files WHERE key >= ? AND key < ? ORDER BY key LIMIT ?",
                (prefix, prefix + LAST_SUFFIX, limit),
            )
            return [key for (key,) in found]

    def synced_rows(self, keys: Sequence[str]) -> dict[str, Row]:
        """The rows of those of ``keys`` that are synced."""
        rows: dict[str, Row] = {}
        with typed(self.name):
            for part in _parts(keys):
                marks = ",".join("?" * len(part))
                for found in self._db.execute(f"SELECT * FROM files WHERE key IN ({marks})", part):
                    rows[found[0]] = Row(*found[1:])
        return rows

    def synced(self, key: str, row: Row) -> None:
        """Both sides hold ``row`` (within a transaction). An older version than the one known changes nothing."""
        self._db.execute(
            "INSERT INTO files VALUES (?,?,?,?,?,?,?,?,?) ON CONFLICT (key) DO UPDATE SET version = excluded.version,"
            " size = excluded.size, mtime_ns = excluded.mtime_ns, inode = excluded.inode, sha256 = excluded.sha256,"
            " at_ms = excluded.at_ms, expires = excluded.expires, labels = excluded.labels"
            " WHERE excluded.version >= version",
            (key, row.version, row.size, row.mtime_ns, row.inode, row.sha256, row.at_ms, row.expires, row.labels),
        )
        self._db.execute("DELETE FROM remote WHERE key = ? AND version <= ?", (key, row.version))
        self.forget_coming(key, row.version)

    def gone(self, key: str, version: bytes, tombstone: bytes) -> None:
        """Neither side holds ``key`` any more (within a transaction); ``version`` is that of the row that goes."""
        self._db.execute("DELETE FROM files WHERE key = ? AND version <= ?", (key, version))
        self.note([(key, tombstone, True, 0, None, 0, 0, None)])


def _beside(found: tuple[Any, ...]) -> Beside:
    row = Row(*found[1:9]) if found[1] is not None else None
    remote = RemoteRow(found[9], bool(found[10]), *found[11:]) if found[9] is not None else None
    return found[0], row, remote


def _parts(keys: Sequence[str]) -> Iterator[Sequence[str]]:
    for start in range(0, len(keys), _IN):
        yield keys[start : start + _IN]
