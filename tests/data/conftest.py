"""Fixtures of the data model: a desk for the API, and the world of the background half with its tiny sizes."""

from __future__ import annotations

import pytest

from swampstore.client.data_blocking import DataItem
from tests.data.desk import Desk, new_desk
from tests.workers.conftest import tiny, world

__all__ = ["desk", "tiny", "world"]


@pytest.fixture
def desk() -> Desk:
    return new_desk()


@pytest.fixture
def state(desk: Desk) -> DataItem:
    """One datum of one model."""
    return desk.ns.data("aws/ec2:web", "state")
