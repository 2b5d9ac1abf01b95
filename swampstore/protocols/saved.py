"""Saved snapshots: a root kept under a name, so that what it names stays readable until the snapshot is deleted.

``<ns>/saved/<name>`` is the root's own bytes, written once. The log is folded into that root first, so that it holds
every write acknowledged before the call.

Invariants:
- A root is saved under a pin: it is pinned, then found not to be passed by the sweep, then written, and only then is the
  pin given up. At no instant does a sweep see neither.
- A saved snapshot is never changed. The same name is never written twice while it exists.
- What it names and is gone all the same (deleted by hand, damaged) is ``MissingObject`` or ``CorruptObject``, never an
  empty answer.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence

import msgspec

from swampstore.errors import (
    AlreadyExists,
    BadName,
    MissingObject,
    NotFound,
    SnapshotExpired,
    SwampError,
    TryAgain,
    UnknownFormat,
)
from swampstore.limits import LIST_PAGES, READ_RESTARTS
from swampstore.protocols.pins import Hold, passed
from swampstore.protocols.place import Place
from swampstore.protocols.register import Register, Seen
from swampstore.protocols.snapshot import Snapshot, SnapshotReader
from swampstore.stores.base import Create, Get, Got, Info
from swampstore.values.block import Block
from swampstore.values.entry import Record
from swampstore.values.keys import check_namespace
from swampstore.values.root import Root, decode_root, encode_root

_AT_ONCE = 16
_LIST_HINT = "see: swamp datastore snapshot list"


class Saved(msgspec.Struct, frozen=True):
    """One saved snapshot. ``time`` is when it was saved (store's time, ms), ``records`` counts what its manifest holds.

    ``problem`` says why it cannot be read; it is empty for a good one.
    """

    name: str
    time: int
    root_version: int = 0
    records: int = 0
    manifest_bytes: int = 0
    problem: str = ""


class SavedSnapshot(Snapshot):
    """A :class:`Snapshot` of a saved root; see the module for its errors."""

    def __init__(self, place: Place, seen: Seen, name: str) -> None:
        super().__init__(place, seen, (), {record.key: record for record in seen.root.inline}, ())
        self.name = name

    async def _in_runs(self, keys: Sequence[str]) -> dict[str, list[Record]]:
        try:
            return await super()._in_runs(keys)
        except SnapshotExpired as error:
            raise self._broken(error) from error

    async def _rows(self, prefix: str, start_after: str) -> AsyncIterator[Block]:
        try:
            async for rows in super()._rows(prefix, start_after):
                yield rows
        except SnapshotExpired as error:
            raise self._broken(error) from error

    def _broken(self, error: SnapshotExpired) -> MissingObject:
        return MissingObject(
            f"saved snapshot {self.name!r} has lost a part: {error.__cause__ or error}",
            name=self._place.names.saved(self.name),
            hint="it was deleted meanwhile, or objects were removed from the store by hand: use another snapshot",
        )


def check_saved(name: str) -> str:
    """``name`` itself if a snapshot may be called so (the rules are those of namespaces). Raises ``BadName``."""
    try:
        return check_namespace(name)
    except BadName as error:
        raise BadName(f"bad snapshot name {str(name)[:100]!r}", hint=error.hint.replace("namespace", "name")) from None


async def save_root(
    place: Place, register: Register, reader: SnapshotReader, name: str, fold: Callable[[], Awaitable[object]]
) -> Saved:
    """Save what the namespace holds now as ``name``; ``fold`` folds the log once.

    Raises ``BadName``, ``AlreadyExists``, ``NotFound`` for a namespace without anything, ``TryAgain`` when others fold
    or sweep against it all the time. Costs 6 requests when nothing is to be folded.
    """
    target = place.names.saved(check_saved(name))
    seen = await _folded(place, reader, register, fold)
    for _ in range(READ_RESTARTS):
        hold = Hold(place, seen.root.version)
        await hold.take()
        try:
            again = await register.read()
            if passed(again.root, seen.root):
                seen = again
                continue
            time = await _write(place, seen, target, name)
            if hold.held_until(time):
                return _describe(name, time, seen.root)
            again = await register.read()
            if not passed(again.root, seen.root):
                return _describe(name, time, seen.root)
            # It came so late that the pin had run out, and the sweep has passed: what it names may be gone.
            await place.store.delete([target])
            seen = again
        finally:
            await hold.release()
    raise TryAgain(f"the sweep passed {READ_RESTARTS} roots in a row", hint="try again")


async def _folded(
    place: Place, reader: SnapshotReader, register: Register, fold: Callable[[], Awaitable[object]]
) -> Seen:
    """A root that covers what the log holds now."""
    look = await reader.look()
    seen = look.seen
    wanted: dict[str, int] = {}
    for lane, slot in look.slots:
        wanted[lane] = max(slot, wanted.get(lane, 0))
    for _ in range(READ_RESTARTS):
        if all(seen.root.watermark(lane) >= slot or seen.root.retired(lane) for lane, slot in wanted.items()):
            break
        await fold()
        seen = await register.read()
    else:
        raise TryAgain(f"{place.names.namespace}: the log is not folded yet", hint="try again")
    if not seen.root.version:
        raise NotFound(f"namespace {place.names.namespace!r} holds nothing to save")
    return seen


async def _write(place: Place, seen: Seen, target: str, name: str) -> int:
    """The store's time of the write."""
    try:
        return (await place.store.put(target, encode_root(seen.root), Create())).time
    except AlreadyExists as error:
        raise AlreadyExists(
            f"there is a snapshot {name!r} already", hint="choose another name, or delete it first"
        ) from error


def _describe(name: str, time: int, root: Root) -> Saved:
    size = sum(run.size for run in (*root.shards, *root.level0))
    return Saved(name, time, root.version, root.entries, size)


async def list_saved(place: Place) -> list[Saved]:
    """The saved snapshots by name; what cannot be read is listed with its problem. One list, one read of each."""
    infos = await _infos(place)
    found: list[Saved] = []
    for start in range(0, len(infos), _AT_ONCE):
        group = infos[start : start + _AT_ONCE]
        answers = await place.store.many([Get(info.name) for info in group])
        for info, answer in zip(group, answers, strict=True):
            name = info.name.removeprefix(place.names.saved(""))
            if isinstance(answer, Got):
                found.append(_read(name, info, answer))
            elif not isinstance(answer, NotFound):
                assert isinstance(answer, SwampError)
                raise answer
    return found


def _read(name: str, info: Info, got: Got) -> Saved:
    try:
        return _describe(name, info.modified, decode_root(got.body, info.name))
    except SwampError as error:
        return Saved(name, info.modified, problem=str(error))


async def _infos(place: Place) -> list[Info]:
    found: list[Info] = []
    for _ in range(LIST_PAGES):
        page = await place.store.list(place.names.saved(""), start_after=found[-1].name if found else "")
        found += page.items
        if not page.more:
            break
    return found


async def load_saved(place: Place, name: str) -> Seen:
    """The saved root ``name``. Raises ``BadName``, ``NotFound``, ``CorruptObject``, ``UnknownFormat``."""
    target = place.names.saved(check_saved(name))
    try:
        got = await place.store.get(target)
    except NotFound as error:
        raise NotFound(f"no snapshot {name!r} in namespace {place.names.namespace!r}", hint=_LIST_HINT) from error
    assert isinstance(got, Got)
    try:
        root = decode_root(got.body, target)
    except UnknownFormat:
        raise
    except SwampError as error:
        error.hint = error.hint or "the saved snapshot is damaged: use another one"
        raise
    place.clock.calibrate(got.time)
    return Seen(root, got.etag, got.modified, got.time)


async def open_saved(place: Place, name: str) -> SavedSnapshot:
    """What the namespace held when ``name`` was saved; what has expired since stays invisible."""
    return SavedSnapshot(place, await load_saved(place, name), name)


async def find_saved(place: Place, name: str) -> Saved:
    """Whether snapshot ``name`` is there, and since when; a damaged one too. Raises ``BadName``, ``NotFound``."""
    target = place.names.saved(check_saved(name))
    try:
        return Saved(name, (await place.store.head(target)).info.modified)
    except NotFound as error:
        raise NotFound(f"no snapshot {name!r} in namespace {place.names.namespace!r}", hint=_LIST_HINT) from error


async def delete_saved(place: Place, name: str) -> Saved:
    """Delete a saved snapshot, a damaged one too; the sweep may then collect what only it named. Raises ``NotFound``."""
    found = await find_saved(place, name)
    await place.store.delete([place.names.saved(name)])
    return found
