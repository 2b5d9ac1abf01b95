"""Ceph on one machine, without systemd: a monitor, one storage daemon and gateways that speak S3, on free ports.

    python -m tests.real.ceph [--store bluestore] [--gateways 2] [--kills SEED]

runs one until standard input ends, and prints ``READY`` and its endpoints. With ``--kills`` its storage daemon and gateways
are killed (SIGKILL) and started again, one at a time, every few seconds, as drawn from the seed.

Debian's packages radosgw, ceph-mon, ceph-osd and ceph-common have the programs; ``make ceph`` installs them. What is kept
in ``memstore`` is gone with the storage daemon; ``bluestore`` keeps it in a file, and outlives a kill.

Invariant: every daemon is a child in the foreground and is ended by its own process id.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import random
import select
import shutil
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

from tests.servers import AWS_ENVIRONMENT, ROOT, S3Server, ServerFailed, end, free_port, server_at

PROGRAMS = ("ceph", "ceph-mon", "ceph-osd", "monmaptool", "radosgw", "radosgw-admin")
STARTUP_S = 60.0
OSD_BYTES = 4 << 30

CONFIG = """
[global]
fsid = {fsid}
mon host = [v2:127.0.0.1:{mon_port},v1:127.0.0.1:{mon_port_v1}]
public network = 127.0.0.0/8
public addr = 127.0.0.1
cluster addr = 127.0.0.1
auth cluster required = none
auth service required = none
auth client required = none
ms mon client mode = crc
run dir = {folder}
admin socket = {folder}/$name.asok
log file = {folder}/$name.log
crash dir = {folder}
pid file =
osd pool default size = 1
osd pool default min size = 1
osd pool default pg num = 8
osd pool default pgp num = 8
osd pool default pg autoscale mode = off
osd crush chooseleaf type = 0
osd heartbeat interval = 1
osd heartbeat grace = 4
mon allow pool size one = true
mon max pg per osd = 1000
mon data avail crit = 1
mon data avail warn = 2

[mon]
mon data = {folder}/mon
mon cluster log file = {folder}/cluster.log

[osd]
osd data = {folder}/osd
osd objectstore = {store}
osd max object name len = 2048
osd memory target = 1073741824
memstore device bytes = {osd_bytes}
bluestore block size = {osd_bytes}

