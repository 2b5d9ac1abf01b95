"""What a migration is to do, and what it did."""

from __future__ import annotations

import msgspec

from swampstore.errors import Misuse

_EXAMPLES = 100


class MigrateOptions(msgspec.Struct, frozen=True, kw_only=True):
    """``verify`` is how contents are compared at the end: a ``sample`` of hashes or ``full``. ``force`` joins the source
    with whatever the destination holds. ``delete`` removes at the destination what the source does not know (any more)."""

    verify: str = "sample"
    force: bool = False
    delete: bool = False
    dry_run: bool = False
    sample: int = 100

    def check(self) -> None:
        """Raise ``Misuse`` for options that make no sense."""
        if self.verify not in ("sample", "full"):
            raise Misuse(f"verify is {self.verify!r}", hint="sample or full")


class MigrateReport(msgspec.Struct):
    """Counts of records; lists hold at most 100 examples.

    ``copied`` entries were brought over with their contents (``bytes``), ``tombstones`` deleted there what the source
    has deleted, ``stream_records`` belong to streams and data versions. ``unchanged`` were there. ``only_there`` live at
    the destination alone: left, or with ``delete`` ``deleted``. ``elsewhere`` refer to another store, and still do.
    ``audit`` records were brought over. ``damaged`` contents could not be read: they are missing there. ``pending`` data
    versions have no number yet and wait for the next run.
    ``checked`` entries were found there afterwards, ``hashed`` of them by reading; ``astray`` were not.
    """

    namespace: str = ""
    target: str = ""
    dry_run: bool = False
    resumed: bool = False
    copied: int = 0
    bytes: int = 0
    tombstones: int = 0
    stream_records: int = 0
    unchanged: int = 0
    expired: int = 0
    only_there: int = 0
    only_there_examples: list[str] = []
    deleted: int = 0
    elsewhere: int = 0
    pending: int = 0
    audit: int = 0
    damaged: int = 0
    damaged_examples: list[str] = []
    checked: int = 0
    hashed: int = 0
    astray: int = 0
    astray_examples: list[str] = []

    @property
    def incomplete(self) -> bool:
        """Whether something of the source is not at the destination."""
        return bool(self.damaged or self.astray or self.pending)

    def damage(self, key: str, why: str) -> None:
        """The contents of ``key`` cannot be read."""
        self.damaged += 1
        _example(self.damaged_examples, f"{key}: {why}")

    def stray(self, key: str, why: str) -> None:
        """``key`` is not at the destination as it was brought there."""
        self.astray += 1
        _example(self.astray_examples, f"{key}: {why}")

    def only(self, key: str) -> None:
        """``key`` lives at the destination alone."""
        self.only_there += 1
        _example(self.only_there_examples, key)


def _example(examples: list[str], text: str) -> None:
    if len(examples) < _EXAMPLES:
        examples.append(text)
