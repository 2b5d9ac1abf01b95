"""Fixtures of the record classes: a world, and sizes so small that a few entries make many runs."""

from __future__ import annotations

import pytest

from swampstore.workers import archive, archive_catalog, archive_sort, side_runs
from tests.classes.support import World
from tests.workers.conftest import tiny  # noqa: F401


@pytest.fixture
def world() -> World:
    return World()


@pytest.fixture
def tiny_state(tiny: None, monkeypatch: pytest.MonkeyPatch) -> None:  # noqa: F811
    """Ephemeral records spill at 500 bytes into runs of about 300 stored bytes; tombstones are buried three at a time."""
    monkeypatch.setattr(side_runs, "INLINE_EPHEMERAL_BYTES", 500)
    monkeypatch.setattr(side_runs, "EPHEMERAL_RUN_BYTES", 150)
    monkeypatch.setattr(side_runs, "_BURIALS_PER_FOLD", 3)


@pytest.fixture
def tiny_archives(tiny: None, monkeypatch: pytest.MonkeyPatch) -> None:  # noqa: F811
    """Archives from 400 bytes on, three of them are sorted, files of about 1 KB, a catalog run holds a few of them."""
    monkeypatch.setattr(archive, "INLINE_AUDIT_BYTES", 400)
    monkeypatch.setattr(archive, "AUDIT_FRESH_FILES", 3)
    monkeypatch.setattr(archive_sort, "AUDIT_FILE_BYTES", 1000)
    monkeypatch.setattr(archive_catalog, "CATALOG_RUN_BYTES", 600)
