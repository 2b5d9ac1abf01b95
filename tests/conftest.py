"""Fixtures for all tests: an environment without anybody's credentials, and S3 servers on this machine."""

from __future__ import annotations

import itertools
import os
import signal
from collections.abc import Iterator
from typing import NamedTuple

import pytest

from tests.servers import AWS_ENVIRONMENT, S3Server, emulator_server, moto_server

_numbers = itertools.count(1)


class Bucket(NamedTuple):
    """A fresh bucket on a server. ``url(prefix)`` names a store in it."""

    server: S3Server
    name: str

    def url(self, prefix: str = "") -> str:
        """The URL of a store in this bucket."""
        return self.server.url(self.name, prefix)


@pytest.fixture(scope="session", autouse=True)
def aws_environment(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Credentials that belong to nobody; the user's own configuration is not read, nor the user's cache written."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
        for name in [name for name in os.environ if name.startswith("AWS_")]:
            patch.delenv(name)
        for name, value in AWS_ENVIRONMENT.items():
            patch.setenv(name, value)
        yield


@pytest.fixture(scope="session")
def moto(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Server]:
    with moto_server(tmp_path_factory.mktemp("moto")) as server:
        yield server


@pytest.fixture(scope="session")
def emulator(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Server]:
    with emulator_server(tmp_path_factory.mktemp("emulator")) as server:
        yield server


@pytest.fixture
def moto_bucket(moto: S3Server) -> Bucket:
    return _fresh(moto)


@pytest.fixture
def emulator_bucket(emulator: S3Server) -> Bucket:
    return _fresh(emulator)


def _fresh(server: S3Server) -> Bucket:
    name = f"test-{os.getpid()}-{next(_numbers)}"
    server.client.create_bucket(Bucket=name)
    return Bucket(server, name)


def pytest_configure(config: pytest.Config) -> None:
    """A shell starts background jobs with SIGINT ignored, and children inherit that: the tests of Ctrl-C need it."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
