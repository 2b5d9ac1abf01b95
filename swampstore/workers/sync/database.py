"""The SQLite file of a sync state: how it is made, opened and upgraded, and its errors as this library's.

Invariants:
- The file is private to its user and never reached through a link.
- Every change is one transaction; a process that is killed leaves the state before it or after it.
- An older schema is upgraded in place, in the transaction that looks at it; a newer one is refused.
"""

from __future__ import annotations

import os
import sqlite3
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from swampstore.errors import CorruptObject, StoreForbidden, StoreFull, StoreUnavailable, SwampError
from swampstore.limits import KIB
from swampstore.workers.sync.tree import FULL

SCHEMA = 2
_BUSY_S = 60.0
_TABLES = """
CREATE TABLE files (key TEXT PRIMARY KEY, version BLOB NOT NULL, size INTEGER NOT NULL, mtime_ns INTEGER NOT NULL,
    inode INTEGER NOT NULL, sha256 BLOB NOT NULL, at_ms INTEGER NOT NULL, expires INTEGER NOT NULL, labels BLOB)
    WITHOUT ROWID;
CREATE TABLE remote (key TEXT PRIMARY KEY, version BLOB NOT NULL, gone INTEGER NOT NULL, size INTEGER NOT NULL,
    sha256 BLOB, modified INTEGER NOT NULL, expires INTEGER NOT NULL, labels BLOB) WITHOUT ROWID;
CREATE TABLE kept (key TEXT PRIMARY KEY, version BLOB NOT NULL, gone INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE loose (key TEXT PRIMARY KEY, source TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE marks (scope TEXT PRIMARY KEY, mark BLOB NOT NULL) WITHOUT ROWID;
CREATE TABLE meta (name TEXT PRIMARY KEY, value) WITHOUT ROWID;
"""
_INT, _TEXT, _BLOB, _MAYBE = "'integer'", "'text'", "'blob'", "'blob','null'"
_SIZES = dict.fromkeys(("size", "expires"), _INT)
_TYPES = {
    "files": {"key": _TEXT, "version": _BLOB, "mtime_ns": _INT, "inode": _INT, "sha256": _BLOB, "at_ms": _INT}
    | {"labels": _MAYBE, **_SIZES},
    "remote": {"key": _TEXT, "version": _BLOB, "gone": _INT, "sha256": _MAYBE, "modified": _INT, "labels": _MAYBE}
    | _SIZES,
    "kept": {"key": _TEXT, "version": _BLOB, "gone": _INT},
    "loose": {"key": _TEXT, "source": _TEXT},
    "marks": {"scope": _TEXT, "mark": _BLOB},
    "meta": {"name": _TEXT, "value": "'text','blob'"},
}
_UPGRADES = {
    1: "CREATE INDEX files_expires ON files (expires) WHERE expires > 0",
}
"""What leads from each schema to the next."""


_NO_ROOM = (sqlite3.SQLITE_IOERR_SHMSIZE,)
"""What the index of the log, a file that grows by itself, says when it cannot."""
_MAYBE_FULL = (sqlite3.SQLITE_IOERR, sqlite3.SQLITE_CANTOPEN)
_PROBE_BYTES = 256 * KIB


@contextmanager
def typed(name: str) -> Iterator[None]:
    """Turn SQLite's errors into this library's."""
    try:
        yield
    except sqlite3.DatabaseError as error:
        raise _translate(error, name) from error


def _translate(error: sqlite3.DatabaseError, name: str) -> SwampError:
    extended = getattr(error, "sqlite_errorcode", 0)
    code = extended & 0xFF
    if code == sqlite3.SQLITE_FULL or extended in _NO_ROOM or (code in _MAYBE_FULL and _is_full(Path(name).parent)):
        return _full(name)
    if code in (sqlite3.SQLITE_READONLY, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_PERM):
        return StoreForbidden(f"{name}: {error}", hint="sync keeps its state in the tree: make the tree writable")
    if code in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
        return StoreUnavailable(f"{name}: another sync holds the state: {error}", hint="try again")
    if code in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB):
        return damaged(name, error)
    return StoreUnavailable(f"{name}: {error}", hint="try again")


def _full(name: str) -> StoreFull:
    return StoreFull(f"{name}: no space left for the sync state", hint="free some space and sync again")


