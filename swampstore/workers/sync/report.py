"""What a sync did, for people and for ``--json``."""

from __future__ import annotations

from typing import Any, Protocol

import msgspec

SHOWN_CHANGES = 1000


class Progress(Protocol):
    """Called often, from the thread that syncs. ``total`` is 0 while it is not known; ``done`` and ``total`` count
    files, ``moved`` the bytes moved in this phase.
    """

    def __call__(self, phase: str, done: int, total: int, moved: int) -> None: ...


class Conflict(msgspec.Struct, frozen=True):
    """Both sides had changed ``path``: one version has the path, the other is kept at ``kept_as``.

    ``winner`` is ``local`` or ``remote``; ``other-writer`` when two other machines had met in the store.
    """

    path: str
    kept_as: str
    winner: str


class Skipped(msgspec.Struct, frozen=True):
    """A file that was left alone on both sides, and why."""

    path: str
    reason: str


class Change(msgspec.Struct, frozen=True):
    """One change made, or that would be made: ``push``, ``pull``, ``delete-local``, ``delete-remote``, ``conflict``."""

    path: str
    action: str
    size: int = 0


class Planned(msgspec.Struct):
    """How much of one kind of change there is."""

    files: int = 0
    bytes: int = 0


class SyncReport(msgspec.Struct):
    """Counts of files; bytes of contents. ``changes`` lists the first 1,000 changes, ``planned`` says how much
    of each action there is.

    ``unchanged`` counts files that were looked at: a pull looks only at those that changed in the namespace.
    ``not_here`` counts contents that a metadata-only sync left there.

    ``revived`` names paths that one side had deleted and the other changed: the change was kept.
    """

    pulled: int = 0
    pushed: int = 0
    deleted_local: int = 0
    deleted_remote: int = 0
    unchanged: int = 0
    not_here: int = 0
    bytes_up: int = 0
    bytes_down: int = 0
    appends: int = 0
    conflicts: list[Conflict] = []
    revived: list[str] = []
    skipped: list[Skipped] = []
    not_versions: list[Skipped] = []
    """Folders that look like versions of data and are not, and why: their files are synced as plain files."""
    expired: int = 0
    """Files past the lifetime in their metadata, never pushed before: left alone here and there."""
    changes: list[Change] = []
    planned: dict[str, Planned] = {}
    seconds: float = 0.0
    phases: dict[str, float] = {}
    """Where the seconds went, by phase; they sum up to ``seconds``."""
    dry_run: bool = False
    reset: bool = False
    """The namespace was deleted or replaced since the last sync: everything was compared anew, nothing was deleted."""
    absent: bool = False
    """Nothing had ever been written to the namespace when the sync began."""

    def changed(self, path: str, action: str, size: int = 0) -> None:
        """Note one change; ``size`` is what it moves."""
        planned = self.planned.setdefault(action, Planned())
        planned.files += 1
        planned.bytes += size
        if len(self.changes) < SHOWN_CHANGES:
            self.changes.append(Change(path, action, size))

    def unplanned(self, sizes: dict[str, int], action: str) -> None:
        """These paths, noted with ``action`` and their sizes, turned out to need nothing."""
        if not sizes:
            return
        planned = self.planned[action]
        planned.files -= len(sizes)
        planned.bytes -= sum(sizes.values())
        if not planned.files:
            del self.planned[action]
        self.changes = [one for one in self.changes if one.action != action or one.path not in sizes]

    def skip(self, path: str, reason: str) -> None:
        self.skipped.append(Skipped(path, reason))

    def plain(self, folder: str, reason: str) -> None:
        self.not_versions.append(Skipped(folder, reason))

    @property
    def idle(self) -> bool:
        """Whether there was nothing to do."""
        moved = self.pulled + self.pushed + self.deleted_local + self.deleted_remote
        return not moved and not self.conflicts

    def to_dict(self) -> dict[str, Any]:
        """The machine-readable form used by ``--json``."""
        found: dict[str, Any] = msgspec.to_builtins(self)
        return found


def quiet(phase: str, done: int, total: int, moved: int) -> None:
    """A :class:`Progress` that shows nothing."""


def printable(path: str) -> str:
    """A path for a report: bytes that are not UTF-8 are escaped."""
    return path.encode(errors="surrogateescape").decode(errors="backslashreplace")
