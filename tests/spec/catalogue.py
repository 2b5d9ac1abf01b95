"""All models of the specification, by name."""

from __future__ import annotations

from tests.spec import footprints, held_lock, lane_file, local_tickets, log, merge, pins, queue, shared_lane
from tests.spec.checker import Case

MODELS: dict[str, tuple[Case, ...]] = {
    "log": log.CASES,
    "footprints": footprints.CASES,
    "shared_lane": shared_lane.CASES,
    "queue": queue.CASES,
    "held_lock": held_lock.CASES,
    "local_tickets": local_tickets.CASES,
    "lane_file": lane_file.CASES,
    "merge": merge.CASES,
    "pins": pins.CASES,
}
