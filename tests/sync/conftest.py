"""Machines around one memory store."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from swampstore.stores.memory import MemoryStore
from tests.sync.machines import Machine


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Machine]:
    """Make a machine by name; all of a test share one store."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    store = MemoryStore()

    def make(name: str, **options: bool) -> Machine:
        return Machine(store, tmp_path / name, **options)

    return make
