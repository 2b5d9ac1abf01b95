"""One run of ``swamp poll``: read to its end, stopped with all that it started, also when the poller is killed."""

from __future__ import annotations

import fcntl
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from swampstore_cli import command_group, poll_run
from swampstore_cli.poll_guard import guarded
from swampstore_cli.poll_run import run_command
from swampstore_cli.stopping import StopSignals
from tests.cli.conftest import Swamp

ONCE = ("--every", "1s", "--jitter", "0s", "--count", "1")


class TestRun:
    @pytest.fixture
    def stop(self) -> Iterator[StopSignals]:
        with StopSignals() as stop:
            yield stop

    @pytest.fixture
    def stubborn(self) -> Iterator[subprocess.Popen[bytes]]:
        """A command, in a session of its own, that SIGTERM does not end."""
        with subprocess.Popen(
            ["sh", "-c", "trap '' TERM; echo ready; while :; do sleep 0.05; done"],
            stdout=subprocess.PIPE,
            start_new_session=True,
        ) as child:
            assert child.stdout is not None
            child.stdout.readline()
            yield child
            child.kill()

    def ran(self, stop: StopSignals, *line: str, limit: float | None = None, most: int = 1000) -> poll_run.Ended:
        return run_command(line, stop, limit_s=limit, output_bytes=most, error_bytes=10)

    def test_outputs_are_bounded_and_read_to_the_end(self, stop: StopSignals) -> None:
        script = "head -c 300000 /dev/zero; printf 0123456789abcdef >&2; exit 7"
        ended = self.ran(stop, "sh", "-c", script)
        assert (ended.code, len(ended.output), ended.cut) == (7, 1000, 299_000)
        assert ended.error == b"6789abcdef"

    def test_a_limit_ends_the_whole_session(self, stop: StopSignals, tmp_path: Path, monkeypatch: Any) -> None:
        monkeypatch.setattr(poll_run, "GRACE_S", 0.2)
        script = f"trap '' TERM; {beside(tmp_path / 'child')}; wait; sleep 60"
        for limit in (0.2, 1.0, 5.0, 25.0):  # a loaded machine may need longer until the command stands there
            ended = self.ran(stop, "sh", "-c", script, limit=limit)
            assert ended.timed_out
            if (tmp_path / "child").exists() and (tmp_path / "child").read_text():
                break
        assert ended.code == -signal.SIGKILL
        assert not alive(int((tmp_path / "child").read_text()))

    def test_a_process_left_behind_holds_nobody_up(self, stop: StopSignals, tmp_path: Path, monkeypatch: Any) -> None:
        monkeypatch.setattr(poll_run, "GRACE_S", 0.2)
        ended = self.ran(stop, "sh", "-c", f"{beside(tmp_path / 'child')}; echo done")
        assert (ended.code, ended.output, ended.timed_out) == (0, b"done\n", False)
        assert not alive(int((tmp_path / "child").read_text()))

    def test_a_stop_ends_it(self, stop: StopSignals) -> None:
        stop.set()
        ended = self.ran(stop, "sleep", "60")
        assert ended.stopped
        assert ended.code == -signal.SIGTERM

    def test_the_command_of_a_killed_poller_ends_with_it(self, store: Path, tmp_path: Path) -> None:
        script = f"{beside(tmp_path / 'child')}; wait"
        poller = begin(store, "--every", "50ms", "--topic", "t", "--", "sh", "-c", script)
        while not (tmp_path / "child").exists():
            assert poller.poll() is None
            time.sleep(0.02)
        poller.kill()
        poller.communicate()
        assert not alive(int((tmp_path / "child").read_text()))

    @pytest.mark.parametrize("dies", [True, False])
    def test_the_guard_of_a_run_ends_with_it(self, stubborn: subprocess.Popen[bytes], dies: bool) -> None:
        """It speaks up only for a poller that has died, and then for good."""
        poller = os.fork()
        if poller == 0:
            with guarded(stubborn.pid, 0.1):
                os._exit(0) if dies else None
            os._exit(0)
        os.waitpid(poller, 0)
        if dies:
            assert stubborn.wait(timeout=100) == -signal.SIGKILL
        else:
            time.sleep(0.3)
            assert stubborn.poll() is None

    @pytest.mark.parametrize("kept", [True, False])
    def test_what_a_dead_poller_had_locked_is_locked_until_its_command_is_gone(
        self, stubborn: subprocess.Popen[bytes], tmp_path: Path, kept: bool
    ) -> None:
        poller = os.fork()
        if poller == 0:
            place = os.open(tmp_path / "place", os.O_CREAT | os.O_RDWR)
            fcntl.flock(place, fcntl.LOCK_EX)
            with guarded(stubborn.pid, 0.3 if kept else 60, (place,) if kept else ()):
                os._exit(0)
        os.waitpid(poller, 0)
        with open(tmp_path / "place") as place_again:
            fcntl.flock(place_again, fcntl.LOCK_EX)
            assert (stubborn.poll() is not None) is kept

    def test_a_poller_keeps_its_place_so(self, swamp: Swamp, store: Path, monkeypatch: Any) -> None:
        kept, real = [], command_group.guarded

        def guard(pid: int, grace: float, keep: tuple[int, ...]) -> Any:
            kept.extend(os.fstat(file) for file in keep)
            return real(pid, grace, keep)

        monkeypatch.setattr(command_group, "guarded", guard)
        assert swamp("poll", *ONCE, "--topic", "t", "--", "true").code == 0
        (ticket,) = store.rglob("t/0*")
        assert [os.path.samestat(file, ticket.stat()) for file in kept] == [True]

    @pytest.mark.parametrize(("name", "code"), [("/no/such/program", 127), ("/", 126)])
    def test_what_cannot_be_started_is_a_result(self, stop: StopSignals, name: str, code: int) -> None:
        ended = self.ran(stop, name)
        assert ended.code == code
        assert ended.error


def beside(child: Path) -> str:
    """A script that begins a process, tells its id and goes on. Where it can be, the process is in a group of its own."""
    inner = f"sh -c 'echo $$ > {child}.new; mv {child}.new {child}; exec sleep 60'"
    grouped = "timeout 60 " if Path("/proc/self/stat").exists() and shutil.which("timeout") else ""
    return f"{grouped}{inner} & while ! [ -e {child} ]; do sleep 0.01; done"


def alive(pid: int) -> bool:
    for _ in range(2000):
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return False
        if Path(f"/proc/{pid}/stat").exists() and " Z " in Path(f"/proc/{pid}/stat").read_text():
            return False
        time.sleep(0.02)
    return True


def begin(store: Path, *line: str) -> subprocess.Popen[bytes]:
    environment = os.environ | {"SWAMP_DATASTORE": str(store)}
    return subprocess.Popen(
        [sys.executable, "-m", "swampstore_cli", "poll", *line],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=environment,
    )
