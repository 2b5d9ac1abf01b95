"""The conflict rule: how two records of one key become one.

The highest version wins; tombstones are versions too. Records of equal version are equal; if ever they are not, the
greater encoding wins, so that every process picks the same one. Audit records are written once: of two under one key the
lowest version wins, and one beats whatever else stands under such a key. The join is commutative, associative and idempotent:
order, duplicates and zombies cannot corrupt, only loss must be guarded against (design page, "Conflict rule").

A put written by sync names its *base*, the version it was made from. When such a put beats another put that its maker
had not seen (a put newer than its base), the loser is kept as a conflict entry under a key of the library's own, so
that sync can write it beside the path. Conflict entries are records like any other; the winner does not depend on them.
"""

from __future__ import annotations

from collections.abc import Iterable

from swampstore.values.entry import AUDIT, CONFLICT, EPHEMERAL, HAS_BASE, Record, base_of, meta_of
from swampstore.values.version import put_of

_CONFLICT_MARK = "\0conflict\0"


def newer(a: Record, b: Record) -> Record:
    """The one of two records of one key that wins."""
    if (a.flags | b.flags) & AUDIT:
        return _written_first(a, b)
    if a.version != b.version:
        return a if a.version > b.version else b
    return a if (a.value, a.flags, a.expires) >= (b.value, b.flags, b.expires) else b


def _written_first(a: Record, b: Record) -> Record:
    """A total order, like that of versions: this side of the join is commutative, associative and idempotent as well."""
    order = [(not one.flags & AUDIT, one.version, one.value, one.expires, one.flags) for one in (a, b)]
    return a if order[0] <= order[1] else b


def conflict_key(key: str, version: bytes) -> str:
    """The key under which a loser is kept: just behind its own key in key order, hidden from listings."""
    return f"{key}{_CONFLICT_MARK}{put_of(version).hex()}"


def conflict_of(key: str) -> str | None:
    """The path a conflict entry belongs to; ``None`` if ``key`` is no conflict entry's."""
    path, mark, _ = key.partition(_CONFLICT_MARK)
    return path if mark else None


def last_conflict_key(key: str) -> str:
    """A key behind every conflict entry of the path that ``key`` is or belongs to, and before every other path."""
    path = conflict_of(key)
    return f"{key if path is None else path}{_CONFLICT_MARK}~"


def kept_loser(winner: Record, loser: Record) -> Record | None:
    """The conflict entry for a loser that the winner's maker had not seen; ``None`` in the usual case.

    Two records of one put (one of them refined) never conflict: versions are compared without their suffix.
    """
    lost = put_of(loser.version)
    if not winner.flags & HAS_BASE or winner.gone or loser.gone or put_of(winner.version) == lost:
        return None
    if loser.flags & EPHEMERAL:
        return None  # runtime state has no versions: it is overwritten in place
    base = base_of(winner)
    if base is None or lost <= put_of(base):
        return None
    mine, theirs = meta_of(winner), meta_of(loser)
    if mine.sha256 is not None and mine.sha256 == theirs.sha256 and mine.size == theirs.size:
        return None
    key = conflict_key(loser.key, loser.version)
    return Record(key, loser.version, loser.flags | CONFLICT, loser.expires, loser.value)


def join_into(table: dict[str, Record], records: Iterable[Record]) -> list[Record]:
    """Join ``records`` into ``table`` (one record a key) and return the records that were dropped, duplicates too.

    Conserved: the sum over ``table`` before, plus ``records``, plus conflict entries made, equals the sum over
    ``table`` after, plus the dropped. Conflict entries made are in the table; see :func:`join_counted`.
    """
    return join_counted(table, records)[0]


def join_counted(table: dict[str, Record], records: Iterable[Record]) -> tuple[list[Record], list[Record]]:
    """Like :func:`join_into`; returns ``(dropped, conflict entries made)``."""
    dropped: list[Record] = []
    made: list[Record] = []
    for record in records:
        held = table.get(record.key)
        if held is None:
            table[record.key] = record
            continue
        winner = newer(held, record)
        loser = record if winner is held else held
        table[record.key] = winner
        dropped.append(loser)
        if winner.flags & HAS_BASE:
            kept = kept_loser(winner, loser)
            if kept is not None:
                made.append(kept)
    if made:
        lost, _ = join_counted(table, made)
        dropped += lost
    return dropped, made
