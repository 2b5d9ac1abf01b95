"""One call of a command: its common options, the settings they lead to, and the store it opens."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from swampstore.errors import BadConfig, NotFound, StoreMissing
from swampstore_cli.config import FILE_NAME, Flags, Settings, refuse_empty, settle

if TYPE_CHECKING:
    from swampstore.client.blocking import Datastore, Namespace
    from swampstore.client.core import CoreStore
    from swampstore.env.base import Env
    from swampstore.env.blocking import BlockingEnv
    from swampstore.stores.base import Store
    from swampstore.workers.audit_spool import SpoolStatus


_NAMED = 10


class Opened(NamedTuple):
    """An open store: ``core`` for what works on the core (sync, import, compactor), ``face`` for plain calls."""

    core: CoreStore
    face: Datastore
    env: BlockingEnv

    def names(self, wanted: str | None) -> list[str]:
        """The one namespace that was asked for, or all there are."""
        return [wanted] if wanted is not None else self.face.namespaces()

    def exists(self, name: str) -> bool:
        """Whether anything was ever written to the namespace. Costs two requests."""
        status = self.face.namespace(name).status()
        return bool(status.root_version or status.log_segments)

    def existing(self, name: str) -> str:
        """``name``. Raises ``NotFound`` for a namespace that nothing was ever written to (most often a slip)."""
        if self.exists(name):
            return name
        there = self.face.namespaces()
        hint = f"there are: {', '.join(there[:_NAMED])}{' ...' if there[_NAMED:] else ''}" if there else ""
        raise NotFound(
            f"no namespace {name!r} in {self.face.url}",
            hint=hint or "the store holds none yet; the first write makes one",
        )


class Session:
    """What every command is given first. ``json`` and ``named`` (the namespace flag) are as said by the caller."""

    def __init__(self, flags: Flags, *, json: bool) -> None:
        self.flags = flags
        self.json = json
        self.named = flags.namespace

    @cached_property
    def settings(self) -> Settings:
        return settle(self.flags, os.environ, Path.cwd())

    @contextmanager
    def opened(self, *, url: str | None = None, create: bool = False, one_shot: bool = False) -> Iterator[Opened]:
        """The configured store, or the one at ``url``, closed behind the caller.

        The default store comes into being on use; another one is never made silently, because a folder that is missing
        is more often a mistyped path or a disk that is not mounted.
        """
        from swampstore.client.blocking import Datastore, finish
        from swampstore.client.core import CoreStore
        from swampstore.env.blocking import BlockingEnv

        settings, env = self.settings, BlockingEnv()
        bare, spool = self._placed(env, url, create=create)
        core = CoreStore(bare, env, timeout=settings.timeout, one_shot=one_shot, spool=spool)
        try:
            yield Opened(core, Datastore(core), env)
        except Exception:
            finish(core.close())
            raise
        # After Ctrl-C nothing more is sent: the process ends, and its connections with it.
        finish(core.close())

    def spooled(self) -> tuple[str, dict[str, SpoolStatus]]:
        """The configured store's URL, and by namespace what waits for it: a look at this machine alone, which delivers
        nothing and asks nothing of the store."""
        from swampstore.client.blocking import finish
        from swampstore.env.blocking import BlockingEnv
        from swampstore.workers.audit_spool import AuditSpool
        from swampstore.workers.spool_place import spooled_namespaces

        env = BlockingEnv()
        bare, base = self._placed(env)
        url = bare.url
        finish(bare.close())
        if base is None:
            return url, {}
        return url, {name: AuditSpool(base, url, name, env).status() for name in spooled_namespaces(base, url)}

    def _placed(self, env: Env, url: str | None = None, *, create: bool = False) -> tuple[Store, Path | None]:
        """The bare store at ``url``, or the configured one, and where its spools lie. Raises ``StoreMissing``."""
        from swampstore.stores.open import open_store
        from swampstore.workers.spool_place import spool_for

        settings = self.settings
        if url is None and settings.is_default_store:
            refuse_empty(settings.repo / FILE_NAME)
        create = create or (url is None and settings.is_default_store)
        try:
            bare = open_store(url or settings.store, env=env, create=create, timeout=settings.timeout)
        except StoreMissing as error:
            waited_for = _absent(url or settings.store)
            if waited_for is None:
                hint = "check the path, or make the store: swamp datastore setup filesystem PATH"
                raise StoreMissing(str(error), hint=hint) from None
            bare = waited_for
        return bare, spool_for(bare.url, os.environ.get("SWAMP_SPOOL_DIR"))

    @contextmanager
    def namespace(self, *, one_shot: bool = False) -> Iterator[Namespace]:
        """The configured namespace of the configured store."""
        with self.opened(one_shot=one_shot) as opened:
            yield opened.face.namespace(self.settings.namespace)

    def check_apart(self, store_url: str) -> None:
        """Raise ``BadConfig`` when a local store and the synced tree lie in one another."""
        if not store_url.startswith("file://"):
            return
        store, tree = os.path.realpath(store_url.removeprefix("file://")), os.path.realpath(self.settings.tree)
        if os.path.commonpath([store, tree]) in (store, tree):
            raise BadConfig(
                f"the store {store} and the synced folder {tree} lie in one another",
                hint="name a store elsewhere with --store, SWAMP_DATASTORE or swamp datastore setup",
            )


def _absent(url: str) -> Store | None:
    """The directory at ``url`` as a store that is gone, when records wait for it here: however long ago it was proved."""
    from swampstore.stores.absent import AbsentStore
    from swampstore.stores.urls import LocalPlace, parse_url
    from swampstore.workers.spool_place import any_spooled, spool_for

    place = parse_url(url)
    assert isinstance(place, LocalPlace), "a bucket is reached by its first request"
    bare = AbsentStore(f"file://{os.path.realpath(place.path)}")
    return bare if any_spooled(spool_for(bare.url, os.environ.get("SWAMP_SPOOL_DIR")), bare.url) else None
