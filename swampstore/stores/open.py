"""From a URL to a store. The driver of a store is imported only when a URL names it."""

from __future__ import annotations

import os
from typing import Any

from swampstore.env.base import Env
from swampstore.errors import BadURL, StoreMissing
from swampstore.stores.base import Store
from swampstore.stores.urls import LocalPlace, MemoryPlace, parse_url, s3_options


def open_store(
    url: str | os.PathLike[str],
    *,
    env: Env,
    asynchronous: bool = False,
    create: bool = False,
    durable: bool = True,
    timeout: float | None = None,
    **options: str | bool | None,
) -> Store:
    """The bare store (no retries) that ``url`` names; the forms are in :mod:`swampstore.stores.urls`.

    ``asynchronous`` chooses the S3 driver for asyncio; the verbs of the other stores never suspend and serve both.
    ``create`` makes a missing directory, ``durable=False`` does without syncs; both concern local stores alone.
    ``timeout`` is the deadline of the retries above, in seconds: no single wait for an S3 server takes more than half of
    it, so that a server that never answers is given up on time and after a second attempt.
    ``options`` are the parameters of an S3 URL and win over those in it; ``None`` leaves the URL's.
    Raises ``BadURL``; for a directory ``StoreMissing``, ``StoreForbidden`` and ``UnsupportedPlatform``. A bucket is
    first reached by the first request; so is a directory that is gone where this machine has proved a store.
    """
    place = parse_url(url)
    given = {name: value for name, value in options.items() if value is not None}
    if isinstance(place, MemoryPlace | LocalPlace):
        if given:
            raise BadURL(f"{', '.join(sorted(given))}: only an S3 store has such parameters")
        if isinstance(place, MemoryPlace):
            from swampstore.stores.memory import memory_store

            return memory_store(place.name, env)
        return _open_local(place, env, create=create, durable=durable)
    if given:
        old = {name: getattr(place, name) for name in place.__struct_fields__ if not name.endswith("_seconds")}
        merged: dict[str, Any] = {name: value for name, value in old.items() if value is not None} | given
        place = s3_options(merged)
    if timeout is not None:
        place = place.bounded(timeout / 2)
    from swampstore.stores.s3_choice import S3Store

    return S3Store(place, asynchronous=asynchronous)


def _open_local(place: LocalPlace, env: Env, *, create: bool, durable: bool) -> Store:
    from swampstore.stores.local import LocalStore

    try:
        return LocalStore(place.path, create=create, durable=durable, lanes=place.lanes, buffered=place.buffered)
    except StoreMissing:
        from swampstore.stores.absent import AbsentStore
        from swampstore.stores.probe import cached_proof

        url = f"file://{os.path.realpath(place.path)}"
        if cached_proof(url, env) is None:  # most often a slip in the path: no store is made of it, nor a spool
            raise
        return AbsentStore(url)
