"""Metrics for Prometheus, by its own client library: a text file that is replaced now and then, or an address to ask.

    swampstore.metrics.start("/var/lib/node_exporter/swamp.prom")     a file for node_exporter's textfile collector
    swampstore.metrics.start("127.0.0.1:9464")                        an address on loopback, for a scrape
    swampstore.metrics.text()                                         what either would say now

Invariants:
- Nothing on the hot path waits for an exporter (:mod:`.buffer`); a disk or a reader that hangs holds up its own thread.
- A file is complete or not there: written beside and renamed. The address is on this machine alone.
- Only a regular file is ever replaced, the one that a link leads to: never a device, a pipe, a folder or the link itself.
- One target a process: a second process needs a file or a port of its own (``{pid}`` in a path is the process id).

Sources: the Prometheus exposition format; node_exporter's textfile collector (reads ``*.prom`` whole).
"""

from __future__ import annotations

import atexit
import logging
import os
import stat
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from swampstore.errors import BadConfig, MissingExtra
from swampstore.telemetry import watch
from swampstore.telemetry.buffer import GOODBYE_S
from swampstore.telemetry.reference import BUCKETS_S, Metric
from swampstore.telemetry.tables import Histogram, Sample, Tables

if TYPE_CHECKING:
    from prometheus_client.core import CollectorRegistry
    from prometheus_client.metrics_core import Metric as Family

FILE_EVERY_S = 5.0
_log = logging.getLogger("swampstore.telemetry")
_LOOPBACK = ("127.0.0.1", "localhost", "::1")


class _Series:
    """What Prometheus' library asks for the numbers."""

    def __init__(self, tables: Tables) -> None:
        self._tables = tables

    def collect(self) -> Iterator[Family]:
        from swampstore.telemetry import spans

        dropped = {"metrics": self._tables.buffer.dropped, "spans": spans.dropped()}
        for metric, samples in self._tables.samples(dropped):
            yield _family(metric, samples)


def _family(metric: Metric, samples: list[Sample]) -> Family:
    from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily

    if metric.kind == "histogram":
        made = HistogramMetricFamily(metric.name, metric.text, labels=metric.labels)
        for labels, value in samples:
            assert isinstance(value, Histogram)
            made.add_metric(list(labels), buckets=_cumulative(value), sum_value=value.sum)
        return made
    family: CounterMetricFamily | GaugeMetricFamily
    if metric.kind == "counter":
        family = CounterMetricFamily(metric.name, metric.text, labels=metric.labels)
    else:
        family = GaugeMetricFamily(metric.name, metric.text, labels=metric.labels)
    for labels, value in samples:
        assert not isinstance(value, Histogram)
        family.add_metric(list(labels), value)
    return family


def _cumulative(held: Histogram) -> list[Any]:
    total, buckets = 0, []
    for end, count in zip((*map(str, BUCKETS_S), "+Inf"), held.counts, strict=True):
        total += count
        buckets.append((end, total))
    return buckets


@dataclass
class _Running:
    """What :func:`start` has started."""

    target: str
    tables: Tables
    registry: CollectorRegistry
    stop: threading.Event = field(default_factory=threading.Event)
    thread: threading.Thread | None = None
    server: Any = None


_running: _Running | None = None
_mutex = threading.Lock()


def start(target: str = "", *, every_s: float = FILE_EVERY_S) -> None:
    """Measure from now on, and say it in ``target``: a file's path, or ``HOST:PORT`` on loopback; empty: :func:`text` only.

    A file is replaced every ``every_s`` seconds and when the process ends. Again with the same target does nothing.
    Raises ``MissingExtra`` (the library is not installed), ``BadConfig`` (the address is not on this machine or is taken,
    there is no such folder, what lies there is no file).
    """
    global _running  # noqa: PLW0603 (one process has one set of metrics)
    with _mutex:
        if _running is not None:
            if _running.target in (target, ""):
                return
            raise BadConfig(
                f"metrics go to {_running.target} already", hint="stop them first: swampstore.metrics.stop()"
            )
        try:
            from prometheus_client.core import CollectorRegistry
        except ImportError as error:
            raise MissingExtra(
                "prometheus_client is not installed", hint="pip install 'swampstore[metrics]'"
            ) from error
        tables = Tables()
        registry = CollectorRegistry()
        registry.register(_Series(tables))
        running = _Running(target, tables, registry)
        try:
            if _is_slip(target):
                raise BadConfig(f"{target!r} is no address", hint="127.0.0.1:PORT; a file of that name is ./NAME")
            if _is_address(target):
                _serve(running)
            elif target:
                _write_on(running, every_s)
        except BaseException:
            tables.close()
            raise
        watch.add(tables)
        _running = running


