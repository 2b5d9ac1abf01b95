"""Whether a target of an export lies somewhere inside a store of this library: there an export never goes either.

What it writes below a store's folder is a namespace to everybody else, and one that cannot be read; below a namespace it
lies among objects. Looked for from the folder of the target up to the top, links followed, before anything is made.

Invariants: nothing is written; where nothing may be read, nothing is known, and the target is taken. A store is known by a
namespace in it, a namespace by its root, a segment or a shard (see :mod:`.export_target`); of a bucket's folders, the first
``FOLDERS`` of each level are looked at.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import msgspec

from swampstore.env.base import Env
from swampstore.errors import BadName, Conflict, NotFound, StoreForbidden, SwampError
from swampstore.stores.base import Get, Got, List, Outcome, Page, Store
from swampstore.stores.retry import Retrying
from swampstore.stores.s3_options import S3Options
from swampstore.stores.urls import LocalPlace, Place
from swampstore.values.frame import MAGIC
from swampstore.values.keys import check_namespace
from swampstore.values.lane_file import MAGIC as LANE_MAGIC
from swampstore.values.names import Names
from swampstore.workers.legacy.export_target import OUTSIDE_HINT
from swampstore.workers.legacy.listing import folders

FOLDERS = 1_000
_AT_ONCE = 64
"""Folders that are asked about side by side, three requests each."""
_ANY = Names("any")
_ROOT, _LOG, _SHARD = (name.removeprefix(_ANY.prefix) for name in (_ANY.root, _ANY.log, _ANY.folder("shard")))


async def refuse_inside(place: Place, named: str, env: Env, *, timeout: float) -> None:
    """Raise ``Conflict`` for a target at ``place`` (in its folder ``named``, if given) that lies inside a store."""
    if isinstance(place, LocalPlace):
        _refuse_folder(Path(os.path.realpath(Path(place.path) / named)))
    elif isinstance(place, S3Options) and (place.prefix or named):
        from swampstore.stores.s3_choice import S3Store

        bucket = S3Store(msgspec.structs.replace(place, prefix="").bounded(timeout / 2), asynchronous=False)
        store = Retrying(bucket, env, deadline_s=timeout)
        try:
            await refuse_prefix(store, "/".join(part for part in (place.prefix, named) if part))
        finally:
            await store.close()


def _refuse_folder(target: Path) -> None:
    for folder in target.parents:
        if _is_namespace(folder):
            raise _in_a_namespace(str(target), str(folder))
        for top in _folders_of(folder):
            if _is_namespace(folder / top):
                raise _in_a_store(str(target), str(folder), top)


def _folders_of(folder: Path) -> list[str]:
    """Those that could be namespaces; a link is none."""
    try:
        with os.scandir(folder) as items:
            return sorted(item.name for item in items if item.is_dir(follow_symlinks=False) and _could_be(item.name))
    except OSError:  # it is made by and by, or is not to be read
        return []


def _is_namespace(folder: Path) -> bool:
    if _begins(folder / _ROOT) == MAGIC:
        return True
    shard, segment = _first_of(folder, _SHARD), _first_of(folder, _LOG)
    return shard is not None or (segment is not None and _begins(segment) in (MAGIC, LANE_MAGIC))


def _first_of(folder: Path, under: str) -> Path | None:
    """The first file below ``under``, if it is called like one of ours."""
    for at, below, names in os.walk(folder / under):  # says nothing of what cannot be read
        below.sort()
        if names:
            first = Path(at, min(names))
            return first if _ANY.is_ours(_ANY.prefix + first.relative_to(folder).as_posix()) else None
    return None


def _begins(path: Path) -> bytes:
    """How a regular file begins; nothing for anything else."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return b""
    try:
        return os.read(fd, len(MAGIC)) if stat.S_ISREG(os.fstat(fd).st_mode) else b""
    finally:
        os.close(fd)


def _could_be(name: str) -> bool:
    try:
        return bool(check_namespace(name))
    except BadName:
        return False


def _in_a_namespace(target: str, shown: str) -> Conflict:
    return Conflict(f"the target {target} lies in a namespace of a store, {shown}", hint=OUTSIDE_HINT)


def _in_a_store(target: str, shown: str, name: str) -> Conflict:
    return Conflict(f"the target {target} lies in the store {shown}: {name!r} there is a namespace", hint=OUTSIDE_HINT)


# --- in a bucket -----------------------------------------------------------------------------------------------------


async def refuse_prefix(store: Store, target: str) -> None:
    """The same for the prefix ``target`` (no slash at its end) of a bucket."""
    parts = target.split("/")
    for depth in reversed(range(len(parts))):
        under = "".join(f"{part}/" for part in parts[:depth])
        with suppress(StoreForbidden):
            url = store.url.partition("?")[0].rstrip("/")
            await _refuse_at(store, under, f"{url}/{target}", f"{url}/{under}".rstrip("/"))


async def _refuse_at(store: Store, under: str, target: str, shown: str) -> None:
    """Refuse a target below ``under`` if that is a namespace or a store."""
    if under and await _namespaces(store, [under]):
        raise _in_a_namespace(target, shown)
    names: list[str] = []
    async for top in folders(store, under):
        if _could_be(top):
            names.append(top)
        if len(names) == FOLDERS:
            break
    for start in range(0, len(names), _AT_ONCE):
        for found in await _namespaces(store, [f"{under}{top}/" for top in names[start : start + _AT_ONCE]]):
            raise _in_a_store(target, shown, found.removeprefix(under).rstrip("/"))


async def _namespaces(store: Store, places: Sequence[str]) -> list[str]:
    """Those of ``places`` (with a slash at the end) that are namespaces of this library."""
    requests = [
        request
        for at in places
        for request in (Get(at + _ROOT, span=(0, len(MAGIC))), List(at + _LOG, limit=1), List(at + _SHARD, limit=1))
    ]
    answers = iter(await store.many(requests))
    return [at for at in places if await _is_one(store, at, next(answers), next(answers), next(answers))]


async def _is_one(store: Store, at: str, root: Outcome, log: Outcome, shard: Outcome) -> bool:
    if _body(root) == MAGIC or _first_of_ours(at, shard):
        return True
    first = _first_of_ours(at, log)
    if not first:
        return False
    (segment,) = await store.many([Get(first, span=(0, len(MAGIC)))])
    return _body(segment) in (MAGIC, LANE_MAGIC)


def _body(answer: Outcome) -> bytes:
    found = _known(answer)
    return found.body if isinstance(found, Got) else b""


def _first_of_ours(at: str, answer: Outcome) -> str:
    page = _known(answer)
    name = page.items[0].name if isinstance(page, Page) and page.items else ""
    return name if name and _ANY.is_ours(_ANY.prefix + name.removeprefix(at)) else ""


def _known(answer: Outcome) -> Outcome:
    """``answer``. Raises what says nothing of the place."""
    if isinstance(answer, SwampError) and not isinstance(answer, NotFound | StoreForbidden | BadName):
        raise answer
    return answer
