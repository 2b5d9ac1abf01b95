"""Work in processes of its own: started, held at a barrier, released together, bounded in time and always reaped.

A job is a generator function in :mod:`bench.jobs`: what it does before its ``yield`` is start-up, what comes after is
the measured part, and what it returns is its result. :mod:`bench.job` runs one; this module is the other end.
"""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

ROOT = Path(__file__).resolve().parent.parent


class JobFailed(Exception):
    """A process ended without a result; the message holds the end of what it said."""


class Child:
    """One job in one process. Use as a context manager: leaving it ends the process whatever happened."""

    def __init__(
        self,
        job: str,
        args: Mapping[str, Any],
        env: Mapping[str, str],
        *,
        timeout_s: float = 300.0,
        python: str = sys.executable,
    ) -> None:
        self.job = job
        self.told = False
        self._said = tempfile.TemporaryFile("w+b")  # noqa: SIM115 (closed on leaving)
        self._process = subprocess.Popen(
            [python, "-m", "bench.job", job, json.dumps(dict(args))],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._said,
            cwd=ROOT,
            env=dict(env),
            text=True,
        )
        self._timer = threading.Timer(timeout_s, self._process.kill)
        self._timer.daemon = True
        self._timer.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._timer.cancel()
        if self._process.poll() is None and error is not None:
            self._process.kill()
        with contextlib.suppress(BrokenPipeError):
            if self._process.stdin is not None:
                self._process.stdin.close()
        try:
            self._process.wait(timeout=30)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        if self._process.stdout is not None:
            self._process.stdout.close()
        self._said.close()

    def ready(self) -> None:
        """Wait until its start-up is done. Raises ``JobFailed``."""
        if self._hear().get("event") != "ready":
            raise JobFailed(f"{self.job} did not begin")

    def go(self) -> None:
        """Let the measured part begin."""
        assert self._process.stdin is not None
        self._process.stdin.write("go\n")
        self._process.stdin.flush()

    def stop(self) -> None:
        """Ask a job that runs until it is told so to end."""
        self.told = True
        assert self._process.stdin is not None
        self._process.stdin.close()

    def signal(self, number: int) -> None:
        """Send the process a signal: kill it, stop it, let it go on."""
        self._process.send_signal(number)

    def result(self) -> dict[str, Any]:
        """``{seconds, rss_mb, value}``; ``seconds`` is the measured part alone. Raises ``JobFailed``."""
        return self._hear()

    def _hear(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        text = self._process.stdout.readline()
        if not text:
            self._process.wait()
            self._said.seek(0)
            tail = self._said.read().decode(errors="replace").strip()[-2000:]
            raise JobFailed(f"{self.job} ended with code {self._process.returncode}: {tail}")
        heard: dict[str, Any] = json.loads(text)
        return heard


def run_job(job: str, env: Mapping[str, str], *, timeout_s: float = 300.0, **args: Any) -> dict[str, Any]:
    """One job alone, from start to result."""
    with Child(job, args, env, timeout_s=timeout_s) as child:
        child.ready()
        child.go()
        return child.result()


def run_together(
    job: str,
    env: Mapping[str, str],
    many: Sequence[Mapping[str, Any]],
    *,
    timeout_s: float = 300.0,
    before: Callable[[], object] = lambda: None,
    python: str = sys.executable,
) -> list[dict[str, Any]]:
    """One process per element of ``many``, released together after all have started up; their results in order.

    ``before`` is called once, right before the release. ``python`` may be the interpreter of another environment.
    """
    with contextlib.ExitStack() as stack:
        children = [stack.enter_context(Child(job, args, env, timeout_s=timeout_s, python=python)) for args in many]
        for child in children:
            child.ready()
        before()
        for child in children:
            child.go()
        return [child.result() for child in children]


@contextlib.contextmanager
def behind(job: str, env: Mapping[str, str], *, timeout_s: float = 600.0, **args: Any) -> Iterator[Child]:
    """A job that runs in the background until the block is left. Raises ``JobFailed`` at the end if it broke down."""
    with Child(job, args, env, timeout_s=timeout_s) as child:
        child.ready()
        child.go()
        yield child
        if not child.told:
            child.stop()
            child.result()
