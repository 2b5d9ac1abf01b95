"""What an import found and did.

Invariant: ``imported + unchanged + deleted_here + dropped + dangling + damaged == entries``: every rel of the source
ends in exactly one of them (in a dry run nothing is read, so what reading would show counts as imported).
"""

from __future__ import annotations

import msgspec

_EXAMPLES = 100


class ImportReport(msgspec.Struct):
    """Counts of rels; lists hold at most 100 examples.

    ``bytes`` is the size of all contents imported or unchanged. ``newer_here`` are those of the unchanged whose key was
    written in the namespace after the source's file: the newest wins. ``deleted_here`` were deleted in the namespace after
    that, or are of a version of which a file was: they are left alone. ``unindexed`` are objects that the index does not
    list, ``vanished`` entries of the namespace that the source does not list: neither is touched. ``hashed`` contents
    had no hash, ``hashes_checked`` had one and were compared. ``checked`` entries (``checked_bytes``) were found in the
    namespace afterwards as they were appended; ``astray`` were not: somebody else changed them meanwhile.
    ``source_moved`` names index objects that changed during the import: run it again. ``versions`` entries of those that
    were imported are contents of versions of data; ``not_versions`` folders looked like one and contradict themselves
    (their files are plain entries); ``ended`` versions were past their lifetime and can be read for 30 days more.
    """

    flavour: str = ""
    entries: int = 0
    imported: int = 0
    unchanged: int = 0
    newer_here: int = 0
    deleted_here: int = 0
    deleted_here_examples: list[str] = []
    bytes: int = 0
    copied_bytes: int = 0
    dropped: dict[str, int] = {}
    dropped_examples: list[str] = []
    dangling: int = 0
    dangling_examples: list[str] = []
    damaged: int = 0
    damaged_examples: list[str] = []
    missing_partitions: list[str] = []
    unindexed: int = 0
    vanished: int = 0
    versions: int = 0
    not_versions: int = 0
    not_versions_examples: list[str] = []
    ended: int = 0
    hashed: int = 0
    hashes_checked: int = 0
    checked: int = 0
    checked_bytes: int = 0
    astray: int = 0
    astray_examples: list[str] = []
    unverified: bool = False
    source_moved: list[str] = []
    dry_run: bool = False
    manifest_bytes: int = 0

    def drop(self, rel: str, reason: str) -> None:
        """``rel`` is not data, for ``reason``."""
        self.dropped[reason] = self.dropped.get(reason, 0) + 1
        _example(self.dropped_examples, rel)

    def left_deleted(self, rel: str) -> None:
        """``rel`` was deleted in the namespace since, and stays so."""
        self.deleted_here += 1
        _example(self.deleted_here_examples, rel)

    def dangle(self, rel: str) -> None:
        """The contents of ``rel`` are nowhere."""
        self.dangling += 1
        _example(self.dangling_examples, rel)

    def damage(self, rel: str, why: str) -> None:
        """The contents of ``rel`` are not what the index says, or cannot be read."""
        self.damaged += 1
        _example(self.damaged_examples, f"{rel}: {why}")

    def plain(self, folder: str, why: str) -> None:
        """``folder`` is no version of data."""
        self.not_versions += 1
        _example(self.not_versions_examples, f"{folder}: {why}")

    def stray(self, key: str) -> None:
        """``key`` does not hold what was appended."""
        self.astray += 1
        _example(self.astray_examples, key)


def _example(examples: list[str], text: str) -> None:
    if len(examples) < _EXAMPLES:
        examples.append(text)
