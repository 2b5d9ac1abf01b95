"""Old tickets go, and no number is given again for that; who is passed over while it waits has lost its place."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import pytest

import swampstore
from swampstore.errors import QueueFull
from swampstore.protocols import queue_local, queue_remote
from swampstore.protocols.queue import fair_queue
from swampstore.protocols.queue_local import LocalQueue
from swampstore.stores.tickets import TicketFolder
from tests.coordination.support import Player, Stage

HOUR_S = 3600.0


# --- on objects --------------------------------------------------------------------------------------------------------


def tickets(stage: Stage) -> list[int]:
    """The numbers of the tickets that are there."""
    names = [name.rpartition("/") for name in stage.names("ops/queue/")]
    return sorted((1 << 64) - 1 - int(number, 16) for folder, _, number in names if folder.endswith("/t"))


async def pass_through(player: Player, times: int = 1) -> None:
    for _ in range(times):
        grant = await fair_queue(player.ns.place, "jobs").acquire()
        await grant.release()


def test_tickets_go_an_hour_after_they_ended_and_the_highest_never(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(queue_remote, "_CLEAN_EVERY", 1)
    stage = Stage()
    player = stage.player("one")
    stage.does(pass_through(player, 6))
    stage.ends(player.does(player.env.sleep(HOUR_S / 2)))
    stage.does(pass_through(player))
    assert tickets(stage) == [1, 2, 3, 4, 5, 6, 7], "who was paused may look at them yet"
    stage.ends(player.does(player.env.sleep(HOUR_S)))
    stage.does(pass_through(stage.player("another")))
    assert tickets(stage) == [7, 8], "from the highest the next number is counted on"


def test_tickets_that_hold_or_wait_stay_however_old(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(queue_remote, "_CLEAN_EVERY", 1)
    stage = Stage()
    one, two = stage.player("one"), stage.player("two")
    stage.does(pass_through(one, 3))
    stage.does(fair_queue(one.ns.place, "jobs").set_capacity(2))
    stage.ends(one.does(fair_queue(one.ns.place, "jobs").acquire()))
    stage.does(pass_through(two, 2))
    stage.ends(one.does(one.env.sleep(2 * HOUR_S)))
    stage.does(pass_through(two))
    assert tickets(stage) == [3, 4, 5, 6, 7], "the lowest that has not ended is the fourth; the floor is the third"


# --- on a local disk ---------------------------------------------------------------------------------------------------


def test_who_links_a_ticket_that_was_cleaned_away_takes_another(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It looked at the folder before all those came, ended and were deleted: its number was somebody's."""
    folder = TicketFolder(str(tmp_path / "t"), "here", str(tmp_path))
    for number in range(1, 7):
        held = folder.take(b"%d" % number, lambda number: b"%d" % number)
        assert held.number == number
        held.close()
    assert folder.clean(b"x", 2) == 5
    listed: list[list[int]] = [[]]
    real = TicketFolder.numbers
    monkeypatch.setattr(TicketFolder, "numbers", lambda self: listed.pop() if listed else real(self))
    assert folder.take(b"late", lambda number: b"%d" % number).number == 7


@pytest.fixture
def ns(tmp_path: Path) -> Any:
    with swampstore.open(str(tmp_path / "store"), create=True) as store:
        yield store.namespace("ops")


def test_who_is_passed_over_while_it_waits_queues_again(ns: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Only the register says so, and it is read before every grant, however lately it was read."""
    monkeypatch.setattr(queue_local, "LOCAL_REGISTER_S", 1e9)
    queued, numbers = threading.Event(), []

    def waits() -> None:
        with ns.queue("jobs").acquire(on_wait=lambda _: queued.set()) as place:
            numbers.append(place.ticket)
            place.check()

    with ns.queue("jobs").acquire():
        other = threading.Thread(target=waits)
        other.start()
        assert queued.wait(30)
        ns.queue("jobs").pass_over(2)
    other.join(30)
    assert numbers == [3]
    assert ns.queue("jobs").status().unfinished == 0


def test_a_bound_holds_for_two_who_come_at_once(ns: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Both saw room before either had a ticket; the second finds out when it has one."""
    with ns.queue("jobs").acquire():
        seen: list[list[int]] = [[]]
        real = LocalQueue.unfinished

        async def unfinished(self: LocalQueue) -> list[int]:
            return seen.pop() if seen else await real(self)

        monkeypatch.setattr(LocalQueue, "unfinished", unfinished)
        with pytest.raises(QueueFull), ns.queue("jobs").acquire(bound=0, deadline=1):
            pytest.fail("held beside another")
        assert ns.queue("jobs").status().unfinished == 1
