"""The counts behind the metrics: plain numbers, brought up to date by one thread from the buffer.

Invariant: the hot path only puts events into the buffer; adding up, and every lock, is the thread's.
"""

from __future__ import annotations

import threading
from bisect import bisect_left
from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from swampstore.telemetry.buffer import Buffer
from swampstore.telemetry.reference import (
    BUCKETS_S,
    BYTES,
    COUNTED,
    DEPTH,
    DROPPED,
    METRICS,
    OPERATION,
    OUTCOMES,
    PHASE,
    RECORDS,
    REQUEST,
    REQUESTS,
    SPOOL_AGE,
    SPOOLED,
    Metric,
)

Labels = tuple[str, ...]


class Histogram:
    """Counts by bucket (the last one has no end), and the sum of all that was seen."""

    __slots__ = ("counts", "sum")

    def __init__(self) -> None:
        self.counts = [0] * (len(BUCKETS_S) + 1)
        self.sum = 0.0

    def see(self, seconds: float) -> None:
        self.counts[bisect_left(BUCKETS_S, seconds)] += 1
        self.sum += seconds


class Sample(NamedTuple):
    """One series of a metric: a number, or a histogram (a copy)."""

    labels: Labels
    value: float | Histogram


class Tables:
    """A :class:`swampstore.telemetry.watch.Sink` that adds up."""

    def __init__(self) -> None:
        self._mutex = threading.Lock()
        self._histograms: dict[Metric, dict[Labels, Histogram]] = {OPERATION: {}, PHASE: {}, REQUEST: {}}
        self._numbers: dict[Metric, Counter[Labels]] = {
            metric: Counter() for metric in METRICS if metric.kind != "histogram"
        }
        self._numbers[BYTES].update({("sent",): 0, ("received",): 0})
        for metric in (*COUNTED.values(), DEPTH, SPOOLED, SPOOL_AGE):
            self._numbers[metric][()] = 0
        self.buffer: Buffer[tuple[Any, ...]] = Buffer("metrics", self._take_in)

    # --- told, in the middle of somebody's work -------------------------------------------------------------------

    def finished(self, op: str, seconds: float, phases: Mapping[str, float], outcome: str, records: int) -> None:
        self.buffer.put((op, seconds, phases, outcome, records))

    def request(self, verb: str, outcome: str, seconds: float, sent: int, received: int) -> None:
        self.buffer.put((verb, outcome, seconds, (sent, received)))

    def count(self, name: str, amount: int) -> None:
        self.buffer.put((COUNTED[name], amount))

    def depth(self, segments: int) -> None:
        self.buffer.put((segments,))

    def spool(self, records: int, seconds: float) -> None:
        self.buffer.put((records, seconds, SPOOLED))

    def close(self) -> None:
        self.buffer.close()

    # --- added up, in the thread ------------------------------------------------------------------------------------

    def _take_in(self, events: list[tuple[Any, ...]]) -> None:
        with self._mutex:
            for event in events:
                # The kinds of events differ in length: cheaper for who makes them than a mark.
                match event:
                    case (op, seconds, phases, outcome, records):
                        self._operation(op, seconds, phases, outcome, records)
                    case (verb, outcome, seconds, moved):
                        self._request(verb, outcome, seconds, moved)
                    case (waiting, age, _):
                        self._numbers[SPOOLED][()], self._numbers[SPOOL_AGE][()] = waiting, age
                    case (metric, amount):
                        self._numbers[metric][()] += amount
                    case (segments,):
                        self._numbers[DEPTH][()] = segments

    def _operation(self, op: str, seconds: float, phases: Mapping[str, float], outcome: str, records: int) -> None:
        self._see(OPERATION, (op,), seconds)
        for phase, spent in phases.items():
            self._see(PHASE, (op, phase), spent)
        self._numbers[OUTCOMES][(op, outcome)] += 1
        self._numbers[RECORDS][(op,)] += records

    def _request(self, verb: str, outcome: str, seconds: float, moved: tuple[int, int]) -> None:
        self._see(REQUEST, (verb,), seconds)
        self._numbers[REQUESTS][(verb, outcome)] += 1
        self._numbers[BYTES][("sent",)] += moved[0]
        self._numbers[BYTES][("received",)] += moved[1]

    def _see(self, metric: Metric, labels: Labels, seconds: float) -> None:
        table = self._histograms[metric]
        found = table.get(labels)
        if found is None:
            found = table[labels] = Histogram()
        found.see(seconds)

    # --- read by exporters ------------------------------------------------------------------------------------------

    def samples(self, dropped: Mapping[str, int]) -> Iterator[tuple[Metric, list[Sample]]]:
        """Every metric with its series, as of now. ``dropped`` is the count of each sink."""
        self.buffer.empty(wait_s=1.0)
        with self._mutex:
            for sink, count in dropped.items():
                self._numbers[DROPPED][(sink,)] = count
            found = [(metric, self._copied(metric)) for metric in METRICS]
        yield from found

    def _copied(self, metric: Metric) -> list[Sample]:
        if metric.kind != "histogram":
            return [Sample(labels, value) for labels, value in sorted(self._numbers[metric].items())]
        copies: list[Sample] = []
        for labels, held in sorted(self._histograms[metric].items()):
            copy = Histogram()
            copy.counts, copy.sum = list(held.counts), held.sum
            copies.append(Sample(labels, copy))
        return copies
