"""What the spool says it keeps is on the disk: the file before it has its name, and the name before anybody is told."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from swampstore.workers import audit_spool
from tests.spool.desk import Machine


class Noted:
    """The ``os`` of the spool; notes what is synced, and what is given its name."""

    def __init__(self) -> None:
        self.steps: list[str] = []
        self._open: dict[int, str] = {}

    def __getattr__(self, name: str) -> Any:
        return getattr(os, name)

    def open(self, path: Any, *more: Any) -> int:
        fd = os.open(path, *more)
        self._open[fd] = "folder" if os.path.isdir(path) else "file"
        return fd

    def fsync(self, fd: int) -> None:
        self.steps.append(f"sync {self._open[fd]}")
        os.fsync(fd)

    def rename(self, old: Any, new: Any) -> None:
        self.steps.append("rename")
        os.rename(old, new)


def test_a_bundle_is_synced_with_its_name_before_it_is_told_of(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    machine = Machine(tmp_path)
    machine.down = True
    topic = machine.topic()
    topic.write("makes the folders")
    noted = Noted()
    monkeypatch.setattr(audit_spool, "os", noted)
    ack = topic.write("x")
    assert (ack.spooled, ack.durable) == (True, True)
    assert noted.steps == ["sync file", "rename", "sync folder"]
