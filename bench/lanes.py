"""Small records appended to one shared log on one disk: ours, the physical limit, and other embedded stores, in turns.

300 bytes a record, one record a call, one caller in each process, for a second at a time; beside buffered appends and
batches of ours its compactor works in another process. What counts is the ratio to the others of the same session: disks
differ more than programs do.
"""

from __future__ import annotations

import contextlib
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import swampstore
from bench.children import behind, run_job, run_together
from bench.environment import peers_python
from bench.harness import Report, interleaved, median, say
from bench.lab import Lab
from bench.peers.logs import LOGS, SINGLE

OURS, LIMIT = "swampstore", "raw file"
WRITERS = (1, 4, 16)
PACED_WRITERS, PACED_RATE = 16, 1500.0
_SECONDS = 1.0
_TURNS = 3
_BATCH = 1000
_TIMEOUT_S = 120
_REDIS_STARTS_S = 10.0
_LED_S = 10.0

Found = dict[str, list[list[dict[str, Any]]]]


def run(lab: Lab, report: Report) -> None:
    """Durable by writers, durable at a pace, many callers in one process, buffered by writers, batches."""
    bench = _Bench(lab)
    _durable(bench, report)
    _paced(bench, report)
    _callers(bench, report)
    _buffered(bench, report)
    _batches(bench, report)


class _Bench:
    """What is compared, and the runs of it."""

    def __init__(self, lab: Lab) -> None:
        self.lab = lab
        self.python = peers_python()
        self.names = [name for name in LOGS if name != "Redis" or shutil.which("redis-server")]
        if len(self.names) < len(LOGS):
            say("no redis-server here: it is left out (Debian: apt-get install redis-server)")
        self.turns = min(lab.scale.rounds, _TURNS)

    def together(self, name: str, writers: int, *, durable: bool, rate: float = 0.0) -> list[dict[str, Any]]:
        """``writers`` processes on one new log; the result of each."""
        place = self.lab.folder("log")
        given = {"log": name, "place": str(place), "durable": durable, "seconds": _SECONDS, "rate": rate}
        many = [{**given, "writer": at} for at in range(writers)]
        python = sys.executable if name == OURS else self.python
        with _server(name, place, durable=durable), _compactor(self.lab, name, place, durable=durable):
            led = partial(_led, name, place, durable=durable)
            each = run_together("logs:appends", self.lab.env, many, timeout_s=_TIMEOUT_S, before=led, python=python)
        shutil.rmtree(place)
        return [one["value"] for one in each]

    def all_of(self, writers: int, *, durable: bool, rate: float = 0.0) -> Found:
        """Every log in turns."""

        def once(name: str, _turn: int) -> list[dict[str, Any]]:
            return self.together(name, writers, durable=durable, rate=rate)

        names = [name for name in self.names if writers == 1 or name not in SINGLE]
        return interleaved(self.turns, {name: partial(once, name) for name in names})


@contextlib.contextmanager
def _server(name: str, place: Path, *, durable: bool) -> Iterator[None]:
    """The server of a log that has one."""
    if name != "Redis":
        yield
        return
    socket = place / "redis.sock"
    options = {
        "port": "0", "unixsocket": str(socket), "dir": str(place), "save": "", "appendonly": "yes",
        "appendfsync": "always" if durable else "everysec",
    }  # fmt: skip
    line = ["redis-server", *(part for option, value in options.items() for part in (f"--{option}", value))]
    with subprocess.Popen(line, stdout=subprocess.DEVNULL) as server:
        try:
            until = time.monotonic() + _REDIS_STARTS_S
            while not socket.exists() and time.monotonic() < until:
                time.sleep(0.02)
            yield
        finally:
            server.terminate()


@contextlib.contextmanager
def _compactor(lab: Lab, name: str, place: Path, *, durable: bool) -> Iterator[None]:
    """Ours as it is meant to be run where much is written: the compactor is another process.

    Durable appends go without: what their writers fold on the way is part of their figure.
    """
    if name != OURS or durable:
        yield
        return
    with behind("upkeep:compactor", lab.env, url=str(place), namespace="bench"):
        yield


def _led(name: str, place: Path, *, durable: bool) -> None:
    """Wait until the compactor beside leads: before that every writer thinks that nobody folds, and folds itself."""
    if name != OURS or durable:
        return
    with swampstore.open(str(place)) as store:
        until = time.monotonic() + _LED_S
        while not store.namespace("bench").status().leader and time.monotonic() < until:
            time.sleep(0.02)


def _rate(run: Sequence[Mapping[str, Any]]) -> float:
    """Appends a second of all writers of one run."""
    return sum(one["count"] / one["seconds"] for one in run)


def _rates(found: Found) -> dict[str, float]:
    return {name: median([_rate(run) for run in runs]) for name, runs in found.items()}


