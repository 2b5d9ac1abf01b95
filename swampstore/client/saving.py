"""Saved snapshots for the clients: save, list, look into, restore, delete."""

from __future__ import annotations

from collections.abc import AsyncIterator

from swampstore.client.core import CoreNamespace
from swampstore.errors import NotFound
from swampstore.protocols import saved
from swampstore.protocols.contents import stream_content
from swampstore.protocols.saved import Saved, SavedSnapshot
from swampstore.protocols.snapshot import Snapshot
from swampstore.values.keys import check_key
from swampstore.workers.ground import fold_log
from swampstore.workers.restore import RestoreReport, restore


async def save(core: CoreNamespace, name: str) -> Saved:
    """Fold the log, then keep the root under ``name``. See :func:`swampstore.protocols.saved.save_root`."""
    core.owner.check()
    await core.prove()
    return await saved.save_root(core.place, core.register, core.reader, name, lambda: fold_log(core))


async def list_saved(core: CoreNamespace) -> list[Saved]:
    core.owner.check()
    return await saved.list_saved(core.place)


async def open_saved(core: CoreNamespace, name: str) -> SavedSnapshot:
    core.owner.check()
    return await saved.open_saved(core.place, name)


async def chunks_in(snapshot: Snapshot, key: str) -> AsyncIterator[bytes]:
    """The contents that ``key`` has in ``snapshot``, checked. Raises ``NotFound``."""
    entry = await snapshot.get(check_key(key))
    if entry is None:
        raise NotFound(f"no entry {key!r} in this snapshot", hint="list keys with: swamp object list")
    async for chunk in stream_content(snapshot.place, entry):
        yield chunk


async def delete_saved(core: CoreNamespace, name: str) -> Saved:
    core.owner.check()
    return await saved.delete_saved(core.place, name)


async def restore_saved(core: CoreNamespace, name: str, *, dry_run: bool, prefix: str, full: bool) -> RestoreReport:
    core.owner.check()
    return await restore(core, name, dry_run=dry_run, prefix=prefix, full=full)
