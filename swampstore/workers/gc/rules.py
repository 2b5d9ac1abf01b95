"""Which versions of one item retention gives up: a pure function of its versions and the time.

Invariants:
- The newest live version stays, whatever the rule. What has expired is not live, and not counted.
- The newest version says what its item keeps. A version that waits for its number is newer than all that have one.
- A version that waits for its number is never given up: the fold is about to write it under its number.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from swampstore.values.summary import Fact


class Version(msgspec.Struct, frozen=True, gc=False):
    """One live version of an item. ``at`` is the caller's own note of where it has it."""

    fact: Fact
    at: int = 0


def given_up(numbered: Sequence[Version], pending: Sequence[Fact], now_ms: int) -> list[Version]:
    """Those of ``numbered`` that the item does not keep at ``now_ms``. ``pending`` are live too, in rising order."""
    ordered = sorted(numbered, key=_ordinal, reverse=True)
    newest = pending[-1] if pending else ordered[0].fact if ordered else None
    if newest is None:
        return []
    mine = ordered if pending else ordered[1:]
    if newest.keep:
        return mine[max(newest.keep - len(pending) - (not pending), 0) :]
    if newest.keep_ms is None:
        return []
    return [version for version in mine if version.fact.created + newest.keep_ms <= now_ms]


def _ordinal(version: Version) -> int:
    return version.fact.ordinal
