"""A wrapper that says what a store was asked: requests by verb, bytes both ways, and dependent rounds.

Calls side by side (``many``) are one round: what a distant store's latency is paid for.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from swampstore.stores.base import (
    Body,
    Create,
    Got,
    Headed,
    NotModified,
    Outcome,
    Page,
    Request,
    Store,
    Stored,
    When,
)


class Counting:
    """See :class:`swampstore.stores.base.Store`. ``requests`` counts by verb; a create counts as ``create``."""

    def __init__(self, inner: Store) -> None:
        self._inner = inner
        self.reset()

    def reset(self) -> None:
        """Begin at zero."""
        self.requests: Counter[str] = Counter()
        self.bytes_read = 0
        self.bytes_written = 0
        self.rounds = 0

    @property
    def total(self) -> int:
        """All requests."""
        return self.requests.total()

    @property
    def url(self) -> str:
        return self._inner.url

    async def get(
        self, name: str, *, span: tuple[int, int] | None = None, if_none_match: str | None = None
    ) -> Got | NotModified:
        self._asked("get")
        answer = await self._inner.get(name, span=span, if_none_match=if_none_match)
        self._answered(answer)
        return answer

    async def put(self, name: str, body: Body, when: When) -> Stored:
        self._asked("create" if isinstance(when, Create) else "put", body)
        return await self._inner.put(name, body, when)

    async def list(self, prefix: str, *, start_after: str = "", limit: int = 1000) -> Page:
        self._asked("list")
        return await self._inner.list(prefix, start_after=start_after, limit=limit)

    async def head(self, name: str) -> Headed:
        self._asked("head")
        return await self._inner.head(name)

    async def delete(self, names: Sequence[str]) -> None:
        self._asked("delete")
        await self._inner.delete(names)

    async def now(self) -> int:
        self._asked("now")
        return await self._inner.now()

    async def many(self, requests: Sequence[Request]) -> Sequence[Outcome]:
        self.rounds += 1
        for request in requests:
            verb = type(request).__name__.lower()
            when, body = getattr(request, "when", None), getattr(request, "body", b"")
            self._asked("create" if isinstance(when, Create) else verb, body, rounds=0)
        answers = await self._inner.many(requests)
        for answer in answers:
            self._answered(answer)
        return answers

    async def close(self) -> None:
        await self._inner.close()

    def _asked(self, verb: str, body: Body = b"", *, rounds: int = 1) -> None:
        self.requests[verb] += 1
        self.rounds += rounds
        self.bytes_written += len(body) if isinstance(body, bytes) else body.size

    def _answered(self, answer: Outcome) -> None:
        if isinstance(answer, Got):
            self.bytes_read += len(answer.body)
