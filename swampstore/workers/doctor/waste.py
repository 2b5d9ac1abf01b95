"""What nobody needs: orphans, pins of readers that are gone, garbage that waits too long. And packs that are missed.

Counted and sized only; deleting them is the sweep's and prune's. Blobs are not looked at here: only the records say which
of them are used.
"""

from __future__ import annotations

from swampstore.errors import NotFound, SwampError
from swampstore.limits import CONTENT_GRACE_MS, ORPHAN_AGE_MS, STORE_TIME_GRAIN_MS
from swampstore.protocols.pins import live
from swampstore.protocols.register import garbage_since_ms
from swampstore.stores.base import Head, Info
from swampstore.workers.doctor.finding import Finding
from swampstore.workers.doctor.roots import read_saved
from swampstore.workers.doctor.sight import Sight, read_root

_LATE_MS = 2 * CONTENT_GRACE_MS
_AT_ONCE = 64
_NAMED = 20


async def check_waste(sight: Sight) -> list[Finding]:
    """Orphans older than the grace, and garbage older than twice the longest."""
    if not sight.root.version:
        return []
    found: list[Finding] = []
    listed = {ref.name for ref in sight.root.runs} | {item.name for item in sight.root.garbage}
    listed |= {f"pack/{part}" for part in sight.root.packs}
    async for _, root, _ in read_saved(sight):
        if root is not None:
            listed |= {ref.name for ref in root.runs} | {f"pack/{part}" for part in root.packs}
    old: list[Info] = []
    for kind in ("l0", "shard", "eph", "pack"):
        old += [info for name, info in sight.objects[kind].items() if name not in listed and _is_old(sight, info)]
    if old:
        text = f"{len(old):,} objects of {sum(info.size for info in old):,} bytes that nothing names, older than a day"
        hint = "left by a process that crashed; swept once a day by swamp datastore compact --watch"
        found.append(Finding("orphans", "note", old[0].name, text, hint))
    dead = [info for info in sight.objects["pin"].values() if not live(info, sight.time) and _is_old(sight, info)]
    if dead:
        text = f"{len(dead)} pins of readers that are gone"
        found.append(Finding("dead-pins", "note", dead[0].name, text, "they hold nothing; the sweep takes them"))
    late = [item for item in sight.root.garbage if sight.time - garbage_since_ms(item, sight.seen) > _LATE_MS]
    if late:
        held = f"; {len(sight.saved)} saved snapshots may hold them" if sight.saved else ""
        text = f"{len(late):,} objects of garbage have waited for more than two days{held}"
        found.append(Finding("garbage-waits", "note", late[0].name, text, "run: swamp datastore compact"))
    return found


def _is_old(sight: Sight, info: Info) -> bool:
    return sight.time - info.modified > ORPHAN_AGE_MS + 2 * STORE_TIME_GRAIN_MS


async def check_packs(sight: Sight) -> list[Finding]:
    """Packs that entries name, as the root counts them, and that are not there."""
    missing = [part for part in sight.root.packs if f"pack/{part}" not in sight.objects["pack"]]
    gone: list[str] = []
    for start in range(0, len(missing), _AT_ONCE):
        part = missing[start : start + _AT_ONCE]
        answers = await sight.place.store.many([Head(sight.place.full(f"pack/{one}")) for one in part])
        for one, answer in zip(part, answers, strict=True):
            if isinstance(answer, NotFound):
                gone.append(one)
            elif isinstance(answer, SwampError):
                raise answer
    packs = (await read_root(sight.place))[0].root.packs if gone else {}
    hint = "restore it from a backup of the store, or write its keys again: doctor --deep names them"
    found = [
        Finding(
            "content-missing", "error", sight.place.full(f"pack/{one}"), f"gone, {packs[one]:,} entries name it", hint
        )
        for one in gone
        if one in packs
    ]
    if len(found) > _NAMED:
        rest = f"and {len(found) - _NAMED:,} more packs are gone"
        found = [*found[:_NAMED], Finding("content-missing", "error", sight.place.names.folder("pack"), rest, hint)]
    return found
