"""Real processes through a real outage: killed in the middle, they lose and double nothing."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

import swampstore
from bench.cable import Cable
from tests.conftest import Bucket

pytestmark = [pytest.mark.prove, pytest.mark.server]

WRITER = """
import json, sys
import swampstore
store = swampstore.open(sys.argv[1], spool_dir=sys.argv[2], timeout=20)
topic = store.namespace("ops").audit("t", reach=0.5)
topic.write({"n": -1})
print("ready", flush=True)
number = 0
while True:
    ack = topic.write({"n": number})
    print(json.dumps([ack.ids[0], ack.spooled]), flush=True)
    number += 1
"""


def start(url: str, spool: Path) -> subprocess.Popen[str]:
    process = subprocess.Popen(
        [sys.executable, "-c", WRITER, url, str(spool)], stdout=subprocess.PIPE, text=True, env={**os.environ}
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    return process


def acknowledged(process: subprocess.Popen[str]) -> list[tuple[str, bool]]:
    """Kill it and say what it acknowledged; a line that was cut is no acknowledgement."""
    process.send_signal(signal.SIGKILL)
    out, _ = process.communicate(timeout=30)
    return [tuple(json.loads(line)) for line in out.splitlines() if line.endswith("]")]


@pytest.mark.parametrize("cut_s", [0.3, 1.5, 4.0])
def test_killed_in_an_outage_and_after_it_nothing_is_lost_or_doubled(
    emulator_bucket: Bucket, tmp_path: Path, cut_s: float
) -> None:
    port = int(emulator_bucket.server.endpoint.rpartition(":")[2])
    spool = tmp_path / "spool"
    with Cable(port) as cable:
        url = f"s3://{emulator_bucket.name}/x?endpoint=http://127.0.0.1:{cable.port}&path_style=true&region=us-east-1"
        acks: list[tuple[str, bool]] = []
        first = start(url, spool)
        time.sleep(1)
        cable.cut()
        time.sleep(cut_s)
        acks += acknowledged(first)
        cable.mend()
        second = start(url, spool)  # delivers what the first one left
        time.sleep(1.5)
        cable.cut()
        time.sleep(1)
        cable.mend()
        time.sleep(0.5)
        acks += acknowledged(second)
        with swampstore.open(url, spool_dir=str(spool)) as store:
            store.namespace("ops").drain_spool()
            found = [record.id for record in store.namespace("ops").audit("t").read()]
            assert store.namespace("ops").spool_status().writes == 0  # type: ignore[union-attr]
    assert len(found) == len(set(found))
    assert {name for name, _ in acks} <= set(found)
    assert len(acks) > 20
    if cut_s > 1:
        assert any(spooled for _, spooled in acks)


def test_delivery_killed_again_and_again(emulator_bucket: Bucket, tmp_path: Path) -> None:
    port = int(emulator_bucket.server.endpoint.rpartition(":")[2])
    spool = tmp_path / "spool"
    drain = "import sys, swampstore\nwith swampstore.open(sys.argv[1], spool_dir=sys.argv[2]) as s: s.namespace('ops').drain_spool()"
    with Cable(port) as cable:
        url = f"s3://{emulator_bucket.name}/y?endpoint=http://127.0.0.1:{cable.port}&path_style=true&region=us-east-1"
        process = start(url, spool)
        cable.cut()
        time.sleep(4)
        acks = acknowledged(process)
        cable.mend()
        for at in range(6):
            one = subprocess.Popen([sys.executable, "-c", drain, url, str(spool)])
            time.sleep(0.5 + 0.15 * at)
            one.kill()
            one.wait()
        with swampstore.open(url, spool_dir=str(spool)) as store:
            store.namespace("ops").drain_spool()
            found = [record.id for record in store.namespace("ops").audit("t").read()]
    assert len(found) == len(set(found))
    assert {name for name, _ in acks} <= set(found)


def test_a_small_disk_that_is_full_loses_nothing_it_acknowledged(tmp_path: Path) -> None:
    """A file size limit of the process stands for the disk."""
    code = """
import json, resource, sys
import swampstore
from swampstore.errors import SpoolFull
store = swampstore.open(sys.argv[1], create=True, spool_dir=sys.argv[2])
topic = store.namespace("ops").audit("t")
topic.write("first")
store._core.spools.down = True
resource.setrlimit(resource.RLIMIT_FSIZE, (2000, 2000))
import signal; signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
import os
kept, full = [], 0
for number in range(20):
    try:
        kept.append(topic.write(os.urandom(500 if number % 2 else 5000)).ids[0])
    except SpoolFull:
        full += 1
print(json.dumps([kept, full]), flush=True)
os._exit(0)
"""
    url, spool = str(tmp_path / "s"), str(tmp_path / "spool")
    done = subprocess.run(
        [sys.executable, "-c", code, url, spool], capture_output=True, text=True, timeout=60, check=True
    )
    kept, full = json.loads(done.stdout)
    assert (len(kept), full) == (10, 10)
    with swampstore.open(url, spool_dir=spool) as store:
        store.namespace("ops").drain_spool()
        found = [record.id for record in store.namespace("ops").audit("t").read()]
        assert found[1:] == kept
