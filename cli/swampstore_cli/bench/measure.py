"""Carrying out one process's share of a job, and timing each operation from outside.

Invariant: the phases of a sample sum up to its time: what the library does not account for is ``outside`` (starting the
store of a cold operation, handing the call over).
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from swampstore.client.blocking import Datastore
from swampstore.env.phases import Seen, traced
from swampstore.errors import FixTheCall, FixTheSetup, SwampError
from swampstore_cli.bench.job import Job, Sample
from swampstore_cli.bench.workloads import WORKLOADS, Turn, Workload

OUTSIDE = "outside"
OPENING = "open_store"
"""Phases that only a benchmark sees."""


class Runner:
    """Process ``number`` of a job. ``opened`` opens the store; each cold operation opens it anew."""

    def __init__(self, job: Job, number: int, opened: Callable[[], Datastore]) -> None:
        self.job = job
        self.number = number
        self.done = 0
        self._opened = opened
        self._work: Workload = WORKLOADS[job.workload]
        self._store: Datastore | None = None
        self._samples: list[Sample] = []
        self._refusal: SwampError | None = None
        self._over = threading.Event()

    def prepare(self) -> None:
        """Make the namespace ready, for every process."""
        with self._opened() as store:
            self._work.prepare(store.namespace(self.job.namespace), self.job)

    def warm(self) -> None:
        """Open the store and do one operation that does not count: the clock finds a process that has been running."""
        if not self.job.cold:
            self._store = self._opened()
            namespace, before = self._store.namespace(self.job.namespace), Turn(self.number, 0, -1)
            self._work.ready(namespace, self.job, before)
            self._work.act(namespace, self.job, before)

    def run(self) -> list[Sample]:
        """Do the work, in threads if the job says so. Raises the error that no further operation would be spared."""
        share, threads = self.job.share(self.number), self.job.threads
        begin = threading.Barrier(threads)
        ends = time.monotonic() + self.job.seconds
        crew = [
            threading.Thread(target=self._many, args=(at, share // threads + (at < share % threads), begin, ends))
            for at in range(threads)
        ]
        for one in crew:
            one.daemon = True
            one.start()
        for one in crew:
            one.join()
        if self._refusal is not None:
            raise self._refusal
        return self._samples

    def stop(self) -> None:
        """Begin no more operations."""
        self._over.set()

    def close(self) -> None:
        """Close the store."""
        if self._store is not None:
            self._store.close()

    def _many(self, thread: int, count: int, begin: threading.Barrier, ends: float) -> None:
        begin.wait()
        for number in range(count):
            if self._over.is_set() or (number and time.monotonic() > ends):
                return
            try:
                self._samples.append(self._one(Turn(self.number, thread, number)))
            except SwampError as error:
                self._refusal = error
                self._over.set()
                return
            self.done += 1

    def _one(self, turn: Turn) -> Sample:
        """One operation. An error that the next may be spared is an outcome; any other is raised."""
        job, work = self.job, self._work
        if job.cold:
            with self._opened() as before:
                work.ready(before.namespace(job.namespace), job, turn)
        else:
            assert self._store is not None
            work.ready(self._store.namespace(job.namespace), job, turn)
        outcome, store, opening = "ok", self._store, 0.0
        with traced() as trace:
            began = time.perf_counter()
            try:
                if job.cold:
                    store = self._opened()
                    opening = time.perf_counter() - began
                assert store is not None
                work.act(store.namespace(job.namespace), job, turn)
            except (FixTheCall, FixTheSetup):
                raise
            except SwampError as error:
                outcome = error.code
            seconds = time.perf_counter() - began
        if job.cold and store is not None:
            store.close()
        return Sample(seconds, outcome, _phases(trace, work.op, seconds, opening))


def _phases(trace: list[Seen], op: str, seconds: float, opening: float) -> dict[str, float]:
    """Where the time of the one operation went; several of the same (a retry of the caller) count together."""
    phases: dict[str, float] = {OPENING: opening} if opening else {}
    for seen in trace:
        if seen.op == op:
            for name, spent in seen.phases.items():
                phases[name] = phases.get(name, 0.0) + spent
    rest = seconds - sum(phases.values())
    if rest > 0:
        phases[OUTSIDE] = rest
    return phases
