"""The reference page says what the code says: operations, phases, metrics, buckets."""

from __future__ import annotations

import re
from pathlib import Path

from swampstore.env.phases import COUNTERS, OPERATIONS, PHASES
from swampstore.telemetry.reference import BUCKETS_S, COUNTED, METRICS

PAGE = (Path(__file__).parent.parent.parent / "docs" / "reference" / "metrics.md").read_text("utf-8")


def section(title: str) -> str:
    found = re.search(rf"^## {title}\n(.*?)(?=^## |\Z)", PAGE, re.MULTILINE | re.DOTALL)
    assert found, title
    return found[1]


def rows(title: str) -> list[tuple[str, ...]]:
    lines = [line for line in section(title).splitlines() if line.startswith("| `")]
    return [tuple(cell.strip() for cell in line.strip("|").split("|")) for line in lines]


def test_operations_and_phases() -> None:
    assert rows("Operations") == [(f"`{name}`", text) for name, text in OPERATIONS.items()]
    assert rows("Phases") == [(f"`{name}`", text) for name, text in PHASES.items()]


def test_metrics() -> None:
    assert rows("Metrics") == [
        (
            f"`{metric.name}{'_total' if metric.kind == 'counter' else ''}`",
            metric.kind,
            ", ".join(f"`{label}`" for label in metric.labels),
            metric.text,
        )
        for metric in METRICS
    ]
    assert ", ".join(f"{end:g}" for end in BUCKETS_S) + " seconds" in section("Metrics")


def test_every_counter_has_a_metric() -> None:
    assert set(COUNTED) == set(COUNTERS)
