"""Manifests of any size, made directly; and what reading, changing and compacting one costs."""

from __future__ import annotations

import hashlib
import json
import random
import resource
import sqlite3
import time
from collections.abc import Callable, Generator, Iterator
from pathlib import Path
from typing import Any

_BATCH = 20_000
_PER_MODEL = 40
_STAMP_MS = 1_760_000_000_000
_BYTES_EACH = 42


def key_of(at: int) -> str:
    """Entry number ``at`` in key order: versions of data of models with ids that do not compress."""
    model, rest = divmod(at, _PER_MODEL)
    datum, rest = divmod(rest, 8)
    version, leaf = divmod(rest, 2)
    dice = hashlib.blake2b(b"%d" % model, digest_size=8).hexdigest()
    return (
        f"data/command/shell/{model:08x}-{dice[:4]}-{dice[4:]}/datum-{datum}/{version + 1}/"
        f"{'raw' if leaf else 'metadata.yaml'}"
    )


def indexes(numbers: Iterator[int] | range, mark: str = "") -> list[Any]:
    """Index deltas of these entries."""
    from swampstore.values.deltas import Index
    from swampstore.values.entry import External, Meta

    return [
        Index(
            key=key, meta=Meta(size=len(mark), at=External(key), sha256=hashlib.sha256((mark + key).encode()).digest())
        )
        for key in map(key_of, numbers)
    ]


