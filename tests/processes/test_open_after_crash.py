"""However a process dies, the next one needs no repair and answers at once: counted and measured with a long log left behind."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
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
import json, os, sys, time
import swampstore
from swampstore.env.blocking import BlockingEnv
folder, seen = os.path.abspath(sys.argv[1]), {"files": 0, "waits": []}
sleep = BlockingEnv.sleep
def waits(self, seconds):
    seen["waits"].append(seconds)
    return sleep(self, seconds)
def hear(event, arguments):
    if event == "open" and str(arguments[0]).startswith(folder):
        seen["files"] += 1
BlockingEnv.sleep = waits
sys.addaudithook(hear)
with swampstore.open(folder) as store:
    ns = store.namespace("ops")
    found = ns.get("k/" + sys.argv[2])
    seen["cpu_s"] = time.process_time()  # since the process began
    told = json.dumps(seen)
    assert found is not None
    ns.put("after", b"1")
    print(told)
"""
FEW = 30
"""Files that an open and a first read may open beside the segments of the log."""


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


def read_anew(folder: Path, last: int) -> tuple[int, float]:
    """How many files a new process opens until its first answer, for which it waits for nothing; its time on the CPU."""
    line = [sys.executable, "-c", READER, str(folder), str(last)]
    done = subprocess.run(line, cwd=ROOT, capture_output=True, text=True, check=True)
    seen = json.loads(done.stdout)
    assert seen["waits"] == []
    return seen["files"], seen["cpu_s"]


def test_the_next_process_reads_what_is_there_once(tmp_path: Path) -> None:
    last = left_behind(tmp_path / "store", 200)
    log = sum(path.is_file() for path in (tmp_path / "store" / "ops" / "log").rglob("*"))
    files, _ = read_anew(tmp_path / "store", last)
    assert 200 // 10 <= log <= files <= log + FEW  # a stream's segments are files, the writer's lane is one


@pytest.mark.prove
def test_the_next_process_answers_in_a_second(tmp_path: Path) -> None:
    last = left_behind(tmp_path / "store", 4000)
    took = [read_anew(tmp_path / "store", last)[1] for _ in range(3)]
    print(f"4000 segments left behind: imports, open and first read in {took} s of CPU")
    assert min(took) < LIMIT_S


def test_a_folded_store_answers_from_few_files(tmp_path: Path) -> None:
    last = left_behind(tmp_path / "store", 50)
    with swampstore.open(str(tmp_path / "store")) as store:
        ns = store.namespace("ops")
        ns.compact()
        ns.put_many({f"many/{number:05}": b"x" for number in range(5000)})
        ns.compact()
    files, _ = read_anew(tmp_path / "store", last)
    assert files <= FEW
