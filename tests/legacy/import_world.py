"""Runs imports of made trees over any pair of stores, and says what each must have found."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from swampstore.client.core import CoreNamespace, CoreStore
from swampstore.env.blocking import BlockingEnv, run
from swampstore.stores.base import (
    Body,
    Create,
    Got,
    Headed,
    NotModified,
    Outcome,
    Page,
    Request,
    Store,
    Stored,
    When,
    outcome,
)
from swampstore.stores.local import LocalStore
from swampstore.stores.memory import MemoryStore
from swampstore.testing.legacy_tree import Made
from swampstore.values.entry import Entry
from swampstore.workers.legacy.importer import ImportOptions, import_legacy
from swampstore.workers.legacy.report import ImportReport
from swampstore.workers.legacy.rules import Place, Rules
from tests.legacy.helpers import an_entry, drain, index_bytes, tree_objects


class Crash(BaseException):
    """The process died here: nothing of the library may catch it."""


class Hooked:
    """A store that tells ``before`` and ``after`` of every call: the verb, the name, the length of a read or write."""

    def __init__(self, inner: Store) -> None:
        self.inner = inner
        self.url = inner.url
        self.before: Callable[[str, str], None] = lambda verb, name: None
        self.after: Callable[[str, str, int], None] = lambda verb, name, size: None

    async def get(
        self, name: str, *, span: tuple[int, int] | None = None, if_none_match: str | None = None
    ) -> Got | NotModified:
        self.before("get", name)
        got = await self.inner.get(name, span=span, if_none_match=if_none_match)
        self.after("get", name, len(got.body) if isinstance(got, Got) else 0)
        return got

    async def put(self, name: str, body: Body, when: When) -> Stored:
        self.before("put", name)
        stored = await self.inner.put(name, body, when)
        self.after("put", name, len(body) if isinstance(body, bytes) else 0)
        return stored

    async def list(self, prefix: str, *, start_after: str = "", limit: int = 1000) -> Page:
        self.before("list", prefix)
        page = await self.inner.list(prefix, start_after=start_after, limit=limit)
        self.after("list", prefix, 0)
        return page

    async def head(self, name: str) -> Headed:
        self.before("head", name)
        return await self.inner.head(name)

    async def delete(self, names: Sequence[str]) -> None:
        self.before("delete", names[0] if names else "")
        await self.inner.delete(names)
        self.after("delete", names[0] if names else "", 0)

    async def now(self) -> int:
        return await self.inner.now()

    async def many(self, requests: Sequence[Request]) -> Sequence[Outcome]:
        return [await outcome(self, request) for request in requests]

    async def close(self) -> None:
        await self.inner.close()


def memory(objects: dict[str, bytes], url: str = "memory://source") -> MemoryStore:
    store = MemoryStore(url=url)
    for name, body in objects.items():
        run(store.put(name, body, Create()))
    return store


def contents(store: MemoryStore) -> dict[str, tuple[bytes, str]]:
    """Every object of a memory store with its ETag."""
    return {name: (found.body, found.etag) for name, found in store._objects.items()}


def files(root: Path) -> dict[str, tuple[bytes, int]]:
    """Every file below ``root`` with its time of modification; links are not followed."""
    return {
        str(path.relative_to(root)): (b"" if path.is_symlink() else path.read_bytes(), path.lstat().st_mtime_ns)
        for path in sorted(root.rglob("*"))
        if path.is_symlink() or path.is_file()
    }


class Setting:
    """A made tree as a source, and a target for it: ``kind`` is memory or local.

    ``where`` is how they lie to each other: ``same`` store, ``below`` (the source in a folder of the target's store),
    ``above`` (the target's store in a folder of the source) or ``apart``.
    """

    def __init__(self, made: Made, kind: str, where: str, scratch: Path) -> None:
        self.made, self.where = made, where
        self.env = BlockingEnv()
        prefix = ""
        self.root = scratch / "store"
        if kind == "memory":
            self.source: Any = memory(tree_objects(made.out))
            if where == "below":
                self.source, prefix = memory({f"old/x/{n}": b for n, b in tree_objects(made.out).items()}), "old/x/"
            self.target: Any = MemoryStore(url="memory://target") if where in ("apart", "above") else self.source
        else:
            if where == "below":
                self.root = self.root / "old" / "x"
            shutil.copytree(made.out, self.root, symlinks=True)
            self.source = LocalStore(self.root)
            if where == "same":
                self.target = LocalStore(self.root)
            else:
                place = {"below": scratch / "store", "above": self.root / "new", "apart": scratch / "target"}[where]
                self.target = LocalStore(place, create=True)
        self.place = Place(prefix, made.namespace)
        self._legacy = set(files(made.out))

    def open(self, target: Store | None = None) -> CoreNamespace:
        """The namespace that is imported into, by a new process."""
        return CoreStore(target or self.target, BlockingEnv()).namespace(self.made.namespace or "default")

    def run(self, *, target: Store | None = None, source: Store | None = None, **options: Any) -> ImportReport:
        return run(import_legacy(self.open(target), source or self.source, self.place, ImportOptions(**options)))

    def state(self) -> dict[str, tuple[bytes, str]] | dict[str, tuple[bytes, int]]:
        """Everything in the target."""
        return contents(self.target) if isinstance(self.target, MemoryStore) else files(Path(self.target.root))

    def source_state(self) -> dict[str, tuple[bytes, Any]]:
        """The legacy objects, whatever was written beside them."""
        if isinstance(self.source, MemoryStore):
            prefix = self.place.prefix
            state: dict[str, tuple[bytes, Any]] = {
                name: held for name, held in contents(self.source).items() if name[len(prefix) :] in self._legacy
            }
            return state
        return {name: held for name, held in files(self.root).items() if name in self._legacy}

    def entries(self) -> dict[str, Entry]:
        return {entry.key: entry for entry in self._scan()}

    def _scan(self) -> Iterator[Entry]:
        for chunk in drain(run(self.open().snapshot()).scan()):
            yield from chunk

    def read_all(self) -> dict[str, bytes]:
        """The contents of every entry, through the client: hashes are checked."""
        ns = self.open()
        return {key: run(ns.read(key)) for key in self.entries()}

    def expected(self) -> dict[str, bytes]:
        """What the namespace must hold after an import, with contents."""
        made = self.made
        if self.flavour_none:
            base = tree_objects(made.base)
            rules = Rules(self.place, () if made.namespace else ("neighbour", "zz-last"))
            return {rel: body for rel, body in base.items() if not rules.dropped(rel)}
        rels = made.entries.keys() - made.dangling - made.not_data
        return {rel: ((made.out if rel in made.at_root else made.base) / rel).read_bytes() for rel in rels}

    @property
    def flavour_none(self) -> bool:
        return not (self.made.base / ".datastore-index.json").exists() and not (self.made.base / "_index").exists()


def adds_up(report: ImportReport) -> bool:
    """Whether every rel ended in exactly one way."""
    dropped = sum(report.dropped.values())
    left = report.unchanged + report.deleted_here + dropped + report.dangling + report.damaged
    return report.imported + left == report.entries


# --- small stores by hand ------------------------------------------------------------------------------------------

INDEX = ".datastore-index.json"


def entry_of(body: bytes, modified: str = "2026-06-01T00:00:00.001Z", **more: Any) -> dict[str, Any]:
    return an_entry(len(body), modified, sha256=hashlib.sha256(body).hexdigest(), **more)


def legacy(bodies: dict[str, bytes], **entries: dict[str, Any]) -> dict[str, bytes]:
    """Objects and their index; ``entries`` of the same rel win."""
    listed = {rel: entry_of(body) for rel, body in bodies.items()} | entries
    return bodies | {INDEX: index_bytes(listed)}


def space(store: Store, name: str = "ops") -> CoreNamespace:
    return CoreStore(store, BlockingEnv()).namespace(name)


def take(
    store: Store, target: Store | None = None, *, place: Place | None = None, progress: Any = None, **options: Any
) -> ImportReport:
    told = progress or (lambda phase, done, total: None)
    return run(import_legacy(space(target or store), store, place or Place(), ImportOptions(**options), told))


def held(store: Store) -> dict[str, bytes]:
    ns = space(store)
    chunks = drain(run(ns.snapshot()).scan())
    return {entry.key: run(ns.read(entry.key)) for chunk in chunks for entry in chunk}
