"""What a pull has noted as synced survives a loss of power: else the next sync would take it for deleted by the user."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from swampstore.stores.memory import MemoryStore
from swampstore.workers.sync.state import State
from tests.sync.machines import Machine


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="needs /proc to see what is synced")
def test_files_names_and_the_way_there_are_synced_before_the_state_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = MemoryStore()
    there, here = Machine(store, tmp_path / "there"), Machine(store, tmp_path / "here")
    there.write("a/b/c/file", "1")
    there.write("top", "2")
    there.sync()
    synced: set[str] = set()
    before: list[set[str]] = []
    real_fsync, real_synced = os.fsync, State.synced

    def fsync(fd: int) -> None:
        synced.add(os.readlink(f"/proc/self/fd/{fd}"))
        real_fsync(fd)

    def noted(self: State, *row: Any) -> None:
        before.append(set(synced))
        real_synced(self, *row)

    monkeypatch.setattr(os, "fsync", fsync)
    monkeypatch.setattr(State, "synced", noted)
    here.sync()
    tree = tmp_path / "here"
    assert len(before) == 2
    assert before[0] >= {str(tree / path) for path in ("a/b/c/file", "a/b/c", "a/b", "a", "top", "")}
