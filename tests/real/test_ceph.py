"""Ceph's gateway, an independent implementation of S3: the conformance tests over both drivers, and races on two gateways."""

from __future__ import annotations

import pytest

from tests.conftest import Bucket
from tests.real.ceph import Ceph
from tests.real.races import create_race, replace_race
from tests.stores.test_conformance_s3 import OverS3

pytestmark = [pytest.mark.prove, pytest.mark.server, pytest.mark.timeout(600)]


class OnCeph(OverS3):
    @pytest.fixture(autouse=True)
    def bucket(self, ceph_bucket: Bucket) -> Bucket:
        return ceph_bucket


class TestFastOnCeph(OnCeph):
    pass


class TestAioFastOnCeph(OnCeph):
    asynchronous = True


class TestBotoOnCeph(OnCeph):
    driver = "botocore"


class TestAioBotoOnCeph(OnCeph):
    driver = "botocore"
    asynchronous = True


@pytest.mark.parametrize("race", [create_race, replace_race])
def test_one_wins_whichever_gateway_is_asked(cluster: Ceph, ceph_bucket: Bucket, race: object) -> None:
    """Its losers are told 412 or, in a tight race, 500: which says nothing, and is settled by reading back."""
    both = [gateway.endpoint for gateway in cluster.gateways]
    for number in range(20):
        for endpoints in (both[:1], both):
            run = race(ceph_bucket.server, ceph_bucket.name, f"r{number}-{len(endpoints)}", 48, endpoints)  # type: ignore[operator]
            assert len(run.told) == len(run.winners) == 1, run
            assert set(run.statuses) <= {200, 412, 500}, run
