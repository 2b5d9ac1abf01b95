"""The processes of a soak: started, killed, stopped and woken by a seed; in the end everything is looked at once more.

Invariant: this process never opens a store; every other is a fork of it, which holds no connection and no thread.
"""

from __future__ import annotations

import contextlib
import faulthandler
import os
import random
import signal
import time
import traceback
from collections import Counter
from collections.abc import Callable, Iterator

import msgspec

from tests.processes.broken import break_on_purpose
from tests.soak.desk import TREES, Desk, Setting
from tests.soak.roles import (
    COUNTERS,
    KEYS,
    STREAM_RECORDS,
    Following,
    check_counter,
    check_key,
    check_listing,
    check_stream,
)
from tests.soak.roles_more import ROLES, check_files, check_nothing_else, check_versions, tree_of

END_S = 120.0
LONG_STOP_S = 45.0
"""Longer than the age of a tail and the grace of a sweep."""


class Rhythm(msgspec.Struct, frozen=True):
    """Mean seconds between two kills, and between two stops; 0 for none."""

    kill_s: float = 12.0
    stop_s: float = 12.0
    tell_s: float = 60.0


class Crew:
    """All processes of one run."""

    def __init__(self, setting: Setting, rhythm: Rhythm, tell: Callable[[str], None]) -> None:
        self._setting = setting
        self._rhythm = rhythm
        self._tell = tell
        self._dice = random.Random(setting.seed)
        self._running: dict[int, tuple[str, int]] = {}
        self._doomed: set[int] = set()
        self._asleep: dict[int, float] = {}
        self._born = 0
        self.faults: Counter[str] = Counter()
        self.wrong: list[str] = []

    def run(self) -> None:
        """Until the time is over or something is wrong; then everybody has ended."""
        for role, count in self._setting.crew.items():
            for index in range(count):
                self._start(role, index)
        events = sorted([*self._events("kill", self._rhythm.kill_s), *self._events("stop", self._rhythm.stop_s)])
        told = began = time.monotonic()
        while time.monotonic() < self._setting.until and not self.wrong:
            self._reap(again=True)
            self._wake()
            while events and events[0][0] <= time.monotonic():
                self._strike(events.pop(0)[1])
            if time.monotonic() - told > self._rhythm.tell_s:
                told = time.monotonic()
                self._tell(f"{(told - began) / 60:.0f} min, {dict(self.faults)}")
            time.sleep(0.05)
        self._finish()

    def _events(self, kind: str, mean: float) -> Iterator[tuple[float, str]]:
        at = time.monotonic()
        while mean and (at := at + self._dice.expovariate(1 / mean)) < self._setting.until:
            yield at, kind

    def _start(self, role: str, index: int) -> None:
        self._born += 1
        born = self._born
        pid = fork(lambda: self._play(role, index, born), self._setting)
        self._running[pid] = (role, index)

    def _play(self, role: str, index: int, born: int) -> None:
        break_on_purpose(self._setting.broken)
        desk = Desk(self._setting, role, index, born, lasting=index == 0)
        ROLES[role][1](desk)
        desk.gauges.tick(now=True)

    def _strike(self, kind: str) -> None:
        mortal = [pid for pid, (_, index) in self._running.items() if index and pid not in self._doomed]
        if kind == "kill" and mortal:
            pid = self._dice.choice(mortal)
            self._doomed.add(pid)
            self._asleep.pop(pid, None)
            os.kill(pid, signal.SIGKILL)
        elif kind == "stop":
            awake = [pid for pid in self._running if pid not in self._asleep and pid not in self._doomed]
            pid = self._dice.choice(awake)
            span = self._dice.random() * LONG_STOP_S if self._dice.random() < 0.1 else self._dice.expovariate(1.0)
            self._asleep[pid] = time.monotonic() + span
            os.kill(pid, signal.SIGSTOP)
        else:
            return
        self.faults[kind] += 1

    def _wake(self, *, now: bool = False) -> None:
        for pid, until in list(self._asleep.items()):
            if now or time.monotonic() >= until:
                del self._asleep[pid]
                os.kill(pid, signal.SIGCONT)

    def _reap(self, *, again: bool) -> None:
        while self._running:
            pid, status = os.waitpid(-1, os.WNOHANG)
            if pid == 0:
                return
            role, index = self._running.pop(pid)
            self._asleep.pop(pid, None)
            if pid in self._doomed:
                self._doomed.discard(pid)
            elif status:
                self.wrong.append(f"{role}-{index} failed:\n{said(self._setting, pid)}")
            if again and time.monotonic() < self._setting.until and not self.wrong:
                self._start(role, index)

    def _finish(self) -> None:
        self._wake(now=True)
        limit = (time.monotonic() if self.wrong else max(time.monotonic(), self._setting.until)) + END_S
        while self._running:
            self._reap(again=False)
            hurry = self.wrong or time.monotonic() > limit
            for pid, (role, index) in self._running.items() if hurry else ():
                if not self.wrong:
                    os.kill(pid, signal.SIGUSR2)
                    time.sleep(1.0)
                    self.wrong.append(f"{role}-{index} did not end within {END_S:.0f} s:\n{said(self._setting, pid)}")
                self._doomed.add(pid)
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            time.sleep(0.02)


