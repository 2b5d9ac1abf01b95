"""Contents: where the bytes of an entry lie, and how they get there and back.

Up to 4 KB they travel in the delta; small ones written together share a pack; large ones are objects of their own,
streamed and never whole in memory. They are uploaded first and named by the delta afterwards, so a crash between the two
leaves an orphan and never a dangling entry.

Invariants: content objects have unique names, are written once and never changed; every read checks size and SHA-256
(where the entry has one); content is never assumed present because its hash is known.
"""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Protocol

import msgspec

from swampstore.env.phases import during
from swampstore.errors import BadName, CorruptObject, MissingObject, NotFound, SwampError
from swampstore.limits import INLINE_CONTENT_BYTES, PACK_TARGET_BYTES, PACKED_CONTENT_BYTES, PART_BYTES
from swampstore.protocols.place import Place
from swampstore.stores.base import Body, Create, Get, Got, Outcome, Overwrite, Put, Stored
from swampstore.stores.names import check_name
from swampstore.values.batches import batches
from swampstore.values.entry import Blob, Entry, External, Inline, Location, Packed

_PARTS_AT_ONCE = 4
"""Parts of one large content that are read side by side, and so held in memory."""


class Uploaded(msgspec.Struct, frozen=True):
    """Contents in the store, ready to be named by a delta. ``boot`` is when the upload began (steady clock, s)."""

    at: Location
    size: int
    sha256: bytes
    boot: float


async def upload(place: Place, bodies: Mapping[str, Body]) -> dict[str, Uploaded]:
    """Bring contents into the store; uploads go side by side. Keys are the caller's own labels."""
    boot = place.clock.steady()
    placed: dict[str, Uploaded] = {}
    small: list[tuple[str, bytes, bytes]] = []
    puts: list[Put] = []
    for label, body in bodies.items():
        if not isinstance(body, bytes):
            placed[label] = await _stream(place, body, boot)
            continue
        digest = hashlib.sha256(body).digest()
        if len(body) <= INLINE_CONTENT_BYTES:
            placed[label] = Uploaded(Inline(body), len(body), digest, boot)
        elif len(body) <= PACKED_CONTENT_BYTES:
            small.append((label, body, digest))
        else:
            puts.append(_alone(place, label, body, digest, boot, placed))
    for pack in batches(small, lambda item: len(item[1]), PACK_TARGET_BYTES):
        if len(pack) == 1:
            puts.append(_alone(place, *pack[0], boot, placed))
        else:
            puts.append(_pack(place, pack, boot, placed))
    with during("upload"):
        answers = await place.store.many(puts)
    for answer in answers:
        if isinstance(answer, SwampError):
            await _take_back(place, puts, answers, answer)
            raise answer
    return placed


async def _take_back(place: Place, puts: Sequence[Put], answers: Sequence[Outcome], cause: SwampError) -> None:
    """Delete what was uploaded beside what failed: nothing names it, and a full disk wants the room at once."""
    there = [put.name for put, answer in zip(puts, answers, strict=True) if isinstance(answer, Stored)]
    try:
        await place.store.delete(there)
    except SwampError as error:
        cause.add_note(f"{len(there)} uploaded contents stay until the sweep: {error}")


def _alone(place: Place, label: str, body: bytes, digest: bytes, boot: float, placed: dict[str, Uploaded]) -> Put:
    part, name = place.new_object("blob")
    placed[label] = Uploaded(Blob(part), len(body), digest, boot)
    return Put(name, body, Create())


def _pack(place: Place, items: Sequence[tuple[str, bytes, bytes]], boot: float, placed: dict[str, Uploaded]) -> Put:
    part, name = place.new_object("pack")
    offset = 0
    for label, body, digest in items:
        placed[label] = Uploaded(Packed(part, offset, len(body)), len(body), digest, boot)
        offset += len(body)
    return Put(name, b"".join(body for _, body, _ in items), Create())


class _Hashed:
    """A source that hashes what is read of it; a retry begins again at the start."""

    def __init__(self, source: Body) -> None:
        assert not isinstance(source, bytes)
        self._source = source
        self.size = source.size
        self.digest = hashlib.sha256()
        self.read = 0

    def chunks(self, chunk_bytes: int):  # type: ignore[no-untyped-def]
        self.digest, self.read = hashlib.sha256(), 0
        for chunk in self._source.chunks(chunk_bytes):
            self.digest.update(chunk)
            self.read += len(chunk)
            yield chunk


async def _stream(place: Place, source: Body, boot: float) -> Uploaded:
    hashed = _Hashed(source)
    part, name = place.new_object("blob")
    # The name is unique to this attempt, so overwriting on a retry is safe; the delta is what commits it.
    with during("upload"):
        await place.store.put(name, hashed, Overwrite())
    return Uploaded(Blob(part), hashed.read, hashed.digest.digest(), boot)


async def read_content(place: Place, entry: Entry) -> bytes:
    """The whole contents of ``entry``, checked. Raises ``MissingObject`` or ``CorruptObject`` naming the object."""
    return b"".join([chunk async for chunk in stream_content(place, entry)])


class Begun(Protocol):
    """A hash that has taken in the first part of some contents."""

    def update(self, data: bytes, /) -> None: ...

    def digest(self) -> bytes: ...


