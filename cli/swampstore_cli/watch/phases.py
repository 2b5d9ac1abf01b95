"""The p99 of each phase of each operation, from the metrics that other processes publish (Prometheus text).

Invariants:
- Quantiles are those of what happened since the look before: histograms only grow, and a process that began anew counts
  from zero. Within a bucket they are taken to lie evenly, as Prometheus' ``histogram_quantile`` does.
- Metrics that are gone or cannot be read are no reason to stop watching.
"""

from __future__ import annotations

import math
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path

from swampstore.errors import BadConfig

METRICS_BYTES = 8 * 1024 * 1024
ANSWER_S = 1.0
QUANTILE = 0.99
_PREFIX = "swampstore_"

Buckets = dict[float, float]
"""How many observations were at most so many seconds, by that bound; counts rise with the bound."""


class PhaseTimes:
    """``source`` is a file or an ``http://`` URL. Raises ``BadConfig`` when the library that reads metrics is missing."""

    def __init__(self, source: str) -> None:
        try:
            import prometheus_client.parser  # noqa: F401
        except ImportError:
            raise BadConfig(
                "reading metrics needs the package prometheus-client", hint="pip install 'swampstore[metrics]'"
            ) from None
        self._source = source
        self._last: dict[str, Buckets] = {}

    def look(self) -> dict[str, float]:
        """``operation phase`` to its p99 in ms since the look before; nothing where nothing happened."""
        found = dict(self._read())
        before, self._last = self._last, found
        shown: dict[str, float] = {}
        for name, buckets in found.items():
            seconds = quantile(QUANTILE, _grown(buckets, before.get(name, {})))
            if seconds is not None:
                shown[name] = seconds * 1000
        return shown

    def _read(self) -> Iterator[tuple[str, Buckets]]:
        from prometheus_client.parser import text_string_to_metric_families

        by_name: dict[str, Buckets] = {}
        with suppress(OSError, ValueError):  # not there (yet), or cut off in the middle
            for family in text_string_to_metric_families(self._text()):
                for sample in family.samples:
                    labels = sample.labels
                    if sample.name.startswith(_PREFIX) and "phase" in labels and "le" in labels:
                        name = f"{labels.get('op', '')} {labels['phase']}".strip()
                        bound = float(labels["le"])
                        buckets = by_name.setdefault(name, {})
                        buckets[bound] = buckets.get(bound, 0.0) + sample.value
        yield from by_name.items()

    def _text(self) -> str:
        if self._source.startswith(("http://", "https://")):
            with urllib.request.urlopen(self._source, timeout=ANSWER_S) as answer:
                return str(answer.read(METRICS_BYTES).decode())
        with Path(self._source).open(encoding="utf-8") as file:
            return file.read(METRICS_BYTES)


def _grown(now: Mapping[float, float], before: Mapping[float, float]) -> Buckets:
    """What was added; all of it when the process began anew."""
    if any(count < before.get(bound, 0.0) for bound, count in now.items()):
        before = {}
    return {bound: count - before.get(bound, 0.0) for bound, count in now.items()}


def quantile(share: float, buckets: Mapping[float, float]) -> float | None:
    """The value that ``share`` of the observations do not exceed; ``None`` for none. An open last bucket gives its floor."""
    bounds = sorted(buckets)
    total = buckets[bounds[-1]] if bounds else 0.0
    if total <= 0:
        return None
    wanted, low, below = share * total, 0.0, 0.0
    for bound in bounds:
        if buckets[bound] >= wanted:
            if math.isinf(bound) or buckets[bound] == below:
                return low
            return low + (bound - low) * (wanted - below) / (buckets[bound] - below)
        low, below = bound, buckets[bound]
    return low
