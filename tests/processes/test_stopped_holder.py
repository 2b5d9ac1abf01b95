"""A holder that is stopped and woken: on a server it is passed over and fenced, on a disk it keeps its turn, by name."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

import swampstore
from swampstore.errors import DeadlinePassed
from tests.conftest import Bucket
from tests.servers import ROOT

HOLDER = """
import sys
import swampstore
from swampstore.errors import FencedError
with swampstore.open(sys.argv[1], create=True) as store:
    with store.namespace("ops").lock("deploy", purpose="a long job") as held:
        held.put("k", b"mine")
        print("holds", flush=True)
        sys.stdin.readline()
        try:
            held.put("k", b"too late")
        except FencedError:
            print("fenced", flush=True)
        else:
            print("written", flush=True)
"""


def holder(url: str) -> subprocess.Popen[str]:
    process = subprocess.Popen(
        [sys.executable, "-c", HOLDER, url], cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "holds\n"
    return process


def woken(process: subprocess.Popen[str]) -> str:
    os.kill(process.pid, signal.SIGCONT)
    said, _ = process.communicate("go on\n", timeout=60)
    return said.strip()


@pytest.mark.prove
@pytest.mark.server
def test_on_a_server_it_is_passed_over_and_fenced(moto_bucket: Bucket) -> None:
    url = moto_bucket.url("stopped")
    process = holder(url)
    os.kill(process.pid, signal.SIGSTOP)
    began = time.monotonic()
    with swampstore.open(url) as store, store.namespace("ops").lock("deploy", deadline=60) as held:
        assert 5 < time.monotonic() - began < 40
        held.put("k", b"next")
        assert woken(process) == "fenced"
        assert store.namespace("ops").read("k") == b"next"


def test_on_a_disk_it_keeps_its_turn_until_it_is_passed_over_by_force(tmp_path: Path) -> None:
    process = holder(str(tmp_path / "store"))
    os.kill(process.pid, signal.SIGSTOP)
    with swampstore.open(str(tmp_path / "store")) as store:
        ns = store.namespace("ops")
        with pytest.raises(DeadlinePassed, match="a long job"), ns.lock("deploy", deadline=0.3):
            pass
        (ticket,) = ns.queue("deploy").status().holders
        assert (ticket.pid, ticket.purpose) == (process.pid, "a long job")
        ns.queue("deploy").pass_over(ticket.ticket)
        with ns.lock("deploy", deadline=60) as held:
            held.put("k", b"next")
        assert woken(process) == "fenced"
        assert ns.read("k") == b"next"