def stop() -> None:
    """Stop measuring. A file gets its last state; an address is free again. Idempotent."""
    global _running
    with _mutex:
        running, _running = _running, None
    if running is None:
        return
    watch.remove(running.tables)
    running.tables.close()
    running.stop.set()
    if running.thread is not None:
        running.thread.join(GOODBYE_S)
    if running.server is not None:
        running.server.shutdown()
        running.server.server_close()


def text() -> str:
    """The metrics as Prometheus reads them; empty when nothing is measured."""
    running = _running
    if running is None:
        return ""
    from prometheus_client import generate_latest

    return generate_latest(running.registry).decode()


def _is_address(target: str) -> bool:
    host, _, port = target.rpartition(":")
    return bool(host) and port.isdigit() and "/" not in host


def _is_slip(target: str) -> bool:
    """What was meant as an address: as a file it would lie somewhere, and nobody would answer."""
    only_part = target.isdigit() or target.startswith(":") or target.endswith(":") or target.strip("[]") in _LOOPBACK
    return only_part or "://" in target


def _serve(running: _Running) -> None:
    from prometheus_client import start_http_server

    host, _, port = running.target.rpartition(":")
    host = host.strip("[]")
    if host not in _LOOPBACK:
        raise BadConfig(f"metrics are not served on {host}", hint="an address of this machine alone: 127.0.0.1:PORT")
    try:
        running.server, running.thread = start_http_server(int(port), addr=host, registry=running.registry)
    except (OSError, OverflowError) as error:
        raise BadConfig(f"{running.target}: {error}", hint="give each process a port of its own") from error


def _write_on(running: _Running, every_s: float) -> None:
    from prometheus_client import write_to_textfile

    path = running.target.replace("{pid}", str(os.getpid()))
    _replaceable(path)

    def loop() -> None:
        ended = False
        while not ended:
            ended = running.stop.wait(every_s)
            try:
                write_to_textfile(_replaceable(path), running.registry)
            except (OSError, BadConfig) as error:
                _log.warning("metrics could not be written to %s: %s", path, error)

    running.thread = threading.Thread(target=loop, daemon=True, name="swampstore-metrics-file")
    running.thread.start()


def _replaceable(path: str) -> str:
    """Where the file lies that ``path`` leads to, there or not yet: a rename would take away anything else that is there.

    Raises ``BadConfig``.
    """
    try:
        found = os.stat(path)  # follows a link as the system does; what a path in /proc says of a pipe names nothing
    except FileNotFoundError:
        found = None
    except (OSError, ValueError) as error:
        raise BadConfig(f"{path}: {error}", hint="name a file that can be replaced") from error
    if found is not None and not stat.S_ISREG(found.st_mode):
        kind = "a folder" if stat.S_ISDIR(found.st_mode) else "a device, a pipe or a socket"
        raise BadConfig(f"{path} is {kind}, and metrics replace a file", hint="name a file, there or not yet")
    real = os.path.realpath(path)
    folder = os.path.dirname(real)
    if not os.path.isdir(folder) or not os.access(folder, os.W_OK):
        raise BadConfig(f"{folder} is not a folder that this process may write to", hint="make it, or name another")
    return real


def _forked() -> None:
    """The child has none of the threads, and whatever the parent held is not its own."""
    global _running, _mutex
    _running, _mutex = None, threading.Lock()


os.register_at_fork(after_in_child=_forked)
atexit.register(stop)