async def stream_content(
    place: Place, entry: Entry, *, start: int = 0, begun: Begun | None = None
) -> AsyncIterator[bytes]:
    """The contents of ``entry`` in pieces of at most 16 MB. The check is made at the end, before the last piece.

    Who has the first ``start`` bytes (a multiple of that size) goes on behind them; ``begun`` has hashed them.
    """
    digest, total = begun or hashlib.sha256(), start
    held = b""
    async for chunk in _pieces(place, entry, start):
        if held:
            yield held
        held = chunk
        digest.update(chunk)
        total += len(chunk)
    meta = entry.meta
    if total != meta.size or (meta.sha256 is not None and digest.digest() != meta.sha256):
        name = _object_name(place, meta.at) or entry.key
        raise CorruptObject(
            f"{name}: the contents of {entry.key!r} are not what was written ({total} of {meta.size} bytes)",
            name=name,
            hint="restore it from a backup of the store, or write the key again",
        )
    yield held


def _object_name(place: Place, at: Location) -> str | None:
    """The object that holds the contents; ``None`` when the entry does. Raises ``MissingObject``, ``CorruptObject``."""
    match at:
        case Blob(part):
            return _ours(place, place.names.unique("blob", part))
        case Packed(part, offset, length):
            if offset < 0 or length < 0:
                raise CorruptObject(f"{part}: {length} bytes at {offset} of a pack", name=part)
            return _ours(place, place.names.unique("pack", part))
        case External(name, ""):
            try:
                return check_name(name)
            except BadName as error:
                raise CorruptObject(f"an entry names contents that cannot be: {error}", name=name) from error
        case External(name, store):
            raise MissingObject(
                f"{name} lies in another store ({store})",
                name=name,
                hint="import it with --copy to have the contents here",
            )
    return None


def _ours(place: Place, name: str) -> str:
    if place.names.parse_unique(name) is None:
        raise CorruptObject(f"an entry names contents that nobody wrote: {name[:200]!r}", name=name)
    return name


def _short(name: str, entry: Entry) -> CorruptObject:
    return CorruptObject(
        f"{name}: the contents of {entry.key!r} are not what was written (of {entry.meta.size} bytes)",
        name=name,
        hint="restore it from a backup of the store, or write the key again",
    )


def _gone(name: str, entry: Entry) -> MissingObject:
    return MissingObject(
        f"{name}, the contents of {entry.key!r}, is gone", name=name, hint="restore it from a backup of the store"
    )


async def _pieces(place: Place, entry: Entry, begin: int) -> AsyncIterator[bytes]:
    at = entry.meta.at
    if isinstance(at, Inline):
        yield at.data
        return
    name = _object_name(place, at)
    assert name is not None
    start, length = (at.offset, at.length) if isinstance(at, Packed) else (0, entry.meta.size)
    if length != entry.meta.size or length < 0:
        raise _short(name, entry)
    offsets = range(begin, length, PART_BYTES) or range(1)  # never a list: a size that lies would make it endless
    for first in range(0, len(offsets), _PARTS_AT_ONCE):
        some = offsets[first : first + _PARTS_AT_ONCE]
        spans = [(start + offset, min(PART_BYTES, length - offset)) if length else None for offset in some]
        gets = [Get(name, span=span) for span in spans]
        with during("content"):
            answers = await place.store.many(gets)
        for span, got in zip(spans, answers, strict=True):
            if isinstance(got, NotFound):
                raise _gone(name, entry) from got
            if isinstance(got, SwampError):
                raise got
            assert isinstance(got, Got)
            if isinstance(at, External | Blob) and got.size != entry.meta.size:
                raise CorruptObject(
                    f"{name}: {got.size} bytes, the entry of {entry.key!r} says {entry.meta.size}", name=name
                )
            if span is not None and len(got.body) != span[1]:
                raise _short(name, entry)
            yield got.body


async def read_many(place: Place, entries: Sequence[Entry]) -> list[bytes | SwampError]:
    """Contents of many small entries side by side, checked; the error of each instead of its bytes, in order."""
    results: dict[int, bytes | SwampError] = {}
    requests: list[Get] = []
    asked: list[int] = []
    for number, entry in enumerate(entries):
        at = entry.meta.at
        if isinstance(at, Inline):
            results[number] = at.data
            continue
        try:
            name = _object_name(place, at)
        except (MissingObject, CorruptObject) as error:
            results[number] = error
            continue
        assert name is not None
        requests.append(Get(name, span=(at.offset, at.length) if isinstance(at, Packed) else None))
        asked.append(number)
    with during("content"):
        answers = await place.store.many(requests)
    for number, request, answer in zip(asked, requests, answers, strict=True):
        if isinstance(answer, Got):
            results[number] = answer.body
        elif isinstance(answer, NotFound):
            results[number] = _gone(request.name, entries[number])
        else:
            assert isinstance(answer, SwampError)
            results[number] = answer
    for number, entry in enumerate(entries):
        body, meta = results[number], entry.meta
        if isinstance(body, bytes):
            wrong = len(body) != meta.size or (meta.sha256 and hashlib.sha256(body).digest() != meta.sha256)
            if wrong:
                name = _object_name(place, meta.at) or entry.key
                results[number] = CorruptObject(
                    f"{name}: the contents of {entry.key!r} are not what was written", name=name
                )
    return [results[number] for number in range(len(entries))]
