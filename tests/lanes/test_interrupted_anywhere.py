"""An exception of a signal handler at every point of a write where CPython lets one in: nobody else hangs or is lost.

CPython (3.11 to 3.13) looks for signals at the begin of a function, after a call and where a loop goes back, and nowhere
else: not between the ``__enter__`` of ``with lock:`` and its body, since that is no call in byte code. A tracer that is
told of every instruction raises at the n-th such point, for every n, so no luck is needed. (It raises an instruction
later than a signal would; the two lie in the same statement.)
"""

from __future__ import annotations

import dis
import os
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from types import FrameType
from typing import Any

import pytest

import swampstore
from swampstore.client.blocking import Namespace

# A coroutine that was made and interrupted before it began is told of.
pytestmark = pytest.mark.filterwarnings("ignore::RuntimeWarning", "ignore::pytest.PytestUnraisableExceptionWarning")

FOLDER = os.path.dirname(swampstore.__file__)
WRITING = (
    "env/group",
    "env/clock",
    "env/blocking",
    "protocols/small_puts",
    "protocols/lane_writer",
    "stores/local_lanes",
)
TURNS = ("env/blocking", "protocols/turns")
AROUND = ("protocols/fifo", "protocols/nesting")
LONG_S = 20.0


class Signal(BaseException):
    """What a handler raises."""


class Interrupter:
    """Raises at the ``at``-th point in the files named; ``raised`` says whether there are so many."""

    def __init__(self, at: int, files: tuple[str, ...]) -> None:
        self.left, self.raised = at, False
        self._files = {f"{FOLDER}/{name}.py" for name in files}
        self._last: dict[FrameType, str] = {}

    def run(self, call: Callable[[], Any]) -> Any:
        sys.settrace(self._called)
        try:
            return call()
        finally:
            sys.settrace(None)
            self._last.clear()

    def _called(self, frame: FrameType, event: str, _: Any) -> Any:
        if frame.f_code.co_filename not in self._files:
            return None
        frame.f_trace_opcodes, frame.f_trace_lines = True, False
        if frame not in self._last:  # else a coroutine goes on
            self._point(frame)
        return self._stepped

    def _stepped(self, frame: FrameType, event: str, _: Any) -> Any:
        if event == "opcode":
            before = self._last.get(frame, "")
            self._last[frame] = dis.opname[frame.f_code.co_code[frame.f_lasti]]
            if before.startswith(("CALL", "JUMP_BACKWARD")) and "NO_INTERRUPT" not in before:
                self._point(frame)
        return self._stepped

    def _point(self, frame: FrameType) -> None:
        self.left -= 1
        if self.left < 0 and not self.raised:
            self.raised = True
            raise Signal(f"{frame.f_code.co_name}, line {frame.f_lineno}")


