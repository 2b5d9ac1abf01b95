"""Servers that are not there every day; a test that needs one says why it is left out."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.conftest import Bucket
from tests.real import ceph as ceph_module
from tests.real.ceph import Ceph, ceph


@pytest.fixture(scope="session")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ceph]:
    """Ceph in memory, with two gateways."""
    if why := ceph_module.missing():
        pytest.skip(why)
    with ceph(tmp_path_factory.mktemp("ceph"), gateways=2) as running:
        yield running


@pytest.fixture
def ceph_bucket(cluster: Ceph, request: pytest.FixtureRequest) -> Bucket:
    """A fresh bucket; its server is the first gateway."""
    server = cluster.gateways[0]
    name = f"test-{len(server.client.list_buckets()['Buckets'])}"
    server.client.create_bucket(Bucket=name)
    return Bucket(server, name)
