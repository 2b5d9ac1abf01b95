"""All models of the specification, by name."""

from __future__ import annotations

from tests.spec import (
    contents,
    footprints,
    held_lock,
    lane_file,
    local_tickets,
    log,
    merge,
    orphans,
    pins,
    queue,
    rebuild,
    retirement,
    shared_lane,
    streams,
    tombstones,
)
from tests.spec.checker import Case

MODELS: dict[str, tuple[Case, ...]] = {
    "log": log.CASES,
    "retirement": retirement.CASES,
    "lane_file": lane_file.CASES,
    "shared_lane": shared_lane.CASES,
    "footprints": footprints.CASES,
    "streams": streams.CASES,
    "queue": queue.CASES,
    "local_tickets": local_tickets.CASES,
    "held_lock": held_lock.CASES,
    "merge": merge.CASES,
    "tombstones": tombstones.CASES,
    "contents": contents.CASES,
    "orphans": orphans.CASES,
    "pins": pins.CASES,
    "rebuild": rebuild.CASES,
}
