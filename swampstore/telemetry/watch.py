"""The observer of this process: hands what it is told to every sink there is."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Protocol

from swampstore.env import phases
from swampstore.telemetry import asked


class Sink(phases.Observer, Protocol):
    """Where it goes. A sink never waits and never raises."""

    def close(self) -> None:
        """Hand on what is left, within a few seconds."""
        ...


class Watch:
    """See :class:`swampstore.env.phases.Observer`."""

    def __init__(self, sinks: tuple[Sink, ...]) -> None:
        self.sinks = sinks

    def finished(self, op: str, seconds: float, phases: Mapping[str, float], outcome: str, records: int) -> None:
        for sink in self.sinks:
            sink.finished(op, seconds, phases, outcome, records)

    def request(self, verb: str, outcome: str, seconds: float, sent: int, received: int) -> None:
        for sink in self.sinks:
            sink.request(verb, outcome, seconds, sent, received)

    def count(self, name: str, amount: int) -> None:
        for sink in self.sinks:
            sink.count(name, amount)

    def depth(self, segments: int) -> None:
        for sink in self.sinks:
            sink.depth(segments)

    def spool(self, records: int, seconds: float) -> None:
        for sink in self.sinks:
            sink.spool(records, seconds)


def _sinks() -> tuple[Sink, ...]:
    watching = phases.observer
    return watching.sinks if isinstance(watching, Watch) else ()


def _set(sinks: tuple[Sink, ...]) -> None:
    phases.observe(Watch(sinks) if sinks else None)


def add(sink: Sink) -> None:
    """Let ``sink`` be told from now on."""
    _set((*_sinks(), sink))


def remove(sink: Sink) -> None:
    """No longer."""
    _set(tuple(one for one in _sinks() if one is not sink))


def _forked() -> None:
    """The child has none of the threads: it is watched by nobody until it opens a store, or asks."""
    phases.forked()
    asked.forget()


os.register_at_fork(after_in_child=_forked)
