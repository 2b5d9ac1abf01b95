"""The gallery: what each fault breaks, how it is switched on, and which variant of the specification has the same fault.

with FAULTS["skip the CAS"].on():
    play(plan_of(7))            # sooner or later: Violation
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any

from tests.mutations import faults, faults_of_files

Switch = Callable[[], AbstractContextManager[Any]]


@dataclass(frozen=True)
class Fault:
    """``roles``: a world without one of these cannot meet it. ``model``: the variant of the specification, if any.

    ``segments``: it is one of lanes that are segments, so worlds are played in which no lane is a file. ``crowded``: it
    shows where caches hold a few things only, so those worlds are played.
    """

    name: str
    breaks: str
    on: Switch
    roles: tuple[str, ...] = ()
    model: str = ""
    segments: bool = False
    crowded: bool = False


_WRITERS = ("writer", "pusher", "keeper", "collector")
_LANES = ("counter", "holder", "signaller")

FAULTS: dict[str, Fault] = {
    fault.name: fault
    for fault in (
        Fault("skip the CAS", "the root is replaced whatever it is by now", faults.no_cas),
        Fault(
            "largest-time watermark",
            "late segments count as folded",
            faults.largest_time,
            _WRITERS,
            "log largest watermark",
        ),
        Fault(
            "delete before publish",
            "segments go before the root covers them",
            faults.delete_first,
            (),
            "log delete before publish",
        ),
        Fault(
            "delete without grace",
            "segments go as soon as they are covered",
            faults.no_grace,
            (),
            "log side by side, no grace",
        ),
        Fault("unfold twice", "a slot is folded again by the next fold", faults.unfold_twice),
        Fault("skip slots", "a lane is folded with holes in it", faults.through_gaps),
        Fault(
            "list after root",
            "the log is listed after the root was read",
            faults.root_first,
            (),
            "log root before list",
            segments=True,
        ),
        Fault(
            "412 taken as failure",
            "one's own landed write looks like another's",
            faults.failed_412,
            _LANES,
            segments=True,
        ),
        Fault(
            "undecided taken as done",
            "what may not have landed is acknowledged",
            faults.hopeful,
            _WRITERS,
            segments=True,
        ),
        Fault(
            "cancelled write re-sent with new content",
            "a slot is tried again with other bytes",
            faults.same_slot_again,
            _WRITERS,
            segments=True,
        ),
        Fault(
            "retire by age alone",
            "unfolded writers are retired",
            faults.retire_by_age,
            _WRITERS,
            "retirement floor by age alone",
            segments=True,
        ),
        Fault(
            "drop watermarks by age",
            "a writer is forgotten while its segments are there",
            faults.drop_by_age,
            _WRITERS,
            "retirement drop while listed",
        ),
        Fault(
            "watermark past a torn frame",
            "a frame that is being written counts as folded",
            faults_of_files.past_torn,
            _WRITERS,
            "lane_file watermark past a torn frame",
        ),
        Fault(
            "fold without sync",
            "frames count as folded that are not on the disk",
            faults_of_files.fold_unsynced,
            _WRITERS,
            "lane_file fold without sync",
        ),
        Fault(
            "unlink without the owner's lock",
            "a lane file goes while its owner appends",
            faults_of_files.unlink_unlocked,
            _WRITERS,
            "lane_file size equals watermark",
        ),
        Fault(
            "unlink without grace", "a lane file goes as soon as it is folded", faults_of_files.unlink_early, _WRITERS
        ),
        Fault(
            "tail never read again",
            "what is known of a lane file is taken for all of it",
            faults_of_files.stale_tails,
            _WRITERS,
        ),
        Fault(
            "a deleted slot ends a lane",
            "slots behind those that were folded and deleted are not looked for",
            faults_of_files.gap_as_end,
            ("signaller",),
        ),
        Fault("ignore a write id", "another's slot counts as one's own", faults.any_write_id, _LANES),
        Fault("fence off", "a commit does not look at the slots before it", faults.no_fence, _LANES),
        Fault(
            "stale lane tail not refreshed",
            "a used slot is created again",
            faults.stale_tail,
            _LANES,
            "shared_lane created means committed",
        ),
        Fault(
            "lock without fence",
            "who was passed over commits",
            faults.no_ticket_fence,
            ("holder",),
            "held_lock no mark",
        ),
        Fault(
            "forget the re-check after a ticket",
            "an old register decides",
            faults.no_second_look,
            ("queuer", "holder", "counter"),
            "queue ticket without post-check",
        ),
        Fault(
            "serving number at capacity 2",
            "who ends early makes room twice",
            faults.serving_number,
            ("queuer",),
            "queue serving number",
        ),
        Fault(
            "clock that does not listen", "a new version lies below the one it read", faults.deaf_clock, ("counter",)
        ),
        Fault(
            "merge clears level 0",
            "what folds added meanwhile is lost",
            faults.clear_level0,
            (),
            "merge merge clears level 0",
        ),
        Fault(
            "merge takes by key",
            "what replaced an inline record is lost",
            faults.take_by_key,
            (),
            "merge inline by key alone",
        ),
        Fault(
            "drop tombstones early",
            "an older put comes back",
            faults.early_tombstones,
            _WRITERS,
            "tombstones forgotten by age",
        ),
        Fault("reuse a name", "two objects, one name", faults.few_names),
        Fault("numbering without look-up", "a number is given twice", faults.blind_numbering, ("collector",)),
        Fault(
            "side-home burial without look",
            "what runtime state had hidden comes back",
            faults.blind_burial,
            ("keeper",),
        ),
        Fault("sweep without pins", "what a pinned reader needs goes", faults.no_pins, ("scholar",)),
        Fault("orphan sweep without the log", "contents go that unfolded records name", faults.no_log_look, _WRITERS),
        Fault("garbage without grace", "runs and contents go at once", faults.ripe_at_once),
        Fault(
            "conflict entry dropped", "who lost to a put that had not seen it is gone", faults.no_conflicts, ("pusher",)
        ),
        Fault("pack members not counted", "a pack never becomes garbage", faults.uncounted),
        Fault(
            "pushed out is empty",
            "a run whose index leaves the cache during a read holds nothing",
            faults.pushed_out,
            crowded=True,
        ),
    )
}
