"""Namespaces full of versions, some of them expired; a gc of them, and the compaction after it."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Generator, Iterator
from typing import Any

_BATCH = 10_000
_VERSIONS = 10
"""Versions of an item. Each is two entries: the contents and ``metadata.yaml``."""
_KEEP = "20"
_PAST = 1_600_000_000_000
"""An expiry that has come."""


def _versions(count: int, expired: int) -> Iterator[Any]:
    """The entries of ``count`` versions, ``expired`` of them, spread evenly, out of their time."""
    from swampstore.values.data import Datum, meta_path, raw_path
    from swampstore.values.deltas import Index
    from swampstore.values.entry import External, Inline, Meta

    gone = 0
    for at in range(count):
        item, number = divmod(at, _VERSIONS)
        model, name = divmod(item, 5)
        uuid = hashlib.sha256(str(model).encode()).hexdigest()
        due = (at + 1) * expired // count
        expires, gone = (_PAST, due) if due > gone else (0, gone)
        model_id = f"{uuid[:8]}-{uuid[8:12]}-{uuid[12:16]}-{uuid[16:20]}-{uuid[20:32]}"
        where = f"{model_id}/datum-{name}/{number + 1}"
        digest = hashlib.sha256(where.encode()).digest()
        owner = {"ownerType": "model-method", "definitionHash": hashlib.sha256(digest).hexdigest()}
        datum = Datum(
            "command/shell", model_id, f"datum-{name}", number + 1, keep=_KEEP, owner=owner, data_id=digest.hex()[:32]
        )
        raw, beside = raw_path(datum.item, datum.ordinal), meta_path(datum.item, datum.ordinal)
        made = 1_780_000_000_000 + at
        contents = Meta(size=len(raw), at=External(raw), sha256=digest, created=made, data=datum)
        yield Index(key=raw, meta=contents, expires=expires)
        text = (
            f"name: {datum.name}\nid: {datum.data_id}\nversion: {datum.ordinal}\ngarbageCollection: {_KEEP}\n"
            f"ownerDefinition:\n  definitionHash: {owner['definitionHash']}\nchecksum: {digest.hex()}\n"
        ).encode()
        about = Meta(size=len(text), at=Inline(text), sha256=hashlib.sha256(text).digest(), created=made)
        yield Index(key=beside, meta=about, expires=expires)


def fill(url: str, namespace: str, entries: int, expired: int) -> Generator[None, None, int]:
    """A compacted namespace of ``entries`` entries, of which ``expired`` are out of their time; its manifest's size."""
    from bench.jobs.opening import open_core
    from swampstore.client.blocking import finish

    core, space = open_core(url, namespace)
    yield
    batch: list[Any] = []
    for delta in _versions(entries // 2, expired // 2):
        batch.append(delta)
        if len(batch) == _BATCH:
            finish(space.append(batch))
            batch = []
    if batch:
        finish(space.append(batch))
    finish(space.compact())
    status = finish(space.status())
    finish(core.close())
    return status.shard_bytes


def renew(url: str, namespace: str, count: int, seed: int) -> Generator[None, None, int]:
    """``count`` more versions that are out of their time, of items anywhere in the namespace, compacted."""
    import msgspec

    from bench.jobs.opening import open_core
    from swampstore.client.blocking import finish
    from swampstore.values.data import meta_path, raw_path
    from swampstore.values.deltas import Index

    yield
    core, space = open_core(url, namespace)

    async def some() -> list[Any]:
        found = []
        async for entries in (await space.snapshot()).scan("data/"):
            found += [entry for entry in entries if entry.meta.data is not None and entry.meta.data.ordinal == 1]
        return random.Random(seed).sample(found, count)

    batch = []
    for entry in finish(some()):
        assert entry.meta.data is not None
        datum = msgspec.structs.replace(entry.meta.data, ordinal=1000 + seed)
        contents = msgspec.structs.replace(entry.meta, data=datum)
        about = msgspec.structs.replace(entry.meta, data=None)
        batch.append(Index(key=raw_path(datum.item, datum.ordinal), meta=contents, expires=_PAST))
        batch.append(Index(key=meta_path(datum.item, datum.ordinal), meta=about, expires=_PAST))
    finish(space.append(batch))
    finish(space.compact())
    finish(core.close())
    return len(batch)


def collect(url: str, namespace: str) -> Generator[None, None, dict[str, Any]]:
    """A gc by a client that knows nothing; what it removed and what it asked of the store.

    The start-up opens a connection, as it does for the legacy design.
    """
    import time

    from bench.jobs.counting import open_counted
    from bench.jobs.opening import open_core
    from swampstore.client import tidying
    from swampstore.client.blocking import finish

    core, space = open_core(url, namespace)
    shards = finish(space.snapshot()).root.shards
    finish(core.close())
    concerned = sum(0 < ref.expires <= _PAST for ref in shards)
    core, space, counts = open_counted(url, namespace)
    finish(core.store.now())
    counts.reset()
    yield
    began = time.perf_counter()
    report = finish(tidying.gc(space, dry_run=False))
    seconds = time.perf_counter() - began
    said = {
        "seconds": seconds,
        "expired": report.expired,
        "entries": report.entries,
        "shards": len(shards),
        "concerned": concerned,
        "reads": counts.requests["get"] + counts.requests["list"] + counts.requests["head"],
        "writes": counts.puts,
        "locks": counts.locks,
        "bytes": counts.bytes_down,
    }
    finish(core.close())
    return said


def compact(url: str, namespace: str) -> Generator[None, None, dict[str, Any]]:
    """The compaction that takes in what a gc has appended."""
    from bench.jobs.opening import open_core
    from swampstore.client.blocking import finish

    core, space = open_core(url, namespace)
    yield
    report = finish(space.compact())
    finish(core.close())
    return {"seconds": report.seconds, "deltas": report.fold.deltas, "entries": report.merge.entries}
