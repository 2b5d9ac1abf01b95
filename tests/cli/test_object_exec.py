"""The command of ``swamp object update --exec`` ends with its caller, and all that it started."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from swampstore_cli import command_group
from swampstore_cli.commands import object_update
from swampstore_cli.main import TERMINATED_EXIT, _terminated
from tests.cli.conftest import Swamp
from tests.cli.test_poll_run import alive, beside

pytestmark = pytest.mark.usefixtures("store")


@pytest.fixture
def child(tmp_path: Path) -> Path:
    """Where the script below says which process it has started."""
    return tmp_path / "child"


def script(child: Path) -> str:
    return f"{beside(child)}; wait; echo value"


def started(child: Path) -> int:
    until = time.monotonic() + 100
    while not child.exists():
        assert time.monotonic() < until
        time.sleep(0.01)
    return int(child.read_text())


@contextmanager
def signalled(child: Path, number: int) -> Iterator[None]:
    """This process gets the signal once the command runs."""

    def send() -> None:
        started(child)
        os.kill(os.getpid(), number)

    before = signal.signal(signal.SIGTERM, _terminated)
    sender = threading.Thread(target=send)
    sender.start()
    try:
        yield
    finally:
        sender.join()
        signal.signal(signal.SIGTERM, before)


def test_interrupted_it_leaves_nothing_running(swamp: Swamp, child: Path) -> None:
    with signalled(child, signal.SIGINT):
        done = swamp("object", "update", "k", "--exec", script(child))
    assert (done.code, "nothing was written" in done.err) == (130, True)
    assert not alive(int(child.read_text()))
    assert swamp("object", "get", "k").code == 1


def test_terminated_it_leaves_nothing_running(swamp: Swamp, child: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended, signalled(child, signal.SIGTERM):
        swamp("object", "update", "k", "--exec", script(child))
    assert (ended.value.code, "nothing was written" in capsys.readouterr().err) == (TERMINATED_EXIT, True)
    assert not alive(int(child.read_text()))


def test_a_command_that_does_not_listen_is_killed(swamp: Swamp, child: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(object_update, "GRACE_S", 0.1)
    with signalled(child, signal.SIGINT):
        assert swamp("object", "update", "k", "--exec", f"trap '' TERM; {script(child)}").code == 130
    assert not alive(int(child.read_text()))


def test_killed_its_guard_ends_the_command(child: Path) -> None:
    line = [sys.executable, "-m", "swampstore_cli", "object", "update", "k", "--exec", script(child)]
    with subprocess.Popen(line) as process:
        pid = started(child)
        process.kill()
    assert not alive(pid)


def test_without_its_own_session_something_stays(swamp: Swamp, child: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(command_group, "signal_session", lambda pid, _: os.kill(pid, signal.SIGKILL))
    monkeypatch.setattr(command_group, "end_session", lambda _: None)
    monkeypatch.setattr(object_update, "GRACE_S", 0.1)
    with signalled(child, signal.SIGINT):
        assert swamp("object", "update", "k", "--exec", script(child)).code == 130
    pid = int(child.read_text())
    os.kill(pid, 0)
    os.kill(pid, signal.SIGKILL)


@pytest.mark.parametrize("held", [True, False])
def test_interrupted_before_its_guard_is_there_it_never_begins(
    swamp: Swamp, child: Path, monkeypatch: pytest.MonkeyPatch, held: bool
) -> None:
    @contextmanager
    def interrupted(*_: object) -> Iterator[None]:
        if not held:
            started(child)
        raise KeyboardInterrupt
        yield

    if not held:
        monkeypatch.setattr(command_group, "_GATE", 'exec "$@"')
    monkeypatch.setattr(command_group, "guarded", interrupted)
    assert swamp("object", "update", "k", "--exec", script(child)).code == 130
    assert child.exists() is not held
