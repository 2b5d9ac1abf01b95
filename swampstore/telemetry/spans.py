"""OpenTelemetry spans: one for each operation, a child for each of its phases. They end where the program sends its own.

Spans are made after the fact, in a thread of their own, with the times and the parent that the operation had: a span
processor that exports at once, or hangs, holds up nobody. The children lie end to end in the order in which the phases
first ended; a phase that came again is one child with all its time.

Source: OpenTelemetry's tracing API (spans with explicit start and end times, and an explicit context).
"""

from __future__ import annotations

import atexit
import os
import threading
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from swampstore.errors import MissingExtra
from swampstore.telemetry import watch
from swampstore.telemetry.buffer import Buffer
from swampstore.version import __version__

if TYPE_CHECKING:
    from opentelemetry.trace import Tracer, TracerProvider

_NS = 1_000_000_000


class Spans:
    """A :class:`swampstore.telemetry.watch.Sink`; operations only."""

    def __init__(self, tracer: Tracer) -> None:
        from opentelemetry.context import get_current
        from opentelemetry.trace import StatusCode, set_span_in_context

        self._tracer = tracer
        self._context = get_current
        self._error = StatusCode.ERROR
        self._inside = set_span_in_context
        self.buffer: Buffer[tuple[Any, ...]] = Buffer("spans", self._export)

    def finished(self, op: str, seconds: float, phases: Mapping[str, float], outcome: str, records: int) -> None:
        self.buffer.put((op, seconds, phases, outcome, records, time.time_ns(), self._context()))

    def request(self, verb: str, outcome: str, seconds: float, sent: int, received: int) -> None:
        """Requests are part of their operation's phases."""

    def count(self, name: str, amount: int) -> None:
        """Counts are metrics, not spans."""

    def depth(self, segments: int) -> None:
        """The same."""

    def spool(self, records: int, seconds: float) -> None:
        """The same."""

    def close(self) -> None:
        self.buffer.close()

    def _export(self, events: list[tuple[Any, ...]]) -> None:
        for op, seconds, phases, outcome, records, ended, context in events:
            at = ended - round(seconds * _NS)
            known = {"swampstore.outcome": outcome, "swampstore.records": records}
            span = self._tracer.start_span(f"swampstore.{op}", context=context, start_time=at, attributes=known)
            if outcome != "ok":
                span.set_status(self._error, outcome)
            inside = self._inside(span, context)
            for phase, spent in phases.items():
                child = self._tracer.start_span(f"swampstore.{op}.{phase}", context=inside, start_time=at)
                at += round(spent * _NS)
                child.end(min(at, ended))
            span.end(ended)


_running: Spans | None = None
_mutex = threading.Lock()


def start(provider: TracerProvider | None = None) -> None:
    """Make spans from now on, by ``provider`` or the program's global one. Again does nothing.

    Raises ``MissingExtra`` when OpenTelemetry's API is not installed.
    """
    global _running  # noqa: PLW0603 (one process has one tracer)
    try:
        from opentelemetry.trace import get_tracer
    except ImportError as error:
        raise MissingExtra("OpenTelemetry's API is not installed", hint="pip install 'swampstore[otel]'") from error
    with _mutex:
        if _running is None:
            _running = Spans(get_tracer("swampstore", __version__, provider))
            watch.add(_running)


def stop() -> None:
    """Make no more spans; those of what has ended are handed on. Idempotent."""
    global _running
    with _mutex:
        running, _running = _running, None
    if running is not None:
        watch.remove(running)
        running.close()


def dropped() -> int:
    """Operations that got no span because the exporter fell behind."""
    running = _running
    return running.buffer.dropped if running is not None else 0


def _forked() -> None:
    """The child has none of the threads."""
    global _running, _mutex
    _running, _mutex = None, threading.Lock()


os.register_at_fork(after_in_child=_forked)
atexit.register(stop)
