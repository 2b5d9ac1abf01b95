"""What the doctor says: findings, each with a stable code, an object's name and what to do.

error      something is lost, damaged or unsafe: somebody must act
warning    nothing is lost, but something is not as it should be
note       to know
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Literal, TypeAlias

import msgspec

Severity: TypeAlias = Literal["error", "warning", "note"]
RANKS: dict[str, int] = {"error": 0, "warning": 1, "note": 2}


class Finding(msgspec.Struct, frozen=True):
    """One thing found. ``name`` is an object of the store, or a key; ``repair`` says that ``--repair`` can mend it."""

    code: str
    severity: Severity
    name: str
    text: str
    hint: str = ""
    repair: bool = False


class Report(msgspec.Struct):
    """An examination of one namespace. ``counts`` says how much was looked at; ``seconds`` is wall time."""

    namespace: str
    deep: bool
    findings: list[Finding]
    counts: dict[str, int]
    seconds: float = 0.0

    def of(self, severity: Severity) -> list[Finding]:
        """The findings of one severity."""
        return [one for one in self.findings if one.severity == severity]

    @property
    def healthy(self) -> bool:
        """Whether there is no error."""
        return not self.of("error")

    def codes(self) -> list[str]:
        """The codes found, each once, errors first."""
        return list(dict.fromkeys(one.code for one in in_order(self.findings)))

    def describe(self) -> dict[str, Any]:
        """The machine-readable form used by ``--json``."""
        return {
            "namespace": self.namespace,
            "deep": self.deep,
            "errors": len(self.of("error")),
            "warnings": len(self.of("warning")),
            "notes": len(self.of("note")),
            "findings": [msgspec.to_builtins(one) for one in in_order(self.findings)],
            "counts": self.counts,
            "seconds": round(self.seconds, 3),
        }


def in_order(findings: Iterable[Finding]) -> list[Finding]:
    """Errors first, then warnings, then notes; each in the order found."""
    return sorted(findings, key=lambda one: RANKS[one.severity])
