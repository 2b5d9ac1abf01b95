"""Metrics: the numbers are right, every exporter says them, and none of them can hold up the work."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

import swampstore
from swampstore.env import phases
from swampstore.env.blocking import run
from swampstore.errors import BadConfig, MissingExtra, NotFound, VersionConflict
from swampstore.telemetry import asked, metrics
from swampstore.telemetry.buffer import Buffer
from swampstore.telemetry.reference import METRICS
from swampstore.values.deltas import Put
from tests.telemetry.world import LIST, ROOT, World


def values(text: str) -> dict[tuple[str, ...], float]:
    """``(name, label values ...)`` of every sample, by the names of the labels, and its value."""
    return {
        (sample.name, *sample.labels.values()): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def work() -> World:
    """A little of everything, on virtual time, with what the store takes."""
    world = World()
    namespace = world.open()
    run(namespace.prove())
    world.costly()
    run(namespace.put(Put(key="a", data=b"1")))
    run(namespace.put(Put(key="b", data=b"22")))
    assert run(world.open().read("a")) == b"1"
    with pytest.raises(NotFound):
        run(world.open().read("nothing"))
    with pytest.raises(VersionConflict):
        run(namespace.put_if(Put(key="a", data=b"2"), if_version=None, if_absent=True))
    run(world.open().compact(full=True))
    return world


def test_numbers_of_everything() -> None:
    metrics.start()
    work()
    found = values(metrics.text())
    assert found["swampstore_operations_total", "append", "ok"] == 2 + 1  # the world's own first one
    assert found["swampstore_operations_total", "read", "ok"] == 1
    assert found["swampstore_operations_total", "read", "not-found"] == 1
    assert found["swampstore_operations_total", "update", "version-conflict"] == 1
    assert found["swampstore_records_total", "append"] == 3
    assert found["swampstore_folded_records_total",] == 3
    assert found["swampstore_merged_records_total",] == 3
    assert found["swampstore_requests_total", "ok", "create"] > 2
    assert found["swampstore_requests_total", "ok", "list"] > 2
    assert found["swampstore_bytes_total", "sent"] > 0
    assert found["swampstore_phase_seconds_count", "read", "list_root"] == 2
    assert found["swampstore_phase_seconds_sum", "read", "list_root"] == 2 * (LIST + ROOT)
    assert found["swampstore_operation_seconds_count", "append"] == 3
    assert found["swampstore_dropped_events_total", "metrics"] == 0
    # A histogram is cumulative: nothing is lost between its buckets.
    counts = [value for (name, *labels), value in found.items() if name == "swampstore_operation_seconds_bucket" and labels[-1] == "append"]  # fmt: skip
    assert counts == sorted(counts)
    assert counts[-1] == 3


def test_every_metric_of_the_reference_is_said_with_its_labels_and_no_other() -> None:
    metrics.start()
    work()
    said = {family.name: family for family in text_string_to_metric_families(metrics.text())}
    assert set(said) == {metric.name for metric in METRICS}
    for metric in METRICS:
        family = said[metric.name]
        assert (family.type, family.documentation) == (metric.kind, metric.text)
        for sample in family.samples:
            assert set(sample.labels) - {"le"} == set(metric.labels)


def test_labels_are_bounded() -> None:
    """No key, namespace or store ever becomes a label."""
    metrics.start()
    world = World()
    namespace = world.open()
    for number in range(50):
        run(namespace.put(Put(key=f"key-{number}", data=b"1")))
    text = metrics.text()
    assert "key-" not in text
    assert "ops" not in {value for line in values(text) for value in line[1:]}


def test_a_file_is_complete_and_replaced(tmp_path: Path) -> None:
    path = tmp_path / "swamp.prom"
    metrics.start(str(path), every_s=3600)
    work()
    assert not path.exists()
    metrics.stop()
    assert values(path.read_text())["swampstore_operations_total", "append", "ok"] == 3
    assert os.listdir(tmp_path) == ["swamp.prom"]


def test_a_process_of_many_has_a_file_of_its_own(tmp_path: Path) -> None:
    metrics.start(str(tmp_path / "swamp-{pid}.prom"), every_s=3600)
    metrics.stop()
    assert os.listdir(tmp_path) == [f"swamp-{os.getpid()}.prom"]


def test_an_address_answers() -> None:
    import socket

    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        target = f"127.0.0.1:{probe.getsockname()[1]}"
    metrics.start(target)
    work()
    with urllib.request.urlopen(f"http://{target}/metrics", timeout=60) as answer:
        found = values(answer.read().decode())
    assert found["swampstore_operations_total", "append", "ok"] == 3
    metrics.stop()
    with pytest.raises(OSError, match="refused"):
        urllib.request.urlopen(f"http://{target}/metrics", timeout=60)


@pytest.mark.parametrize("target", ["0.0.0.0:9464", "10.1.2.3:80", "/no/such/folder/x.prom", "127.0.0.1:99999999"])
def test_targets_that_are_refused(target: str) -> None:
    with pytest.raises(BadConfig):
        metrics.start(target)
    assert metrics.text() == ""


@pytest.mark.parametrize(
    "kind", ["fifo", "link to a fifo", "device", "folder", "folder with a slash", "link to itself"]
)
def test_what_is_no_file_is_refused_at_once_and_stays(kind: str, tmp_path: Path) -> None:
    """A rename over it would take it away: as root, the machine's own devices."""
    path, pipe = tmp_path / "x.prom", tmp_path / "pipe"
    os.mkfifo(pipe)
    target = {
        "fifo": str(pipe),
        "link to a fifo": str(path),
        "device": str(path),
        "folder": str(tmp_path),
        "folder with a slash": f"{tmp_path}/",
        "link to itself": str(path),
    }[kind]
    if kind.startswith("link"):
        path.symlink_to(path if kind == "link to itself" else pipe)
    elif kind == "device":
        try:
            os.mknod(path, stat.S_IFCHR | 0o600, os.makedev(1, 3))  # never the machine's own: it would be its end
        except PermissionError:
            pytest.skip("making a device is root's")
    before = sorted((name, os.lstat(tmp_path / name).st_mode) for name in os.listdir(tmp_path))
    with pytest.raises(BadConfig):
        metrics.start(target, every_s=3600)
    metrics.stop()
    assert sorted((name, os.lstat(tmp_path / name).st_mode) for name in os.listdir(tmp_path)) == before


