"""Finding and reading the index of a legacy store: one big object, or partitions under ``_index/``, or none.

Invariants:
- Version 2 in ``_index/_meta.json`` makes a monolith beside it stale; without it, or with version 1, the monolith counts.
- Of version 2 every partition object is read, listed or not: a crash can leave a committed one unlisted. A listed one
  that is missing stops the reading unless the caller accepts the loss (``partial``).
- All bytes of an object come from one version of it: each ranged read must have the ETag that was found first.
- Reading only; memory is a few chunks, whatever the size.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from enum import StrEnum
from typing import Any

import msgspec

from swampstore.errors import Conflict, CorruptObject, MissingObject, NotFound, SwampError, UnknownFormat
from swampstore.limits import LIST_PAGE
from swampstore.stores.base import Get, Got, Head, Headed, Info, Outcome, Store
from swampstore.workers.legacy.entries import Bad, EntryReader, LegacyEntry, newer
from swampstore.workers.legacy.limits import (
    CHUNK_BYTES,
    CHUNKS_AT_ONCE,
    INDEX_BYTES,
    INDEX_META_BYTES,
    INDEX_PARTITIONS,
    PARTITION_WHOLE_BYTES,
    PARTITIONS_AT_ONCE,
)
from swampstore.workers.legacy.rules import INDEX_FOLDER, INDEX_NAME, META_NAME, Place


class Flavour(StrEnum):
    """How the entries are kept. ``NONE``: a plain directory, to be listed."""

    V1 = "v1"
    V2 = "v2"
    NONE = "none"


class Index(msgspec.Struct, frozen=True):
    """What was found of an index, before its entries are read.

    ``parts`` are the objects that hold entries; ``missing`` the names of listed partitions that are not there;
    ``unlisted`` how many parts the meta object did not name; ``commit_seq`` is -1 where there is none.
    """

    place: Place
    flavour: Flavour
    parts: tuple[Info, ...] = ()
    missing: tuple[str, ...] = ()
    unlisted: int = 0
    commit_seq: int = -1
    meta_etag: str = ""

    @property
    def size(self) -> int:
        """Bytes of all parts."""
        return sum(part.size for part in self.parts)


class _Meta(msgspec.Struct):
    version: int
    partitions: list[str] = []
    commit_seq: int = msgspec.field(name="commitSeq", default=-1)


_meta_of = msgspec.json.Decoder(_Meta).decode


async def detect(store: Store, place: Place) -> Index:
    """Which index ``place`` has. A handful of requests.

    Raises ``CorruptObject`` (unreadable meta), ``UnknownFormat`` (a later version), ``MissingObject`` (a meta object of
    version 1 without the index it speaks of), and what the store raises.
    """
    meta_name, mono_name = place.base + META_NAME, place.base + INDEX_NAME
    meta_answer, mono_answer = await store.many([Get(meta_name), Head(mono_name)])
    got, mono = _present(meta_answer), _present(mono_answer)
    meta = _decode_meta(got, meta_name) if isinstance(got, Got) else None
    if isinstance(got, Got) and meta and meta.version == 2:
        return await _detect_partitions(store, place, meta, got.etag)
    if isinstance(mono, Headed):
        return Index(place, Flavour.V1, (_bounded(mono.info),))
    if meta:
        raise MissingObject(f"{meta_name} has version 1, but there is no {mono_name}", name=mono_name)
    return Index(place, Flavour.NONE)


async def _detect_partitions(store: Store, place: Place, meta: _Meta, etag: str) -> Index:
    folder = place.base + INDEX_FOLDER
    found: dict[str, Info] = {}
    after = ""
    while True:
        page = await store.list(folder, start_after=after, limit=LIST_PAGE)
        for info in page.items:
            if info.name.endswith(".json") and "/" not in info.name[len(folder) :]:
                found[info.name] = _bounded(info)
        if not page.more:
            break
        after = page.items[-1].name
        if len(found) > INDEX_PARTITIONS:
            raise CorruptObject(f"{folder} holds more than {INDEX_PARTITIONS} partitions", name=folder)
    found.pop(place.base + META_NAME, None)
    listed = {f"{folder}{name}.json" for name in meta.partitions}
    return Index(
        place,
        Flavour.V2,
        parts=tuple(found.values()),
        missing=tuple(sorted(listed - found.keys())),
        unlisted=len(found.keys() - listed),
        commit_seq=meta.commit_seq,
        meta_etag=etag,
    )


async def batches(
    store: Store, index: Index, *, partial: bool = False, bad: Bad | None = None
) -> AsyncIterator[list[LegacyEntry]]:
    """The entries of ``index``, in the order they are stored, some thousands at a time; nothing for ``NONE``.

    ``bad`` is told of single entries that cannot be read (without it the first one raises). A rel can come more than once (in two partitions); :func:`~swampstore.workers.legacy.entries.newer` says which
    counts. Errors may come at any point until the end. Raises ``MissingObject``, ``CorruptObject``, ``UnknownFormat``,
    ``Conflict`` (the index was rewritten meanwhile), and what the store raises.
    """
    if index.missing and not partial:
        raise MissingObject(
            f"the legacy index lists {len(index.missing)} partitions that are not there, first {index.missing[0]}",
            name=index.missing[0],
            hint="restore them, or import what is left with --partial",
        )
    for start in range(0, len(index.parts), PARTITIONS_AT_ONCE):
        group = index.parts[start : start + PARTITIONS_AT_ONCE]
        small = [part for part in group if part.size <= PARTITION_WHOLE_BYTES]
        answers = dict(zip(small, await store.many([Get(part.name) for part in small]), strict=True))
        for part in group:
            reader = EntryReader(part.name, bad)
            if part in answers:
                yield reader.feed(_bytes_of(part, answers.pop(part)))
            else:
                async for chunk in _chunks(store, part):
                    yield reader.feed(chunk)
            reader.finish()


async def entries(store: Store, index: Index, *, partial: bool = False) -> AsyncIterator[LegacyEntry]:
    """Like :func:`batches`, one by one."""
    async for batch in batches(store, index, partial=partial):
        for entry in batch:
            yield entry


async def load(store: Store, index: Index, *, partial: bool = False, bad: Bad | None = None) -> dict[str, LegacyEntry]:
    """Every entry by its rel, in memory (about 0.5 KB each), the newer of two of one rel. Raises as :func:`batches`."""
    found: dict[str, LegacyEntry] = {}
    async for batch in batches(store, index, partial=partial, bad=bad):
        for entry in batch:
            held = found.get(entry.rel)
            found[entry.rel] = entry if held is None else newer(held, entry)
    return found


async def moved(store: Store, index: Index) -> list[str]:
    """The names of index objects that changed, came or went since ``index`` was found; empty if it still holds."""
    current = await detect(store, index.place)
    before = {part.name: part.etag for part in index.parts}
    after = {part.name: part.etag for part in current.parts}
    changed = {name for name in before.keys() | after.keys() if before.get(name) != after.get(name)}
    if (index.meta_etag, index.commit_seq) != (current.meta_etag, current.commit_seq):
        changed.add(index.place.base + META_NAME)
    return sorted(changed)


async def _chunks(store: Store, part: Info) -> AsyncIterator[bytes]:
    spans = [(at, min(CHUNK_BYTES, part.size - at)) for at in range(0, part.size, CHUNK_BYTES)]
    for start in range(0, len(spans), CHUNKS_AT_ONCE):
        some = spans[start : start + CHUNKS_AT_ONCE]
        answers = list(await store.many([Get(part.name, span=span) for span in some]))
        for _, length in some:
            yield _bytes_of(part, answers.pop(0), length=length)  # popped: its bytes go while the others wait


def _bytes_of(part: Info, answer: Outcome, *, length: int | None = None) -> bytes:
    """The contents in ``answer``, which must be of the version of ``part`` that was found."""
    if isinstance(answer, NotFound):
        raise _changed(part) from answer
    if isinstance(answer, SwampError):
        raise answer
    expected = part.size if length is None else length
    if not isinstance(answer, Got) or answer.etag != part.etag or len(answer.body) != expected:
        raise _changed(part)
    return answer.body


def _changed(part: Info) -> Conflict:
    return Conflict(f"{part.name} was rewritten while it was read", hint="run the import again")


def _present(answer: Outcome) -> Any:
    """``answer`` without its error: ``None`` for what is not there; raises any other error."""
    if isinstance(answer, NotFound):
        return None
    if isinstance(answer, SwampError):
        raise answer
    return answer


def _bounded(info: Info) -> Info:
    if info.size > INDEX_BYTES:
        raise CorruptObject(f"{info.name} is {info.size} bytes, more than {INDEX_BYTES}", name=info.name)
    return info


def _decode_meta(got: Got, name: str) -> _Meta:
    hint = "restore it, or rebuild the list of entries from a listing of the store"
    try:
        if got.size > INDEX_META_BYTES:
            raise msgspec.DecodeError(f"{got.size} bytes, more than {INDEX_META_BYTES}")
        meta = _meta_of(got.body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise CorruptObject(f"{name} cannot be read: {error}", name=name, hint=hint) from error
    if meta.version not in (1, 2):
        raise UnknownFormat(f"{name} has version {meta.version}, and this reads 1 and 2", name=name, hint="upgrade")
    if any(not part or "/" in part for part in meta.partitions):
        raise CorruptObject(f"{name} lists a partition that is not a file name", name=name, hint=hint)
    return meta
