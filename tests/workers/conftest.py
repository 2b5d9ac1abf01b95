"""Fixtures of the background half: a world, and sizes so small that a few entries make many shards."""

from __future__ import annotations

import pytest

from swampstore.values import run as run_format
from swampstore.workers import fold, level0, outputs, shards, weave
from tests.workers.world import World


@pytest.fixture
def world() -> World:
    return World()


@pytest.fixture
def tiny(monkeypatch: pytest.MonkeyPatch) -> None:
    """Blocks of 600 bytes, shards of about 1 KB stored, level 0 spilled at 400 bytes."""
    monkeypatch.setattr(run_format, "BLOCK_RAW_BYTES", 600)
    monkeypatch.setattr(weave, "_SMALL_BLOCK_BYTES", 150)
    monkeypatch.setattr(weave, "_GROUP_BYTES", 1200)
    monkeypatch.setattr(weave, "_GOOD_BYTES", (450, 900))
    monkeypatch.setattr(weave, "_WINDOW_BLOCKS", 3)
    monkeypatch.setattr(level0, "READ_AHEAD_BYTES", 500)
    monkeypatch.setattr(shards, "SHARD_TARGET_MIN_BYTES", 1000)
    monkeypatch.setattr(shards, "SHARD_TARGET_MAX_BYTES", 2000)
    monkeypatch.setattr(outputs, "SHARD_TARGET_MAX_BYTES", 2000)
    monkeypatch.setattr(outputs, "_WRITE_BYTES", 1500)
    monkeypatch.setattr(fold, "INLINE_LEVEL0_BYTES", 400)
