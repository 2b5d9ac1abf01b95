"""However a process dies, the next one needs no repair and answers at once: measured with a long log left behind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

import swampstore
from tests.servers import ROOT

LIMIT_S = 1.0
WRITER = """
import sys
import swampstore
with swampstore.open(sys.argv[1], create=True) as store:
    ns = store.namespace("ops")
    ns._core.help = None  # nobody folds: the log grows as long as it is told to
    ns._core._appends = 1
    for number in range(10**9):
        ns._core._appends = 1
        ns.put(f"k/{number}", b"x" * 100)
        ns.stream("run").append([b"%d" % number]) if number % 10 == 0 else None
        print(number, flush=True)
"""
READER = """
import sys, time
began = time.monotonic()
import swampstore
with swampstore.open(sys.argv[1]) as store:
    ns = store.namespace("ops")
    found = ns.get("k/" + sys.argv[2])
    opened = time.monotonic() - began
    assert found is not None
    ns.put("after", b"1")
    print(opened)
"""


def left_behind(folder: Path, segments: int) -> int:
    """A store whose only writer was killed after so many appends; the last that was acknowledged."""
    writer = subprocess.Popen([sys.executable, "-c", WRITER, str(folder)], cwd=ROOT, stdout=subprocess.PIPE, text=True)
    assert writer.stdout is not None
    last = -1
    for line in writer.stdout:
        last = int(line)
        if last >= segments:
            break
    os.kill(writer.pid, signal.SIGKILL)
    writer.stdout.close()
    writer.wait()
    return last


@pytest.mark.parametrize("segments", [200, pytest.param(4000, marks=pytest.mark.prove)])
def test_the_next_process_answers_in_a_second(segments: int, tmp_path: Path) -> None:
    last = left_behind(tmp_path / "store", segments)
    took: list[float] = []
    for _ in range(3):  # the machine may be busy: the best of three says what the code needs
        done = subprocess.run(
            [sys.executable, "-c", READER, str(tmp_path / "store"), str(last)],
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=True,
        )
        took.append(float(done.stdout))
    print(f"{segments} segments left behind: imports, open and first read in {took} s")
    assert min(took) < LIMIT_S


def test_a_folded_store_answers_in_a_second_too(tmp_path: Path) -> None:
    last = left_behind(tmp_path / "store", 50)
    with swampstore.open(str(tmp_path / "store")) as store:
        ns = store.namespace("ops")
        ns.compact()
        ns.put_many({f"many/{number:05}": b"x" for number in range(5000)})
        ns.compact()
    began = time.monotonic()
    with swampstore.open(str(tmp_path / "store")) as store:
        assert store.namespace("ops").get(f"k/{last}") is not None
    assert time.monotonic() - began < LIMIT_S
