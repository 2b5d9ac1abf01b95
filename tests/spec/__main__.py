"""``python -m tests.spec`` prints the table (``--markdown``: for the page); with MODEL [VARIANT], those results.

A result that is wrong is printed with its counterexample.
"""

from __future__ import annotations

import sys

from tests.spec.catalogue import MODELS
from tests.spec.checker import check, describe

HEAD = ("model", "variant", "verdict", "states", "steps", "finds")


def rows() -> list[tuple[str, ...]]:
    """All models and variants, checked in their everyday scope."""
    found = []
    for name, cases in MODELS.items():
        for case in cases:
            result = check(case.model)
            length = str(len(result.trace)) if result.trace else ""
            found.append((name, case.variant, result.verdict.value, str(result.states), length, result.problem))
    return found


def table(cells: list[tuple[str, ...]]) -> str:
    """Rows for a terminal, under their heading."""
    cells = [HEAD, *cells]
    widths = [max(len(row[column]) for row in cells) for column in range(5)]
    return "\n".join("  ".join([*map(str.ljust, row, widths), row[5]]).rstrip() for row in cells)


def markdown(cells: list[tuple[str, ...]]) -> str:
    """Rows for a page; the model's name only in its first."""
    lines = [HEAD, ("---",) * 3 + ("--:",) * 2 + ("---",)]
    before = ""
    for name, *rest in cells:
        lines.append((f"`{name}`" if name != before else "", *rest))
        before = name
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def main(words: list[str]) -> int:
    if not words or words == ["--markdown"]:
        print((markdown if words else table)(rows()))
        return 0
    model, variant = words[0], " ".join(words[1:])
    for case in MODELS.get(model, ()):
        if variant in ("", case.variant):
            print(f"{model}, {case.variant}: {describe(check(case.model))}")
            if variant:
                return 0
    if variant or model not in MODELS:
        known = [f"{name} {case.variant}" for name, cases in MODELS.items() for case in cases]
        print("no such model and variant; there are:\n  " + "\n  ".join(known), file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
