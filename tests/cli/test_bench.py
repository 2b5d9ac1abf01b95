"""``swamp bench``: it names the phase that is slow, counts what went wrong, and leaves nothing behind."""

from __future__ import annotations

import io
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from swampstore.client.blocking import Datastore
from swampstore.client.core import CoreStore
from swampstore.env.blocking import BlockingEnv
from swampstore.errors import StoreForbidden, Throttled
from swampstore.stores.base import Answer, Get, List, Outcome, Put, Request, Store, perform
from swampstore.stores.memory import MemoryStore
from swampstore.testing.wrappers import Wrapper
from swampstore_cli.bench import crew, worker
from swampstore_cli.bench.job import Job, Sample
from swampstore_cli.bench.measure import OPENING, Runner
from swampstore_cli.bench.result import percentile, result, slowest
from tests.cli.conftest import Swamp

SLOW_S = 0.3


class Delaying(Wrapper):
    """``slow`` says which requests take 300 ms longer; ``fails`` may raise."""

    def __init__(self, inner: Store) -> None:
        super().__init__(inner)
        self.slow: Callable[[Request], bool] = lambda _request: False
        self.fails: Callable[[Request], None] = lambda _request: None

    async def one(self, request: Request) -> Answer:
        self._meet(request)
        return await perform(self.inner, request)

    async def many(self, requests: list[Request]) -> list[Outcome]:  # type: ignore[override]
        for request in requests:
            self._meet(request)
        return list(await self.inner.many(requests))

    def _meet(self, request: Request) -> None:
        self.fails(request)
        if self.slow(request):
            time.sleep(SLOW_S)


def of_kind(request: Request, verb: type, kind: str) -> bool:
    return isinstance(request, verb) and f"/{kind}" in getattr(request, "name", getattr(request, "prefix", ""))


SLOWED: dict[str, tuple[str, int, Callable[[Request], bool]]] = {
    "log_write": ("append", 300, lambda request: of_kind(request, Put, "log/")),
    "upload": ("append", 10_000, lambda request: of_kind(request, Put, "blob/")),
    "list_root": ("read", 300, lambda request: of_kind(request, List, "log/")),
    "content": ("read", 300_000, lambda request: of_kind(request, Get, "blob/")),
    "segments": ("fold", 300, lambda request: of_kind(request, Get, "log/")),
    "publish": ("fold", 300, lambda request: of_kind(request, Put, "root")),
}


def ran(
    workload: str, store: Delaying, slow: Callable[[Request], bool], *, size: int = 300, count: int = 2
) -> list[Sample]:
    """The samples of a short run whose measured part meets a slow store."""

    def opened() -> Datastore:
        return Datastore(CoreStore(store, BlockingEnv(), timeout=0.2))

    job = Job(workload=workload, store="", namespace="scratch", folder="", count=count, size=size, items=3)
    runner = Runner(job, 0, opened)
    runner.prepare()
    runner.warm()
    store.slow = slow
    try:
        return runner.run()
    finally:
        store.slow, store.fails = (lambda _request: False), (lambda _request: None)
        runner.close()


def plain_memory() -> MemoryStore:
    """A store whose lanes are objects, as in a bucket."""
    return MemoryStore(BlockingEnv())


@pytest.mark.parametrize("phase", SLOWED)
def test_the_phase_that_is_slow_is_named(phase: str) -> None:
    workload, size, slow = SLOWED[phase]
    samples = ran(workload, Delaying(plain_memory()), slow, size=size, count=1)
    assert slowest(samples)[0] == phase
    assert samples[0].phases[phase] >= SLOW_S
    # A machine with other work may stop it between two looks at the clock, but hardly for a third of the wait.
    assert SLOW_S / 3 > samples[0].seconds - sum(samples[0].phases.values()) > -0.001


