"""Table and array formats, and a key-value store on object storage: other ways to append a record to shared data there.

One interface; each is used as its own documentation shows it for small appends. A record that is acknowledged is durable.
"""

from __future__ import annotations

import asyncio
import os
from importlib import import_module
from typing import Any, Protocol

_TRIES = 200


class Format(Protocol):
    """``failed`` counts commits that lost to another writer and were made again."""

    failed: int

    def append(self, record: bytes) -> None: ...

    def close(self) -> None: ...


class Place:
    """A folder, or a prefix in a bucket behind ``endpoint``."""

    def __init__(self, path: str, bucket: str = "", endpoint: str = "") -> None:
        self.path, self.bucket, self.endpoint = path, bucket, endpoint
        if endpoint:
            os.environ |= {"AWS_ENDPOINT_URL": endpoint, "AWS_ENDPOINT": endpoint, "AWS_ALLOW_HTTP": "true"}
            os.environ |= {"AWS_REGION": "us-east-1", "AWS_DEFAULT_REGION": "us-east-1"}
            os.environ |= {"AWS_VIRTUAL_HOSTED_STYLE_REQUEST": "false", "CLOUD_PROVIDER": "aws", "AWS_BUCKET": bucket}


class DeltaLake:
    """A row of a table a commit."""

    def __init__(self, place: Place) -> None:
        self._arrow: Any = import_module("pyarrow")
        self._lake: Any = import_module("deltalake")
        self._uri = f"s3://{place.bucket}/{place.path}" if place.endpoint else place.path
        self._options = {"conditional_put": "etag"} if place.endpoint else None
        self._table: Any = None  # kept open: it knows how far it has read
        self.failed = 0

    def append(self, record: bytes) -> None:
        table = self._arrow.table({"record": self._arrow.array([record], self._arrow.binary())})
        for _ in range(_TRIES):
            try:
                target = self._table or self._uri
                self._lake.write_deltalake(target, table, mode="append", storage_options=self._options)
            except self._lake.exceptions.CommitFailedError:
                self.failed += 1
            else:
                self._table = self._table or self._lake.DeltaTable(self._uri, storage_options=self._options)
                return
        raise RuntimeError(f"{_TRIES} commits in a row failed")

    def close(self) -> None:
        pass


class Icechunk:
    """A row of an array a commit, rebased over those of others."""

    def __init__(self, place: Place) -> None:
        self._ice: Any = import_module("icechunk")
        self._zarr: Any = import_module("zarr")
        self._numpy: Any = import_module("numpy")
        if place.endpoint:
            storage = self._ice.s3_storage(
                bucket=place.bucket, prefix=place.path, endpoint_url=place.endpoint, allow_http=True,
                region="us-east-1", from_env=True, force_path_style=True,
            )  # fmt: skip
        else:
            storage = self._ice.local_filesystem_storage(place.path)
        self._repo = self._ice.Repository.open_or_create(storage)
        self.failed = 0
        session = self._repo.writable_session("main")
        if not any(True for _ in self._zarr.open_group(session.store, mode="a").array_keys()):
            self._zarr.create_array(
                session.store, name="log", shape=(0, 300), chunks=(1, 300), dtype="u1", compressors=None
            )
            session.commit("the log")

    def append(self, record: bytes) -> None:
        row = self._numpy.frombuffer(record, "u1").reshape(1, -1)
        for _ in range(_TRIES):
            session = self._repo.writable_session("main")
            self._zarr.open_array(session.store, path="log", mode="r+").append(row)
            try:
                session.commit("a record")
            except (self._ice.ConflictError, self._ice.RebaseFailedError):
                self.failed += 1  # the row's place is taken: begin again from what is there now
            else:
                return
        raise RuntimeError(f"{_TRIES} commits in a row failed")

    def close(self) -> None:
        pass


class SlateDB:
    """A put and a flush of its log. One writer at a time: a second one fences the first."""

    def __init__(self, place: Place) -> None:
        slate: Any = import_module("slatedb.uniffi")
        self._loop = asyncio.new_event_loop()
        store = slate.ObjectStore.from_env(None) if place.endpoint else slate.ObjectStore.resolve("file:///")
        self._base = self._loop.run_until_complete(slate.DbBuilder(place.path.lstrip("/"), store).build())
        self._next = 0
        self.failed = 0

    def append(self, record: bytes) -> None:
        self._next += 1
        self._loop.run_until_complete(self._put(record))

    async def _put(self, record: bytes) -> None:
        await self._base.put(self._next.to_bytes(8), record)
        await self._base.flush()

    def close(self) -> None:
        self._loop.run_until_complete(self._base.shutdown())


class Ours:
    """A put into a namespace."""

    def __init__(self, place: Place) -> None:
        import swampstore

        where = f"s3://{place.bucket}/{place.path}?endpoint={place.endpoint}&path_style=true&region=us-east-1"
        self._store = swampstore.open(where if place.endpoint else place.path, create=True)
        self._space = self._store.namespace("bench")
        self._next = 0
        self._who = os.getpid()
        self.failed = 0

    def append(self, record: bytes) -> None:
        self._next += 1
        self._space.put(f"log/{self._who}/{self._next:012}", record)

    def close(self) -> None:
        self._store.close()


FORMATS: dict[str, Any] = {"swampstore": Ours, "slatedb": SlateDB, "icechunk": Icechunk, "deltalake": DeltaLake}
SINGLE = frozenset({"slatedb"})
"""Those that one process at a time may write."""
