"""An open store, written once: what the namespaces of :mod:`swampstore.client.core` share.

Invariants: a forked child and a closed store refuse before anything is sent; what waits on this machine for the store is
delivered in the background, and for a moment when the store is closed.
"""

from __future__ import annotations

from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from swampstore.env.base import Env
from swampstore.env.clock import StoreClock
from swampstore.errors import Misuse
from swampstore.protocols.place import Caches
from swampstore.stores.base import Store
from swampstore.stores.retry import Retrying
from swampstore.telemetry.asked import start_what_was_asked_for
from swampstore.values.keys import check_namespace
from swampstore.workers.spool_place import any_spooled

if TYPE_CHECKING:  # loaded when first used: most processes put or get, and start often
    from swampstore.client.audit_delivery import Spools
    from swampstore.client.core import CoreNamespace


class CoreStore:
    """An open store: the connection, the clock and the caches that its namespaces share."""

    def __init__(
        self, bare: Store, env: Env, *, timeout: float = 60.0, one_shot: bool = False, spool: Path | None = None
    ) -> None:
        start_what_was_asked_for()
        self.bare = bare
        self.store = Retrying(bare, env, deadline_s=timeout)
        self.env = env
        self.clock = StoreClock(env)
        self.caches = Caches.of(env)
        self.one_shot = one_shot
        self._token = env.process_token()
        self._closed = False
        self._namespaces: dict[str, CoreNamespace] = {}
        self.spool = spool  # where audit records wait that cannot be delivered
        if any_spooled(spool, self.url):
            self.spools.begin()

    @property
    def url(self) -> str:
        return self.store.url

    def check(self) -> None:
        """Raise ``Misuse`` when closed, in a forked child, or in another event loop."""
        if self._closed:
            raise Misuse("the store is closed", hint="open it again")
        if self._token != self.env.process_token():
            raise Misuse("this process was forked after the store was opened", hint="open the store in the child")
        self.env.check_caller()

    def namespace(self, name: str) -> CoreNamespace:
        """The one object of namespace ``name`` in this open store. Raises ``BadName``."""
        from swampstore.client.core import CoreNamespace

        self.check()
        held = self._namespaces.get(name)
        if held is None:
            name = check_namespace(name)
            held = self._namespaces[name] = CoreNamespace(self, name)
        return held

    @cached_property
    def spools(self) -> Spools:
        from swampstore.client.audit_delivery import Spools

        return Spools(self)

    async def namespaces(self) -> list[str]:
        from swampstore.client.namespaces import find_namespaces

        self.check()
        return await find_namespaces(self.store)

    async def close(self) -> None:
        if self._closed:
            return
        if self._token == self.env.process_token() and ("spools" in vars(self) or any_spooled(self.spool, self.url)):
            await self.spools.close()
        self._closed = True
        if self._token == self.env.process_token():
            for namespace in self._namespaces.values():
                await namespace.leave()
            await self.store.close()