def test_what_has_taken_the_place_of_the_file_stays(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = tmp_path / "x.prom"
    metrics.start(str(path), every_s=3600)
    os.mkfifo(path)
    metrics.stop()
    assert path.is_fifo()
    assert "is a device, a pipe or a socket" in caplog.text


@pytest.mark.parametrize("there", [True, False])
def test_a_link_stays_and_what_it_leads_to_is_replaced(there: bool, tmp_path: Path) -> None:
    real, link = tmp_path / "real.prom", tmp_path / "link.prom"
    if there:
        real.write_text("before")
    link.symlink_to(real.name)
    metrics.start(str(link), every_s=3600)
    metrics.stop()
    assert link.is_symlink()
    assert "# HELP" in real.read_text()
    assert sorted(os.listdir(tmp_path)) == ["link.prom", "real.prom"]


def test_a_second_target_is_refused_and_the_same_one_is_not(tmp_path: Path) -> None:
    metrics.start(str(tmp_path / "a.prom"))
    metrics.start(str(tmp_path / "a.prom"))
    with pytest.raises(BadConfig, match="already"):
        metrics.start(str(tmp_path / "b.prom"))


def test_without_the_library_the_hint_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "prometheus_client.core", None)
    with pytest.raises(MissingExtra) as caught:
        metrics.start()
    assert "swampstore[metrics]" in caught.value.hint


# --- the hot path waits for nobody ------------------------------------------------------------------------------------


