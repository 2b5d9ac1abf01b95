"""A namespace over a memory store and over a directory; and one over a store that counts."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

import swampstore
from swampstore import (
    Datastore,
    Namespace,
)
from swampstore.client.core import CoreStore
from swampstore.env.blocking import BlockingEnv
from tests.protocols.support import Recording


@pytest.fixture(params=["memory", "local"])
def store(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Datastore]:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    url = f"memory://{tmp_path.name}" if request.param == "memory" else str(tmp_path / "store")
    with swampstore.open(url, create=True) as opened:
        yield opened


@pytest.fixture
def ns(store: Datastore) -> Namespace:
    return store.namespace("ops")


@pytest.fixture
def counted() -> tuple[Recording, Namespace]:
    """A namespace over a recording store, proved already."""
    env = BlockingEnv()
    bare = Recording(env)
    namespace = Datastore(CoreStore(bare, env)).namespace("ns")
    namespace.put("warm-up", b"")
    bare.forget()
    return bare, namespace
