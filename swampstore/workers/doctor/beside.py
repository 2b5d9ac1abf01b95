"""What lies beside the namespaces of a store, holds nothing, and was left by processes that were killed.

    temp-files    half-written files of a local store (its own rule says whose and how old)
    proof-left    objects of proofs and guards, which take seconds, older than a day

Invariant: it is the store's and of no namespace, so it is found whether or not there is one.
"""

from __future__ import annotations

from collections.abc import AsyncIterator

from swampstore.limits import LIST_PAGE, ORPHAN_AGE_MS, STORE_TIME_GRAIN_MS
from swampstore.stores.base import Store
from swampstore.stores.local import LocalStore
from swampstore.stores.probe import SCRATCH
from swampstore.workers.doctor.finding import Finding
from swampstore.workers.doctor.mending import Ground, Step, Told
from swampstore.workers.doctor.sight import Sight


def local_store(store: Store) -> LocalStore | None:
    """The local store at the bottom of the wrappers, if it is one."""
    held: object = store
    while held is not None and not isinstance(held, LocalStore):
        held = getattr(held, "inner", None)
    return held


async def check_beside(sight: Sight) -> list[Finding]:
    """What a namespace's examination says of it."""
    return await find_beside(sight.place.store)


async def find_beside(store: Store) -> list[Finding]:
    """Half-written files older than a day, and what is left of proofs."""
    found: list[Finding] = []
    local = local_store(store)
    if local is not None and (count := local.clean_temp(dry_run=True)):
        text = f"{count:,} half-written files of processes that are gone"
        found.append(Finding("temp-files", "note", "", text, "the next process that writes deletes them", True))
    if left := [name async for names in _proofs(store) for name in names]:
        text = f"{len(left):,} objects that were to prove the store, older than a day"
        found.append(Finding("proof-left", "note", left[0], text, "left by a process that was killed", True))
    return found


async def mend(ground: Ground, told: Told) -> None:
    """What a namespace's repair does about it."""
    await mend_beside(ground.place.store, told, dry_run=ground.dry_run)


async def mend_beside(store: Store, told: Told, *, dry_run: bool) -> None:
    """Delete both."""
    local = local_store(store)
    if local is not None and (count := local.clean_temp(dry_run=True)):
        told(Step("temp-files", "", f"delete {count:,} half-written files of processes that are gone"))
        if not dry_run:
            local.clean_temp()
    pages = [names async for names in _proofs(store)]
    if pages:
        told(Step("proof-left", pages[0][0], f"delete {sum(map(len, pages)):,} objects that were to prove the store"))
    for names in pages if not dry_run else ():
        await store.delete(names)


async def _proofs(store: Store) -> AsyncIterator[list[str]]:
    """Names of such objects, a page at a time."""
    after, more = "", True
    while more:
        page = await store.list(f"{SCRATCH}/", start_after=after, limit=LIST_PAGE)
        oldest = page.time - ORPHAN_AGE_MS - 2 * STORE_TIME_GRAIN_MS
        if names := [info.name for info in page.items if info.modified < oldest]:
            yield names
        more = page.more
        after = page.items[-1].name if page.items else after
