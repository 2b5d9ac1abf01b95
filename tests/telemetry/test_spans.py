"""Spans: one for each operation below the caller's own, a child for each phase, made where nobody waits for them."""

from __future__ import annotations

import threading

import pytest

pytest.importorskip("opentelemetry.sdk")

from collections.abc import Sequence

from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor, SpanExporter, SpanExportResult
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

import swampstore
from swampstore.env import phases
from swampstore.env.blocking import run
from swampstore.errors import NotFound
from swampstore.telemetry import asked, spans
from tests.telemetry.test_phases import wrote
from tests.telemetry.world import LIST, ROOT, SEGMENT, World


def test_a_span_for_the_operation_and_one_for_each_phase() -> None:
    exporter = InMemorySpanExporter()
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    world = World()
    wrote(world, "a")
    world.costly()
    spans.start(provider)
    with provider.get_tracer("caller").start_as_current_span("request") as around:
        run(world.open().read("a"))
        with pytest.raises(NotFound):
            run(world.open().read("nothing"))
    spans.stop()
    made = {span.name: span for span in exporter.get_finished_spans()}
    reads = [span for span in exporter.get_finished_spans() if span.name == "swampstore.read"]
    assert [span.attributes["swampstore.outcome"] for span in reads] == ["ok", "not-found"]
    assert [span.status.is_ok for span in reads] == [True, False]
    assert reads[0].parent.span_id == around.get_span_context().span_id
    assert lasted(reads[0]) == pytest.approx(LIST + ROOT + SEGMENT)
    children = [
        span
        for span in exporter.get_finished_spans()
        if span.parent and span.parent.span_id == reads[0].context.span_id
    ]
    assert {span.name: lasted(span) for span in children} == {
        "swampstore.read.list_root": pytest.approx(LIST + ROOT),
        "swampstore.read.segments": pytest.approx(SEGMENT),
    }
    assert {span.context.trace_id for span in reads} == {around.get_span_context().trace_id}
    assert made["request"].parent is None


def lasted(span: ReadableSpan) -> float:
    assert span.end_time is not None
    assert span.start_time is not None
    return (span.end_time - span.start_time) / 1e9


class Hanging(SpanExporter):
    """Exports nothing until it is let go."""

    def __init__(self) -> None:
        self.inside, self.let_go = threading.Event(), threading.Event()
        self.count = 0

    def export(self, batch: Sequence[ReadableSpan]) -> SpanExportResult:
        self.inside.set()
        self.let_go.wait(30)
        self.count += len(batch)
        return SpanExportResult.SUCCESS

    def shutdown(self) -> None:
        self.let_go.set()


def test_an_exporter_that_hangs_holds_up_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("swampstore.telemetry.buffer.EVENTS", 100)
    exporter, provider = Hanging(), TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    spans.start(provider)
    with swampstore.open("memory://hanging") as store:
        namespace = store.namespace("ops")
        namespace.put("a", b"1")
        assert exporter.inside.wait(60)
        for _ in range(50):
            namespace.put("a", b"1")  # each would wait for 30 s
    assert exporter.count == 0
    exporter.let_go.set()
    spans.stop()
    assert exporter.count > 51


def test_a_program_that_traces_gets_them_without_asking(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(asked.SPANS_VARIABLE)
    with swampstore.open("memory://traces"):
        assert phases.watched, "the SDK is loaded here"
    spans.stop()
    asked.forget()
    monkeypatch.setenv(asked.SPANS_VARIABLE, "0")
    with swampstore.open("memory://traces"):
        assert not phases.watched


def test_without_the_api_the_hint_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "opentelemetry.trace", None)
    with pytest.raises(swampstore.MissingExtra) as caught:
        spans.start()
    assert "swampstore[otel]" in caught.value.hint
