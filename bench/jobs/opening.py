"""How jobs open a store: over the blocking core, with a wrapper that counts between it and the bare store."""

from __future__ import annotations

from collections.abc import Callable

from swampstore.client.core import CoreNamespace, CoreStore
from swampstore.env.blocking import BlockingEnv
from swampstore.stores.base import Store
from swampstore.stores.open import open_store


def open_core(
    url: str, namespace: str, wrap: Callable[[Store], Store] | None = None
) -> tuple[CoreStore, CoreNamespace]:
    """An open store and one namespace of it. ``wrap`` is put round the bare store, below the retries."""
    env = BlockingEnv()
    bare = open_store(url, env=env, create=True)
    core = CoreStore(wrap(bare) if wrap else bare, env)
    return core, core.namespace(namespace)
