"""What benchmarks need to be there before they measure: legacy indexes and objects, filled namespaces."""

from __future__ import annotations

import hashlib
import json
import os
import random
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import Any

_BATCH = 10_000


def make_index(out: str, entries: int) -> Generator[None, None, int]:
    """A legacy index without objects; its size in bytes."""
    from swampstore.testing.legacy_tree import make_index as make

    yield
    return (make(Path(out), entries) / ".datastore-index.json").stat().st_size


def make_objects(out: str, entries: int) -> Generator[None, None, int]:
    """A legacy index and every object that it lists (some hundred bytes each); the index's size in bytes."""
    from swampstore.testing.legacy_tree import index_entry

    yield
    base, rng = Path(out), random.Random(7)
    made: set[str] = set()
    index = base / ".datastore-index.json"
    with index.open("w") as file:
        file.write('{\n  "version": 1,\n  "entries": {')
        for at in range(entries):
            rel = _rel(at)
            body = f'{{"at": {at}, "pad": "{"x" * rng.randint(100, 800)}"}}'.encode()
            folder = os.path.dirname(rel)
            if folder not in made:
                made.add(folder)
                (base / folder).mkdir(parents=True, exist_ok=True)
            (base / rel).write_bytes(body)
            entry = index_entry(rel, at + 1, len(body), hashlib.sha256(body).hexdigest())
            file.write(f"{',' if at else ''}\n    {json.dumps(rel)}: {json.dumps(entry)}")
        file.write("\n  }\n}")
    return index.stat().st_size


def _rel(at: int) -> str:
    version, rest = divmod(at, 400)
    datum, leaf = divmod(rest, 2)
    model, name = divmod(datum, 5)
    uuid = hashlib.sha256(str(model).encode()).hexdigest()
    return f"data/command/shell/{uuid[:8]}-{uuid[8:12]}-{uuid[12:24]}/datum-{name}/{version + 1}/" + (
        "metadata.yaml" if leaf else "raw"
    )


def fill(url: str, namespace: str, entries: int) -> Generator[None, None, int]:
    """A namespace of ``entries`` index entries (no contents), folded and merged; its manifest's size in bytes."""
    from bench.jobs.opening import open_core
    from swampstore.client.blocking import finish

    core, space = open_core(url, namespace)
    yield
    for batch in _batches(entries):
        finish(space.append(batch))
    finish(space.compact())
    status = finish(space.status())
    finish(core.close())
    return status.shard_bytes


def _batches(entries: int) -> Iterator[list[Any]]:
    from swampstore.values.deltas import Index
    from swampstore.values.entry import External, Meta

    for first in range(0, entries, _BATCH):
        rels = [_rel(at) for at in range(first, min(first + _BATCH, entries))]
        yield [
            Index(key=rel, meta=Meta(size=len(rel), at=External(rel), sha256=hashlib.sha256(rel.encode()).digest()))
            for rel in rels
        ]


def import_index(source: str, url: str, namespace: str, index_only: bool) -> Generator[None, None, dict[str, Any]]:
    """Import a local legacy store; the report. Everything but the interpreter's start is measured."""
    yield
    import msgspec

    from bench.jobs.opening import open_core
    from swampstore.client.blocking import finish
    from swampstore.env.blocking import BlockingEnv
    from swampstore.stores.open import open_store
    from swampstore.workers.legacy.importer import ImportOptions, import_legacy
    from swampstore.workers.legacy.rules import Place

    core, space = open_core(url, namespace)
    store = open_store(source, env=BlockingEnv())
    options = ImportOptions(index_only=index_only)
    report: dict[str, Any] = msgspec.to_builtins(finish(import_legacy(space, store, Place(), options)))
    finish(core.close())
    return report