def test_nothing_slow_is_not_named_slow() -> None:
    found = result(
        Job(workload="append", store="", namespace="", folder="", count=3),
        [Sample(1.0, "ok", {"encode": 1.0}), Sample(1.0, "ok", {"encode": 1.0}), Sample(9.0, "ok", {"log_write": 9.0})],
        11.0,
    )
    assert (found.slowest_phase, found.slowest_share) == ("log_write", 1.0)
    assert (found.latency_ms.p50, found.latency_ms.max) == (1000, 9000)
    assert found.phases_ms["encode"].p99 == 1000


def test_percentiles() -> None:
    values = [float(number) for number in range(1, 101)]
    assert [percentile(values, share) for share in (0.5, 0.95, 0.99, 1.0)] == [50, 95, 99, 100]
    assert percentile([7.0], 0.5) == 7


def test_errors_are_outcomes_and_refusals_end_the_run() -> None:
    store = Delaying(plain_memory())

    def throttled(request: Request) -> None:
        if of_kind(request, Put, "log/"):
            raise Throttled("slow down")

    def forbidden(request: Request) -> None:
        if of_kind(request, Put, "log/"):
            raise StoreForbidden("no")

    def begin(fails: Callable[[Request], None]) -> Callable[[Request], bool]:
        def slow(request: Request) -> bool:
            store.fails = fails
            return False

        return slow

    ran("append", store, begin(throttled), count=1)  # the first request sets the trap
    store.fails = lambda _request: None
    job = Job(workload="append", store="", namespace="scratch", folder="", count=2)
    runner = Runner(job, 0, lambda: Datastore(CoreStore(store, BlockingEnv(), timeout=0.2)))
    runner.warm()
    store.fails = throttled
    assert {one.outcome for one in runner.run()} == {"ambiguous-append"}
    store.fails = lambda _request: None
    runner = Runner(job, 0, lambda: Datastore(CoreStore(store, BlockingEnv(), timeout=0.2)))
    runner.warm()
    store.fails = forbidden
    with pytest.raises(StoreForbidden):
        runner.run()


def test_a_cold_operation_opens_the_store() -> None:
    store = plain_memory()
    job = Job(workload="append", store="", namespace="scratch", folder="", count=2, cold=True)
    runner = Runner(job, 0, lambda: Datastore(CoreStore(store, BlockingEnv())))
    runner.prepare()
    runner.warm()
    samples = runner.run()
    assert all(one.phases[OPENING] > 0 for one in samples)


# --- the command ------------------------------------------------------------------------------------------------------


