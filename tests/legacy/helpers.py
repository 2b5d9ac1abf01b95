"""Puts made trees and hand-written objects into a memory store, and finishes coroutines."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any, TypeVar

from swampstore.env.blocking import run
from swampstore.stores.base import Create, Overwrite
from swampstore.stores.memory import MemoryStore
from swampstore.workers.legacy.entries import LegacyEntry

T = TypeVar("T")


def stored(objects: Mapping[str, bytes]) -> MemoryStore:
    store = MemoryStore()
    for name, body in objects.items():
        run(store.put(name, body, Create()))
    return store


def put(store: MemoryStore, name: str, body: bytes) -> None:
    run(store.put(name, body, Overwrite()))


def tree_objects(root: Path) -> dict[str, bytes]:
    """The files below ``root`` by their names; links are no files, as in a bucket."""
    return {
        str(path.relative_to(root)): path.read_bytes()
        for path in sorted(root.rglob("*"))
        if path.is_file() and not path.is_symlink() and not any(parent.is_symlink() for parent in path.parents)
    }


async def _all(source: AsyncIterator[T]) -> list[T]:
    return [item async for item in source]


def drain(source: AsyncIterator[T]) -> list[T]:
    return run(_all(source))


def flat(batches: AsyncIterator[list[LegacyEntry]]) -> list[LegacyEntry]:
    return [entry for batch in drain(batches) for entry in batch]


def index_bytes(entries: Mapping[str, Any], **more: Any) -> bytes:
    return json.dumps({"version": 1, "lastPulled": None, **more, "entries": entries}).encode()


def an_entry(size: int = 1, modified: str = "2026-06-01T00:00:00.001Z", **more: Any) -> dict[str, Any]:
    return {"key": "ignored", "size": size, "lastModified": modified, **more}
