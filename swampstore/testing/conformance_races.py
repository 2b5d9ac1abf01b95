"""The conformance tests about races, and how calls are carried out together: in threads, or in tasks of one loop."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Coroutine, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, ClassVar, TypeVar

import pytest

from swampstore.env.blocking import run
from swampstore.errors import AlreadyExists, StaleWrite, StoreUnavailable
from swampstore.stores.base import Create, Got, Replace, Store, Stored

T = TypeVar("T")
Work = Coroutine[Any, Any, T]

RACERS = 32
ROUNDS = 3


class ConformanceDriver:
    """What a conformance class is told of its store, and how calls of it are carried out."""

    asynchronous: ClassVar[bool] = False

    @pytest.fixture
    def store(self) -> Any:
        """The store under test, empty."""
        raise NotImplementedError("a conformance class needs a store fixture")

    def raw_get(self, store: Any, name: str) -> bytes | None:
        """The bytes under ``name`` by other means than the store; ``None`` if there are none."""
        raise NotImplementedError

    def raw_set(self, store: Any, name: str, body: bytes) -> None:
        """Put bytes under ``name`` by other means than the store."""
        raise NotImplementedError

    @pytest.fixture
    def drive(self, store: Store) -> Iterator[Callable[[Work[Any]], Any]]:
        """Finishes a coroutine of the store; closes the store after the test."""
        if not self.asynchronous:
            yield run
            run(store.close())
            return
        with asyncio.Runner() as runner:
            yield runner.run
            runner.run(store.close())

    def together(self, drive: Callable[[Work[Any]], Any], works: Sequence[Callable[[], Work[T]]]) -> list[T]:
        """Carry out all works at the same time: threads, or tasks of one loop."""
        if self.asynchronous:

            async def gathered() -> list[T]:
                return await asyncio.gather(*(work() for work in works))

            result: list[T] = drive(gathered())
            return result
        barrier = threading.Barrier(len(works))

        def started(work: Callable[[], Work[T]]) -> T:
            barrier.wait(30)
            result: T = drive(work())
            return result

        with ThreadPoolExecutor(len(works)) as threads:
            return list(threads.map(started, works))


class RaceConformance(ConformanceDriver):
    """However many at once: one create wins, one replace wins, no update is lost.

    A loser may be told that nothing is known (``StoreUnavailable``: a server may answer 500 to who comes too close); then
    what stands there decides.
    """

    def _race(self, store: Store, drive: Any, name: str, when: Create | Replace) -> tuple[bytes, str]:
        """Bytes and ETag of the only winner.

        Bodies are unique to the race: an ETag may be a hash of the contents, and old contents bring it back.
        """
        bodies = [f"{when} racer {number}".encode() for number in range(RACERS)]

        async def racer(body: bytes) -> bool:
            try:
                return isinstance(await store.put(name, body, when), Stored)
            except (AlreadyExists, StaleWrite, StoreUnavailable):
                return False

        told = self.together(drive, [lambda body=body: racer(body) for body in bodies])  # type: ignore[misc]
        got = drive(store.get(name))
        assert {body for body, won in zip(bodies, told, strict=True) if won} | {got.body} == {got.body}
        assert got.body in bodies
        return got.body, got.etag

    def test_one_of_many_creates_wins(self, store: Store, drive: Any) -> None:
        """And its bytes are the ones that stay."""
        for round_number in range(ROUNDS):
            name = f"race/{round_number}"
            body, etag = self._race(store, drive, name, Create())
            got = drive(store.get(name))
            assert (got.body, got.etag) == (body, etag)

    def test_one_of_many_replaces_wins(self, store: Store, drive: Any) -> None:
        """And its bytes are the ones that stay."""
        etag = drive(store.put("race", b"start", Create())).etag
        for _ in range(ROUNDS):
            body, etag = self._race(store, drive, "race", Replace(etag))
            got = drive(store.get("race"))
            assert (got.body, got.etag) == (body, etag)

    def test_no_increment_is_lost(self, store: Store, drive: Any) -> None:
        """Read, add a line, replace: every line that was acknowledged is there, each once."""
        drive(store.put("lines", b"", Create()))

        async def adds(number: int) -> None:
            for turn in range(4):
                line = b"%d-%d\n" % (number, turn)
                while True:
                    got = await store.get("lines")
                    assert isinstance(got, Got)
                    if line in got.body:  # of an attempt that nothing was known of
                        break
                    try:
                        await store.put("lines", got.body + line, Replace(got.etag))
                    except (StaleWrite, StoreUnavailable):
                        continue
                    break

        self.together(drive, [lambda number=number: adds(number) for number in range(8)])  # type: ignore[misc]
        found = drive(store.get("lines")).body.split()
        assert sorted(found) == sorted(b"%d-%d" % (number, turn) for number in range(8) for turn in range(4))

    def test_creates_and_deletes_in_one_folder(self, store: Store, drive: Any) -> None:
        """A folder that comes and goes is nobody's error."""

        async def churn(number: int) -> None:
            for turn in range(5):
                name = f"churn/deep/{number}-{turn}"
                await store.put(name, b"x", Create())
                await store.delete([name])

        self.together(drive, [lambda number=number: churn(number) for number in range(8)])  # type: ignore[misc]
        assert drive(store.list("")).items == ()