def _is_full(folder: Path) -> bool:
    """Whether a small file cannot be written there for want of space; SQLite calls that many names."""
    try:
        with tempfile.TemporaryFile(dir=folder) as probe:
            probe.write(bytes(_PROBE_BYTES))
            probe.flush()
            os.fsync(probe.fileno())
    except OSError as error:
        return error.errno in FULL
    return False


def damaged(name: str, error: Exception) -> CorruptObject:
    """The error for a state that does not hold what was written."""
    return CorruptObject(
        f"{name}: the sync state is damaged: {error}",
        name=name,
        hint="delete that file: the next sync compares everything by hash and deletes nothing",
    )


class Database:
    """The open file. ``path`` ``None`` keeps it in memory."""

    def __init__(self, path: Path | None, url: str, namespace: str) -> None:
        self.name = str(path) if path else "sync state in memory"
        if path is not None:
            _make_private(path)
        with typed(self.name):
            self._db = sqlite3.connect(
                path or ":memory:", timeout=_BUSY_S, isolation_level=None, check_same_thread=False
            )
            try:
                self._prepare(url, namespace)
            except BaseException:
                self._db.close()
                raise

    def _prepare(self, url: str, namespace: str) -> None:
        db = self._db
        self._refuse_newer()
        db.execute("PRAGMA journal_mode = WAL")
        db.execute("PRAGMA synchronous = NORMAL")
        db.execute("PRAGMA temp_store = MEMORY")
        if self._schema() < SCHEMA:
            with self.transaction():
                if self._schema() == 0:
                    for statement in _TABLES.split(";"):
                        db.execute(statement)
                    db.executemany("INSERT INTO meta VALUES (?, ?)", [("url", url), ("namespace", namespace)])
                    db.execute("PRAGMA user_version = 1")
                for number in range(self._schema(), SCHEMA):
                    db.execute(_UPGRADES[number])
                    db.execute(f"PRAGMA user_version = {number + 1}")
        self._refuse_newer()

    def _refuse_newer(self) -> None:
        """Before anything is changed, and again when another process may have upgraded it meanwhile."""
        found = self._schema()
        if found > SCHEMA:
            raise StoreForbidden(f"{self.name} was written by a newer version ({found})", hint="upgrade swampstore")

    def _schema(self) -> int:
        version: int = self._db.execute("PRAGMA user_version").fetchone()[0]
        return version

    def check_types(self) -> None:
        """Raise ``CorruptObject`` if a column holds a value of another type than it is written with.

        SQLite stores any type in any column, so a state that something else wrote may.
        """
        for table, columns in _TYPES.items():
            wrong = " OR ".join(f"typeof({name}) NOT IN ({kinds})" for name, kinds in columns.items())
            with typed(self.name):
                if self._db.execute(f"SELECT 1 FROM {table} WHERE {wrong} LIMIT 1").fetchone():
                    raise damaged(self.name, TypeError(f"a value of the wrong type in {table}"))

    def close(self) -> None:
        self._db.close()

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """All of it or nothing. Never awaits inside."""
        with typed(self.name):
            self._db.execute("BEGIN IMMEDIATE")
            try:
                yield
                self._db.execute("COMMIT")
            except BaseException:
                if self._db.in_transaction:
                    self._db.execute("ROLLBACK")
                raise

    @contextmanager
    def moment(self) -> Iterator[None]:
        """Everything read inside is of one moment."""
        with typed(self.name):
            self._db.execute("BEGIN")
            try:
                yield
            finally:
                self._db.execute("COMMIT")


def _make_private(path: Path) -> None:
    """The folder and an empty file that only this user can read. Raises ``StoreForbidden`` or ``StoreFull``."""
    try:
        folder = path.parent
        if folder.is_symlink() or path.is_symlink():
            raise StoreForbidden(f"{path} is reached through a link", hint="remove the link: sync follows none")
        folder.mkdir(mode=0o700, exist_ok=True)
        os.close(os.open(path, os.O_CREAT | os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600))
    except OSError as error:
        if error.errno in FULL:
            raise _full(str(path)) from error
        raise StoreForbidden(
            f"{path}: {error.strerror}", hint="sync keeps its state in the tree: make the tree writable"
        ) from error
