"""However many come in the same instant, one wins: on every server that the other tests trust."""

from __future__ import annotations

import pytest

from tests.conftest import Bucket
from tests.real.races import create_race, replace_race

pytestmark = pytest.mark.server
RACES = [create_race, replace_race]


@pytest.mark.parametrize("race", RACES)
def test_one_wins(moto_bucket: Bucket, emulator_bucket: Bucket, race: object) -> None:
    for bucket in (moto_bucket, emulator_bucket):
        run = race(bucket.server, bucket.name, "r")  # type: ignore[operator]
        assert len(run.told) == len(run.winners) == 1, run
        assert set(run.statuses) <= {200, 409, 412}, run


@pytest.mark.parametrize("race", RACES)
def test_a_server_without_a_lock_is_found_out(moto_bucket: Bucket, race: object) -> None:
    """moto looks first and writes later: the reason why it is used behind a lock. Here two always look before one writes."""
    run = race(moto_bucket.server, moto_bucket.name, "r", 8, [moto_bucket.server.bare])  # type: ignore[operator]
    assert len(run.told) > 1, "one winner: the race is too weak"
