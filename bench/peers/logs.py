"""Other ways to append small records to one shared log on one machine, behind one interface.

Each in the mode its own manual names for what is compared: ``durable`` is on the disk before the call returns, otherwise a
crash of the machine may lose the last records. Keys rise within a writer, as those of a log do.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Sequence
from importlib import import_module
from typing import Any, Protocol

FILE_BYTES = 64 * 1024 * 1024
"""Of the fixed-size file; it is written round and round (the physical limit needs no recovery)."""
_MAP_BYTES = 4 * 1024**3


class Log(Protocol):
    """One writer's hold on a log. Several processes may hold one at once, but for ``SINGLE`` ones."""

    def append(self, record: bytes) -> None:
        """One record, acknowledged when the call returns."""
        ...

    def append_many(self, records: Sequence[bytes]) -> None:
        """A batch as one transaction."""
        ...

    def close(self) -> None: ...


class RawFile:
    """A file of this writer's own whose size is fixed in advance, and ``fdatasync``: what the disk can do at all."""

    def __init__(self, place: str, writer: int, *, durable: bool) -> None:
        self._file = os.open(os.path.join(place, f"raw{writer}"), os.O_RDWR | os.O_CREAT, 0o600)
        os.ftruncate(self._file, FILE_BYTES)
        self._at = 0
        self._durable = durable

    def append(self, record: bytes) -> None:
        if self._at + len(record) > FILE_BYTES:
            self._at = 0
        self._at += os.pwrite(self._file, record, self._at)
        if self._durable:
            os.fdatasync(self._file)

    def append_many(self, records: Sequence[bytes]) -> None:
        self.append(b"".join(records))

    def close(self) -> None:
        os.close(self._file)


class SQLite:
    """One table in WAL mode, ``synchronous`` FULL or NORMAL; a writer waits for the others up to a minute."""

    def __init__(self, place: str, writer: int, *, durable: bool) -> None:
        self._base = sqlite3.connect(os.path.join(place, "log.db"), timeout=60, isolation_level=None)
        self._base.execute("pragma journal_mode = wal")
        self._base.execute(f"pragma synchronous = {'full' if durable else 'normal'}")
        self._base.execute("create table if not exists log (id integer primary key, writer integer, record blob)")
        self._writer = writer

    def append(self, record: bytes) -> None:
        self._base.execute("insert into log (writer, record) values (?, ?)", (self._writer, record))

    def append_many(self, records: Sequence[bytes]) -> None:
        self._base.execute("begin immediate")
        rows = ((self._writer, record) for record in records)
        self._base.executemany("insert into log (writer, record) values (?, ?)", rows)
        self._base.execute("commit")

    def close(self) -> None:
        self._base.close()


class LMDB:
    """One environment; without ``durable`` it syncs nothing (its fastest mode that keeps its file whole)."""

    def __init__(self, place: str, writer: int, *, durable: bool) -> None:
        lmdb: Any = import_module("lmdb")
        self._env = lmdb.open(place, map_size=_MAP_BYTES, sync=durable, metasync=durable, writemap=False)
        self._writer = writer.to_bytes(2)
        self._next = 0

    def append(self, record: bytes) -> None:
        self._next += 1
        with self._env.begin(write=True) as change:
            change.put(self._writer + self._next.to_bytes(8), record)

    def append_many(self, records: Sequence[bytes]) -> None:
        with self._env.begin(write=True) as change:
            for record in records:
                self._next += 1
                change.put(self._writer + self._next.to_bytes(8), record)

    def close(self) -> None:
        self._env.close()


class RocksDB:
    """One database, its log synced at every write or not; one process at a time may open it."""

    def __init__(self, place: str, writer: int, *, durable: bool) -> None:
        rocks: Any = import_module("rocksdict")
        options = rocks.Options(raw_mode=True)
        options.create_if_missing(create_if_missing=True)
        self._base = rocks.Rdict(os.path.join(place, "rocks"), options)
        self._wish = rocks.WriteOptions()
        self._wish.sync = durable
        self._base.set_write_options(self._wish)
        self._batch = rocks.WriteBatch
        self._writer = writer.to_bytes(2)
        self._next = 0

    def append(self, record: bytes) -> None:
        self._next += 1
        self._base[self._writer + self._next.to_bytes(8)] = record

    def append_many(self, records: Sequence[bytes]) -> None:
        batch = self._batch(raw_mode=True)
        for record in records:
            self._next += 1
            batch.put(self._writer + self._next.to_bytes(8), record)
        self._base.write(batch, self._wish)

    def close(self) -> None:
        self._base.close()


class Redis:
    """A stream in a server of its own on a socket in ``place``; how it syncs is the server's matter."""

    def __init__(self, place: str, writer: int, *, durable: bool) -> None:  # noqa: ARG002
        redis: Any = import_module("redis")
        self._server = redis.Redis(unix_socket_path=os.path.join(place, "redis.sock"))
        self._server.ping()

    def append(self, record: bytes) -> None:
        self._server.xadd("log", {"r": record})

    def append_many(self, records: Sequence[bytes]) -> None:
        batch = self._server.pipeline(transaction=True)
        for record in records:
            batch.xadd("log", {"r": record})
        batch.execute()

    def close(self) -> None:
        self._server.close()


class Ours:
    """One namespace of a local store; every record is an entry of its own."""

    def __init__(self, place: str, writer: int, *, durable: bool) -> None:
        import swampstore

        url = f"file://{place}" + ("" if durable else "?durability=buffered")
        self._store = swampstore.open(url)
        self._space = self._store.namespace("bench")
        self._writer = writer
        self._next = 0

    def append(self, record: bytes) -> None:
        self._next += 1
        self._space.put(f"log/{self._writer:02}/{self._next:012}", record)

    def append_many(self, records: Sequence[bytes]) -> None:
        first = self._next + 1
        self._next += len(records)
        self._space.put_many({f"log/{self._writer:02}/{first + at:012}": record for at, record in enumerate(records)})

    def close(self) -> None:
        self._store.close()


LOGS: dict[str, type[Log]] = {
    "swampstore": Ours,
    "raw file": RawFile,
    "SQLite": SQLite,
    "LMDB": LMDB,
    "RocksDB": RocksDB,
    "Redis": Redis,
}
SINGLE = frozenset({"RocksDB"})
"""Those that one process at a time may open."""
