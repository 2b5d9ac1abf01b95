"""Holes that the specification found, played on the real code; each would come back with its rule taken out."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from swampstore.env.blocking import run
from swampstore.errors import AlreadyExists
from swampstore.protocols.commit import CommitLane
from swampstore.protocols.update import Updates
from swampstore.stores import tickets
from swampstore.stores.base import Body, Create, Stored, When
from swampstore.stores.tickets import HeldTicket, TicketFolder
from swampstore.testing.env import FakeEnv
from swampstore.values.segment import SegmentHeader, encode_segment
from tests.protocols.support import Process, Recording


def test_a_late_refusal_of_an_attempt_that_has_landed_is_not_done_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """The first attempt lands unanswered, is folded and deleted; a stalled writer brings the slot back; then the 412."""
    env = FakeEnv(1)
    store = Recording(env)
    mine, other = Process(store, env), Process(store, env.twin(2))
    updates = Updates(mine.place, mine.reader, mine.writer, CommitLane(mine.place, mine.register, mine.reader, "s00"))
    inner_put = store.inner.put
    first = [True]

    async def put(name: str, body: Body, when: When) -> Stored:
        stored = await inner_put(name, body, when)
        if first and "/log/s00/" in name:
            first.clear()
            other.fold()
            env.advance(50)
            store.drop(name)
            brought_back = encode_segment(SegmentHeader("s00", 1, b"z" * 8, 0), 0, b"")
            await inner_put(name, brought_back, Create())
            raise AlreadyExists("somebody is there", found=await store.inner.get(name))
        return stored

    monkeypatch.setattr(store.inner, "put", put)
    calls: list[Any] = []

    def add_one(held: dict[str, Any]) -> dict[str, bytes]:
        calls.append(held)
        return {"n": str(int(held["n"].data or b"0") + 1).encode()}

    done = run(updates.update(["n"], add_one))
    assert (len(calls), done.slot) == (1, 1)
    entry = run(mine.open().get("n"))
    assert entry is not None
    assert entry.size == 1
    assert entry.sha256 == "6b86b273ff34fce19d6b804eff5a3f5747ada4eaa22f1d49c01e52ddb7875b4b"  # of "1"


def test_two_cleaners_never_lower_the_floor(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A cleaner is paused before it writes the floor; meanwhile another cleans further; then the first one wakes."""
    folder = TicketFolder(str(tmp_path), "local")
    held: dict[int, HeldTicket] = {}

    def take() -> int:
        ticket = folder.take(os.urandom(4), lambda _: b"x")
        held[ticket.number] = ticket
        return ticket.number

    assert [take(), take(), take()] == [1, 2, 3]
    replace = os.replace
    cleaned: list[int] = []

    def paused(source: str, target: str) -> None:
        monkeypatch.setattr(tickets.os, "replace", replace)
        held[1].close()
        assert take() == 4
        cleaned.append(folder.clean(os.urandom(4), 0))
        replace(source, target)

    monkeypatch.setattr(tickets.os, "replace", paused)
    folder.clean(os.urandom(4), 0)
    assert cleaned == [0], "the second cleaner must leave it to the first"
    assert 1 in folder.numbers()

    late = TicketFolder(str(tmp_path), "local")
    numbers = [[]]
    monkeypatch.setattr(late, "numbers", lambda: numbers.pop() if numbers else folder.numbers())
    ticket = late.take(os.urandom(4), lambda _: b"x")
    assert ticket.number == 5, "a number that was granted once is never granted again"
    for one in (*held.values(), ticket):
        one.close()
