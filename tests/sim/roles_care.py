"""What simulated people do who look after a namespace: examine, prune and repack, save and restore, resize and force queues.

They join some worlds on top of those who are there anyway, at any moment and in any weather.
"""

from __future__ import annotations

import random

from swampstore.client.care import doctor
from swampstore.client.saving import delete_saved, open_saved, restore_saved, save
from swampstore.client.tidying import prune
from swampstore.errors import NotFound
from swampstore.protocols.queue import fair_queue
from swampstore.protocols.snapshot import Snapshot
from swampstore.values.entry import Entry
from tests.sim.roles import KEYS
from tests.sim.roles_shared import CAPACITIES, LOCK, QUEUE
from tests.sim.world import Part

PREFIXES = ("b/", "c/")
"""What is restored: plain entries only, for a restored counter would have forgotten increments."""


async def examiner(part: Part) -> None:
    """A deep examination never finds an error: whatever goes on, nothing is damaged."""
    while part.left > 0:
        part.left -= 1
        await part.rest(2)
        report = await part.attempt(doctor(part.ns, deep=part.dice.random() < 0.7, sample=0, guards=False))
        if report is not None and not report.healthy:
            part.fail(f"the doctor finds {report.of('error')}")


async def pruner(part: Part) -> None:
    """Gives back space by force: sweeps, and repacks half-dead packs."""
    while part.left > 0:
        part.left -= 1
        await part.rest(2)
        await part.attempt(prune(part.ns, dry_run=part.dice.random() < 0.2))


async def restorer(part: Part) -> None:
    """Keeps a snapshot for a while, and brings a part of the namespace back to it."""
    while part.left > 0:
        part.left -= 1
        await part.rest()
        await part.attempt(_keep_and_restore(part, f"{part.name.rstrip('+')}-{len(part.name)}-{part.left}"))


async def _keep_and_restore(part: Part, name: str) -> None:
    await save(part.ns, name)
    kept = await _entries(await open_saved(part.ns, name))
    await part.rest(part.dice.choice((0.5, 3)))
    before = await part.ns.snapshot()
    prefix = part.dice.choice(PREFIXES)
    await restore_saved(part.ns, name, dry_run=False, prefix=prefix, full=part.dice.random() < 0.3)
    after = await part.ns.snapshot()
    mine = [key for key in KEYS if key.startswith(prefix)]
    was, now = await before.winners(mine), await after.winners(mine)
    entries = await _entries(after)
    for key in mine:
        untouched = was[key] == now[key]  # whoever wrote since then may have written anything
        if untouched and not _same(kept[key], entries[key]):
            part.fail(f"{key!r} was restored from {name} and is {entries[key]}, not {kept[key]}")
    held = await _entries(await open_saved(part.ns, name))
    if held != kept:
        part.fail(f"the saved snapshot {name} has changed")
    await part.ns.read_entries([entry for entry in held.values() if entry is not None])
    await delete_saved(part.ns, name)


async def _entries(snapshot: Snapshot) -> dict[str, Entry | None]:
    return await snapshot.get_many(KEYS)


def _same(kept: Entry | None, found: Entry | None) -> bool:
    if kept is None or found is None:
        return kept is found
    return (kept.sha256, kept.size) == (found.sha256, found.size)


async def resizer(part: Part) -> None:
    """Changes how many the queue admits; nobody who holds a place loses it."""
    while part.left > 0:
        part.left -= 1
        await part.rest()
        queue = fair_queue(part.ns.place, QUEUE)
        await part.attempt(queue.set_capacity(part.dice.choice(CAPACITIES)))


async def forcer(part: Part) -> None:
    """Ends tickets of others, holding or waiting; who held a lock commits nothing more."""
    while part.left > 0:
        part.left -= 1
        await part.rest()
        await part.attempt(_force(part, part.dice))


async def _force(part: Part, dice: random.Random) -> None:
    queue = fair_queue(part.ns.place, dice.choice((QUEUE, LOCK)))
    unfinished = await queue.unfinished()
    if unfinished:
        try:
            await queue.pass_over(dice.choice(unfinished))
        except NotFound:
            return  # it ended meanwhile
