"""The processes of a run: started, let go together, and gone at the end, however it comes.

Invariants:
- Every process but the janitor ends when this one does: its input ends. It finishes what it is writing first, so that
  nothing half-written stays; only one that does not come to an end is killed.
- The janitor, in a session of its own, ends last: every process of the run holds its input open. So the scratch
  namespace goes when nobody writes to it any more, also after ``kill -9``.
- The janitor knows of whatever may stay behind before it is made: the scratch folder, and the processes that write.
- Signals that mean the command (Ctrl-C goes to all of a terminal) do not reach the processes, from their first
  instruction on: they are started with them blocked. This one hears them when all are there, so none is lost track of.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from queue import Empty, SimpleQueue
from threading import Thread
from types import TracebackType
from typing import IO, Any, Self

import msgspec

from swampstore.errors import SwampError, TryAgain
from swampstore.telemetry.asked import METRICS_VARIABLE
from swampstore_cli.bench.job import STOP_S, Job, Sample, decode_samples, encode_job

GRACE_S = 30.0
"""How much longer than the job's own time the last operations may take beyond the store's timeout."""
TIDY_S = 600.0
_FOR_THE_COMMAND = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Told(SwampError):
    """An error that a process of the run has met, as it was told: with its own code and exit code."""

    def __init__(self, text: str) -> None:
        described = msgspec.json.decode(text)
        super().__init__(described["error"], hint=described["hint"])
        self.code = described["code"]  # type: ignore[misc]
        self.exit_code = described["exit"]  # type: ignore[misc]


class Crew:
    """``with Crew(job) as crew: crew.run(...)``; at the end of the block nothing of the run is left."""

    def __init__(self, job: Job) -> None:
        self.job = job
        self.left_behind = ""
        """Why the scratch namespace could not be removed; empty when it was."""
        self._lines: SimpleQueue[tuple[int, str]] = SimpleQueue()
        self._workers: list[subprocess.Popen[str]] = []
        self._janitor: subprocess.Popen[str] | None = None
        self._held_open = -1

    def __enter__(self) -> Self:
        try:
            before = signal.pthread_sigmask(signal.SIG_BLOCK, _FOR_THE_COMMAND)  # threads and processes inherit it
            try:
                self._begin()
            finally:
                signal.pthread_sigmask(signal.SIG_SETMASK, before)
        except BaseException:
            self._end()
            raise
        return self

    def _begin(self) -> None:
        reading, self._held_open = os.pipe()
        try:
            self._janitor = self._start("janitor", stdin=reading, start_new_session=True)
        finally:
            os.close(reading)
        os.write(self._held_open, encode_job(self.job) + b"\n")
        os.mkdir(self.job.folder, 0o700)
        for number in range(self.job.procs):
            worker = self._start(str(number), stdin=subprocess.PIPE, pass_fds=(self._held_open,))
            self._workers.append(worker)
            os.write(self._held_open, b"%d\n" % worker.pid)
            assert worker.stdout is not None
            Thread(target=self._listen, args=(number, worker.stdout), daemon=True).start()
            self._order(number, encode_job(self.job).decode())

    def _start(self, name: str, **more: Any) -> subprocess.Popen[str]:
        command = [sys.executable, "-P", "-m", "swampstore_cli.bench.worker", name]
        plain = {
            key: value for key, value in os.environ.items() if key != METRICS_VARIABLE
        }  # a target is of one process
        return subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=plain, **more)

    def _listen(self, number: int, stream: IO[str]) -> None:
        with stream:
            for line in stream:
                self._lines.put((number, line.rstrip("\n")))
        self._lines.put((number, ""))

    def _order(self, number: int, text: str) -> None:
        stdin = self._workers[number].stdin
        assert stdin is not None
        with suppress(BrokenPipeError):  # it is gone; its last line says why
            stdin.write(text + "\n")
            stdin.flush()

    def run(self, progress: Callable[[str, int, int], None]) -> tuple[list[Sample], float]:
        """The samples of all processes, and how long they took. Raises what one of them has met."""
        everybody = range(self.job.procs)
        progress("prepare", 0, 0)
        self._order(0, "prepare")
        self._answers([0], "prepared")
        for number in everybody:
            self._order(number, "warm")
        self._answers(everybody, "ready")
        began = time.monotonic()
        for number in everybody:
            self._order(number, "go")
        done = [0] * self.job.procs
        samples: list[Sample] = []
        waiting = set(everybody)
        ends = began + self.job.seconds + self.job.timeout + GRACE_S
        while waiting:
            number, word, rest = self._line(ends)
            if word == "done":
                done[number] = int(rest)
                progress(self.job.workload, sum(done), self.job.count)
            elif word == "result":
                samples += decode_samples(rest)
                waiting.discard(number)
        return samples, time.monotonic() - began

    def _answers(self, numbers: Iterable[int], wanted: str) -> None:
        waiting = set(numbers)
        ends = time.monotonic() + self.job.timeout + TIDY_S
        while waiting:
            number, word, _ = self._line(ends)
            if word == wanted:
                waiting.discard(number)

    def _line(self, ends: float) -> tuple[int, str, str]:
        try:
            number, line = self._lines.get(timeout=max(ends - time.monotonic(), 0.1))
        except Empty:
            raise TryAgain("a process of the benchmark does not come to an end", hint="is the store there?") from None
        word, _, rest = line.partition(" ")
        if word == "failed":
            raise Told(rest)
        if not word and self._workers[number].wait() != 0:
            code = self._workers[number].returncode
            raise SwampError(f"process {number} of the benchmark ended before its work, with code {code}")
        return number, word, rest

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._end()

    def _end(self) -> None:
        for worker in self._workers:
            assert worker.stdin is not None
            with suppress(BrokenPipeError):
                worker.stdin.close()
        ends = time.monotonic() + STOP_S
        for worker in self._workers:
            try:
                worker.wait(max(ends - time.monotonic(), 0.1))
            except subprocess.TimeoutExpired:
                worker.kill()
                worker.wait()
        if self._held_open >= 0:
            os.close(self._held_open)
            self._held_open = -1
        if self._janitor is not None:
            self._hear_janitor(self._janitor)

    def _hear_janitor(self, janitor: subprocess.Popen[str]) -> None:
        try:
            said, _ = janitor.communicate(timeout=TIDY_S)
        except subprocess.TimeoutExpired:
            said = ""
        word, _, rest = said.strip().partition(" ")
        if word != "removed":
            self.left_behind = str(Told(rest)) if word == "failed" else "the process that does it is gone"