def test_a_full_buffer_drops_and_counts() -> None:
    """An exporter that hangs: the buffer fills, what comes then is dropped, and nobody has waited."""
    inside, let_go = threading.Event(), threading.Event()
    handled: list[int] = []

    def hang(items: list[int]) -> None:
        inside.set()
        let_go.wait(30)
        handled.extend(items)

    buffer = Buffer("test", hang, limit=10)
    buffer.put(0)
    assert inside.wait(60)
    for number in range(1, 26):
        buffer.put(number)
    assert handled == [], "it waited for the exporter"
    assert buffer.dropped == 15
    let_go.set()
    buffer.close()
    assert handled == list(range(11))


def test_an_exporter_that_fails_is_asked_again(caplog: pytest.LogCaptureFixture) -> None:
    handled: list[int] = []
    failed = threading.Event()

    def fail_once(items: list[int]) -> None:
        if not failed.is_set():
            failed.set()
            raise RuntimeError("no")
        handled.extend(items)

    buffer = Buffer("test", fail_once)
    buffer.put(1)
    assert failed.wait(60)
    buffer.put(2)
    buffer.close()
    assert handled == [2]
    assert "an exporter failed" in caplog.text


def test_a_file_that_hangs_does_not_stop_the_counting(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    inside, let_go = threading.Event(), threading.Event()

    def hang(*_: Any) -> None:
        inside.set()
        let_go.wait(30)

    monkeypatch.setattr("prometheus_client.write_to_textfile", hang)
    metrics.start(str(tmp_path / "x.prom"), every_s=0.01)
    assert inside.wait(60)
    work()
    assert values(metrics.text())["swampstore_operations_total", "append", "ok"] == 3
    let_go.set()


@pytest.mark.parametrize("target", [":9464", "9464", "127.0.0.1", "localhost:", "http://127.0.0.1:9464/metrics"])
def test_half_an_address_is_not_taken_for_a_file(target: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(swampstore.BadConfig):
        metrics.start(target)
    metrics.stop()
    assert list(tmp_path.iterdir()) == []


# --- turned on from outside -------------------------------------------------------------------------------------------


def test_the_environment_turns_it_on_when_a_store_is_opened(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "swamp.prom"
    monkeypatch.setenv(asked.METRICS_VARIABLE, str(path))
    with swampstore.open("memory://asked") as store:
        store.namespace("ops").put("a", b"1")
    metrics.stop()
    assert values(path.read_text())["swampstore_operations_total", "append", "ok"] == 1


def test_trouble_with_it_keeps_no_store_closed(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv(asked.METRICS_VARIABLE, "0.0.0.0:9464")
    with swampstore.open("memory://asked-2") as store:
        store.namespace("ops").put("a", b"1")
    assert "no metrics: SWAMPSTORE_METRICS=0.0.0.0:9464: metrics are not served on 0.0.0.0 (an address" in caplog.text
    assert phases.observer is None


CHILD = """
import os, swampstore
swampstore.metrics.start()
with swampstore.open("memory://a") as store:
    store.namespace("ops").put("a", b"1")
child = os.fork()
if not child:
    from swampstore.env import phases
    with swampstore.open("memory://b") as store:
        store.namespace("ops").put("a", b"1")
    os._exit(3 if phases.observer is None and not swampstore.metrics.text() else 4)
assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 3
assert 'swampstore_operations_total{op="append",outcome="ok"} 1.0' in swampstore.metrics.text()
"""


def test_a_forked_child_begins_anew() -> None:
    subprocess.run([sys.executable, "-c", CHILD], check=True, timeout=60, env=dict(os.environ))


LAZY = """
import sys, swampstore
with swampstore.open("memory://a") as store:
    store.namespace("ops").put("a", b"1")
found = [name for name in sys.modules if name.startswith(("prometheus_client", "opentelemetry", "swampstore.telemetry."))]
print(sorted(set(found) - {"swampstore.telemetry.asked"}))
"""


def test_nothing_of_it_is_loaded_unless_asked() -> None:
    done = subprocess.run([sys.executable, "-c", LAZY], check=True, timeout=60, capture_output=True, text=True)
    assert done.stdout == "[]\n"


def until(condition: Callable[[], bool]) -> None:
    ends = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < ends
        time.sleep(0.01)