def _told(report: Report, text: str, found: Found) -> None:
    """A row for each log."""
    ours = _rates(found)[OURS]
    for name, runs in found.items():
        rates = [_rate(run) for run in runs]
        p50, p99 = (median([one[key] for run in runs for one in run]) for key in ("p50", "p99"))
        worst = max(one["max"] for run in runs for one in run)
        fair = median([_fairness(run) for run in runs])
        note = f"p50 {p50:.3g} ms, p99 {p99:.3g} ms, worst {worst:.3g} ms, slowest / luckiest writer {fair:.2f}"
        more: dict[str, Any] = {} if name == OURS else {"ratio": ours / median(rates), "ratio_of": "is ours"}
        report.info(f"{text}: {name}", median(rates), "/s", figure="median", samples=rates, note=note, **more)


def _fairness(run: Sequence[Mapping[str, Any]]) -> float:
    counts = [one["count"] for one in run]
    return min(counts) / max(*counts, 1)


def _durable(bench: _Bench, report: Report) -> None:
    fairest = []
    for writers in WRITERS:
        say(f"durable appends, {writers} writers")
        found = bench.all_of(writers, durable=True)
        rates = _rates(found)
        note = ", ".join(f"{name} {rate:,.0f}/s" for name, rate in rates.items())
        report.target(f"lanes-sqlite-{writers}", rates[OURS] / rates["SQLite"], figure="ratio", note=note)
        report.target(f"lanes-limit-{writers}", rates[OURS] / rates[LIMIT], figure="ratio")
        _told(report, f"durable, {writers} writers", found)
        fairest += [_fairness(run) for run in found[OURS]] if writers > 1 else []
    report.target("lanes-fair", median(fairest), figure="median", samples=fairest)


def _paced(bench: _Bench, report: Report) -> None:
    say(f"durable appends at {PACED_RATE:,.0f} a second by {PACED_WRITERS} writers")
    found = bench.all_of(PACED_WRITERS, durable=True, rate=PACED_RATE / PACED_WRITERS)
    p99 = {name: median([one["p99"] for run in runs for one in run]) for name, runs in found.items()}
    note = ", ".join(f"{name} {value:.3g} ms" for name, value in p99.items())
    report.target("lanes-paced-limit", p99[OURS] / p99[LIMIT], figure="ratio", note=note)
    report.target("lanes-paced-sqlite", p99["SQLite"] / p99[OURS], figure="ratio")


def _callers(bench: _Bench, report: Report) -> None:
    say("many callers in one process")
    lab = bench.lab

    def crowd(job: str, callers: int, _turn: int) -> dict[str, Any]:
        place = lab.folder("log")
        found = run_job(f"logs:{job}", lab.env, place=str(place), durable=True, seconds=_SECONDS, callers=callers)
        shutil.rmtree(place)
        return dict(found["value"])

    crowds = (("tasks", 16), ("tasks", 64), ("tasks", 256), ("threads", 64))
    found = interleaved(bench.turns, {f"{job} {callers}": partial(crowd, job, callers) for job, callers in crowds})
    for name, runs in found.items():
        rates = [one["rate"] for one in runs]
        note = f"p50 {median([one['p50'] for one in runs]):.3g} ms, p99 {median([one['p99'] for one in runs]):.3g} ms"
        if name == "tasks 16":
            report.info(
                "durable, one process: 16 tasks", median(rates), "/s", figure="median", samples=rates, note=note
            )
        else:
            target = f"lanes-{name.replace(' ', '-')}"
            report.target(target, median(rates), figure="median", samples=rates, note=note)


def _buffered(bench: _Bench, report: Report) -> None:
    for writers in WRITERS:
        say(f"buffered appends, {writers} writers")
        found = bench.all_of(writers, durable=False)
        rates = _rates(found)
        note = ", ".join(f"{name} {rate:,.0f}/s" for name, rate in rates.items())
        report.target(f"lanes-lmdb-{writers}", rates[OURS] / rates["LMDB"], figure="ratio", note=note)
        _told(report, f"buffered, {writers} writers", found)


def _batches(bench: _Bench, report: Report) -> None:
    say(f"batches of {_BATCH:,}")
    lab = bench.lab

    def batch(job: str, log: str, _turn: int) -> float:
        place = lab.folder("log")
        given: dict[str, Any] = {"place": str(place), "durable": False, "seconds": _SECONDS, "size": _BATCH}
        if log:
            given["log"] = log
        whose, python = (OURS, sys.executable) if log in ("", OURS) else (log, bench.python)
        with _compactor(lab, whose, place, durable=False):
            led = partial(_led, whose, place, durable=False)
            (found,) = run_together(f"logs:{job}", lab.env, [given], timeout_s=_TIMEOUT_S, before=led, python=python)
        shutil.rmtree(place)
        return float(found["value"]["rate"])

    others = [name for name in LOGS if name not in (OURS, "Redis")]
    alternatives = {"put_many": partial(batch, "batches", OURS), "append": partial(batch, "stream_batches", "")}
    alternatives |= {name: partial(batch, "batches", name) for name in others}
    found = interleaved(bench.turns, alternatives)
    for name in ("put_many", "append"):
        report.target(f"lanes-{name.replace('_', '-')}", median(found[name]), figure="median", samples=found[name])
    for name in others:
        ratio = median(found["put_many"]) / median(found[name])
        report.info(
            f"buffered, batches of {_BATCH:,}: {name}",
            median(found[name]),
            "/s",
            figure="median",
            samples=found[name],
            ratio=ratio,
            ratio_of="is put_many",
        )