def fork(work: Callable[[], None], setting: Setting) -> int:
    """A child that does ``work``; what it fails with is found by :func:`said`."""
    pid = os.fork()
    if pid:
        return pid
    code = 1
    try:
        faulthandler.register(signal.SIGUSR2, (setting.folder / f"{os.getpid()}.err").open("w"))
        work()
        code = 0
    except BaseException:  # noqa: BLE001 (whatever it is, the parent tells)
        with (setting.folder / f"{os.getpid()}.err").open("a") as told:
            told.write(traceback.format_exc())
    finally:
        os._exit(code)


def said(setting: Setting, pid: int) -> str:
    path = setting.folder / f"{pid}.err"
    return (path.read_text() if path.exists() else "") or "it said nothing"


def last_look(setting: Setting) -> list[str]:
    """A new process, without faults, reads all that was promised, brings the trees to rest and examines both namespaces."""
    pid = fork(lambda: _look(setting), setting)
    _, status = os.waitpid(pid, 0)
    return [said(setting, pid)] if status else []


def _look(setting: Setting) -> None:
    calm = msgspec.structs.replace(setting, odds=0.0)
    desk = Desk(calm, "last", 0, 0, lasting=False)
    seen: dict[str, int] = {}
    for part in desk.many("writer"):
        check_listing(desk, part)
        for number in range(KEYS):
            check_key(desk, part, number, seen)
    for number in range(COUNTERS):
        for kind, role in (("c", "updater"), ("l", "locker")):
            if desk.many(role):
                check_counter(desk, kind, number)
    for which in range(
        1 + max((len(desk.marks(f"pusher-{part}")) for part in desk.many("pusher")), default=0) // STREAM_RECORDS
    ):
        check_stream(desk, which)
    for part in desk.many("versioner"):
        check_versions(desk, part)
    Following(desk).poll()
    _rest(desk)
    for name in (desk.ns.name, TREES):
        namespace = desk.store.namespace(name)
        namespace.compact()
        report = namespace.doctor(deep=True, guards=False)
        desk.require(report.healthy, f"doctor --deep finds in {name}: {report.of('error')}")


def _rest(desk: Desk) -> None:
    """Sync the trees until nothing is left to do; then they are alike, and hold what their owners wrote last."""
    held, trees = desk.store.namespace(TREES), [tree_of(desk, part) for part in desk.many("syncer")]
    for tree in (*trees, *trees):
        held.sync(tree)
    desk.require(all(held.sync(tree).idle for tree in trees), "the trees do not come to rest")
    for tree in trees:
        check_nothing_else(desk, tree)
        for part in desk.many("syncer"):
            check_files(desk, tree, part, settled=True)