def generate(url: str, namespace: str, entries: int) -> Generator[None, None, dict[str, Any]]:
    """A namespace whose manifest holds ``entries`` entries, written as its shards are, a batch in memory at a time."""
    from bench.jobs.opening import open_core
    from swampstore.client.blocking import finish
    from swampstore.limits import SHARD_TARGET_DIVISOR, SHARD_TARGET_MAX_BYTES, SHARD_TARGET_MIN_BYTES
    from swampstore.stores.base import Create
    from swampstore.values.block import Block
    from swampstore.values.entry import External, Meta, put_record
    from swampstore.values.root import Root, encode_root
    from swampstore.values.run import RunBuilder
    from swampstore.values.version import hlc_of, make_version

    core, space = open_core(url, namespace)
    finish(space.prove())
    place = space.place
    yield
    target = min(max(entries * _BYTES_EACH // SHARD_TARGET_DIVISOR, SHARD_TARGET_MIN_BYTES), SHARD_TARGET_MAX_BYTES)
    began = time.process_time()
    shards = []
    builder = RunBuilder()

    def close() -> None:
        part, name = place.new_object("shard")
        ref, body = builder.finish(f"shard/{part}")
        finish(place.store.put(name, body, Create()))
        shards.append(ref)

    for first in range(0, entries, _BATCH):
        records = []
        for at in range(first, min(first + _BATCH, entries)):
            key = key_of(at)
            meta = Meta(size=0, at=External(key), sha256=hashlib.sha256(key.encode()).digest())
            records.append(put_record(key, make_version(hlc_of(_STAMP_MS, at & 0xFFFF), b"importer-one", at), meta))
        builder.add_rows(Block.of(records))
        if builder.size >= target:
            close()
            builder = RunBuilder()
    if not builder.empty:
        close()
    root = Root(version=1, nonce=b"made by hand", hlc=hlc_of(_STAMP_MS, 0xFFFF), shards=tuple(shards))
    finish(place.store.put(place.names.root, encode_root(root), Create()))
    finish(core.close())
    size = sum(ref.size for ref in shards)
    return {"bytes": size, "shards": len(shards), "cpu_s": time.process_time() - began, "peak_mb": _peak_mb()}


def _peak_mb() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def _now_mb() -> float:
    fields = Path("/proc/self/statm").read_text().split()
    return int(fields[1]) * resource.getpagesize() / 2**20


class _Clock:
    """Wall and processor time of some work."""

    def __init__(self) -> None:
        self._wall, self._cpu = time.perf_counter(), time.process_time()

    def rates(self, count: int) -> dict[str, float]:
        """``count`` pieces of work, per second of each."""
        return {
            "wall": count / (time.perf_counter() - self._wall),
            "cpu": count / max(time.process_time() - self._cpu, 1e-9),
        }

    @property
    def seconds(self) -> float:
        return time.perf_counter() - self._wall

    @property
    def cpu_seconds(self) -> float:
        return time.process_time() - self._cpu


# --- rates -----------------------------------------------------------------------------------------------------------


def fold(url: str, namespace: str, deltas: int, batch: int) -> Generator[None, None, dict[str, float]]:
    """Append ``deltas`` in segments of ``batch``, and fold them in turns by a client that has read none of them.

    A turn is less than a log at which writers begin to help.
    """
    from bench.jobs.opening import open_core
    from swampstore.client.blocking import finish
    from swampstore.workers.compactor import Compactor

    core, space = open_core(url, namespace)
    other, reading = open_core(url, namespace)
    finish(reading.prove())
    worker = Compactor(reading.place, reading.register)
    order = random.Random(batch).sample(range(deltas), deltas)
    each = batch * (5 if batch > 100 else 200)
    yield
    wall = cpu = 0.0
    folded = 0
    for turn in range(0, deltas, each):
        for first in range(turn, min(turn + each, deltas), batch):
            finish(space.append(indexes(iter(order[first : first + batch]))))
        clock = _Clock()
        report, _ = finish(worker.fold_once(stay=True, insist=turn == 0))
        wall, cpu = wall + clock.seconds, cpu + clock.cpu_seconds
        folded += report.deltas
    if folded < deltas / 2:
        raise AssertionError(f"folded {folded} of {deltas}")
    finish(core.close())
    finish(other.close())
    return {"wall": folded / wall, "cpu": folded / cpu}


def rewrite(url: str, namespace: str, entries: int, every: int) -> Generator[None, None, dict[str, Any]]:
    """A change of every n-th entry, folded; then a full merge, every block of which is rewritten."""
    from bench.jobs.opening import open_core
    from swampstore.client.blocking import finish
    from swampstore.workers import weave
    from swampstore.workers.compactor import Compactor

    core, space = open_core(url, namespace)
    worker = Compactor(space.place, space.register)
    for first in range(0, entries, every * 10_000):
        finish(space.append(indexes(range(first, min(first + every * 10_000, entries), every), "x")))
    finish(worker.fold_once(stay=True, insist=True))
    rewritten = 0
    inner = weave.decode_rows

    def counting(info: Any, stored: bytes, name: str) -> Any:
        nonlocal rewritten
        rewritten += info.count
        return inner(info, stored, name)

    weave.decode_rows = counting  # type: ignore[attr-defined]
    yield
    clock = _Clock()
    report = finish(worker.merge_once(True, stay=True, insist=True))
    rates = clock.rates(rewritten)
    if not report.published or rewritten < entries * 0.95:
        raise AssertionError(f"rewrote {rewritten} of {entries}")
    finish(core.close())
    return {**rates, "seconds": clock.seconds, "bytes": report.bytes_written, "peak_mb": _peak_mb()}


def scan(url: str, namespace: str) -> Generator[None, None, dict[str, Any]]:
    """All entries through the face, then again as undecoded records."""
    from bench.jobs.opening import open_core
    from swampstore.client.blocking import finish

    core, space = open_core(url, namespace)
    finish(space.get("warm up"))
    yield

    async def count(records: bool) -> int:
        found = 0
        snapshot = await space.snapshot()
        async for chunk in snapshot.records() if records else snapshot.scan():
            found += len(chunk)
        return found

    clock = _Clock()
    entries = finish(count(records=False))
    rates = clock.rates(entries)
    space.place.caches.blocks.clear()
    clock = _Clock()
    raw = clock.rates(finish(count(records=True)))
    finish(core.close())
    return {**rates, "entries": entries, "records_cpu": raw["cpu"], "seconds": clock.seconds, "peak_mb": _peak_mb()}


def points(url: str, namespace: str, entries: int, lanes: int, reads: int) -> Generator[None, None, dict[str, float]]:
    """Warm look-ups on an open snapshot, then strict ones, with ``lanes`` writers' lanes in the log."""
    from bench.jobs.opening import open_core
    from swampstore.client.blocking import finish

    for lane in range(lanes):
        core, space = open_core(url, namespace)
        for _ in range(3):
            finish(space.append(indexes(iter([lane * 7]))))
        finish(core.close())
    core, space = open_core(url, namespace)
    dice = random.Random(3)
    keys = [key_of(dice.randrange(min(entries, 100_000))) for _ in range(1000)]
    snapshot = finish(space.snapshot())

    async def warm() -> None:
        for _ in range(max(reads // len(keys), 1)):
            for key in keys:
                if await snapshot.get(key) is None:
                    raise LookupError(key)

    finish(warm())
    yield
    clock = _Clock()
    finish(warm())
    open_rates = clock.rates(max(reads // len(keys), 1) * len(keys))
    clock = _Clock()
    for key in keys:
        finish(space.get(key))
    strict = clock.rates(len(keys))
    finish(core.close())
    return {
        "open": open_rates["wall"],
        "open_cpu": open_rates["cpu"],
        "strict": strict["wall"],
        "strict_cpu": strict["cpu"],
    }


# --- one manifest ----------------------------------------------------------------------------------------------------


def opening(url: str, namespace: str, entries: int) -> Generator[None, None, dict[str, Any]]:
    """A client that knows nothing opens the namespace and looks up one key; then the same again with all in memory."""
    from bench.jobs.counting import open_counted
    from swampstore.client.blocking import finish

    yield
    before = _now_mb()
    began = time.perf_counter()
    core, space, counts = open_counted(url, namespace)
    snapshot = finish(space.snapshot())
    opened_ms = (time.perf_counter() - began) * 1000
    opened_mb = _now_mb()
    found = []
    for at in random.Random(5).sample(range(entries), 15):
        one, fresh, _ = open_counted(url, namespace)
        clock = time.perf_counter()
        if finish(fresh.get(key_of(at))) is None:
            raise LookupError(key_of(at))
        found.append((time.perf_counter() - clock) * 1000)
        finish(one.close())
    finish(core.close())
    return {
        "open_ms": opened_ms,
        "open_mb": opened_mb - before,
        "whole_mb": opened_mb,
        "shards": len(snapshot.root.shards),
        "bytes_down": counts.bytes_down,
        "cold_ms": sorted(found)[len(found) // 2],
    }


def changes(
    url: str, namespace: str, entries: int, count: int, rounds: int, full: bool
) -> Generator[None, None, dict[str, Any]]:
    """``rounds`` times ``count`` changes everywhere, each folded and merged: with ``full`` at once, else when it is due."""
    from bench.jobs.opening import open_core
    from swampstore.client.blocking import finish
    from swampstore.workers.compactor import Compactor

    core, space = open_core(url, namespace)
    worker = Compactor(space.place, space.register)
    dice = random.Random(count)
    yield
    append_s = work_s = 0.0
    written = read = middle = bottom = 0
    for turn in range(rounds):
        clock = _Clock()
        for first in range(0, count, 10_000):
            some = min(10_000, count - first)
            finish(space.append(indexes(iter(sorted(dice.sample(range(entries), some))), str(turn))))
        append_s += clock.seconds
        clock = _Clock()
        report = finish(worker.round(stay=True, insist=turn == 0, full=full))
        work_s += clock.seconds
        written, read = written + report.merge.bytes_written, read + report.merge.bytes_read
        middle += report.merge.published and report.merge.middle
        bottom += report.merge.published and not report.merge.middle
    runs = len(finish(space.snapshot()).root.level0)
    finish(core.close())
    return {
        "append_s": append_s, "work_s": work_s, "written": written, "read": read, "middle": middle, "bottom": bottom,
        "runs": runs, "peak_mb": _peak_mb(),
    }  # fmt: skip


def status(url: str, namespace: str) -> Generator[None, None, int]:
    """Stored bytes of the shards."""
    from bench.jobs.opening import open_core
    from swampstore.client.blocking import finish

    core, space = open_core(url, namespace)
    yield
    size = sum(ref.size for ref in finish(space.snapshot()).root.shards)
    finish(core.close())
    return size


# --- the same entries elsewhere ----------------------------------------------------------------------------------------


def peer_files(folder: str, entries: int) -> Generator[None, None, dict[str, int]]:
    """The same entries as one JSON index and as a SQLite table by key; their sizes."""
    yield
    place = Path(folder)
    with (place / "index.json").open("w") as file:
        file.write('{"version": 1, "entries": {')
        for at in range(entries):
            file.write(f"{',' if at else ''}\n{json.dumps(key_of(at))}: {json.dumps(_fields(at))}")
        file.write("}}")
    with sqlite3.connect(place / "index.db") as db:
        db.execute("CREATE TABLE entries (key TEXT PRIMARY KEY, value TEXT) WITHOUT ROWID")
        db.executemany(
            "INSERT INTO entries VALUES (?, ?)", ((key_of(at), json.dumps(_fields(at))) for at in range(entries))
        )
    db.close()
    return {"json": (place / "index.json").stat().st_size, "sqlite": (place / "index.db").stat().st_size}


def _fields(at: int) -> dict[str, Any]:
    key = key_of(at)
    return {
        "size": 0, "sha256": hashlib.sha256(key.encode()).hexdigest(), "at": key,
        "version": f"{_STAMP_MS:012x}{at & 0xFFFF:04x}{b'importer-one'.hex()}{at:08x}",
    }  # fmt: skip


def peer_lookup(folder: str, entries: int, peer: str) -> Generator[None, None, float]:
    """Milliseconds for one key, with nothing opened before."""
    key = key_of(entries // 3)
    find: Callable[[], object]
    if peer == "json":

        def find() -> object:
            return json.loads((Path(folder) / "index.json").read_bytes())["entries"][key]

    else:

        def find() -> object:
            with sqlite3.connect(Path(folder) / "index.db") as db:
                return db.execute("SELECT value FROM entries WHERE key = ?", (key,)).fetchone()[0]

    yield
    began = time.perf_counter()
    find()
    return (time.perf_counter() - began) * 1000
