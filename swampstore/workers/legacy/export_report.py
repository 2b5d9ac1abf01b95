"""What an export is to do, and what it did."""

from __future__ import annotations

import msgspec

from swampstore.errors import Misuse

_EXAMPLES = 100


class ExportOptions(msgspec.Struct, frozen=True, kw_only=True):
    """``index`` is ``v1`` or ``v2``. ``prefix`` makes it partial. ``force`` writes into a target that holds other files,
    or that others changed since an earlier export. ``delete`` removes files of an earlier export that the namespace no
    longer has."""

    index: str = "v1"
    prefix: str = ""
    force: bool = False
    delete: bool = False

    def check(self) -> None:
        """Raise ``Misuse`` for options that make no sense."""
        if self.index not in ("v1", "v2"):
            raise Misuse(f"index {self.index!r}", hint="v1 (one file) or v2 (partitions)")


class ExportReport(msgspec.Struct):
    """Counts of files; lists hold at most 100 examples.

    ``entries`` are in the index: ``written`` now, ``kept`` from an earlier run with the right size and hash; ``latest``
    of them are derived. ``bytes`` is the size of all. ``conflicts`` are kept losers, written beside their paths.
    ``dropped`` keys are not data in the legacy layout, by reason; ``blocked`` ones cannot be files there; ``damaged``
    ones cannot be read; none of them is in the index. ``pending`` data versions have no number yet, ``ephemeral``
    entries are runtime state, ``expired`` ones have outlived their lifetime: none of them is exported. ``left_over`` files lie in the target and not in the namespace.
    """

    target: str = ""
    index: str = "v1"
    entries: int = 0
    written: int = 0
    kept: int = 0
    bytes: int = 0
    latest: int = 0
    conflicts: int = 0
    dropped: dict[str, int] = {}
    dropped_examples: list[str] = []
    blocked: int = 0
    blocked_examples: list[str] = []
    damaged: int = 0
    damaged_examples: list[str] = []
    pending: int = 0
    ephemeral: int = 0
    expired: int = 0
    left_over: int = 0
    left_over_examples: list[str] = []
    deleted: int = 0
    resumed: bool = False
    root_version: int = 0

    @property
    def incomplete(self) -> bool:
        """Whether something that the namespace holds is not in the target."""
        return bool(self.blocked or self.damaged or self.pending)

    def drop(self, key: str, reason: str) -> None:
        """``key`` is not data, for ``reason``."""
        self.dropped[reason] = self.dropped.get(reason, 0) + 1
        _example(self.dropped_examples, key)

    def block(self, rel: str, why: str) -> None:
        """``rel`` cannot be a file in the target."""
        self.blocked += 1
        _example(self.blocked_examples, f"{rel}: {why}")

    def damage(self, key: str, why: str) -> None:
        """The contents of ``key`` cannot be read."""
        self.damaged += 1
        _example(self.damaged_examples, f"{key}: {why}")

    def leave(self, rel: str) -> None:
        """``rel`` lies in the target and not in the namespace."""
        self.left_over += 1
        _example(self.left_over_examples, rel)


def _example(examples: list[str], text: str) -> None:
    if len(examples) < _EXAMPLES:
        examples.append(text)
