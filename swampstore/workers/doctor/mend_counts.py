"""The repair of pack counts: how many records of the manifest name each pack."""

from __future__ import annotations

from collections import Counter

import msgspec

from swampstore.errors import StaleWrite, TryAgain
from swampstore.limits import ROOT_CAS_TRIES
from swampstore.protocols.place import Place
from swampstore.protocols.runs import RunGone
from swampstore.values.entry import content_of
from swampstore.values.root import Garbage, Root, garbage_list
from swampstore.values.run import decode_block
from swampstore.workers.doctor.mending import Ground, Step, Told
from swampstore.workers.run_reader import RunReader


async def true_counts(place: Place, root: Root) -> dict[str, int]:
    """Pack to the number of records of ``root`` that name it. Reads every run. Raises ``RunGone``, ``CorruptObject``."""
    counts: Counter[str] = Counter()
    refs = (*root.level0, *root.shards, *root.eph.runs)
    reader = RunReader(place, refs)
    for record in (*root.inline, *root.eph.inline):
        counts.update(_pack(content_of(record)))
    for ref in refs:
        for info, stored in await reader.next():
            for record in decode_block(info, stored, place.full(ref.name)):
                counts.update(_pack(content_of(record)))
    return dict(counts)


def _pack(content: str | None) -> tuple[str, ...]:
    return (content.removeprefix("pack/"),) if content is not None and content.startswith("pack/") else ()


def corrected(root: Root, counts: dict[str, int], store_ms: int) -> Root:
    """``root`` with true counts: packs that nothing names become garbage, those that something names leave it."""
    named = {f"pack/{part}" for part in counts}
    garbage = [item for item in root.garbage if item.name not in named]
    listed = {item.name for item in garbage}
    garbage += [
        Garbage(f"pack/{part}", root.version + 1, store_ms)
        for part in root.packs
        if part not in counts and f"pack/{part}" not in listed
    ]
    return msgspec.structs.replace(root, packs=counts, garbage_raw=garbage_list(garbage))


async def mend(ground: Ground, told: Told) -> None:
    """Write true counts down, by a CAS on the very root they were counted for."""
    if not ground.deep:
        return
    named = False
    for _ in range(ROOT_CAS_TRIES):
        seen = await ground.register.read()
        if not seen.root.version:
            return
        try:
            counts = await true_counts(ground.place, seen.root)
        except RunGone:
            if (await ground.register.read()).root.version == seen.root.version:
                raise
            continue
        if counts == seen.root.packs:
            return
        if not named:
            wrong = sum(counts.get(part) != count for part, count in seen.root.packs.items())
            wrong += sum(part not in seen.root.packs for part in counts)
            told(Step("pack-counts", ground.place.names.root, f"correct the counts of {wrong:,} packs"))
            named = True
        if ground.dry_run:
            return
        try:
            await ground.register.publish(seen, corrected(seen.root, counts, seen.time))
        except StaleWrite:
            continue
        return
    raise TryAgain("the root moved on during every count of the packs", hint="stop the compactor and try again")
