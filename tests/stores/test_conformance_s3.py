"""The conformance tests over both S3 drivers and two servers."""

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
        return open_store(bucket.url(PREFIX.replace(" ", "%20")), env=env, asynchronous=self.asynchronous)

    def raw_get(self, store: Any, name: str) -> bytes | None:
        try:
            body: bytes = self.bare.get_object(Bucket=self.name, Key=f"{PREFIX}/{name}")["Body"].read()
        except self.bare.exceptions.NoSuchKey:
            return None
        return body

    def raw_set(self, store: Any, name: str, body: bytes) -> None:
        self.bare.put_object(Bucket=self.name, Key=f"{PREFIX}/{name}", Body=body)


class TestBotoOnMoto(OverS3):
    @pytest.fixture(autouse=True)
    def bucket(self, moto_bucket: Bucket) -> Bucket:
        return moto_bucket


class TestAioBotoOnMoto(OverS3):
    asynchronous = True

    @pytest.fixture(autouse=True)
    def bucket(self, moto_bucket: Bucket) -> Bucket:
        return moto_bucket


class TestBotoOnEmulator(OverS3):
    @pytest.fixture(autouse=True)
    def bucket(self, emulator_bucket: Bucket) -> Bucket:
        return emulator_bucket


class TestAioBotoOnEmulator(OverS3):
    asynchronous = True

    @pytest.fixture(autouse=True)
    def bucket(self, emulator_bucket: Bucket) -> Bucket:
        return emulator_bucket
