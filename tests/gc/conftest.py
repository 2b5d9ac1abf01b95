"""The fixtures of the background half."""

from tests.workers.conftest import tiny, world

__all__ = ["tiny", "world"]
