"""From samples to figures: percentiles, outcomes, and the phase that makes the slowest operations slow."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence

import msgspec

from swampstore_cli.bench.job import Job, Sample


class Spread(msgspec.Struct, frozen=True):
    """Milliseconds. ``share`` is the part of all the time that this took (0 to 1)."""

    p50: float
    p95: float
    p99: float
    max: float
    share: float = 1.0


class Result(msgspec.Struct, frozen=True, rename="camel"):
    """What a run came to. ``slowest_phase`` took most of the time of the slowest one in a hundred operations, and
    ``slowest_share`` (0 to 1) is how much of it.
    """

    workload: str
    store: str
    procs: int
    threads: int
    cold: bool
    operations: int
    wanted: int
    seconds: float
    per_second: float
    outcomes: dict[str, int]
    latency_ms: Spread
    phases_ms: dict[str, Spread]
    slowest_phase: str
    slowest_share: float


def percentile(ordered: Sequence[float], share: float) -> float:
    """The smallest of the ``ordered`` values that at least ``share`` (0 to 1) of all do not exceed."""
    return ordered[max(math.ceil(share * len(ordered)) - 1, 0)]


def spread(values: Sequence[float], share: float = 1.0) -> Spread:
    """``values`` (seconds, at least one) in milliseconds."""
    ordered = sorted(values)
    p50, p95, p99, most = (percentile(ordered, at) * 1000 for at in (0.5, 0.95, 0.99, 1.0))
    return Spread(p50, p95, p99, most, share)


def slowest(samples: Sequence[Sample]) -> tuple[str, float]:
    """The phase that took most of the time of those at or above p99, and how much of it (0 to 1)."""
    line = percentile(sorted(one.seconds for one in samples), 0.99)
    total: Counter[str] = Counter()
    for one in samples:
        if one.seconds >= line:
            total.update(one.phases)
    whole = sum(total.values())
    name, spent = max(total.items(), key=lambda item: item[1], default=("", 0.0))
    return name, spent / whole if whole else 0.0


def result(job: Job, samples: Sequence[Sample], seconds: float) -> Result:
    """The figures of a run that took ``seconds``; it has at least one sample."""
    whole = sum(one.seconds for one in samples) or 1.0
    names = sorted({name for one in samples for name in one.phases})
    phases = {}
    for name in names:
        values = [one.phases.get(name, 0.0) for one in samples]
        phases[name] = spread(values, sum(values) / whole)
    name, share = slowest(samples)
    return Result(
        workload=job.workload,
        store=job.store,
        procs=job.procs,
        threads=job.threads,
        cold=job.cold,
        operations=len(samples),
        wanted=job.count,
        seconds=seconds,
        per_second=len(samples) / seconds if seconds else 0.0,
        outcomes=dict(Counter(one.outcome for one in samples).most_common()),
        latency_ms=spread([one.seconds for one in samples]),
        phases_ms=dict(sorted(phases.items(), key=lambda item: -item[1].share)),
        slowest_phase=name,
        slowest_share=share,
    )
