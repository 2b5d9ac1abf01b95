"""A store that records what a process asks and changes of its namespace's root, as operations of one register.

Roots are told apart by their nonces: an ETag may be a hash of contents, or be unknown when an answer was lost.
"""

from __future__ import annotations

from collections.abc import Sequence

from swampstore.errors import AlreadyExists, NotFound, StaleWrite, SwampError
from swampstore.stores.base import Create, Get, Got, NotModified, Outcome, Put, Replace, Request, Store, Stored, outcome
from swampstore.stores.lanes import lanes_of
from swampstore.testing.wrappers import Wrapper
from swampstore.values.root import decode_root
from tests.histories.record import Recorder


class RootWatch(Wrapper):
    """Hands every call on; ``namespaces`` whose root is recorded."""

    def __init__(self, inner: Store, recorder: Recorder, namespace: str) -> None:
        super().__init__(inner)
        self.lanes = lanes_of(inner)  # type: ignore[assignment]  # as they are, with the short way of small puts
        self._recorder = recorder
        self._root = f"{namespace}/root"
        self._nonces: dict[str, str] = {}

    async def one(self, request: Request):  # type: ignore[no-untyped-def]
        result = (await self.many([request]))[0]
        if isinstance(result, SwampError):
            raise result
        return result

    async def many(self, requests: Sequence[Request]) -> Sequence[Outcome]:
        begun = [self._begin(request) for request in requests]
        if len(requests) == 1:
            outcomes: Sequence[Outcome] = [await outcome(self.inner, requests[0])]
        else:
            outcomes = await self.inner.many(requests)
        for number, request, answer in zip(begun, requests, outcomes, strict=True):
            if number:
                self._end(number, request, answer)
        return outcomes

    def _begin(self, request: Request) -> int:
        if isinstance(request, Get) and request.name == self._root:
            return self._recorder.invoke("see", name=self._root)
        if isinstance(request, Put) and request.name == self._root and isinstance(request.when, Create | Replace):
            assert isinstance(request.body, bytes)
            old = self._nonces[request.when.etag] if isinstance(request.when, Replace) else None
            return self._recorder.invoke("cas", name=self._root, old=old, new=self._nonce(request.body))
        return 0

    def _end(self, number: int, request: Request, answer: Outcome) -> None:
        if isinstance(answer, Got):
            self._nonces[answer.etag] = self._nonce(answer.body)
            self._recorder.end(number, "ok", self._nonces[answer.etag])
        elif isinstance(answer, NotModified):
            assert isinstance(request, Get)
            self._recorder.end(number, "ok", self._nonces[str(request.if_none_match)])
        elif isinstance(answer, NotFound) and isinstance(request, Get):
            self._recorder.end(number, "ok")
        elif isinstance(answer, Stored):
            assert isinstance(request, Put)
            assert isinstance(request.body, bytes)
            self._nonces[answer.etag] = self._nonce(request.body)
            self._recorder.end(number, "ok")
        else:
            refused = isinstance(answer, StaleWrite | AlreadyExists)
            self._recorder.end(number, "fail" if refused else "unknown", repr(answer))

    def _nonce(self, body: bytes) -> str:
        return decode_root(body, self._root).nonce.hex()
