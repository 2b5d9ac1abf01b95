"""A directory that is gone although this user's machine has proved a store there: most often a mount that is missing.

It is opened so that audit records can go to the spool of this machine, where those of a bucket out of reach go too.

Invariant: every verb raises ``StoreMissing``, for as long as it is open: nothing is ever made in the place of what is
missing, and whoever opens the store when it is back has the real one, with its lanes, locks and queues.
"""

# ruff: noqa: ARG002 (every verb only refuses)

from __future__ import annotations

from collections.abc import Sequence

from swampstore.errors import StoreMissing
from swampstore.stores.base import Body, Got, Headed, NotModified, Outcome, Page, Request, Stored, When


class AbsentStore:
    """See :class:`swampstore.stores.base.Store`."""

    def __init__(self, url: str) -> None:
        self.url = url

    def _gone(self) -> StoreMissing:
        return StoreMissing(
            f"the directory {self.url.removeprefix('file://')} does not exist; there was a store",
            hint="bring it back (is a mount missing?), then open the store again",
        )

    async def get(
        self, name: str, *, span: tuple[int, int] | None = None, if_none_match: str | None = None
    ) -> Got | NotModified:
        raise self._gone()

    async def put(self, name: str, body: Body, when: When) -> Stored:
        raise self._gone()

    async def list(self, prefix: str, *, start_after: str = "", limit: int = 1000) -> Page:
        raise self._gone()

    async def head(self, name: str) -> Headed:
        raise self._gone()

    async def delete(self, names: Sequence[str]) -> None:
        raise self._gone()

    async def now(self) -> int:
        raise self._gone()

    async def many(self, requests: Sequence[Request]) -> Sequence[Outcome]:
        return [self._gone() for _ in requests]

    async def close(self) -> None:
        """Nothing was opened."""
