"""What every benchmark needs: samples and their statistics, interleaved rounds, rows with a verdict, raw results, a table.

Invariants:
- A figure is never judged without its samples being kept: every row of a run at full scale goes to ``bench/results/``
  as one JSON line, with the machine and the load it was measured under.
- Alternatives that are compared run in turns within one session, in an order that rotates from round to round.
- A missed target is shown, never hidden; it is no failure of the benchmark.
"""

from __future__ import annotations

import json
import math
import os
import platform
import statistics
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, TypeVar

from bench.targets import TARGETS, Target

T = TypeVar("T")
RESULTS = Path(__file__).parent / "results"
KEPT_SAMPLES = 300


def median(samples: Sequence[float]) -> float:
    """The middle of ``samples`` (at least one)."""
    return statistics.median(samples)


def percentile(samples: Sequence[float], share: float) -> float:
    """The smallest sample that at least ``share`` (0..1) of all samples do not exceed."""
    ordered = sorted(samples)
    return ordered[max(math.ceil(share * len(ordered)) - 1, 0)]


def interleaved(rounds: int, alternatives: Mapping[str, Callable[[int], T]]) -> dict[str, list[T]]:
    """Call every alternative once per round (with the round's number), each round beginning with another one."""
    names = list(alternatives)
    found: dict[str, list[T]] = {name: [] for name in names}
    for turn in range(rounds):
        first = turn % len(names)
        for name in (*names[first:], *names[:first]):
            found[name].append(alternatives[name](turn))
    return found


@dataclass(frozen=True)
class Row:
    """One figure. ``verdict`` is PASS, MISS or empty (no target); ``ratio`` compares with ``ratio_of``."""

    bench: str
    name: str
    text: str
    value: float
    unit: str
    figure: str
    bound: str = ""
    verdict: str = ""
    ratio: float | None = None
    ratio_of: str = ""
    note: str = ""
    count: int = 0
    samples: list[float] = field(default_factory=list)


class Report:
    """The rows of one benchmark. Each is printed as soon as it is known."""

    def __init__(self, bench: str, scale: str) -> None:
        self.bench = bench
        self.scale = scale
        self.rows: list[Row] = []
        self.load = os.getloadavg()[0]

    def target(
        self, name: str, value: float, *, figure: str = "value", samples: Sequence[float] = (), note: str = ""
    ) -> None:
        """A figure that has a target of this name."""
        target = TARGETS[name]
        verdict = "PASS" if target.met(value) else "MISS"
        self._add(
            Row(
                self.bench,
                name,
                target.text,
                value,
                target.unit,
                figure,
                bound(target),
                verdict,
                note=note,
                count=len(samples) or 1,
                samples=_thin(samples),
            )
        )

    def info(
        self,
        text: str,
        value: float,
        unit: str,
        *,
        figure: str = "value",
        samples: Sequence[float] = (),
        ratio: float | None = None,
        ratio_of: str = "",
        note: str = "",
    ) -> None:
        """A figure without a target."""
        name = text.lower().replace(" ", "-")
        self._add(
            Row(
                self.bench,
                name,
                text,
                value,
                unit,
                figure,
                ratio=ratio,
                ratio_of=ratio_of,
                note=note,
                count=len(samples) or 1,
                samples=_thin(samples),
            )
        )

    def spread(self, text: str, samples: Sequence[float], unit: str, **more: Any) -> None:
        """Median, with p50, p95 and p99 in the note."""
        tail = ", ".join(f"p{share} {show(percentile(samples, share / 100), unit)}" for share in (50, 95, 99))
        note = more.pop("note", "")
        self.info(
            text,
            median(samples),
            unit,
            figure="median",
            samples=samples,
            note=f"{tail}; {note}" if note else tail,
            **more,
        )

    def _add(self, row: Row) -> None:
        self.rows.append(row)
        print(line(row), flush=True)

    def keep(self) -> Path:
        """Write the raw results of this run in place of those of the last one."""
        RESULTS.mkdir(exist_ok=True)
        path = RESULTS / f"{self.bench}.jsonl"
        head = {"run": self.bench, "scale": self.scale, "load_before": round(self.load, 2), **machine()}
        lines = [json.dumps(head), *(json.dumps(asdict(row)) for row in self.rows)]
        path.write_text("\n".join(lines) + "\n")
        return path


