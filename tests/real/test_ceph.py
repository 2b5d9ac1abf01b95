"""Ceph's gateway, an independent implementation of S3: the conformance tests over both drivers, and races on two gateways."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

import swampstore
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


def test_the_main_job(cluster: Ceph, ceph_bucket: Bucket, tmp_path: Path) -> None:
    """Four syncs at once over two gateways, a compactor, a bounded queue and a stream: everybody succeeds."""
    urls = [gateway.url(ceph_bucket.name, "team") for gateway in cluster.gateways]
    inside: list[int] = []
    most: list[int] = []

    def job(number: int) -> int:
        tree = tmp_path / f"tree-{number}"
        tree.mkdir()
        for name in range(25):
            (tree / f"{number}-{name}.json").write_bytes(b"%d" % name * (1 + 97 * name))
        with swampstore.open(urls[number % 2]) as store:
            ns = store.namespace("pipeline")
            with ns.queue("jobs", 2).acquire():
                inside.append(number)
                most.append(len(inside))
                report = ns.sync(tree)
                inside.remove(number)
            ns.stream("runs").append([b"%d" % number])
            ns.update("count", lambda current: str(int(current or b"0") + 1).encode())
            ns.compact(full=number == 0)
            return report.pushed

    with ThreadPoolExecutor(4) as threads:
        assert list(threads.map(job, range(4))) == [25] * 4
    with swampstore.open(urls[0]) as store:
        ns = store.namespace("pipeline")
        assert len([entry for entry in ns.list() if entry.key.endswith(".json")]) == 100
        assert ns.read("count") == b"4"
        assert sorted(record.data for record in ns.stream("runs").read()) == [b"0", b"1", b"2", b"3"]
        assert ns.doctor(deep=True).healthy
    assert max(most) == 2
