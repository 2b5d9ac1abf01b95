"""Where the time of an operation goes: a stopwatch on which exactly one phase runs at any moment.

An operation (one append, one read, one fold ...) begins a stopwatch and code deep below says which phase it is in
(``with during("log_write")``), without anything being handed down: the stopwatch lies in the context.

Invariants:
- The phases of an operation sum up to its total exactly, for time is only ever moved from one phase to another.
- Phases and operations have fixed names (:data:`PHASES`, :data:`OPERATIONS`), so they are fit to be labels.
- What a batch costs is measured once and counted for each caller it carried; the rest of a caller's wait is its own.
- An observer is called after the operation, and never waits, asks a store, or raises.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from contextvars import ContextVar
from types import TracebackType
from typing import Final, Protocol, Self

from swampstore.env.base import Env
from swampstore.errors import SwampError

PHASES: Final = {
    "open": "making ready: the proof of the store, its clock, a new lane",
    "admission_wait": "waiting for room: for a place among the requests in flight, or for a log that is too deep",
    "lock_wait": "in the FIFO queue of a lock: waiting, for others of the same process too, and leaving it",
    "encode": "checking the arguments, making and encoding the records",
    "upload": "contents that go up before the records that name them",
    "group_wait": "waiting while the write of others is in flight, before one's own begins",
    "log_write": "the write of the segment itself",
    "readback": "reading an object back after an answer that left open whether it was written",
    "retry_wait": "the pause before a request is sent again",
    "ack": "from the write that landed to its caller",
    "help": "folding a log that has grown long, on the way",
    "list_root": "the list of the log and the root, side by side",
    "segments": "reading and decoding segments of the log",
    "lookup": "finding keys in level 0 and in the shards",
    "content": "reading contents and checking their hash",
    "decide": "the caller's own function",
    "join": "joining records in memory",
    "run_read": "reading runs and shards whole",
    "run_write": "writing runs and shards",
    "publish": "replacing the root",
    "plan": "walking and comparing the tree, planning what to do",
    "files": "reading and writing files of the tree",
}
"""Every phase there is, and what it holds."""

OPERATIONS: Final = {
    "append": "put, put_many, delete, append, a data version: one segment",
    "get": "entries of keys, as of now",
    "read": "contents of one key, as of now",
    "list": "one page of entries, from an open snapshot",
    "snapshot": "opening a snapshot",
    "update": "one update of keys, with all its attempts; also put(if_version=, if_absent=)",
    "acquire": "waiting for a lock or for a place in a queue",
    "stream_append": "one append to a stream",
    "stream_read": "one read of a stream, or of its tail",
    "fold": "one fold of the log into level 0",
    "merge": "one merge of level 0 into the shards",
    "sync": "one sync of a tree",
}
"""Every operation that is measured, and what counts as one."""

COUNTERS: Final = {
    "retries": "rounds in which a request was sent again after an undecided answer",
    "conflicts": "attempts of updates and fenced appends that met the commit of another",
    "folded_segments": "segments that folds of this process took out of the log",
    "folded_records": "records in them",
    "merged_records": "records that merges of this process brought into the shards",
    "merged_bytes": "bytes of shards that they wrote",
    "spooled_records": "audit records that this process kept on its machine, for the store was away",
    "delivered_records": "audit records that it brought to the store afterwards",
}
"""What is counted beside the operations, and in which unit."""


class Observer(Protocol):
    """Is told of everything that ends. Calls come from any thread, in the middle of the caller's work."""

    def finished(self, op: str, seconds: float, phases: Mapping[str, float], outcome: str, records: int) -> None:
        """An operation ended; ``outcome`` is ``ok``, the code of an error, or ``other``."""
        ...

    def request(self, verb: str, outcome: str, seconds: float, sent: int, received: int) -> None:
        """A request to the store was answered; bytes of bodies."""
        ...

    def count(self, name: str, amount: int) -> None:
        """One of :data:`COUNTERS` went up."""
        ...

    def depth(self, segments: int) -> None:
        """So many unfolded segments were seen in a log."""
        ...

    def spool(self, records: int, seconds: float) -> None:
        """So many audit records wait on this machine, the oldest for so long."""
        ...


