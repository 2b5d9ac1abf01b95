"""Fixtures of the data model: the world of the background half, and its tiny sizes."""

from __future__ import annotations

from tests.workers.conftest import tiny, world

__all__ = ["tiny", "world"]
