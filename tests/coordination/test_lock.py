"""Locks held over several steps: fenced, marked at the grant, not nested; paused holders that wake."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

import swampstore
from swampstore.errors import DeadlinePassed, Misuse, SwampError


@pytest.fixture
def ns(tmp_path: Path) -> Any:
    with swampstore.open(str(tmp_path / "store"), create=True) as store:
        yield store.namespace("ops")


# --- use --------------------------------------------------------------------------------------------------------------


def test_several_steps(ns: Any) -> None:
    with ns.lock("deploy", purpose="release 7") as held:
        assert held.ticket == 1
        held.put("a", b"1")
        held.put_many({"b": b"2", "c": b"3"})
        held.delete("a")
        held.check()
    assert [entry.key for entry in ns.list()] == ["b", "c"]
    with ns.lock("deploy") as held:
        assert held.ticket == 2
    with pytest.raises(Misuse, match="released"):
        held.put("a", b"")


@pytest.mark.parametrize("error", [ZeroDivisionError, KeyboardInterrupt])
def test_an_exception_releases(ns: Any, error: type[BaseException]) -> None:
    with pytest.raises(error), ns.lock("deploy"):
        raise error
    with ns.lock("deploy", deadline=5):
        pass


@pytest.mark.parametrize("deadline", [-1, True, "5", float("nan"), 1e10])
def test_an_absurd_deadline_is_refused(ns: Any, deadline: Any) -> None:
    with pytest.raises(Misuse, match="deadline"), ns.lock("deploy", deadline=deadline):
        pass
    assert ns.queues() == []


def test_nesting_is_an_error_and_not_a_wait_for_ever(ns: Any, tmp_path: Path) -> None:
    with swampstore.open(str(tmp_path / "store")) as again, ns.lock("deploy"):
        other = again.namespace("ops")
        for inner in (
            lambda: ns.lock("deploy").__enter__(),
            lambda: other.lock("deploy").__enter__(),
            lambda: ns.update("k", lambda current: b"1", lock="deploy"),
            lambda: ns.update("deploy", lambda current: b"1"),  # its queue is the key's, which is held
        ):
            with pytest.raises(Misuse, match="held by this very caller"):
                inner()
        assert ns.update("k", lambda current: b"1").slot
        with ns.lock("another") as held:
            held.put("l", b"2")
    with ns.lock("deploy", deadline=5):
        pass
    assert ns.update("deploy", lambda current: b"1").how == "optimistic"


def test_a_lock_of_that_name_elsewhere_is_another(tmp_path: Path) -> None:
    store = swampstore.open(str(tmp_path / "store"), create=True)
    with store, store.namespace("a").lock("x"), store.namespace("b").lock("x", deadline=1):
        pass


@pytest.mark.parametrize("name", ["", "x" * 2000, None, 5])
def test_bad_names_are_refused(ns: Any, name: Any) -> None:
    with pytest.raises(SwampError):
        ns.lock(name).__enter__()


@pytest.mark.parametrize("name", ["x" * 1024, "a\0b", "\0", "../..", "a/b\n"])
def test_hostile_names_hold_through_compaction(ns: Any, name: str) -> None:
    for number in range(2):
        with ns.lock(name) as held:
            held.put("k", b"%d" % number)
        ns.compact()
    assert ns.update("k", lambda current: current + b"!", lock=name).how == "optimistic"
    assert [entry.key for entry in ns.list()] == ["k"]
    assert ns.queues() == [name]


def test_a_deadline_in_the_blocking_face(ns: Any, tmp_path: Path) -> None:
    again = swampstore.open(str(tmp_path / "store"))
    first = ns.queue("deploy").acquire(purpose="first")
    with again, first, pytest.raises(DeadlinePassed, match=r"held by .*first"):
        again.namespace("ops").lock("deploy", deadline=0.1).__enter__()


def test_the_asyncio_face() -> None:
    async def work() -> None:
        async with await swampstore.open_async("memory://lock-aio") as store:
            ns = store.namespace("ops")

            async def step(number: int) -> int:
                async with ns.lock("deploy") as held:
                    current = int(await ns.read("n")) if await ns.get("n") else 0
                    await asyncio.sleep(0)
                    await held.put("n", b"%d" % (current + 1))
                    return held.ticket

            tickets = await asyncio.gather(*[step(number) for number in range(4)])
            assert sorted(tickets) == [1, 2, 3, 4]
            assert await ns.read("n") == b"4"
            async with ns.lock("deploy"):
                with pytest.raises(Misuse):
                    await ns.update("k", lambda current: b"", lock="deploy")
            cancelled = asyncio.create_task(holds_on(ns))
            while not (await ns.queue("deploy").status()).holders:
                await asyncio.sleep(0.01)
            cancelled.cancel()
            with pytest.raises(asyncio.CancelledError):
                await cancelled
            async with ns.lock("deploy", deadline=5):
                pass

    async def holds_on(ns: Any) -> None:
        async with ns.lock("deploy"):
            await asyncio.Event().wait()

    asyncio.run(work())
