"""What a gc did, or would do: for people, for ``--json``, and for the preview of automatic retention."""

from __future__ import annotations

import msgspec

from swampstore.values.data import Datum
from swampstore.values.entry import Blob, External, Inline, Location, Packed

SHOWN = 1000
"""So many removals are kept one by one; all are counted."""


class Removed(msgspec.Struct, frozen=True):
    """One thing that goes. ``reason`` is ``expired``, ``superseded``, ``run-gone`` or ``old-run``.

    The fields of a version of data are empty for a plain entry; ``bytes`` are of contents.
    """

    key: str
    reason: str
    bytes: int
    model_type: str = ""
    model_id: str = ""
    name: str = ""
    ordinal: int = 0


class GcReport(msgspec.Struct):
    """``expired``, ``superseded``, ``run_gone`` and ``old_runs`` count versions and plain entries by reason.

    ``entries`` counts index entries removed: a version has several. ``bytes`` is what the contents of all that take:
    ``blob_bytes`` are freed a day after the compactor has folded the removal, ``pack_bytes`` once their pack is rewritten
    or all of it is gone, ``inline_bytes`` lie in the index itself and go with the next merge. Contents that lie in
    objects of other programs are never deleted; they are not counted.
    """

    dry_run: bool = True
    runs: int = 0
    runs_read: int = 0
    expired: int = 0
    superseded: int = 0
    run_gone: int = 0
    old_runs: int = 0
    entries: int = 0
    segments: int = 0
    bytes: int = 0
    blob_bytes: int = 0
    pack_bytes: int = 0
    inline_bytes: int = 0
    shown: list[Removed] = msgspec.field(default_factory=list)
    seconds: float = 0.0

    @property
    def removed(self) -> int:
        """Versions and plain entries, for whatever reason."""
        return self.expired + self.superseded + self.run_gone + self.old_runs


_COUNTED = {"expired": "expired", "superseded": "superseded", "run-gone": "run_gone", "old-run": "old_runs"}


class Counter:
    """Fills a report. Contents that several entries share are counted once, and not while one of them stays."""

    def __init__(self, report: GcReport) -> None:
        self.report = report
        self._counted: set[tuple[str, int]] = set()

    def removed(self, key: str, reason: str, at: Location, size: int, datum: Datum | None) -> None:
        """One version or plain entry goes."""
        report = self.report
        field = _COUNTED.get(reason)
        if field is not None:
            setattr(report, field, getattr(report, field) + 1)
        freed = self.freed(at, size)
        if len(report.shown) < SHOWN:
            shown = Removed(key, reason, freed)
            if datum is not None:
                where = datum.model_type, datum.model_id, datum.name, datum.ordinal
                shown = Removed(key, reason, freed, *where)
            report.shown.append(shown)

    def kept(self, at: Location) -> None:
        """A content that is not freed, although something that names it goes."""
        place = _place(at)
        if place is not None:
            self._counted.add(place)

    def freed(self, at: Location, size: int) -> int:
        """Count the contents at ``at``; how many bytes that is."""
        report, place = self.report, _place(at)
        if place is not None:
            if place in self._counted:
                return 0
            self._counted.add(place)
        match at:
            case Blob():
                report.blob_bytes += size
            case Packed():
                report.pack_bytes += size
            case Inline():
                report.inline_bytes += size
            case _:
                return 0
        report.bytes += size
        return size


def _place(at: Location) -> tuple[str, int] | None:
    match at:
        case Blob(part):
            return part, 0
        case Packed(part, offset, _):
            return part, offset
        case Inline() | External():
            return None
