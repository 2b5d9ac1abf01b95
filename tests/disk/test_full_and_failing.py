"""A disk that is full, is mounted read-only, or reports faults: nothing acknowledged is lost, and it goes on afterwards.

A small file system of its own (mounted by root) fills up and turns read-only for real; faults of single calls are made.
"""

from __future__ import annotations

import errno
import os
import random
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import swampstore
from swampstore.errors import FixTheSetup, StoreForbidden, StoreFull, StoreUnavailable, SwampError, Undecided

MODEL = swampstore.Model("disk", "one")
SMALL = "768k"


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 768 KB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    if os.geteuid() != 0:
        pytest.skip("needs root to mount a small file system")
    done = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={SMALL}", "tmpfs", str(folder)],
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        pytest.skip(f"a small file system cannot be mounted here: {done.stderr.strip()}")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=False)


class Writes:
    """One write of each kind, with what it promised; the order is drawn."""

    def __init__(self, ns: Any, seed: int) -> None:
        self.ns = ns
        self.dice = random.Random(seed)
        self.held: dict[str, bytes] = {}
        self.unsure: dict[str, set[bytes]] = {}
        self.stream: list[bytes] = []
        self.unsure_stream: set[bytes] = set()
        self.count = 0

    def one(self) -> None:
        """Carry out one write; an error is raised after it was booked."""
        self.count += 1
        key, data = f"k/{self.count}", b"%d" % self.count * self.dice.choice([1, 400, 3000])
        kind = self.dice.choice(["put", "put", "put", "update", "push", "lock", "data", "compact"])
        try:
            if kind == "put":
                self.ns.put(key, data)
            elif kind == "update":
                self.ns.update(key, lambda current: data)
            elif kind == "lock":
                with self.ns.lock("deploy") as held:
                    held.put(key, data)
            elif kind == "push":
                self.ns.stream("run").append([data])
                self.stream.append(data)
                return
            elif kind == "data":
                self.ns.data(MODEL, key.replace("/", "-")).put(data)
                return
            else:
                self.ns.compact(full=self.dice.random() < 0.5)
                return
        except SwampError:
            self.unsure.setdefault(key, set()).add(data)
            self.unsure_stream.add(data)
            raise
        self.held[key] = data

    def check(self, ns: Any) -> None:
        """Everything acknowledged is there, and nothing else but what was left undecided."""
        found = {entry.key: ns.read(entry.key) for entry in ns.list("k/")}
        assert found.items() >= self.held.items()
        for key in found.keys() - self.held.keys():
            assert found[key] in self.unsure[key]
        records = [record.data for record in ns.stream("run").read()]
        assert [data for data in records if data not in self.unsure_stream] == self.stream


def fill(folder: Path, leave: int) -> Path:
    """Fill the disk up to ``leave`` bytes."""
    ballast = folder / "ballast"
    with ballast.open("ab") as file:
        while (left := os.statvfs(folder).f_bavail * os.statvfs(folder).f_frsize - leave) > 0:
            file.write(b"x" * min(left, 65_536))
            file.flush()
    return ballast


def test_a_full_disk_and_room_again(small_disk: Path) -> None:
    with swampstore.open(str(small_disk / "store"), create=True) as store:
        ns = store.namespace("ops")
        writes = Writes(ns, 1)
        refused: list[str] = []
        for turn in range(6):
            for _ in range(8):
                writes.one()
            ballast = fill(small_disk, 4096 * turn)
            for _ in range(25):
                try:
                    writes.one()
                except SwampError as error:
                    refused.append(error.code)
            writes.check(ns)  # reading works on a full disk
            with swampstore.open(str(small_disk / "store")) as again:
                writes.check(again.namespace("ops"))
            ballast.unlink()
            writes.one()
        assert "store-full" in refused
        assert set(refused) <= {"store-full", "undecided", "ambiguous-append"}, refused
        ns.compact()
        writes.check(ns)
        assert not [path for path in (small_disk / "store" / ".tmp").iterdir() if path.is_file()]
        assert ns.doctor(deep=True, guards=False).healthy


def test_a_disk_that_turns_read_only(small_disk: Path) -> None:
    with swampstore.open(str(small_disk / "store"), create=True) as store:
        ns = store.namespace("ops")
        writes = Writes(ns, 2)
        for _ in range(20):
            writes.one()
        assert ns._core.writer.files is not None
        ns._core.writer.files.drop()  # a file that is open for writing keeps its disk writable
        subprocess.run(["mount", "-o", "remount,ro", str(small_disk)], check=True)
        try:
            refused = 0
            for _ in range(30):
                try:
                    writes.one()
                except StoreForbidden:
                    refused += 1
            assert refused >= 25
            writes.check(ns)
            with swampstore.open(str(small_disk / "store")) as again:
                writes.check(again.namespace("ops"))
                assert again.namespace("ops").doctor(deep=True, guards=False).healthy
        finally:
            subprocess.run(["mount", "-o", "remount,rw", str(small_disk)], check=True)
        for _ in range(20):
            writes.one()
        writes.check(ns)


CALLS = ("open", "write", "fsync", "link", "replace", "mkdir", "pread")


@pytest.mark.parametrize(("number", "error"), [(errno.EIO, StoreUnavailable), (errno.ENOSPC, StoreFull)])
@pytest.mark.parametrize("call", CALLS)
def test_single_calls_fail(
    call: str, number: int, error: type[SwampError], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every third such call on the store's files fails; callers are told, and nothing acknowledged is lost."""
    root = tmp_path / "store"
    with swampstore.open(str(root), create=True, timeout=0.05) as store:
        ns = store.namespace("ops")
        writes = Writes(ns, 3)
        for _ in range(6):
            writes.one()
        failing = Failing(call, number, str(root))
        told: list[SwampError] = []
        with monkeypatch.context() as patch:
            patch.setattr(os, call, failing.around(getattr(os, call)))
            for _ in range(25):
                try:
                    writes.one()
                except SwampError as refused:
                    told.append(refused)
        assert failing.count > 0
        assert told or number == errno.EIO  # what the retries have got over is no matter
        assert all(isinstance(one, error | Undecided | FixTheSetup | StoreUnavailable) for one in told), told
        for _ in range(6):
            writes.one()
        writes.check(ns)
    with swampstore.open(str(root)) as again:
        writes.check(again.namespace("ops"))
        assert again.namespace("ops").doctor(deep=True, guards=False).healthy


class Failing:
    """A call of ``os`` that fails every third time, for files below ``root``."""

    def __init__(self, call: str, number: int, root: str) -> None:
        self.call = call
        self.number = number
        self.root = root
        self.seen = 0
        self.count = 0

    def around(self, real: Callable[..., Any]) -> Callable[..., Any]:
        def call(target: Any, *args: Any, **more: Any) -> Any:
            path = os.readlink(f"/proc/self/fd/{target}") if isinstance(target, int) else os.fspath(target)
            if str(path).startswith(self.root):
                self.seen += 1
                if self.seen % 3 == 0:
                    self.count += 1
                    raise OSError(self.number, os.strerror(self.number))
            return real(target, *args, **more)

        return call