def _thin(samples: Sequence[float]) -> list[float]:
    """At most ``KEPT_SAMPLES`` of them, evenly taken, in their order."""
    step = max(math.ceil(len(samples) / KEPT_SAMPLES), 1)
    return [float(f"{sample:.6g}") for sample in samples[::step]]


# --- machine ---------------------------------------------------------------------------------------------------------


def machine() -> dict[str, Any]:
    """What the figures were measured on; nothing that names the machine."""
    return {
        "when": f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC",
        "cpus": os.cpu_count(),
        "cpu": _first("/proc/cpuinfo", "model name") or platform.machine(),
        "memory_gb": round(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / 2**30),
        "system": f"{platform.system()} {platform.release().split('-')[0]}",
        "python": platform.python_version(),
        "commit": _commit(),
        **{name: _version(name) for name in ("swampstore", "botocore", "msgspec")},
    }


def _first(path: str, word: str) -> str:
    try:
        lines = Path(path).read_text().splitlines()
    except OSError:
        return ""
    return next((text.partition(":")[2].strip() for text in lines if text.startswith(word)), "")


def _commit() -> str:
    command = ["git", "-C", str(RESULTS.parent), "rev-parse", "--short", "HEAD"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=10, check=False)
    except FileNotFoundError:
        return ""
    return done.stdout.strip()


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return ""


# --- showing ---------------------------------------------------------------------------------------------------------


def show(value: float, unit: str) -> str:
    """A figure with its unit, in as many digits as it is worth."""
    if unit == "bytes":
        return f"{value / 2**20:.2f} MiB" if value >= 2**20 else f"{value / 1024:.1f} KiB"
    if value == int(value) and abs(value) < 1e6:
        return f"{int(value)} {unit}".rstrip()
    return f"{value:,.3g} {unit}".rstrip() if abs(value) < 1000 else f"{value:,.0f} {unit}".rstrip()


def bound(target: Target) -> str:
    """A target's limit as text."""
    relation = ">=" if target.least else "<" if target.below else "<="
    return f"{relation} {show(target.limit, target.unit)}"


def line(row: Row) -> str:
    """A row for the terminal."""
    parts = [f"  {row.verdict or '    '}  {row.text}: {show(row.value, row.unit)}"]
    if row.figure != "value" or row.count > 1:
        parts.append(f"({row.figure} of {row.count})")
    if row.bound:
        parts.append(f"[target {row.bound}]")
    if row.ratio is not None:
        parts.append(f"{row.ratio:,.3g} x {row.ratio_of}")
    if row.note:
        parts.append(f"- {row.note}")
    return " ".join(parts)


def table(rows: Sequence[Row], head: Sequence[str], cells: Callable[[Row], Sequence[str]]) -> str:
    """Columns of even width."""
    lines = [list(head), *(list(cells(row)) for row in rows)]
    widths = [max(len(cell) for cell in column) for column in zip(*lines, strict=True)]
    texts = ["  ".join(cell.ljust(width) for cell, width in zip(cell_row, widths, strict=True)) for cell_row in lines]
    return "\n".join([texts[0].rstrip(), "  ".join("-" * width for width in widths), *(t.rstrip() for t in texts[1:])])


def summary(rows: Sequence[Row]) -> str:
    """The table of targets."""
    judged = [row for row in rows if row.verdict]
    if not judged:
        return "no target was measured"
    return table(
        judged,
        ("benchmark", "target", "bound", "measured", "verdict"),
        lambda row: (row.bench, row.text, row.bound, f"{show(row.value, row.unit)} ({row.figure})", row.verdict),
    )


def say(text: str) -> None:
    """Progress, on standard error."""
    print(text, file=sys.stderr, flush=True)
