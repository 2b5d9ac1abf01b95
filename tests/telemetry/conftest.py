"""Nobody watches before a test, and nobody after it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from swampstore.env import phases
from swampstore.telemetry import asked, metrics, spans


@pytest.fixture(autouse=True)
def unwatched(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.delenv(asked.METRICS_VARIABLE, raising=False)
    monkeypatch.setenv(asked.SPANS_VARIABLE, "0")
    _silence()
    yield
    _silence()


def _silence() -> None:
    metrics.stop()
    spans.stop()
    asked.forget()
    assert phases.observer is None
    assert not phases.watched
