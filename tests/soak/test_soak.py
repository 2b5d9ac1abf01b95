"""A soak of a few seconds: nothing is lost; and what a soak must find is found when the library is broken on purpose."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.servers import ROOT
from tests.soak.gauges import ENOUGH_LINES, Summary
from tests.soak.ledger import NOT_DONE, SURE, Cells, Marks


def soak(scratch: Path, *words: str) -> tuple[int, str]:
    """The end of a soak as a program of its own (it forks, and collects its children)."""
    command = [sys.executable, "-m", "tests.soak", "--scratch", str(scratch), *words]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=100, check=False)
    return done.returncode, done.stdout + done.stderr


def test_a_few_seconds(tmp_path: Path) -> None:
    brief = ["--minutes", "0.06", "--rate", "15", "--kill-s", "0.7", "--stop-s", "0.7", "--odds", "0.01"]
    code, told = soak(tmp_path, *brief)
    assert code == 0, told
    assert "losses      0" in told
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "broken", [pytest.param("conflicts-unseen", marks=pytest.mark.prove), "acknowledged-unwritten"]
)
def test_a_fault_is_found(broken: str, tmp_path: Path) -> None:
    calm = ["--minutes", "0.5", "--rate", "40", "--kill-s", "0", "--stop-s", "0", "--odds", "0"]
    code, told = soak(tmp_path, *calm, "--roles", "writer,reader,updater,locker", "--broken", broken)
    assert code == 1, told
    assert "VIOLATION reader" in told


def lines(memory: list[int], descriptors: list[int], *, lasting: bool = True) -> str:
    return "".join(
        json.dumps({
            "at": at, "who": "writer-0", "pid": 1, "lasting": lasting, "rss": rss, "fds": fds, "ops": {"put": 2},
            "errors": {}, "faults": {}, "ms": {"put": 1.0 + at},
        }) + "\n"
        for at, (rss, fds) in enumerate(zip(memory, descriptors, strict=True))
    )  # fmt: skip


@pytest.mark.parametrize(
    ("memory", "descriptors", "wrong"),
    [
        ([50 << 20] * 80, [9] * 80, 0),
        ([(50 << 20) + (n << 20) for n in range(80)], [9] * 80, 1),
        ([50 << 20] * 80, [9 + n // 4 for n in range(80)], 1),
        ([(50 << 20) + (n << 21) for n in range(ENOUGH_LINES - 1)], [9] * (ENOUGH_LINES - 1), 0),
    ],
)
def test_growth_is_judged(memory: list[int], descriptors: list[int], wrong: int, tmp_path: Path) -> None:
    (tmp_path / "writer-0.gauges").write_text(lines(memory, descriptors))
    summary = Summary(tmp_path)
    assert len(summary.growth()[1]) == wrong
    assert summary.ops["put"] == 2 * len(memory)
    assert len(summary.drift()) == 1


def test_ledgers_are_shared(tmp_path: Path) -> None:
    mine, theirs = Cells(tmp_path / "cells", 3), Cells(tmp_path / "cells", 3)
    assert (mine.say(1), mine.say(1)) == (1, 2)
    mine.settle(1, 1)
    assert (theirs.sure(1), theirs.said(1), theirs.said(0)) == (1, 2, 0)
    mine.unsay(1)
    assert theirs.said(1) == 1
    told, heard = Marks(tmp_path / "marks", 10), Marks(tmp_path / "marks", 10)
    told.settle(told.say(), SURE)
    told.settle(told.say(), NOT_DONE)
    assert (len(heard), heard[0], heard[1], heard.copy()) == (2, SURE, NOT_DONE, bytes([SURE, NOT_DONE]))
