"""What a process of a soak measures of itself, a line every few seconds; and what the lines say in the end.

Memory and descriptors are judged from processes that lived through the whole run; of a run the first and the last quarter
are compared.
"""

from __future__ import annotations

import json
import os
import statistics
import time
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from swampstore.errors import SwampError

EVERY_S = 10.0
SAMPLES = 400
"""Latencies kept of one kind between two lines."""
ENOUGH_LINES = 40
"""A process with fewer is not judged: it is still warming up in its first quarter."""
GROWTH_BYTES = 24 << 20
GROWTH_SHARE = 0.15
GROWTH_DESCRIPTORS = 8


class Gauges:
    """Counts and times the operations of one process."""

    def __init__(self, path: Path, who: str, *, lasting: bool, faults: Counter[str]) -> None:
        self._fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        self._who = who
        self._lasting = lasting
        self._faults = faults
        self._ops: Counter[str] = Counter()
        self._errors: Counter[str] = Counter()
        self._ms: dict[str, list[float]] = defaultdict(list)
        self._due = time.monotonic() + EVERY_S

    @contextmanager
    def timed(self, kind: str) -> Iterator[None]:
        """Count one operation and, when it succeeds, its time; errors are counted by code and go on."""
        began = time.perf_counter()
        try:
            yield
        except SwampError as error:
            self._errors[f"{kind}: {error.code}"] += 1
            raise
        finally:
            self._ops[kind] += 1
        if len(self._ms[kind]) < SAMPLES:
            self._ms[kind].append((time.perf_counter() - began) * 1000)

    def tick(self, *, now: bool = False) -> None:
        """Write a line when one is due."""
        if not now and time.monotonic() < self._due:
            return
        line = {
            "at": time.monotonic(), "who": self._who, "pid": os.getpid(), "lasting": self._lasting,
            "rss": resident_bytes(), "fds": len(os.listdir("/proc/self/fd")), "ops": self._ops, "errors": self._errors,
            "faults": self._faults, "ms": {kind: _middle(times) for kind, times in self._ms.items() if times},
        }  # fmt: skip
        os.write(self._fd, json.dumps(line).encode() + b"\n")
        for counted in (self._ops, self._errors, self._faults):
            counted.clear()
        self._ms.clear()
        self._due = time.monotonic() + EVERY_S


def resident_bytes() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def _middle(times: Sequence[float]) -> float:
    return round(statistics.median(times), 3)


class Summary:
    """What all lines of a run say together."""

    def __init__(self, folder: Path) -> None:
        lines = [
            json.loads(line) for path in sorted(folder.glob("*.gauges")) for line in path.read_bytes().splitlines()
        ]
        self.lines: list[dict[str, Any]] = sorted(lines, key=lambda line: line["at"])
        self.ops: Counter[str] = self._total("ops")
        self.errors: Counter[str] = self._total("errors")
        self.faults: Counter[str] = self._total("faults")

    def _total(self, name: str) -> Counter[str]:
        total: Counter[str] = Counter()
        for line in self.lines:
            total.update(line[name])
        return total

    def growth(self) -> tuple[list[str], list[str]]:
        """Of every process that lasted: what it held at first and in the end; and what is too much."""
        told, wrong = [], []
        lasting: dict[tuple[str, int], list[dict[str, Any]]] = defaultdict(list)
        for line in self.lines:
            if line["lasting"]:
                lasting[line["who"], line["pid"]].append(line)
        for (who, _), lines in sorted(lasting.items()):
            first, last = _quarters(lines)
            rss = [statistics.median(line["rss"] for line in part) for part in (first, last)]
            fds = [max(line["fds"] for line in part) for part in (first, last)]
            judged = len(lines) >= ENOUGH_LINES
            told.append(
                f"{who:12} memory {rss[0] / 1e6:6.1f} -> {rss[1] / 1e6:6.1f} MB, descriptors {fds[0]} -> {fds[1]}"
                f"{'' if judged else '  (too short to judge)'}"
            )
            if judged and rss[1] - rss[0] > max(GROWTH_BYTES, GROWTH_SHARE * rss[0]):
                wrong.append(f"the memory of {who} grew from {rss[0] / 1e6:.1f} to {rss[1] / 1e6:.1f} MB")
            if judged and fds[1] - fds[0] > GROWTH_DESCRIPTORS:
                wrong.append(f"the descriptors of {who} grew from {fds[0]} to {fds[1]}")
        return told, wrong

    def drift(self) -> list[str]:
        """The middle time of every kind of operation, in the first and in the last quarter of the run."""
        told = []
        if not self.lines:
            return told
        begin, end = self.lines[0]["at"], self.lines[-1]["at"]
        edges = begin + (end - begin) / 4, end - (end - begin) / 4
        for kind in sorted(self.ops):
            first = [line["ms"][kind] for line in self.lines if kind in line["ms"] and line["at"] <= edges[0]]
            last = [line["ms"][kind] for line in self.lines if kind in line["ms"] and line["at"] >= edges[1]]
            if first and last:
                was, now = statistics.median(first), statistics.median(last)
                told.append(f"{kind:12} {was:8.2f} -> {now:8.2f} ms  (x {now / max(was, 0.001):.2f})")
        return told


def _quarters(lines: Sequence[dict[str, Any]]) -> tuple[Sequence[dict[str, Any]], Sequence[dict[str, Any]]]:
    size = max(len(lines) // 4, 1)
    return lines[:size], lines[-size:]