@pytest.fixture(autouse=True)
def own_temporary_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No other test, which may run at the same time, has its scratch folder here."""
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setenv("TMPDIR", str(folder))
    monkeypatch.setattr(tempfile, "tempdir", str(folder))


def left(store: Path) -> list[str]:
    """What of a benchmark lies in the store, or in the folder for temporary files."""
    places = [store, Path(tempfile.gettempdir())]
    return [str(path) for place in places for path in place.glob("swamp-bench-*")]


def test_a_run_of_several_processes(store: Path, swamp: Swamp) -> None:
    done = swamp("bench", "append", "--procs", "2", "--n", "20", "--json")
    assert done.code == 0
    found = done.document
    assert (found["operations"], found["procs"], found["outcomes"]) == (20, 2, {"ok": 20})
    assert found["latencyMs"]["p50"] <= found["latencyMs"]["p99"] <= found["latencyMs"]["max"]
    assert found["slowestPhase"] in found["phasesMs"]
    assert found["removed"] is True
    assert left(store) == []


def test_a_table_for_people(store: Path, swamp: Swamp) -> None:
    done = swamp("bench", "burst", "--n", "4")
    assert done.code == 0
    assert "ok 4" in done.out
    assert "p99 is made by " in done.out
    assert left(store) == []


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (("--procs", "0"), "misuse"),
        (("--n", "1000000000"), "misuse"),
        (("--namespace", "ops"), "misuse"),
        (("--store", "memory://x", "--procs", "2"), "misuse"),
        (("--store", "s3://bucket/team?endpoint=http://127.0.0.1:9"), "misuse"),
    ],
)
def test_what_is_refused_before_anything_is_written(
    store: Path, swamp: Swamp, arguments: tuple[str, ...], code: str
) -> None:
    done = swamp("bench", "append", *arguments, "--json")
    assert (done.code, done.error["code"]) == (2, code)
    assert list(store.glob("*")) == []


@pytest.mark.parametrize(("command", "flag"), [("read", "--keys"), ("sync", "--files"), ("fold", "--records")])
def test_a_number_that_cannot_be_is_called_by_its_flag(command: str, flag: str, store: Path, swamp: Swamp) -> None:
    done = swamp("bench", command, flag, "0", "--json")
    assert (done.code, done.error["error"]) == (2, f"{flag} 0")


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGKILL, -signal.SIGKILL)])
def test_nothing_is_left_behind_however_it_ends(store: Path, number: signal.Signals, code: int) -> None:
    line = [*BENCH, "append", "--n", "200000", "--procs", "2", "--size", "3000000"]
    with subprocess.Popen(line, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, env=dict(os.environ)) as running:
        until(lambda: len(list(store.glob("swamp-bench-*/log/*"))) >= 2)
        until(lambda: half_written(store) != [])
        running.send_signal(number)
        assert running.wait(100) == code
        assert running.stderr is not None
        said = running.stderr.read()  # until the last of its processes has gone
    assert left(store) == []
    assert half_written(store) == []
    assert said == (b"interrupted\n" if number == signal.SIGINT else b"")


def test_ctrl_c_right_after_the_start(store: Path) -> None:
    """It goes to every process of the terminal, while those of the run are still loading."""
    line = [*BENCH, "append", "--n", "200000", "--procs", "2"]
    running = subprocess.Popen(line, stderr=subprocess.PIPE, env=dict(os.environ), process_group=0)
    with running:
        children = Path(f"/proc/{running.pid}/task/{running.pid}/children")
        until(lambda: len(children.read_text().split()) == 3)
        assert all(deaf(pid) for pid in children.read_text().split()), "one would print where in its imports it was"
        os.killpg(running.pid, signal.SIGINT)
        assert running.stderr is not None
        assert running.stderr.read() == b"interrupted\n"
    assert left(store) == []


def deaf(pid: str) -> bool:
    """Whether the process has blocked the signal of Ctrl-C."""
    status = Path(f"/proc/{pid}/status").read_text()
    blocked = next(line for line in status.splitlines() if line.startswith("SigBlk:"))
    return bool(int(blocked.split()[1], 16) >> (signal.SIGINT - 1) & 1)


@pytest.mark.parametrize("said", [b"", b'{"workload":'])
def test_the_end_in_place_of_the_job_is_met_in_silence(said: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(said)))
    assert worker.main("0") == 0
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(said)))
    assert worker.main("janitor") == 0


def test_a_process_that_is_told_to_stop_ends_by_itself_and_the_janitor_clears_up_behind_one_that_was_killed(
    store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(crew, "STOP_S", 100.0)
    job = Job(workload="append", store=str(store), namespace="scratch", folder=str(tmp_path / "f"), count=2, procs=2)
    with crew.Crew(job) as running:
        assert os.path.isdir(job.folder)
        stopped, killed = running._workers
        os.kill(killed.pid, signal.SIGKILL)
        killed.wait()
        (store / ".tmp").mkdir(exist_ok=True)
        for pid in (killed.pid, stranger := gone()):
            (store / ".tmp" / f"{pid}-{'0' * 16}.part").write_bytes(b"half")
    assert (stopped.returncode, running.left_behind) == (0, "")
    assert [path.name for path in half_written(store)] == [f"{stranger}-{'0' * 16}.part"]
    assert not os.path.exists(job.folder)


def gone() -> int:
    """The id of a process that is no more."""
    with subprocess.Popen(["true"]) as process:
        process.wait()
    return process.pid


BENCH = [sys.executable, "-m", "swampstore_cli", "bench"]


def half_written(store: Path) -> list[Path]:
    return list(store.glob(".tmp/*.part"))


def until(condition: Callable[[], bool]) -> None:
    ends = time.monotonic() + 100
    while not condition():
        assert time.monotonic() < ends
        time.sleep(0.02)
