"""Half-written files of a local store whose process is gone."""

from __future__ import annotations

from swampstore.protocols.place import Place
from swampstore.stores.local import LocalStore
from swampstore.workers.doctor.finding import Finding
from swampstore.workers.doctor.mending import Ground, Step, Told
from swampstore.workers.doctor.sight import Sight


def local_store(place: Place) -> LocalStore | None:
    """The local store at the bottom of the wrappers, if it is one."""
    held: object = place.store
    while held is not None and not isinstance(held, LocalStore):
        held = getattr(held, "inner", None)
    return held


async def check_temp(sight: Sight) -> list[Finding]:
    """Such files, older than a day."""
    store = local_store(sight.place)
    count = store.clean_temp(dry_run=True) if store is not None else 0
    if not count:
        return []
    text = f"{count:,} half-written files of processes that are gone"
    return [Finding("temp-files", "note", "", text, "the next process that writes deletes them", True)]


async def mend(ground: Ground, told: Told) -> None:
    """Delete them."""
    store = local_store(ground.place)
    count = store.clean_temp(dry_run=True) if store is not None else 0
    if store is None or not count:
        return
    told(Step("temp-files", "", f"delete {count:,} half-written files of processes that are gone"))
    if not ground.dry_run:
        store.clean_temp()
