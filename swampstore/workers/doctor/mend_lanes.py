"""The repair of a forgotten watermark: a writer's lane that shows slots behind a gap, of which the root knows nothing.

The missing slots were created (slots are dense) and deleted, which only a root that covered them allows; so that root's
watermark stood at least there. It was lost with that root.
"""

from __future__ import annotations

import msgspec

from swampstore.errors import StaleWrite
from swampstore.limits import ROOT_CAS_TRIES
from swampstore.workers.doctor.lanes import forgotten, gaps
from swampstore.workers.doctor.mending import Ground, Step, Told
from swampstore.workers.doctor.sight import list_log
from swampstore.workers.rebuild import watermarks_of


async def mend(ground: Ground, told: Told) -> None:
    """Write forgotten watermarks down again, all in one CAS."""
    place = ground.place
    first = await list_log(place)
    marks = watermarks_of(first, await list_log(place))
    for attempt in range(ROOT_CAS_TRIES):
        seen = await ground.register.read()
        root = seen.root
        wrong = {
            lane: marks[lane]
            for lane in (gaps(first, root) if root.version else ())
            if forgotten(root, lane) and marks.get(lane, 0) > root.watermark(lane)
        }
        if not wrong:
            return
        if attempt == 0:
            for lane, slot in wrong.items():
                told(
                    Step("watermark", place.names.segment(lane, slot + 1), f"lane {lane} was folded up to slot {slot}")
                )
        if ground.dry_run:
            return
        try:
            await ground.register.publish(seen, msgspec.structs.replace(root, watermarks={**root.watermarks, **wrong}))
        except StaleWrite:
            continue
        return
