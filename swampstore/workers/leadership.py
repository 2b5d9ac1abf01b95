"""Who folds: the leader is named in the root, its progress is its heartbeat.

Two compactors at once are harmless (every publish is a CAS); leadership only saves them from doing the work twice.

Invariants:
- A process takes over only when the root names nobody, names itself, or when it has seen the same root version and the
  same unfolded segment for a whole TTL; a one-shot process may take the root's age from a single answer.
- Every take-over raises the epoch; a leader checks its epoch in the root it read before each CAS.
"""

from __future__ import annotations

import msgspec

from swampstore.env.clock import Span
from swampstore.limits import LEADER_TTL_MS, STORE_TIME_GRAIN_MS
from swampstore.protocols.log import Slot
from swampstore.protocols.place import Place
from swampstore.protocols.register import Seen
from swampstore.values.root import Leader, Root


def led(seen: Seen) -> bool:
    """Whether somebody leads and has published within a TTL: whoever only helps leaves the work alone."""
    fresh = seen.time - seen.modified < LEADER_TTL_MS + STORE_TIME_GRAIN_MS
    return seen.root.leader is not None and fresh


class Leadership:
    """One compactor's view of who leads. ``id`` is drawn anew for every compactor."""

    def __init__(self, place: Place) -> None:
        host, pid = place.env.identity()
        self._place = place
        self.id = place.env.random_bytes(8).hex()
        self.who = f"{host}:{pid}"
        self._watched: tuple[int, Slot, Span] | None = None

    def leads(self, root: Root) -> bool:
        return root.leader is not None and root.leader.id == self.id

    def may_lead(self, seen: Seen, oldest: Slot | None, *, one_shot: bool, insist: bool) -> bool:
        """Whether this compactor may publish as leader now, given what it has just read.

        ``oldest`` is some unfolded slot (the same one again means no progress), ``None`` when there is none.
        ``insist`` is an explicit order of the user: take over at once.
        """
        root = seen.root
        if insist or root.leader is None or self.leads(root):
            self._watched = None
            return True
        if oldest is None:
            self._watched = None
            return False
        if one_shot and not led(seen):
            return True
        watched = self._watched
        if watched is None or watched[:2] != (root.version, oldest):
            self._watched = (root.version, oldest, Span(self._place.env, seen.time))
            return False
        watched[2].saw(seen.time)
        return watched[2].seconds() * 1000 >= LEADER_TTL_MS + STORE_TIME_GRAIN_MS

    def may_publish(self, seen: Seen, began: Seen, *, one_shot: bool, insist: bool) -> bool:
        """Whether work that began at ``began`` (a merge, a sweep) may be published on top of ``seen``.

        A one-shot process may step in for a leader whose root has not moved for a TTL, and only while it does not move.
        """
        root = seen.root
        if insist or root.leader is None or self.leads(root):
            return True
        return one_shot and not led(began) and root.version == began.root.version

    def sign(self, old: Root, new: Root, *, stay: bool) -> Root:
        """``new`` with this compactor as leader; with ``stay=False`` as nobody's (it acts once and leaves)."""
        epoch = old.epoch if self.leads(old) else old.epoch + 1
        leader = Leader(self.id, epoch, self.who) if stay else None
        return msgspec.structs.replace(new, leader=leader, epoch=epoch)
