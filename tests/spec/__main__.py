"""``python -m tests.spec`` prints the table; with MODEL and VARIANT, that result with its counterexample."""

from __future__ import annotations

import sys

from tests.spec.catalogue import MODELS
from tests.spec.checker import check, describe


def table() -> str:
    """All models and variants in their everyday scope."""
    rows = [("model", "variant", "verdict", "states", "steps", "finds")]
    for name, cases in MODELS.items():
        for case in cases:
            result = check(case.model)
            length = str(len(result.trace)) if result.trace else ""
            rows.append((name, case.variant, result.verdict.value, str(result.states), length, result.problem))
    widths = [max(len(row[column]) for row in rows) for column in range(5)]
    return "\n".join("  ".join([*map(str.ljust, row, widths), row[5]]).rstrip() for row in rows)


def main(words: list[str]) -> int:
    if not words:
        print(table())
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
