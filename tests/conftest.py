"""Fixtures for all tests: an environment without anybody's credentials, and S3 servers on this machine.

An everyday test fails for a reason, not by chance: properties are tried with the same examples each time, and an example
may take as long as a slow machine needs. ``--hypothesis-profile=default`` looks for new ones. The dice of this process
(a client that leaves looks at the log one time in 64) fall in each test as they fell before.

Temporary folders lie in memory where there is room: the tests sync thousands of small files to the disk, and wait for it
most of their time. Those that are about a real file system take ``disk_path``.
"""

from __future__ import annotations

import gc
import itertools
import os
import random
import shutil
import signal
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import hypothesis
import pytest

from tests.servers import AWS_ENVIRONMENT, S3Server, emulator_server, moto_server

_numbers = itertools.count(1)
MEMORY = Path("/dev/shm")
MEMORY_ROOM = 4 << 30
"""Bytes that must be free there: large objects are written, and failed tests keep theirs."""
DISK_VARIABLE = "SWAMPSTORE_TESTS_DISK"
"""Where temporary folders would lie without this; the processes of one run inherit it from the first."""


class Bucket(NamedTuple):
    """A fresh bucket on a server. ``url(prefix)`` names a store in it."""

    server: S3Server
    name: str

    def url(self, prefix: str = "") -> str:
        """The URL of a store in this bucket."""
        return self.server.url(self.name, prefix)


@pytest.fixture(scope="session", autouse=True)
def aws_environment(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Credentials that belong to nobody; the user's own configuration is not read, nor the user's cache written.

    Nor is anything measured or traced that no test asks for.
    """
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
        patch.setenv("XDG_STATE_HOME", str(tmp_path_factory.mktemp("state")))
        for name in [name for name in os.environ if name.startswith("AWS_")]:
            patch.delenv(name)
        for name, value in AWS_ENVIRONMENT.items():
            patch.setenv(name, value)
        patch.delenv("SWAMPSTORE_METRICS", raising=False)
        patch.setenv("SWAMPSTORE_OTEL", "0")  # some tests load a tracer, which would make spans of all the others
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


@pytest.fixture
def disk_path() -> Iterator[Path]:
    """A temporary folder on the disk, for tests of what only a real file system does."""
    folder = Path(tempfile.mkdtemp(prefix="swampstore-disk-", dir=os.environ.get(DISK_VARIABLE)))
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


def pytest_configure(config: pytest.Config) -> None:
    """Temporary folders in memory; and Ctrl-C, which tests need, as a shell leaves it to programs in the foreground.

    A shell starts background jobs with SIGINT ignored, and children inherit that. Properties take hypothesis's settings
    for unattended runs (no deadline, no dice), unless the command line names others: its option is read after this.
    """
    hypothesis.settings.load_profile("ci")
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)  # programs that tests start would compile everything at every start
    if DISK_VARIABLE not in os.environ:
        os.environ[DISK_VARIABLE] = tempfile.gettempdir()
        if "TMPDIR" not in os.environ and _has_room(MEMORY):
            os.environ["TMPDIR"] = str(MEMORY)
            tempfile.tempdir = None


def pytest_runtest_setup(item: pytest.Item) -> None:
    """The same dice for a test wherever and after whatever it runs; ids and names come from elsewhere and stay unlike."""
    random.seed(item.nodeid)


def pytest_collection_finish() -> None:
    """What was imported and collected stays to the end: the garbage collector need not walk it again and again."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(10_000, 20, 20)


def _has_room(folder: Path) -> bool:
    return os.access(folder, os.W_OK | os.X_OK) and shutil.disk_usage(folder).free > MEMORY_ROOM
