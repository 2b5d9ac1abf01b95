"""Clears the stage: whoever has not ended is forgotten, so that no clean-up of theirs runs later."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.coordination.support import played


@pytest.fixture(autouse=True)
def _clear_the_stage() -> Iterator[None]:
    yield
    for stage in played:
        stage.sim.close()
    played.clear()
