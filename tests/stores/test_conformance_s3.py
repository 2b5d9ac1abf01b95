"""The conformance tests over all four S3 drivers and two servers."""

from __future__ import annotations

from typing import Any

import pytest

from swampstore.env.aio import AioEnv
from swampstore.env.blocking import BlockingEnv
from swampstore.stores.base import Store
from swampstore.stores.open import open_store
from swampstore.testing.conformance import StoreConformance
from tests.conftest import Bucket

pytestmark = pytest.mark.server
PREFIX = "team/the data"


class OverS3(StoreConformance):
    """Raw access is by a bare client, to the keys below the prefix of the store."""

    driver = "fast"

    @pytest.fixture(autouse=True)
    def bucket(self, request: pytest.FixtureRequest) -> Bucket:
        raise NotImplementedError

    @pytest.fixture
    def store(self, bucket: Bucket) -> Store:
        self.bare = bucket.server.client
        self.name = bucket.name
        self.bare.put_object(Bucket=self.name, Key=f"{PREFIX}/", Body=b"")  # a folder marker, as consoles make
        self.bare.put_object(Bucket=self.name, Key=f"{PREFIX} of others/a", Body=b"not ours")
        env = AioEnv() if self.asynchronous else BlockingEnv()
        url = bucket.url(PREFIX.replace(" ", "%20"))
        return open_store(url, env=env, asynchronous=self.asynchronous, driver=self.driver)

    def raw_get(self, store: Any, name: str) -> bytes | None:
        try:
            body: bytes = self.bare.get_object(Bucket=self.name, Key=f"{PREFIX}/{name}")["Body"].read()
        except self.bare.exceptions.NoSuchKey:
            return None
        return body

    def raw_set(self, store: Any, name: str, body: bytes) -> None:
        self.bare.put_object(Bucket=self.name, Key=f"{PREFIX}/{name}", Body=body)


class OnMoto(OverS3):
    @pytest.fixture(autouse=True)
    def bucket(self, moto_bucket: Bucket) -> Bucket:
        return moto_bucket


class OnEmulator(OverS3):
    @pytest.fixture(autouse=True)
    def bucket(self, emulator_bucket: Bucket) -> Bucket:
        return emulator_bucket


class TestFastOnMoto(OnMoto):
    pass


class TestAioFastOnMoto(OnMoto):
    asynchronous = True


class TestBotoOnMoto(OnMoto):
    driver = "botocore"


class TestAioBotoOnMoto(OnMoto):
    driver = "botocore"
    asynchronous = True


class TestFastOnEmulator(OnEmulator):
    pass


class TestAioFastOnEmulator(OnEmulator):
    asynchronous = True


@pytest.mark.prove
class TestBotoOnEmulator(OnEmulator):
    driver = "botocore"


@pytest.mark.prove
class TestAioBotoOnEmulator(OnEmulator):
    driver = "botocore"
    asynchronous = True