class Seen:
    """One operation that ended: ``seconds`` in all, and of each phase. ``outcome`` is ``ok`` or the code of an error."""

    __slots__ = ("op", "outcome", "phases", "records", "seconds")

    def __init__(self, op: str, seconds: float, phases: Mapping[str, float], outcome: str, records: int) -> None:
        self.op = op
        self.seconds = seconds
        self.phases = phases
        self.outcome = outcome
        self.records = records

    def __repr__(self) -> str:
        return f"Seen({self.op!r}, {self.seconds!r}, {self.phases!r}, {self.outcome!r}, {self.records!r})"

    @property
    def slowest(self) -> str:
        """The phase that took longest."""
        return max(self.phases, key=self.phases.__getitem__, default="")


observer: Observer | None = None
"""Who watches this process."""
watched = False
"""Whether anybody looks at all. False, the default, is the only thing that a hot path looks at."""
_tracing = 0
_mutex = threading.Lock()
_trace: ContextVar[list[Seen] | None] = ContextVar("swampstore_trace", default=None)


def observe(watching: Observer | None) -> None:
    """Let ``watching`` see what ends from now on; ``None`` for nobody."""
    global observer  # noqa: PLW0603 (one process has one set of metrics, whatever stores it opens)
    observer = watching
    _look_up(0)


def _look_up(traces: int) -> None:
    global watched, _tracing  # noqa: PLW0603
    with _mutex:
        _tracing += traces
        watched = _tracing > 0 or observer is not None


def forked() -> None:
    """In a forked child: nobody looks, whatever another thread was doing here at that moment."""
    global observer, _mutex
    observer, _mutex = None, threading.Lock()
    _look_up(0)


class traced:  # noqa: N801 (reads as a statement)
    """``with swampstore.traced() as trace:`` the operations of the block, in the order in which they ended.

    Those of this thread or task, and of tasks it starts in the block; each is a :class:`Seen`.
    """

    def __init__(self) -> None:
        self._found: list[Seen] = []
        self._around: list[Seen] | None = None

    def __enter__(self) -> list[Seen]:
        self._around = _trace.get()
        _trace.set(self._found)
        _look_up(1)
        return self._found

    def __exit__(self, *_: object) -> None:
        _look_up(-1)
        _trace.set(self._around)


class Laps:
    """The stopwatch. ``phase`` is the one that runs; ``seconds`` what the others took so far."""

    __slots__ = ("_boot", "_mark", "began", "phase", "seconds")

    def __init__(self, boot: Callable[[], float], phase: str) -> None:
        self._boot = boot
        self._mark = self.began = boot()
        self.phase = phase
        self.seconds: dict[str, float] = {}

    def switch(self, phase: str) -> str:
        """Let ``phase`` run from now on; returns the one that ran."""
        now, before = self._boot(), self.phase
        self.seconds[before] = self.seconds.get(before, 0.0) + now - self._mark
        self._mark, self.phase = now, phase
        return before

    def credit(self, phases: Mapping[str, float]) -> None:
        """Move time that the running phase is about to be charged with to ``phases``, in which it was in truth."""
        seconds = self.seconds
        for name, spent in phases.items():
            seconds[name] = seconds.get(name, 0.0) + spent
        seconds[self.phase] = seconds.get(self.phase, 0.0) - sum(phases.values())

    def end(self) -> dict[str, float]:
        """Stop; the seconds of each phase that took any."""
        self.switch(self.phase)
        return {name: spent for name, spent in self.seconds.items() if spent > 0}

    @property
    def total(self) -> float:
        """Seconds from the beginning to the last change of phase."""
        return self._mark - self.began


