"""What repairs are made of: the steps that are told, and what each works with."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import msgspec

from swampstore.protocols.place import Place
from swampstore.protocols.register import Register
from swampstore.workers.target import Progress

KEYS = 1000
"""Keys that a step names."""


class Step(msgspec.Struct, frozen=True):
    """One repair: what it would do, and what it cannot bring back (``losses``); ``done`` once it was carried out.

    ``keys`` are entries it concerns (bounded).
    """

    code: str
    name: str
    text: str
    losses: tuple[str, ...] = ()
    keys: tuple[str, ...] = ()
    done: bool = False


class RepairReport(msgspec.Struct):
    """What was planned, and with ``dry_run=False`` done."""

    namespace: str
    dry_run: bool
    steps: list[Step]

    @property
    def losses(self) -> list[str]:
        """What all steps together cannot bring back."""
        return [loss for step in self.steps for loss in step.losses]

    def describe(self) -> dict[str, Any]:
        """The machine-readable form used by ``--json``."""
        return {
            "namespace": self.namespace,
            "dryRun": self.dry_run,
            "steps": [msgspec.to_builtins(step) for step in self.steps],
        }


class Ground(msgspec.Struct, frozen=True):
    """What every repair works with."""

    place: Place
    register: Register
    dry_run: bool
    deep: bool
    settle: bool
    progress: Progress


Told = Callable[[Step], None]
"""Called with each step before it is carried out (and instead of it in a dry run); may refuse by raising."""


def shown(keys: Sequence[str]) -> tuple[str, ...]:
    """As many keys as a step names."""
    return tuple(keys[:KEYS])
