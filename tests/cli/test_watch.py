"""Watching a store: what a sample holds, what both views say of it, and who may see the page."""

from __future__ import annotations

import http.client
import io
import json
import os
import pty
import re
import select
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import msgspec
import pytest
from rich.console import Console

import swampstore
from swampstore.client.core import CoreStore
from swampstore.env.blocking import BlockingEnv
from swampstore.errors import StoreUnavailable
from swampstore.stores.memory import MemoryStore
from swampstore.testing.wrappers import CountingStore
from swampstore.workers.audit_spool import SpoolStatus
from swampstore_cli.stopping import StopSignals
from swampstore_cli.watch import phases as phases_module
from swampstore_cli.watch.figures import facts, figures
from swampstore_cli.watch.page import page
from swampstore_cli.watch.phases import PhaseTimes, quantile
from swampstore_cli.watch.sample import QUEUES_EVERY, Watched
from swampstore_cli.watch.server import PageServer
from swampstore_cli.watch.svg import plot, thinned
from swampstore_cli.watch.terminal import _table, sparkline, watch_in_terminal
from tests.cli.conftest import Swamp

HOSTILE = '<script>alert("x")</script>'


@pytest.fixture
def store(user: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("SWAMP_DATASTORE", str(user / "store"))
    with swampstore.open(str(user / "store")) as opened:
        opened.namespace("ops").put_many({f"k{at}": b"x" for at in range(5)})
    return user / "store"


@pytest.fixture
def watched(store: Path) -> Iterator[Watched]:
    with swampstore.open(str(store)) as opened:
        core: CoreStore = opened._core
        yield Watched(core.namespace("ops"))


class TestSamples:
    def test_rates_are_those_of_the_slots_taken_meanwhile(self, watched: Watched, store: Path) -> None:
        began = time.monotonic()
        assert watched.look().append_rate == 0
        for _ in range(4):
            with swampstore.open(f"{store}") as opened:
                opened.namespace("ops").stream("s").append([b"x"])
        with swampstore.open(str(store)) as opened:
            opened.namespace("ops").compact()
        sample = watched.look()
        span = time.monotonic() - began
        assert 4 / span <= sample.append_rate
        assert sample.publish_rate > 0
        assert sample.depth == 0

    def test_lane_files_are_told_by_their_bytes(self, watched: Watched, store: Path) -> None:
        with swampstore.open(str(store)) as opened:
            namespace = opened.namespace("ops")
            namespace.put("first", b"x")
            began = time.monotonic()
            watched.look()
            for _ in range(10):
                namespace.put("k", b"x" * 100)
            sample = watched.look()
        assert sample.append_rate == 0
        assert sample.bytes_rate >= 1000 / (time.monotonic() - began)

    def test_what_waits_on_this_machine_is_told(self, watched: Watched, monkeypatch: Any) -> None:
        waits = SpoolStatus("/spool", writes=2, records=3, oldest_s=70.0, problem="no route")
        monkeypatch.setattr(watched._core.delivery, "status", lambda: waits)
        told = dict(facts(watched.look()))
        assert told["spool"] == "3 audit records wait on this machine for 70 s: no route"
        assert next(figure.now for figure in figures(list(watched.samples)) if figure.name == "spool") == "3"

    def test_queues_are_looked_at_now_and_then_and_remembered(self, watched: Watched, store: Path) -> None:
        with swampstore.open(str(store)) as opened, opened.namespace("ops").lock("deploy", purpose="now"):
            seen = [watched.look().status for _ in range(QUEUES_EVERY)]
        again = watched.look().status
        assert all(status and status.queues and status.queues[0].unfinished == 1 for status in seen)
        assert again is not None
        assert again.queues is not None
        assert [queue.unfinished for queue in again.queues] == [0]

    def test_a_look_is_two_requests(self) -> None:
        counted = CountingStore(MemoryStore())
        watched = Watched(CoreStore(counted, BlockingEnv()).namespace("ops"))
        watched.look()
        before = counted.total
        for _ in range(QUEUES_EVERY - 1):
            watched.look()
        assert counted.total - before == 2 * (QUEUES_EVERY - 1)

    def test_a_store_that_is_away_is_shown_and_watched_on(self, watched: Watched, monkeypatch: Any) -> None:
        def away(*_: object, **__: object) -> None:
            raise StoreUnavailable("no route")

        watched.look()
        with monkeypatch.context() as patch:
            patch.setattr("swampstore_cli.watch.sample.look", away)
            sample = watched.look()
        assert (sample.error, sample.status) == ("no route", None)
        shown = {figure.name: figure for figure in figures(list(watched.samples))}
        assert shown["log depth"].now == "no answer"
        assert shown["log depth"].values[-1] is None
        assert dict(facts(sample)) == {"error": "no route"}
        assert not watched.look().error


class TestPhases:
    TEXT = """\
# TYPE swampstore_operation_phase_seconds histogram
swampstore_operation_phase_seconds_bucket{{op="append",phase="log_write",le="0.001"}} {a}
swampstore_operation_phase_seconds_bucket{{op="append",phase="log_write",le="0.01"}} {b}
swampstore_operation_phase_seconds_bucket{{op="append",phase="log_write",le="+Inf"}} {c}
swampstore_operation_phase_seconds_count{{op="append",phase="log_write"}} {c}
"""

    def test_the_p99_of_what_happened_since(self, tmp_path: Path) -> None:
        file = tmp_path / "m.prom"
        times = PhaseTimes(str(file))
        assert times.look() == {}
        file.write_text(self.TEXT.format(a=1000, b=1000, c=1000))
        assert times.look() == {"append log_write": pytest.approx(0.99)}
        file.write_text(self.TEXT.format(a=1000, b=1100, c=1100))
        assert times.look() == {"append log_write": pytest.approx(1 + 9 * 0.99)}
        assert times.look() == {}
        file.write_text(self.TEXT.format(a=10, b=10, c=10))  # the process began anew
        assert times.look() == {"append log_write": pytest.approx(0.99)}
        file.write_text("not metrics at all {")
        assert times.look() == {}

    def test_quantiles(self) -> None:
        assert quantile(0.5, {}) is None
        assert quantile(0.5, {1.0: 0.0, float("inf"): 0.0}) is None
        assert quantile(0.99, {1.0: 10.0, float("inf"): 20.0}) == 1.0

    def test_the_library_that_reads_them_may_be_missing(self, monkeypatch: Any, swamp: Swamp, store: Path) -> None:
        monkeypatch.setitem(sys.modules, "prometheus_client.parser", None)
        done = swamp("datastore", "status", "--watch", "--metrics", "/m.prom", "--json")
        assert done.code == 2
        assert "swampstore[metrics]" in done.error["hint"]
        assert phases_module.QUANTILE == 0.99


class TestDrawing:
    def test_sparklines(self) -> None:
        assert sparkline([0, 1, None, 7], blocks="_.-=+*#@") == "_. @"
        assert sparkline([5, 5], blocks="_@") == "__"
        assert sparkline([None]) == ""
        assert len(sparkline(list(range(100)), width=10)) == 10

    def test_a_peak_stays_a_peak_when_thinned(self) -> None:
        values: list[float | None] = [0.0] * 1800
        values[777] = 9.0
        values[1000:1012] = [None] * 12
        found = thinned(values, 320)
        assert (len(found), max(value or 0 for value in found), found.count(None)) == (320, 9.0, 2)

    def test_gaps_and_single_points(self) -> None:
        assert plot("a", [1, 2, None, 3]).count("<polyline") == 1
        assert plot("a", [1, 2, None, 3]).count("<circle") == 1
        assert plot("a", [None]).count("poly") == 0
        assert HOSTILE not in plot(HOSTILE, [1])


class TestTerminal:
    def test_without_a_terminal_a_line_for_each_look(self, store: Path) -> None:
        out = self.until(store, b"\n", "--json")
        assert json.loads(out.splitlines()[0])["namespace"] == "ops"

    def test_on_a_terminal(self, store: Path) -> None:
        shown = self.on_terminal(store)
        assert "log depth" in shown
        assert "nobody, epoch" in shown
        assert "file:///" in shown

    @pytest.mark.parametrize(("kind", "lines"), [("dumb", True), ("xterm", False)])
    def test_a_terminal_that_moves_no_cursor_gets_lines(
        self,
        watched: Watched,
        capsys: pytest.CaptureFixture[str],
        monkeypatch: pytest.MonkeyPatch,
        kind: str,
        lines: bool,
    ) -> None:
        monkeypatch.setenv("FORCE_COLOR", "1")  # it is a terminal
        monkeypatch.setenv("TERM", kind)
        with StopSignals() as stop:
            stop.set()
            watch_in_terminal([watched], stop, 1.0, "file:///x")
        told = capsys.readouterr().out
        assert "log depth" in told
        assert ("ops: " in told, "\x1b" in told) == (lines, not lines)

    @pytest.mark.parametrize("width", [24, 40, 60, 80, 120])
    def test_a_narrow_terminal_keeps_names_and_values(self, watched: Watched, width: int) -> None:
        watched.look()
        sample = msgspec.structs.replace(watched.look(), append_rate=12345.6, bytes_rate=1e6)
        shown = list(figures([sample] * 50))
        console = Console(width=width, file=io.StringIO())
        console.print(_table(shown, "_@", width))
        lines = console.file.getvalue().splitlines()  # type: ignore[attr-defined]
        for line, figure in zip(lines, shown, strict=True):
            assert re.match(rf" *{re.escape(figure.name)}  +{re.escape(figure.now)}( |$)", line), line
            assert len(line) <= width
            assert (figure.about[:25] in line) == (width >= 80)
            assert ("_" * 10 in line) == (width >= 40)

    def until(self, store: Path, mark: bytes, *more: str) -> bytes:
        line = [sys.executable, "-m", "swampstore_cli", "datastore", "status", "--watch", "--interval", "200ms", *more]
        with subprocess.Popen(line, stdout=subprocess.PIPE) as process:
            assert process.stdout is not None
            first = process.stdout.readline()
            assert mark in first
            process.send_signal(signal.SIGINT)
            process.communicate(timeout=100)
            assert process.returncode == 0
        return first

    def on_terminal(self, store: Path) -> str:
        ours, theirs = pty.openpty()
        line = [sys.executable, "-m", "swampstore_cli", "datastore", "status", "--watch", "--interval", "200ms"]
        environment = os.environ | {"TERM": "xterm", "COLUMNS": "120", "LINES": "40", "PYTHONIOENCODING": "utf-8"}
        shown = b""
        with subprocess.Popen(line, stdout=theirs, stderr=theirs, stdin=theirs, env=environment) as process:
            os.close(theirs)
            deadline = time.monotonic() + 100
            while b"epoch" not in shown and time.monotonic() < deadline:
                if select.select([ours], [], [], 0.1)[0]:
                    shown += os.read(ours, 1 << 16)
            process.send_signal(signal.SIGTERM)
            drain(ours, process)
            assert process.returncode == 0
        os.close(ours)
        return re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", shown.decode(errors="replace"))


def drain(terminal: int, process: subprocess.Popen[bytes]) -> None:
    """Read on until the process ended: one that writes to a full terminal would hang."""
    deadline = time.monotonic() + 100
    while process.poll() is None and time.monotonic() < deadline:
        if select.select([terminal], [], [], 0.05)[0]:
            try:
                os.read(terminal, 1 << 16)
            except OSError:
                break
    process.wait(timeout=100)


@pytest.mark.parametrize("interval", ["0s", "2h", "soon"])
def test_intervals_that_make_no_sense(swamp: Swamp, store: Path, interval: str) -> None:
    assert swamp("datastore", "status", "--watch", "--interval", interval).code == 2


def test_a_namespace_that_is_not_there(swamp: Swamp, store: Path) -> None:
    done = swamp("datastore", "ui", "--namespace", "nobody")
    assert done.code == 1
    assert "no namespace" in done.err


@pytest.fixture
def server(watched: Watched) -> Iterator[PageServer]:
    watched.look()
    with PageServer([watched], "file:///store", 2.0, 0) as server:
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        yield server
        server.shutdown()


def ask(server: PageServer, path: str, *, method: str = "GET", host: str = "") -> tuple[int, str, dict[str, str]]:
    connection = http.client.HTTPConnection("127.0.0.1", server.server_port, timeout=60)
    connection.request(method, path, headers={"Host": host or f"127.0.0.1:{server.server_port}"})
    answer = connection.getresponse()
    text = answer.read().decode()
    connection.close()
    return answer.status, text, dict(answer.getheaders())


class TestPage:
    def test_it_is_for_who_has_the_address(self, server: PageServer) -> None:
        address = urlsplit(server.address)
        path = f"/?{address.query}"
        status, text, headers = ask(server, path)
        assert (status, address.hostname) == (200, "127.0.0.1")
        assert text.startswith("<!doctype html>")
        nonce = re.search(r'<script nonce="([^"]+)"', text)
        assert nonce is not None
        assert f"script-src 'nonce-{nonce[1]}'" in headers["Content-Security-Policy"]
        assert "default-src 'none'" in headers["Content-Security-Policy"]
        assert ask(server, path.replace("/?", "/middle?"))[1].startswith("<section>")
        assert ask(server, path, host=f"localhost:{server.server_port}")[0] == 200

    @pytest.mark.parametrize("key", ["", "?key=", "?key=wrong", "?key=%ff"])
    def test_not_without_its_key(self, server: PageServer, key: str) -> None:
        status, text, _ = ask(server, f"/{key}")
        assert status == 403
        assert "ops" not in text

    def test_not_under_another_name(self, server: PageServer) -> None:
        path = f"/?key={server.key}"
        assert ask(server, path, host="attacker.example")[0] == 421
        assert ask(server, path, host=f"attacker.example:{server.server_port}")[0] == 421

    def test_only_to_be_read(self, server: PageServer) -> None:
        path = f"/?key={server.key}"
        assert ask(server, path, method="HEAD")[:2] == (200, "")
        assert ask(server, path, method="POST")[0] == 501
        assert ask(server, f"/other?key={server.key}")[0] == 404

    def test_it_listens_on_the_loopback_address_alone(self, server: PageServer) -> None:
        assert server.server_address[0] == "127.0.0.1"

    def test_nothing_that_is_stored_becomes_markup(self, store: Path, watched: Watched) -> None:
        with swampstore.open(str(store)) as opened, opened.namespace("ops").lock(HOSTILE, purpose=HOSTILE):
            watched.look()
        watched.name = HOSTILE
        text = page([watched], HOSTILE, 2.0, "n")
        assert text.count("&lt;script&gt;alert") == 5  # title, heading, namespace, queue, purpose
        assert HOSTILE not in text
        assert re.findall(r"(?:src|href)=", text) == []

    def test_a_port_in_use(self, server: PageServer, swamp: Swamp) -> None:
        done = swamp("datastore", "ui", "--port", str(server.server_port))
        assert done.code == 2
        assert "cannot be used" in done.err


@pytest.mark.prove
@pytest.mark.skipif(shutil.which("chromium") is None, reason="needs Chromium: make browser")
def test_in_a_real_browser(store: Path, tmp_path: Path) -> None:
    """Scripts run under the policy, the middle is replaced in place, dark and light differ, nothing else is asked for."""
    line = [sys.executable, "-m", "swampstore_cli", "datastore", "ui", "--interval", "200ms", "--json"]
    with subprocess.Popen(line, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        address = json.loads(process.stdout.readline())["address"]
        try:
            seen, said = browse(tmp_path, "--dump-dom", "--virtual-time-budget=5000", address)
            assert seen.count("<polyline") + seen.count("<circle") >= 7
            assert "<h2>ops</h2>" in seen
            assert "Refused" not in said
            assert 'id="told" class=""' in seen  # set by the script after its first fetch
            pictures = []
            for mode in ("0", "1"):
                picture = tmp_path / f"{mode}.png"
                browse(tmp_path, f"--screenshot={picture}", f"--blink-settings=preferredColorScheme={mode}", address)
                pictures.append(picture.read_bytes())
            assert all(picture.startswith(b"\x89PNG") for picture in pictures)
            assert pictures[0] != pictures[1]
        finally:
            process.send_signal(signal.SIGINT)
            assert process.wait(timeout=20) == 0


def browse(folder: Path, *more: str) -> tuple[str, str]:
    quiet = ("first-run", "background-networking", "sync", "component-update", "quic")
    flags = ["--headless", "--no-sandbox", "--disable-gpu", "--enable-logging=stderr", "--window-size=1000,800"]
    flags += ["--no-first-run" if name == "first-run" else f"--disable-{name}" for name in quiet]
    profile = folder / "profile"
    done = subprocess.run(
        ["chromium", *flags, f"--user-data-dir={profile}", *more], capture_output=True, timeout=100, check=True
    )
    return done.stdout.decode(), done.stderr.decode()
