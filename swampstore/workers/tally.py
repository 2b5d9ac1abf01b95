"""Counting which contents the manifest names: what a CAS adds and drops changes pack counts and the garbage list.

Invariants: a pack's count is the number of records in that root (level 0 and shards) that name it; a content enters the
garbage list in the CAS that drops its last known record, and leaves it in the CAS that adds one. A content that is
dropped once more enters anew, and its grace begins again: who read the record just dropped may still carry its location.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping

import msgspec

from swampstore.values.entry import Record, content_of
from swampstore.values.root import Garbage, Root, garbage_list


class Tally:
    """Collects records that enter and leave the manifest in one CAS."""

    def __init__(self) -> None:
        self._packs: Counter[str] = Counter()
        self._blobs: Counter[str] = Counter()

    def added(self, records: Iterable[Record]) -> None:
        for record in records:
            self._count(record, 1)

    def dropped(self, records: Iterable[Record]) -> None:
        for record in records:
            self._count(record, -1)

    def _count(self, record: Record, step: int) -> None:
        name = content_of(record)
        if name is not None:
            kind, _, part = name.partition("/")
            (self._packs if kind == "pack" else self._blobs)[part] += step

    def apply(
        self, root: Root, version: int, store_ms: int, runs_out: Iterable[str] = ()
    ) -> tuple[Mapping[str, int], msgspec.Raw]:
        """``(packs, garbage_raw)`` of the root that follows ``root`` as ``version``; ``runs_out`` are replaced runs."""
        packs = dict(root.packs)
        garbage = {item.name: item for item in root.garbage}
        out = list(runs_out)
        for part, step in self._packs.items():
            count = packs.get(part, 0) + step
            if count > 0:
                packs[part] = count
                garbage.pop(f"pack/{part}", None)
            else:
                packs.pop(part, None)
                out.append(f"pack/{part}")
        for part, step in self._blobs.items():
            if step <= 0:
                # Also what came and went in one CAS; if other records name it, the last look of the sweep finds them.
                out.append(f"blob/{part}")
            else:
                garbage.pop(f"blob/{part}", None)
        for name in out:
            garbage[name] = Garbage(name, version, store_ms)
        return packs, garbage_list(garbage.values())
