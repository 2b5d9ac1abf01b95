"""The fixtures of the background half."""

from __future__ import annotations

import pytest

from swampstore.workers import outputs, shards
from tests.workers.conftest import tiny, world

__all__ = ["one_shard", "tiny", "world"]


@pytest.fixture
def one_shard(tiny: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """Small blocks, and all of them in one shard."""
    for module, name in (
        (shards, "SHARD_TARGET_MIN_BYTES"),
        (shards, "SHARD_TARGET_MAX_BYTES"),
        (outputs, "SHARD_TARGET_MAX_BYTES"),
    ):
        monkeypatch.setattr(module, name, 1 << 20)
