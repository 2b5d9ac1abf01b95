"""Where a mirror has met records, and whether those places are still there: slots, runs, and parts of lane files.

A slot of a lane file is an offset behind a frame (:mod:`swampstore.protocols.slots`). What was compared of such a file is
everything up to one offset, so a mark holds one slot for it; elsewhere it holds every slot.

A *source* is the name of such a place in the state. For a part of a file it is a number within its first frame: that is
there for as long as nothing of the part was folded. An *end* is a number within its last frame: there until all of it is.
"""

from __future__ import annotations

from collections.abc import Iterable

from swampstore.protocols.slots import FileSlot, Slot, etag_of, past
from swampstore.protocols.snapshot import Look
from swampstore.values.names import Names
from swampstore.workers.sync.marks import Mark, Run


def source_of(slot: Slot) -> str:
    """The name of a slot as a place of records."""
    return f"{slot[0]}/{slot.start + 1 if isinstance(slot, FileSlot) else slot[1]}"


def end_of(slot: Slot) -> str:
    """The name of the last that a slot holds."""
    return f"{slot[0]}/{slot[1]}"


class Places:
    """The places that one look shows; ``others`` are names of places beside the log."""

    def __init__(self, look: Look, others: Iterable[str] = ()) -> None:
        self._slots = {slot for slot in look.slots if not isinstance(slot, FileSlot)}
        self._sources = {source_of(slot) for slot in self._slots} | set(others)
        self._ends = {slot.lane: slot.end for slot in look.slots if isinstance(slot, FileSlot)}
        self._root = look.seen.root

    @property
    def marked(self) -> tuple[Slot, ...]:
        """The slots as a mark holds them."""
        return tuple(sorted([*self._slots, *self._ends.items()]))

    def holds(self, slot: Slot) -> bool:
        """Whether a slot of a mark is still unfolded and listed."""
        return slot in self._slots or self._root.watermark(slot[0]) < slot[1] <= self._ends.get(slot[0], 0)

    def __contains__(self, source: object) -> bool:
        if source in self._sources:
            return True
        lane, slash, number = str(source).rpartition("/")
        return bool(slash) and lane in self._ends and number.isdigit() and self.holds((lane, int(number)))


def unseen(look: Look, mark: Mark | None) -> list[Slot]:
    """What ``look`` shows of the log and ``mark`` has not compared."""
    if mark is None:
        return list(look.slots)
    seen, ends = set(mark.slots), dict(mark.slots)
    new: list[Slot] = []
    for slot in look.slots:
        if isinstance(slot, FileSlot):
            rest = past(slot, ends.get(slot.lane, 0))
            new += [rest] if rest else []
        elif slot not in seen:
            new.append(slot)
    return new


def up_to_date(mark: Mark, look: Look) -> bool:
    """Whether there is nothing that ``mark`` has not compared."""
    root = look.seen.root
    return (mark.root_version, mark.nonce) == (root.version, root.nonce) and not unseen(look, mark)


def marked(look: Look, runs: tuple[Run, ...]) -> Mark:
    """That all of ``look``, and ``runs``, was compared.

    Its life is what tells this namespace from one that is made anew under the same name: the root's, and where there is
    none yet one of the segments that lie at the begin of a lane.
    """
    root = look.seen.root
    life = root.born if root.version else min(_firsts(look), default=b"")
    return Mark(root.version, root.nonce, Places(look).marked, runs, life)


def _firsts(look: Look) -> set[bytes]:
    return {f"{slot[0]} {etag_of(slot)}".encode() for slot in look.slots if slot[1] == 1 and etag_of(slot)}


def foreign(mark: Mark, look: Look) -> bool:
    """Whether the namespace cannot be the one that was marked. (Of an older mark, or root, the life may be unknown.)"""
    root = look.seen.root
    ahead = root.version - mark.root_version
    ancestors = (root.nonce, *root.nonces)
    if root.version == 0:
        another = bool(mark.life) and mark.life not in _firsts(look)
        return ahead < 0 or another or not all(map(Places(look).holds, mark.slots))
    if mark.root_version and mark.life and root.born and mark.life != root.born:
        return True
    return ahead < 0 or (mark.root_version > 0 and ahead < len(ancestors) and ancestors[ahead] != mark.nonce)


def lost(mark: Mark, look: Look, names: Names) -> bool:
    """Whether a slot that was compared counts no more: the store went back (a backup), or the slot was set aside.

    What is missing then was not deleted by anybody, so nothing may be deleted for it here.
    """
    root, listed = look.seen.root, Places(look)
    aside = {names.parse_segment(item.name) for item in root.quarantine}
    for slot in mark.slots:
        if slot in aside:
            return True
        if not listed.holds(slot) and slot[1] > root.watermark(slot[0]) and not root.retired(slot[0]):
            return True
    return False
