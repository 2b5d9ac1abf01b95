"""What seeing costs: appends watched by nobody, by metrics and spans, and by exporters that hang; in turns, one process."""

from __future__ import annotations

import ast
import inspect
import statistics
import textwrap
import threading
import time
from collections.abc import Callable, Generator
from pathlib import Path
from typing import Any

PAYLOAD = b"x" * 300
GUARD = "phases.watched"


def appends(url: str, folder: str, rounds: int, count: int) -> Generator[None, None, dict[str, Any]]:
    """Microseconds of each of ``count`` puts, ``rounds`` times in turns, by who watches."""
    import swampstore

    store = swampstore.open(url, create=True)
    namespace = store.namespace("bench")
    modes: dict[str, Callable[[], Callable[[], None]]] = {
        "off": lambda: _nobody,
        "on": lambda: _watched(folder, hang=False),
        "blocked": lambda: _watched(folder, hang=True),
    }
    for mode in modes.values():
        end = mode()
        namespace.put("first", PAYLOAD)
        end()
    yield
    took: dict[str, list[float]] = {name: [] for name in modes}
    names = list(modes)
    for turn in range(rounds):
        for name in (*names[turn % 3 :], *names[: turn % 3]):
            end = modes[name]()
            for number in range(count):
                began = time.perf_counter()
                namespace.put(f"k{number % 50}", PAYLOAD)
                took[name].append((time.perf_counter() - began) * 1e6)
            end()
    store.close()
    return took


def _nobody() -> None:
    """There is nothing to stop."""


def _watched(folder: str, *, hang: bool) -> Callable[[], None]:
    """Metrics into a file, and spans; with ``hang`` neither exporter ever comes back. Returns how to end it."""
    import prometheus_client
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import SimpleSpanProcessor, SpanExporter, SpanExportResult

    from swampstore.telemetry import metrics, spans

    let_go = threading.Event()

    class Exporter(SpanExporter):
        def export(self, _spans: Any) -> SpanExportResult:
            if hang:
                let_go.wait()
            return SpanExportResult.SUCCESS

    real = prometheus_client.write_to_textfile
    if hang:
        prometheus_client.write_to_textfile = lambda *_, **__: let_go.wait()  # type: ignore[assignment]
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(Exporter()))
    metrics.start(str(Path(folder) / "bench.prom"), every_s=0.05)
    spans.start(provider)

    def end() -> None:
        let_go.set()
        metrics.stop()
        spans.stop()
        prometheus_client.write_to_textfile = real

    return end


def guards(url: str, rounds: int, count: int) -> Generator[None, None, dict[str, Any]]:
    """Nanoseconds of a put as it is and with the look at the observer cut out of it; of the stopwatch, and of nothing."""
    import swampstore
    from swampstore.env import phases
    from swampstore.env.blocking import BlockingEnv
    from swampstore.protocols import small_puts

    store = swampstore.open(url, create=True)
    space = store.namespace("bench")._core
    store.namespace("bench").put("first", PAYLOAD)
    as_it_is, cut = small_puts.SmallPuts.put_now, _without_guard(small_puts.SmallPuts.put_now, vars(small_puts))
    assert not phases.watched
    short = space.small
    assert short is not None, "this store has no short way"
    yield
    took: dict[str, list[float]] = {"as it is": [], "cut": [], "stopwatch": [], "guard": [], "nothing": []}
    boot = BlockingEnv().boot
    for turn in range(rounds):
        pairs = [("as it is", as_it_is), ("cut", cut)]
        for name, put in pairs if turn % 2 else reversed(pairs):
            some = []
            for number in range(count):
                began = time.perf_counter_ns()
                put(short, f"k{number % 50}", PAYLOAD)
                some.append(time.perf_counter_ns() - began)
            took[name].append(float(statistics.median(some)))
        took["guard"].append(_timed(lambda _phases=phases: _guard(_phases), count))
        took["stopwatch"].append(_timed(lambda _phases=phases: _stopwatch(boot, _phases), count))
        took["nothing"].append(_timed(lambda _phases=phases: _nothing(_phases), count))
    store.close()
    return took


def _timed(call: Callable[[], object], count: int) -> float:
    """Nanoseconds a call of ``call``."""
    began = time.perf_counter_ns()
    for _ in range(count):
        call()
    return (time.perf_counter_ns() - began) / count


def _nothing(_phases: Any) -> None:
    """What a call costs."""


def _guard(phases: Any) -> None:
    if phases.watched:
        raise AssertionError


def _stopwatch(boot: Callable[[], float], phases: Any) -> dict[str, float]:
    """All that a put does so that its ack can say where time went."""
    began = boot()
    encoded = boot()
    ended = boot()
    spent = {"encode": encoded - began, "log_write": ended - encoded}
    if phases.watched:
        raise AssertionError
    return spent


def _without_guard(function: Any, names: dict[str, Any]) -> Any:
    """``function`` compiled anew without ``if phases.watched: ...``. Raises ``AssertionError`` if there is none in it."""
    tree = ast.parse(textwrap.dedent(inspect.getsource(function)))
    found = 0

    class Cut(ast.NodeTransformer):
        def visit_If(self, node: ast.If) -> Any:
            nonlocal found
            if ast.unparse(node.test) == GUARD:
                found += 1
                return None
            return self.generic_visit(node)

    made: dict[str, Any] = {}
    exec(compile(ast.fix_missing_locations(Cut().visit(tree)), "<cut>", "exec"), names, made)
    assert found, f"no {GUARD} in {function.__qualname__}: what would be measured?"
    return made[function.__name__]
