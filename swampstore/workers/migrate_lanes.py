"""The ground of a migration: whose copy the destination is, and the positions of its stream lanes.

A stream's positions are slots of its lane, and a tail that somebody holds must go on meaning the same. So a destination
begins where the source's lanes are: its first root says so; later runs fill the slots in between with empty segments.

Invariants:
- The first root of a destination names the source, in the same create that makes the namespace: of two migrations into
  one place one wins.
- A slot is only ever filled by creating it: where another process has used it, the migration stops (``Conflict``).
- Lanes are moved before any record of their streams is brought over.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from swampstore.errors import AlreadyExists, Conflict, StaleWrite, SwampError
from swampstore.protocols.snapshot import Snapshot
from swampstore.stores.base import Create, Get, Got, Put
from swampstore.values.names import COMMIT_LANE, lane_writer
from swampstore.values.root import NO_ROOT
from swampstore.values.segment import SegmentHeader, encode_segment
from swampstore.workers.ground import Ground

SETTING = "migrated"
"""The name in the root's settings: ``{source, namespace}``."""
_FILLERS = 100_000
_AT_ONCE = 64
_FILLER_ID = b"\0filler\0"


def source_of(source: Ground) -> dict[str, str]:
    """How a destination names its source."""
    return {"source": source.place.store.url, "namespace": source.name}


async def may_claim(source: Ground, target: Ground, *, force: bool) -> Snapshot:
    """What ``target`` holds. Raises ``Conflict`` when that is neither nothing nor a copy of ``source``, unless ``force``."""
    there = await target.reader.open()
    mark = there.root.settings.get(SETTING)
    if (there.root.version or there.slots) and mark != source_of(source) and not force:
        raise _taken(target, mark)
    return there


async def claim(source: Ground, target: Ground, snapshot: Snapshot, *, force: bool) -> bool:
    """Make ``target`` the copy of ``source``, or find that it is (or holds something, with ``force``); whether it was.

    Raises ``Conflict`` for a namespace that holds something else, unless ``force``.
    """
    there = await may_claim(source, target, force=force)
    if there.root.version or there.slots:
        await _fill(target, snapshot, there)
        return True
    settings = {name: value for name, value in snapshot.root.settings.items() if name != SETTING}
    first = msgspec.structs.replace(
        NO_ROOT,
        hlc=snapshot.root.hlc,
        watermarks={lane: slot for lane, slot in _lanes(snapshot).items() if slot},
        shared_lanes=snapshot.root.shared_lanes,
        settings=settings | {SETTING: source_of(source)},
    )
    try:
        await target.register.publish(await target.register.read(), first)
    except (AlreadyExists, StaleWrite) as error:
        raise _taken(target, None) from error
    return False


def _taken(target: Ground, other: object) -> Conflict:
    what = f"is a copy of {other['namespace']!r} in {other['source']}" if _is_mark(other) else "holds something already"  # type: ignore[index]
    return Conflict(
        f"namespace {target.name!r} in {target.place.store.url} {what}",
        hint="delete it first (swamp datastore namespace delete), choose another name with --as, or join both with --force",
    )


def _is_mark(value: object) -> bool:
    return isinstance(value, dict) and isinstance(value.get("namespace"), str) and isinstance(value.get("source"), str)


def _lanes(snapshot: Snapshot) -> dict[str, int]:
    """The stream lanes and their last slots."""
    lanes = {lane for lane in snapshot.root.watermarks if lane_writer(lane) is None}
    lanes |= {lane for lane, _ in snapshot.slots if lane_writer(lane) is None}
    return {lane: snapshot.tail(lane) for lane in sorted(lanes - {COMMIT_LANE})}


async def _fill(target: Ground, snapshot: Snapshot, there: Snapshot) -> None:
    """Bring the stream lanes of ``target`` up to those of ``snapshot``."""
    for lane, last in _lanes(snapshot).items():
        first = there.tail(lane) + 1
        if last - first >= _FILLERS:
            raise Conflict(
                f"lane {lane} has moved on by {last - first + 1} slots since the last migration",
                hint="delete the destination and migrate again from the start",
            )
        for start in range(first, last + 1, _AT_ONCE):
            await _fill_some(target, lane, range(start, min(start + _AT_ONCE, last + 1)))


async def _fill_some(target: Ground, lane: str, slots: Sequence[int]) -> None:
    names = [target.place.names.segment(lane, slot) for slot in slots]
    bodies = [_filler(lane, slot) for slot in slots]
    puts = [Put(name, body, Create()) for name, body in zip(names, bodies, strict=True)]
    for name, body, answer in zip(names, bodies, await target.place.store.many(puts), strict=True):
        if isinstance(answer, AlreadyExists):
            (held,) = await target.place.store.many([Get(name)])
            if isinstance(held, Got) and held.body == body:
                continue
            raise Conflict(
                f"{name}: streams of the destination were written by others since the last migration",
                hint="delete the destination and migrate again from the start",
            ) from answer
        if isinstance(answer, SwampError):
            raise answer


def _filler(lane: str, slot: int) -> bytes:
    """A segment without records, the same bytes whoever makes it."""
    return encode_segment(SegmentHeader(lane=lane, slot=slot, write_id=_FILLER_ID, time=0), 0, b"")