[client]
rgw thread pool size = 128
rgw dynamic resharding = false
rgw run sync thread = false
rgw enable usage log = false
rgw enable ops log = false
"""


def missing() -> str:
    """Why there can be no Ceph on this machine; nothing if there can."""
    absent = [program for program in PROGRAMS if not shutil.which(program)]
    return f"{', '.join(absent)} not installed: make ceph" if absent else ""


class Ceph:
    """A cluster that runs. ``gateways`` are its S3 servers; daemons may be killed and started again."""

    def __init__(self, folder: Path, store: str, gateways: int) -> None:
        self.folder = folder
        self._running: dict[str, subprocess.Popen[bytes]] = {}
        self._ports = [free_port() for _ in range(gateways)]
        self._config = folder / "ceph.conf"
        self._fsid = str(uuid.uuid4())
        mon_port, mon_port_v1 = free_port(), free_port()
        self._mon = f"[v2:127.0.0.1:{mon_port},v1:127.0.0.1:{mon_port_v1}]"
        self._config.write_text(
            CONFIG.format(
                fsid=self._fsid,
                mon_port=mon_port,
                mon_port_v1=mon_port_v1,
                folder=folder,
                store=store,
                osd_bytes=OSD_BYTES,
            )
            + "".join(
                f"\n[client.rgw.g{number}]\nrgw data = {folder}/g{number}\n"
                f"rgw frontends = beast endpoint=127.0.0.1:{port} tcp_nodelay=1\n"
                for number, port in enumerate(self._ports)
            )
        )
        self.gateways: list[S3Server] = [server_at(port) for port in self._ports]

    # --- from nothing ------------------------------------------------------------------------------------------------

    def make(self) -> None:
        """Make the cluster, start everything, and make the user of the tests."""
        for name in ("mon", "osd"):
            (self.folder / name).mkdir()
        monmap = str(self.folder / "monmap")
        self._do("monmaptool", "--create", "--fsid", self._fsid, "--addv", "a", self._mon, monmap)
        self._do("ceph-mon", "--mkfs", "-i", "a", "--monmap", monmap)
        self._start("mon", "ceph-mon", "-f", "-i", "a")
        self._until("the monitor", lambda: self._try("ceph", "--connect-timeout", "2", "mon", "stat"))
        osd = str(uuid.uuid4())
        self._do("ceph", "osd", "new", osd, "0")
        self._do("ceph-osd", "-i", "0", "--mkfs", "--osd-uuid", osd)
        self.start_osd()
        self.start_gateway(0)
        keys = [
            "--access-key",
            AWS_ENVIRONMENT["AWS_ACCESS_KEY_ID"],
            "--secret-key",
            AWS_ENVIRONMENT["AWS_SECRET_ACCESS_KEY"],
        ]
        self._do("radosgw-admin", "user", "create", "--uid", "test", "--display-name", "test", *keys)
        for number in range(1, len(self._ports)):  # one after the other: the first makes the pools
            self.start_gateway(number)

    def version(self) -> str:
        """The release, such as ``16.2.15``."""
        return self._do("radosgw", "--version").split()[2]

    # --- daemons -----------------------------------------------------------------------------------------------------

    def start_osd(self) -> None:
        """Start the storage daemon and wait until it serves."""
        self._start("osd", "ceph-osd", "-f", "-i", "0")
        self._until("the storage daemon", lambda: "1 up" in self._try("ceph", "osd", "stat"))

    def start_gateway(self, number: int) -> None:
        """Start a gateway and wait until it answers."""
        self._start(f"g{number}", "radosgw", "-f", "-n", f"client.rgw.g{number}")
        self._until(f"gateway {number}", lambda: _answers(self._ports[number]))

    def served(self) -> None:
        """Wait until what is kept by the storage daemon can be asked for (a second or two after it has come back)."""
        self._until("service", lambda: any(map(_serves, self.gateways)))

    def kill(self, name: str) -> None:
        """SIGKILL for ``osd``, ``mon``, ``g0`` ..."""
        process = self._running.pop(name)
        process.kill()
        process.wait()

    def close(self) -> None:
        """End everything, gateways first."""
        for name in sorted(self._running, key=lambda name: {"osd": 1, "mon": 2}.get(name, 0)):
            end(self._running.pop(name))
        for gateway in self.gateways:
            gateway.client.close()

    # -----------------------------------------------------------------------------------------------------------------

    def _start(self, name: str, *command: str) -> None:
        with (self.folder / f"{name}.out").open("ab") as out:
            self._running[name] = subprocess.Popen(
                [*command, "--conf", str(self._config)], stdin=subprocess.DEVNULL, stdout=out, stderr=out
            )

    def _until(self, what: str, ready: Callable[[], object]) -> None:
        deadline = time.monotonic() + STARTUP_S
        while not ready():
            dead = [name for name, process in self._running.items() if process.poll() is not None]
            if dead or time.monotonic() > deadline:
                told = "".join((self.folder / f"{name}.out").read_text(errors="replace")[-1000:] for name in dead)
                raise ServerFailed(f"{what} did not start; ended: {dead}\n{told}")
            time.sleep(0.1)

    def _do(self, *command: str) -> str:
        done = self._run(command)
        if done.returncode:
            raise ServerFailed(f"{' '.join(command[:3])} failed:\n{done.stderr[-2000:]}")
        return done.stdout

    def _try(self, *command: str) -> str:
        done = self._run(command)
        return done.stdout or done.stderr if not done.returncode else ""

    def _run(self, command: tuple[str, ...]) -> subprocess.CompletedProcess[str]:
        environment = {**os.environ, "CEPH_CONF": str(self._config)}
        return subprocess.run(
            [*command, "--conf", str(self._config)] if command[0] != "monmaptool" else command,
            capture_output=True, text=True, timeout=STARTUP_S, check=False, env=environment,
        )  # fmt: skip


def _answers(port: int) -> bool:
    import http.client

    line = http.client.HTTPConnection("127.0.0.1", port, timeout=2)
    try:
        line.request("GET", "/")
        return line.getresponse().status < 500
    except (OSError, http.client.HTTPException):
        return False
    finally:
        line.close()


def _serves(gateway: S3Server) -> bool:
    from botocore.exceptions import BotoCoreError, ClientError

    try:
        gateway.client.list_buckets()
    except (BotoCoreError, ClientError):
        return False
    return True


@contextlib.contextmanager
def ceph(scratch: Path, *, store: str = "memstore", gateways: int = 1) -> Iterator[Ceph]:
    """A fresh cluster. Raises ``ServerFailed``; see :func:`missing` first."""
    with tempfile.TemporaryDirectory(prefix="ceph-", dir=scratch) as folder:
        cluster = Ceph(Path(folder), store, gateways)
        try:
            cluster.make()
            yield cluster
        finally:
            cluster.close()


@contextlib.contextmanager
def ceph_program(scratch: Path, *, bucket: str, store: str, gateways: int, kills: int = 0) -> Iterator[list[str]]:
    """A cluster as a program of its own, with a bucket, which may also kill its daemons; the endpoints."""
    command = [sys.executable, "-m", "tests.real.ceph", "--scratch", str(scratch), "--store", store, "--bucket", bucket]
    process = subprocess.Popen(
        [*command, "--gateways", str(gateways), "--kills", str(kills)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        cwd=ROOT,
    )
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        ready, *endpoints = process.stdout.readline().decode().split() or [""]
        if ready != "READY":
            raise ServerFailed("Ceph did not start")
        yield endpoints
    finally:
        process.stdin.close()
        process.stdout.close()
        process.wait()


def _kill_until_told(cluster: Ceph, seed: int) -> None:
    """Kill and start again until standard input ends."""
    dice = random.Random(seed)
    while not select.select([sys.stdin], [], [], 2.0 + dice.random() * 6.0)[0]:
        number = dice.randrange(len(cluster.gateways) + 1)
        if number == len(cluster.gateways):
            cluster.kill("osd")
            cluster.start_osd()
        else:
            cluster.kill(f"g{number}")
            cluster.start_gateway(number)
        cluster.served()


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--store", choices=["memstore", "bluestore"], default="memstore")
    parser.add_argument("--gateways", type=int, default=1)
    parser.add_argument("--kills", type=int, default=0, metavar="SEED")
    parser.add_argument("--bucket", help="one to make before anything is killed")
    parser.add_argument("--scratch", type=Path, default=Path(tempfile.gettempdir()))
    chosen = parser.parse_args()
    if told := missing():
        sys.exit(told)
    with ceph(chosen.scratch, store=chosen.store, gateways=chosen.gateways) as cluster:
        if chosen.bucket:
            cluster.gateways[0].client.create_bucket(Bucket=chosen.bucket)
        print("READY", *(gateway.endpoint for gateway in cluster.gateways), flush=True)
        if chosen.kills:
            _kill_until_told(cluster, chosen.kills)
        else:
            sys.stdin.read()


if __name__ == "__main__":
    main()
