"""The next in line of an update reads ahead with its polls: fewer rounds when its turn comes, and never a stale decision."""

from __future__ import annotations

from typing import Any

from swampstore.protocols.queue import Grant, fair_queue
from swampstore.protocols.update import Seen
from swampstore.stores.base import Create, List, Put, Request
from swampstore.testing.sim_store import Faults
from tests.coordination.support import Player, Stage

NEAR = Faults(latency_s=0.01)


def one_more(held: dict[str, Seen]) -> dict[str, Any]:
    return {"c": b"%d" % (int(held["c"].data or b"0") + 1)}


async def held(player: Player) -> Grant:
    """The queue of key ``c``, held by hand."""
    return await fair_queue(player.ns.place, "c").acquire(purpose="by hand")


class Line:
    """Somebody holds the queue of ``c``; an update of another process waits behind it and is next."""

    def __init__(self, seed: int = 0, waits_s: float = 0.4) -> None:
        self.stage = Stage(seed)
        self.holder, self.waiter = self.stage.player("holder"), self.stage.player("waiter", NEAR)
        self.stage.does(self.holder.put("c", b"0"))
        self.stage.compact(self.holder)
        self.grant = self.stage.does(held(self.holder))
        self.asked: list[Request] = []
        self.waiter.hook = self.asked.append
        self.update = self.waiter.does(self.waiter.ns.updates.update(["c"], one_more))
        self.stage.sim.run(seconds=waits_s)
        assert not self.update.done

    def lists(self) -> int:
        return sum(isinstance(request, List) and "/log/" in request.prefix for request in self.asked)

    def released(self) -> Any:
        """Let it have its turn; how its update went."""
        self.stage.does(self.grant.release())
        return self.stage.ends(self.update)

    def value(self) -> bytes | None:
        value: bytes | None = self.stage.does(self.holder.value("c"))
        return value


def test_its_turn_begins_with_what_it_has_read_ahead() -> None:
    """Between the look that brings the grant and the commit nothing is read."""
    line = Line()
    done = line.released()
    assert (done.how, done.attempts) == ("ticket", 1)
    commit = next(at for at, request in enumerate(line.asked) if isinstance(request, Put) and "/log/" in request.name)
    register = max(
        at for at, request in enumerate(line.asked[:commit]) if getattr(request, "name", "").endswith("/register")
    )
    between = line.asked[register + 1 : commit]
    assert not [request for request in between if isinstance(request, List) or request.name.endswith("/root")]
    assert line.value() == b"1"


def test_what_was_read_ahead_and_is_stale_is_refused_by_the_lane() -> None:
    """Somebody commits the key between the look and the commit: the function is called again with what is there now."""
    line = Line()
    other = line.stage.player("other")
    meddled: list[Any] = []

    def meddle(request: Request) -> None:
        if isinstance(request, Put) and isinstance(request.when, Create) and "/log/" in request.name and not meddled:
            meddled.append(other.does(other.ns.updates.update(["c"], one_more, lock="another")))
            line.stage.sim.wake(meddled[0], 0.0)

    line.waiter.hook = meddle
    done = line.released()
    line.stage.ends(meddled[0])
    assert line.value() == b"2"
    assert done.attempts + meddled[0].result.attempts >= 3  # one of the two had to decide again


def test_who_waits_long_reads_nothing_ahead() -> None:
    """A holder that works for a minute costs the next in line small reads, no lists; what it read at first is stale."""
    line = Line(waits_s=5.0)
    before = line.lists()
    line.stage.sim.run(seconds=60)
    assert line.lists() == before
    line.stage.does(line.holder.ns.updates.update(["c"], one_more, lock="another"))
    done = line.released()
    assert (done.how, done.attempts) == ("ticket", 1)
    assert line.lists() == before + 1
    assert line.value() == b"2"


def test_a_grant_that_passed_somebody_over_reads_after_its_mark() -> None:
    """The holder is dead: what was read ahead is from before the mark that fences it, and is not used."""
    line = Line()
    line.holder.process.kill()
    survivor = line.stage.player("survivor")
    line.stage.sim.run(seconds=60, until=line.update)
    assert line.update.done
    assert line.update.error is None
    marks = [request for request in line.asked if isinstance(request, Put) and "/log/" in request.name]
    assert len(marks) == 2  # the mark, then the commit
    between = line.asked[line.asked.index(marks[0]) : line.asked.index(marks[1])]
    assert any(isinstance(request, List) for request in between)
    assert line.stage.does(survivor.value("c")) == b"1"
