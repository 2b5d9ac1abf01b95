"""What a waiter and an onlooker are told: positions without the dead, the granted whatever the capacity is now."""

from __future__ import annotations

import os
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest

import swampstore
from swampstore.errors import DeadlinePassed
from swampstore.protocols.queue import Waiting, fair_queue
from swampstore.protocols.queue_local import LocalQueue
from swampstore.protocols.queue_register import Pace
from swampstore.stores.tickets import HeldTicket, TicketFolder
from tests.coordination.support import Stage
from tests.coordination.test_queue_remote import queue_of
from tests.coordination.test_queue_status import states, status


class Enough(Exception):
    """The waiter has seen what it wanted."""


@pytest.fixture
def ns(tmp_path: Path) -> Any:
    with swampstore.open(str(tmp_path / "store"), create=True) as store:
        yield store.namespace("ops")


def files_of(ns: Any) -> TicketFolder:
    core = fair_queue(ns._core.place, "jobs")
    assert isinstance(core, LocalQueue)
    return core.files


def others(ns: Any, many: int) -> list[HeldTicket]:
    """Tickets of waiters that live until they are closed."""
    return [files_of(ns).take(os.urandom(12), lambda number: b"") for _ in range(many)]


def test_waiters_that_gave_up_are_before_nobody(ns: Any) -> None:
    queue = ns.queue("jobs")
    with queue.acquire():
        for _ in range(4):
            told: list[Waiting] = []
            with pytest.raises(DeadlinePassed, match="position 1,"), queue.acquire(deadline=0, on_wait=told.append):
                pass
            assert [one.position for one in told] == [1]


def test_waiters_that_die_meanwhile_are_before_nobody_and_count_as_pace(ns: Any) -> None:
    queue, told = ns.queue("jobs"), []
    with queue.acquire():
        waiting = others(ns, 30)

        def look(now: Waiting) -> None:
            told.append(now)
            if now.position == 1:
                raise Enough
            for one in waiting[:-1:2] if len(told) == 1 else waiting:
                one.close()

        with pytest.raises(Enough), queue.acquire(deadline=60, on_wait=look):
            pass
    positions = [one.position for one in told]
    assert positions[0] == 31
    assert positions == sorted(positions, reverse=True)
    assert told[0].estimate_s is None
    assert all(one.estimate_s is not None for one in told[1:])


def test_a_deadline_tells_the_position_of_that_moment(ns: Any) -> None:
    queue = ns.queue("jobs")
    with queue.acquire():
        waiting = others(ns, 30)
        asked: list[int] = []

        def look(now: Waiting) -> None:
            asked.append(now.position)
            for one in waiting:
                one.close()

        with pytest.raises(DeadlinePassed, match="position 1,"), queue.acquire(deadline=0, on_wait=look):
            pass
        assert asked == [31]


def test_whoever_is_free_at_the_deadline_is_granted(ns: Any) -> None:
    queue = ns.queue("jobs")
    waiting = others(ns, 3)

    def look(now: Waiting) -> None:
        for one in waiting:
            one.close()

    with queue.acquire(deadline=0, on_wait=look) as place:
        assert place.ticket == 4


def test_a_poll_in_a_deep_queue_asks_few_locks(ns: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    queue, depth, told, asked = ns.queue("jobs"), 150, [], [0]
    waiting = others(ns, depth)
    inner = TicketFolder.locked

    def locked(self: TicketFolder, number: int) -> bool:
        asked[0] += 1
        return inner(self, number)

    def look(now: Waiting) -> None:
        told.append(now.position)
        if len(told) == 5:
            raise Enough

    monkeypatch.setattr(TicketFolder, "locked", locked)
    with pytest.raises(Enough), queue.acquire(on_wait=look):
        pass
    assert told == [depth] * 5
    assert asked[0] <= depth + 5 * 10
    for one in waiting:
        one.close()


def test_the_pace_counts_those_that_ended_and_not_a_change_of_the_capacity() -> None:
    pace = Pace()
    assert pace.estimate(10, 10, 5.0) is None
    assert pace.estimate(10, 6, 7.0) is None  # the capacity was raised
    assert pace.estimate(8, 4, 9.0) == 4 * 2.0


# --- a capacity that was lowered --------------------------------------------------------------------------------------


def test_who_is_granted_runs_on_below_a_lowered_capacity_and_can_be_stuck(ns: Any) -> None:
    queue = ns.queue("jobs", capacity=3)
    with queue.acquire(), queue.acquire(), queue.acquire(run_limit=1e-9) as late:
        queue.set_capacity(1)
        waiting = others(ns, 1)
        time.sleep(0.02)
        seen = queue.status()
        assert [(one.ticket, one.state, one.position) for one in seen.tickets] == [
            (1, "running", 0),
            (2, "running", 0),
            (3, "stuck", 0),
            (4, "queued", 3),
        ]
        assert (seen.held, seen.waiting, len(seen.holders)) == (3, 1, 3)
        assert all(one.idle_s is not None for one in seen.holders)
        late.progress()
        assert queue.status(limit=1).waiting == 3  # nobody else was looked at
        waiting[0].close()


def test_who_is_granted_runs_on_in_a_bucket_too() -> None:
    stage = Stage()
    one, two, three, boss = (stage.player(name) for name in ("one", "two", "three", "boss"))
    stage.does(queue_of(one, capacity=2).acquire())
    stage.does(queue_of(two).acquire(run_limit_s=20))
    stage.does(queue_of(boss).set_capacity(1))
    waiting = three.does(queue_of(three).acquire())
    stage.sim.run(seconds=1)
    assert states(boss, stage) == [(1, "running", 0), (2, "running", 0), (3, "queued", 2)]
    stage.sim.run(seconds=25)
    assert states(boss, stage) == [(1, "running", 0), (2, "stuck", 0), (3, "queued", 2)]
    assert stage.does(status(boss)).held == 2
    two.process.kill()
    stage.sim.run(seconds=12.5)
    assert states(boss, stage)[1:] in ([(2, "dead", 0), (3, "queued", 2)], [(3, "queued", 1)])
    assert not waiting.done
    stage.sim.close()


def test_what_a_local_holder_tells_of_itself_goes_with_its_ticket(ns: Any) -> None:
    queue = ns.queue("jobs")
    for _ in range(70):
        with queue.acquire(run_limit=5, purpose="x" * 900) as place:
            place.progress()
    found = [name for _, _, names in os.walk(ns._core.place.store.inner.root + "/ops/queue") for name in names]
    assert len(found) < 70
    assert queue.status().unfinished == 0


def test_a_program_that_has_the_lock_file_open_keeps_the_place(ns: Any) -> None:
    queue = ns.queue("jobs")
    with queue.acquire() as place:
        assert place.lock_file is not None
        inherited = subprocess.Popen(["cat"], stdin=subprocess.PIPE, pass_fds=[place.lock_file])
    assert place.lock_file is None
    with pytest.raises(DeadlinePassed), queue.acquire(deadline=0):
        pass
    inherited.communicate()
    with queue.acquire(deadline=0):
        pass
