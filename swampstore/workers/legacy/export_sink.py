"""Where an export goes: a folder of files, or objects below a prefix of a store.

Invariants:
- Nothing outside the target is written, read or removed: a folder is walked and written through folders opened one by
  one, never through a link.
- A file appears whole under its name or not at all.
- What cannot be written because of its name alone is told, and the export goes on; a full disk ends it.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Protocol

import msgspec

from swampstore.env.base import Env
from swampstore.errors import BadName, Conflict, NotFound, StoreForbidden, StoreFull, SwampError
from swampstore.limits import MIB, PART_BYTES
from swampstore.stores.base import Get, Got, Overwrite, Put, Source, Store, Stored
from swampstore.stores.open import open_store
from swampstore.stores.retry import Retrying
from swampstore.stores.urls import LocalPlace, parse_url
from swampstore.workers.legacy.export_around import refuse_inside
from swampstore.workers.spool import Spool
from swampstore.workers.sync.options import Scope, SyncOptions
from swampstore.workers.sync.scan import Scan
from swampstore.workers.sync.tree import Left, Tree, reason_of

_PAGE = 1000
_JUST_BEHIND_SLASH = "0"
_FULL_HINT = "free some space and run the same export again: what is there is kept"


class There(msgspec.Struct, frozen=True, gc=False):
    """A file of the target."""

    rel: str
    size: int


class File(msgspec.Struct, frozen=True):
    """A file to write. ``modified`` is in ms since the epoch, 0 = now."""

    rel: str
    body: bytes
    modified: int = 0


class Sink(Protocol):
    """The target of an export. Names are relative to the base of the layout."""

    url: str

    def listing(self, under: str = "") -> AsyncIterator[list[There]]:
        """All files whose names begin with ``under``, in the order of their names.

        Raises what the store raises, ``StoreForbidden`` for a folder.
        """
        ...

    async def tops(self) -> list[str]:
        """The names of the folders at the top."""
        ...

    async def read(self, rel: str) -> bytes | None:
        """A small file, ``None`` if it is not there."""
        ...

    async def digest(self, rels: Sequence[There]) -> list[bytes | None]:
        """The sha256 of files, ``None`` for one that cannot be read."""
        ...

    async def write(self, files: Sequence[File]) -> list[str]:
        """Write files, over what is there; for each the reason why it could not be written, or an empty text."""
        ...

    async def write_source(self, rel: str, source: Source, modified: int = 0) -> str:
        """Write one large file; the reason why not, or an empty text."""
        ...

    async def remove(self, rels: Sequence[str]) -> None: ...

    async def settle(self) -> None:
        """What was written so far survives a power failure from now on."""
        ...


class StoreSink:
    """Objects below ``base`` (empty, or with a slash at its end) of ``store``."""

    def __init__(self, store: Store, base: str) -> None:
        self._store = store
        self._base = base
        self.url = f"{store.url.partition('?')[0].rstrip('/')}/{base}".rstrip("/")

    async def listing(self, under: str = "") -> AsyncIterator[list[There]]:
        """See :class:`Sink`."""
        after = ""
        while True:
            page = await self._store.list(self._base + under, start_after=after, limit=_PAGE)
            if page.items:
                yield [There(item.name[len(self._base) :], item.size) for item in page.items]
                after = page.items[-1].name
            if not page.more:
                return

    async def tops(self) -> list[str]:
        """See :class:`Sink`."""
        found: list[str] = []
        after = ""
        while True:
            page = await self._store.list(self._base, start_after=after, limit=1)
            if not page.items:
                return found
            after = page.items[0].name
            top, slash, _ = after[len(self._base) :].partition("/")
            if slash:
                found.append(top)
                after = f"{self._base}{top}{_JUST_BEHIND_SLASH}"

    async def read(self, rel: str) -> bytes | None:
        """See :class:`Sink`."""
        try:
            got = await self._store.get(self._base + rel)
        except NotFound:
            return None
        assert isinstance(got, Got)
        return got.body

    async def digest(self, rels: Sequence[There]) -> list[bytes | None]:
        """See :class:`Sink`."""
        small = [item for item in rels if item.size <= PART_BYTES]
        answers = await self._store.many([Get(self._base + item.rel) for item in small])
        found: dict[str, bytes] = {}
        for item, answer in zip(small, answers, strict=True):
            if isinstance(answer, Got):
                found[item.rel] = hashlib.sha256(answer.body).digest()
            elif not isinstance(answer, NotFound):
                assert isinstance(answer, SwampError)
                raise answer
        for item in rels:
            if item.size > PART_BYTES and (digest := await self._digest_large(item)) is not None:
                found[item.rel] = digest
        return [found.get(item.rel) for item in rels]

    async def _digest_large(self, item: There) -> bytes | None:
        digest = hashlib.sha256()
        for offset in range(0, item.size, PART_BYTES):
            try:
                got = await self._store.get(self._base + item.rel, span=(offset, min(PART_BYTES, item.size - offset)))
            except NotFound:
                return None
            assert isinstance(got, Got)
            digest.update(got.body)
        return digest.digest()

    async def write(self, files: Sequence[File]) -> list[str]:
        """See :class:`Sink`."""
        answers = await self._store.many([Put(self._base + file.rel, file.body, Overwrite()) for file in files])
        return [_reason(answer) for answer in answers]

    async def write_source(self, rel: str, source: Source, modified: int = 0) -> str:
        """See :class:`Sink`."""
        del modified  # an object's time is the store's
        try:
            return _reason(await self._store.put(self._base + rel, source, Overwrite()))
        except SwampError as error:
            return _reason(error)

    async def remove(self, rels: Sequence[str]) -> None:
        """See :class:`Sink`."""
        await self._store.delete([self._base + rel for rel in rels])

    async def settle(self) -> None:
        """An object that was acknowledged is durable."""

    async def close(self) -> None:
        await self._store.close()


def _reason(answer: object) -> str:
    """Why a name could not be written. Raises what concerns the whole store."""
    if isinstance(answer, Stored):
        return ""
    if isinstance(answer, BadName):
        return str(answer)
    assert isinstance(answer, SwampError)
    raise with_hint(answer)


def with_hint(error: SwampError) -> SwampError:
    """``error``; when it says that the disk is full, with the way on."""
    if isinstance(error, StoreFull):
        error.hint = _FULL_HINT
    return error


class TreeSink:
    """Files below the folder ``path``; ``base`` (empty, or with a slash at its end) is a folder in it."""

    def __init__(self, path: Path, base: str, env: Env) -> None:
        self._base = base
        self._env = env
        self.url = f"file://{path / base}".rstrip("/")
        try:
            path.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise StoreForbidden(f"{path} cannot be made: {error.strerror}", hint="choose another folder") from error
        self._tree = Tree(path, env)

    def close(self) -> None:
        self._tree.close()

    async def tops(self) -> list[str]:
        """See :class:`Sink`."""
        try:
            fd, _ = self._tree.open_parent(f"{self._base}x")
            with os.scandir(fd) as items:
                return sorted(item.name for item in items if item.is_dir(follow_symlinks=False))
        except OSError:  # what cannot be looked into is told by the listing
            return []

    async def listing(self, under: str = "") -> AsyncIterator[list[There]]:
        """See :class:`Sink`."""
        scan = Scan(self._tree, Scope(SyncOptions()), self._env.wall_ms())
        group: list[There] = []
        for key, found in scan.files(self._base + under):
            group.append(There(key[len(self._base) :], found.size))
            if len(group) == _PAGE:
                yield group
                group = []
        if group:
            yield group
        if scan.blocked:
            # Whatever it is, it is something: the target is not empty.
            yield [There(path.removeprefix(self._base), -1) for path in sorted(scan.blocked)]

    async def read(self, rel: str) -> bytes | None:
        """See :class:`Sink`."""
        try:
            found = self._tree.look(self._base + rel)
            return None if found is None else self._tree.read(self._base + rel, found)
        except Left as reason:
            raise Conflict(f"{rel} in the target {self.url}: {reason}", hint="name another place") from reason

    async def digest(self, rels: Sequence[There]) -> list[bytes | None]:
        """See :class:`Sink`."""
        return [self._digest(self._base + item.rel) for item in rels]

    def _digest(self, key: str) -> bytes | None:
        try:
            found = self._tree.look(key)
            return None if found is None else self._tree.sha256(key, found)
        except Left:
            return None

    async def write(self, files: Sequence[File]) -> list[str]:
        """See :class:`Sink`."""
        return [self._write(self._base + file.rel, [file.body], file.modified) for file in files]

    async def write_source(self, rel: str, source: Source, modified: int = 0) -> str:
        """See :class:`Sink`."""
        return self._write(self._base + rel, source.chunks(4 * MIB), modified)

    def _write(self, key: str, chunks: object, modified: int) -> str:
        try:
            there = self._tree.look(key)
            with self._tree.temporary(key, 0) as temp:
                for chunk in chunks:  # type: ignore[attr-defined]
                    temp.write(chunk)
                temp.finish(max(modified, 0))
                temp.place(there)
        except Left as reason:
            return str(reason)
        except OSError as error:
            try:
                return reason_of(error)
            except StoreFull as full:
                raise with_hint(full) from error
        except OverflowError:
            return "its time cannot be that of a file"
        return ""

    async def remove(self, rels: Sequence[str]) -> None:
        """See :class:`Sink`."""
        for rel in rels:
            found = self._tree.look(self._base + rel)
            if found is not None:
                self._tree.remove(self._base + rel, found)

    async def settle(self) -> None:
        """See :class:`Sink`."""
        self._tree.settle(["."] * 100)  # many: all at once


async def open_sink(url: str, env: Env, named: str, *, timeout: float) -> TreeSink | StoreSink:
    """The target at ``url`` (a folder is made when it is missing); ``named`` is the namespace's folder in it, if any.

    Raises ``Conflict`` for a place inside a store, ``BadURL``, ``StoreForbidden``, and what opening the store raises.
    Close it with :func:`close_sink`.
    """
    base = f"{named}/" if named else ""
    place = parse_url(url)
    await refuse_inside(place, named, env, timeout=timeout)
    if isinstance(place, LocalPlace):
        return TreeSink(Path(place.path), base, env)
    return StoreSink(Retrying(open_store(url, env=env, timeout=timeout), env, deadline_s=timeout), base)


async def close_sink(sink: TreeSink | StoreSink) -> None:
    """Close what :func:`open_sink` has opened."""
    if isinstance(sink, TreeSink):
        sink.close()
    else:
        await sink.close()


async def spooled(chunks: AsyncIterator[bytes], spool: Spool) -> bytes:
    """Collect ``chunks`` in ``spool``; their sha256."""
    digest = hashlib.sha256()
    async for chunk in chunks:
        digest.update(chunk)
        spool.write(chunk)
    return digest.digest()
