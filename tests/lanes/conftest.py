"""Stores that have lane files, and a writer over them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from swampstore.client.blocking import Datastore, Namespace
from swampstore.client.core import CoreStore
from swampstore.env.blocking import BlockingEnv, run
from swampstore.stores.local import LocalStore
from swampstore.stores.memory import MemoryStore
from swampstore.values.lane_file import HEADER_BYTES, Frames, decode_frames


@pytest.fixture(params=["memory", "local", "buffered"])
def bare(request: pytest.FixtureRequest, tmp_path: Path) -> Any:
    """A store with lane files."""
    if request.param == "memory":
        return MemoryStore(lanes=True)
    return LocalStore(tmp_path, lanes=True, buffered=request.param == "buffered")


@pytest.fixture
def local(tmp_path: Path) -> LocalStore:
    return LocalStore(tmp_path, lanes=True)


def open_ns(bare: Any) -> Namespace:
    """The namespace ``ops``, as a process that has just begun sees it."""
    namespace = Datastore(CoreStore(bare, BlockingEnv())).namespace("ops")
    namespace._core._proved = True  # the probe is tested elsewhere
    return namespace


@pytest.fixture
def ns(bare: Any) -> Iterator[Namespace]:
    namespace = open_ns(bare)
    yield namespace
    namespace._core.writer.drop()


def lane_names(bare: Any) -> list[str]:
    """The names of all lane files, in order."""
    return [item.name for item in run(bare.list("ops/log/")).items if item.name.endswith("/lane")]


def frames_of(bare: Any, name: str) -> Frames:
    """All good frames of a lane file."""
    body = run(bare.get(name)).body
    return decode_frames(body[HEADER_BYTES:], name.split("/")[-2], HEADER_BYTES)