def test_the_interrupter_sees_what_a_lock_before_its_try_leaves_behind(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(globals(), "FOLDER", os.path.dirname(__file__))
    left = {True: 0, False: 0}
    for take in (_unsafe, _safe):
        for at in range(100):
            lock, tries = threading.Lock(), Interrupter(at, (Path(__file__).stem,))
            try:
                tries.run(lambda take=take, lock=lock: take(lock))  # type: ignore[misc]
            except Signal:
                left[take is _safe] += lock.locked()
    assert left[False] > 0
    assert left[True] == 0


def _unsafe(lock: threading.Lock) -> None:
    lock.acquire()
    try:
        len("")
    finally:
        lock.release()


def _safe(lock: threading.Lock) -> None:
    with lock:
        len("")


# --- the writes -------------------------------------------------------------------------------------------------------


class Crowd:
    """A thread of its own for each put of somebody else; ``acked`` are the keys of all that were acknowledged."""

    def __init__(self, ns: Namespace) -> None:
        self.ns, self.acked = ns, set[str]()
        self.failed: list[str] = []
        self.where = ""

    def start(self, key: str) -> threading.Thread:
        thread = threading.Thread(target=self._put, args=(key,), daemon=True)
        thread.start()
        return thread

    def _put(self, key: str) -> None:
        try:
            self.ns.put(key, b"other")
            self.acked.add(key)
        except swampstore.Undecided:
            self.failed.append(key)  # it travelled with a write that was interrupted

    def join(self, thread: threading.Thread) -> None:
        thread.join(LONG_S)
        assert not thread.is_alive(), f"interrupted in {self.where}: another caller waits for ever"


def points(
    crowd: Crowd, files: tuple[str, ...], call: Callable[[str], Any], before: Callable[[int], Any] = lambda _: None
) -> Iterator[int]:
    """Interrupt ``call(key)`` at every point; yields the number of each, after what must hold holds."""
    at, raised = 0, True
    while raised:
        before(at)
        tries = Interrupter(at, files)
        try:
            tries.run(lambda at=at: call(f"mine/{at:05}"))  # type: ignore[misc]
            crowd.acked.add(f"mine/{at:05}")
        except Signal as signal:
            crowd.where = str(signal)
        crowd.join(crowd.start(f"after/{at:05}"))
        assert f"after/{at:05}" in crowd.acked
        raised = tries.raised
        yield at
        at += 1


PUTS: dict[str, Callable[[Namespace], Callable[[str], Any]]] = {
    "put": lambda ns: lambda key: ns.put(key, b"mine"),
    "put_many": lambda ns: lambda key: ns.put_many({key: b"mine", key + "b": b"mine"}),
}


@pytest.mark.parametrize("put", PUTS)
def test_a_small_put_interrupted_anywhere_keeps_nobody_waiting(
    put: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While it writes, another queues behind it."""
    url = f"file://{tmp_path}?durability=buffered"
    with swampstore.open(url) as store:
        ns = store.namespace("n")
        ns.put("warm", b"")
        crowd, behind = Crowd(ns), dict[int, threading.Thread]()
        queue = ns._core.writer.files.group.queue  # type: ignore[union-attr, attr-defined]
        real, mine, now = os.pwrite, threading.current_thread(), [0]

        def pwrite(*args: Any) -> int:
            if threading.current_thread() is mine and now[0] not in behind:
                behind[now[0]] = crowd.start(f"behind/{now[0]:05}")
                while len(queue) < 2:
                    threading.Event().wait(0.0005)
            return real(*args)

        monkeypatch.setattr("swampstore.stores.local_lanes.os.pwrite", pwrite)
        for at in points(crowd, WRITING, PUTS[put](ns), lambda at: now.__setitem__(0, at)):
            if at in behind:
                crowd.join(behind[at])
        assert at > 20  # there were so many points
        assert len(behind) > 10
        assert not queue
        assert crowd.failed == []
    with swampstore.open(url) as store:
        assert crowd.acked <= {entry.key for entry in store.namespace("n").list()}


WRITES: dict[str, Callable[[Namespace], Callable[[str], Any]]] = {
    "put": lambda ns: lambda key: ns.put(key, b"mine"),
    "update": lambda ns: lambda key: (ns.update("n", lambda old: b"%d" % (int(old or b"0") + 1)), ns.put(key, b"")),
    "append": lambda ns: lambda key: (ns.stream("s").append([key.encode()]), ns.put(key, b"")),
}


@pytest.mark.parametrize("write", WRITES)
def test_a_write_that_waits_for_its_turn_interrupted_anywhere_keeps_nobody_waiting(write: str, tmp_path: Path) -> None:
    """Where each write is an object of its own, as in a bucket; updates and streams everywhere."""
    url = f"file://{tmp_path}?durability=buffered&lanes=off"
    with swampstore.open(url) as store:
        ns = store.namespace("n")
        call = WRITES[write](ns)
        call("warm")
        crowd = Crowd(ns)
        for at in points(crowd, AROUND if write == "update" else TURNS, call):
            other = threading.Thread(target=call, args=(f"again/{at:05}",), daemon=True)
            other.start()
            crowd.join(other)
            call("own")  # nor is the caller itself thought to be in the middle of it
        assert at > 20
    with swampstore.open(url) as store:
        assert crowd.acked <= {entry.key for entry in store.namespace("n").list()}