_running: ContextVar[Laps | None] = ContextVar("swampstore_running", default=None)


def current() -> Laps | None:
    """The stopwatch of the operation that this code is part of."""
    return _running.get()


def _back(around: Laps | None, inner: Laps | None, kind: type[BaseException] | None) -> None:
    """At the end of a block ``around`` runs again.

    A coroutine that nobody waits for any more is ended by the garbage collector in the middle of whatever runs then: the
    stopwatch of that is not touched. Nor may it be, as CPython (seen in 3.11) crashes when a context variable is set while
    another one is being set.
    """
    if kind is not GeneratorExit or _running.get() is inner:
        _running.set(around)


class during:  # noqa: N801 (reads as a statement)
    """``with during("segments"):`` what runs in the block is that phase of whatever operation it is part of.

    ``apart`` is for code that is not the library's own: operations in it are no part of the one around.
    """

    __slots__ = ("_apart", "_before", "_laps", "_phase")

    def __init__(self, phase: str, *, apart: bool = False) -> None:
        self._phase = phase
        self._apart = apart
        self._laps: Laps | None = None
        self._before = ""

    def __enter__(self) -> None:
        laps = self._laps = _running.get()
        if laps is not None:
            self._before = laps.switch(self._phase)
            if self._apart:
                _running.set(None)

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if self._laps is not None:
            self._laps.switch(self._before)
            if self._apart:
                _back(self._laps, None, kind)


class measured:  # noqa: N801
    """A stopwatch of its own for the block, ``laps``; the one around goes on in its phase."""

    __slots__ = ("_around", "laps")

    def __init__(self, boot: Callable[[], float], phase: str) -> None:
        self.laps = Laps(boot, phase)
        self._around: Laps | None = None

    def __enter__(self) -> Laps:
        self._around = _running.get()
        _running.set(self.laps)
        return self.laps

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        _back(self._around, self.laps, kind)


class Operation:
    """``with Operation(env, "fold", "join") as op:`` one operation, from its begin to its end.

    ``base`` is the phase of all time that no :class:`during` claims. Afterwards ``phases`` and ``seconds`` are set, the
    observer has been told (with ``records``), and an operation around has taken the phases over.
    """

    __slots__ = ("_around", "laps", "name", "phases", "records", "seconds")

    def __init__(self, env: Env, name: str, base: str) -> None:
        self.name = name
        self.laps = Laps(env.boot, base)
        self.phases: dict[str, float] = {}
        self.seconds = 0.0
        self.records = 0
        self._around: Laps | None = None

    def __enter__(self) -> Self:
        self._around = _running.get()
        _running.set(self.laps)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        _back(self._around, self.laps, kind)
        self.phases = self.laps.end()
        self.seconds = self.laps.total
        if self._around is not None:
            self._around.credit(self.phases)
        told(self.name, self.seconds, self.phases, error, self.records)


def told(op: str, seconds: float, phases: Mapping[str, float], error: BaseException | None, records: int = 0) -> None:
    """Tell the observer of an operation that was measured in another way."""
    if not watched:
        return
    outcome, trace = outcome_of(error), _trace.get()
    if observer is not None:
        observer.finished(op, seconds, phases, outcome, records)
    if trace is not None:
        trace.append(Seen(op, seconds, phases, outcome, records))


def count(name: str, amount: int = 1) -> None:
    """Count one of :data:`COUNTERS` up, if anybody looks."""
    if observer is not None:
        observer.count(name, amount)


def outcome_of(error: object) -> str:
    """``ok``, the code of an error of this library, or ``other``: few enough to be a label."""
    if isinstance(error, SwampError):
        return error.code
    return "other" if isinstance(error, BaseException) else "ok"


def leave() -> None:
    """Be part of no operation from here on: for work in the background that began in one and outlives it."""
    _running.set(None)
