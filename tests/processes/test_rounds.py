"""Real processes, killed and stopped at any moment: nothing acknowledged is lost or doubled, nothing needs repair.

A few rounds every day, 500 on each backend in the proofs; `python -m tests.processes.rounds` runs any number by hand. What
a run must find is shown with faults made on purpose.
"""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from tests.conftest import DISK_VARIABLE
from tests.servers import ROOT


def rounds(*args: str, timeout: float = 500.0) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "tests.processes.rounds", *args]
    env = {**os.environ, "TMPDIR": os.environ[DISK_VARIABLE]}
    return subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True, timeout=timeout, check=False)


def whole(done: subprocess.CompletedProcess[str]) -> bool:
    print(done.stdout, done.stderr)
    return done.returncode == 0 and "VIOLATION" not in done.stdout


def test_killed_on_a_disk() -> None:
    assert whole(rounds("local", "--rounds", "3", "--seed", "101"))


@pytest.mark.server
def test_killed_on_a_server() -> None:
    assert whole(rounds("moto", "--rounds", "2", "--seed", "101", "--most", "5"))


def test_undisturbed_histories() -> None:
    assert whole(rounds("local", "--rounds", "1", "--calm", "--most", "8", "--seed", "4"))


BROKEN = {
    "conflicts-unseen": "updater1,updater2,locker1,locker2",
    "acknowledged-unwritten": "appender1,appender2,reader",
    "roots-overwritten": "compactor1,compactor2,appender1,appender2",
}


@pytest.mark.parametrize(
    "fault", ["conflicts-unseen", *(pytest.param(name, marks=pytest.mark.prove) for name in list(BROKEN)[1:])]
)
def test_a_fault_is_found(fault: str) -> None:
    # It ends with the first that finds it, as a rule the very first.
    done = rounds("local", "--rounds", "60", "--group", "2", "--calm", "--broken", fault, "--actors", BROKEN[fault])
    print(done.stdout, done.stderr)
    assert done.returncode == 1
    assert "VIOLATION" in done.stdout


@pytest.mark.prove
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("backend", ["local", "moto", "emulator"])
def test_five_hundred_rounds(backend: str) -> None:
    assert whole(rounds(backend, "--rounds", "500", "--group", "50", timeout=3500.0))


@pytest.mark.prove
@pytest.mark.timeout(1200)
@pytest.mark.parametrize("backend", ["local", "moto"])
def test_stopped_for_longer_than_every_grace(backend: str) -> None:
    """Some sleep past the age of a tail and the grace of a sweep (20 s and 30 s), while the others go on."""
    long = ["--work-s", "75", "--stop-s", "70", "--pause-s", "0.5", "--most", "12", "--rounds", "4", "--group", "2"]
    assert whole(rounds(backend, *long, timeout=1100.0))
