"""Who was passed over stays out, whatever others commit meanwhile; and queues again with what is left of its deadline."""

from __future__ import annotations

from typing import Any

import pytest

from swampstore.errors import DeadlinePassed, FencedError
from swampstore.protocols import lock as lock_module
from swampstore.protocols import update as update_module
from swampstore.protocols.commit import Committed, Draft
from swampstore.values.deltas import Put
from tests.coordination.support import Player, Stage
from tests.coordination.test_fencing import locked, one_more


def test_a_holder_that_sleeps_before_its_commit_is_fenced_though_nobody_touched_its_keys(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It looks at the lane anew, so it knows none of the slots in between: the mark alone tells, as a key that it read."""
    stage = Stage()
    first, second = stage.player("first"), stage.player("second")

    async def work() -> None:
        held = await locked(first)
        lane = first.ns.updates.lane
        commit = lane.commit

        async def late(draft: Draft) -> Committed:
            first.process.pause(60)
            await first.env.sleep(0.01)
            return await commit(draft)

        monkeypatch.setattr(lane, "commit", late)
        await held.append([Put(key="n", data=b"stale")])

    async def other() -> None:
        await second.env.sleep(0.5)
        held = await locked(second)
        await held.append([Put(key="m", data=b"fresh")])
        await held.release()

    actor = first.does(work())
    stage.ends(second.does(other()), seconds=200)
    stage.sim.run(seconds=400, until=actor)
    assert isinstance(actor.error, FencedError)
    assert stage.does(second.value("n")) is None


def test_an_update_under_the_name_without_a_ticket_does_not_let_a_fenced_holder_in_again() -> None:
    """It writes the mark as it found it: who was passed over stays so."""
    stage = Stage()
    first, second, third = (stage.player(name) for name in ("first", "second", "third"))
    old = stage.ends(first.does(locked(first)))
    first.process.pause(60)
    held = stage.ends(second.does(locked(second)))
    assert held.ticket > old.ticket
    stage.ends(second.does(held.append([Put(key="n", data=b"1")])))
    stage.ends(second.does(held.release()))
    done = stage.ends(third.does(third.ns.update(["n"], one_more, lock="deploy")))
    assert (done.how, done.ticket) == ("optimistic", 0)
    with pytest.raises(FencedError):
        stage.ends(first.does(old.append([Put(key="n", data=b"stale")])))
    assert stage.does(third.value("n")) == b"2"


@pytest.mark.parametrize("how", ["hold", "update"])
def test_a_deadline_counts_from_the_first_time_it_queued(how: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever is passed over at its grant queues again, with what is left of its deadline."""
    stage = Stage()
    first, second = stage.player("first"), stage.player("second")
    grant, turn, fenced = lock_module.mark_lock, update_module._Attempt.in_turn, []

    async def once(player: Player) -> None:
        if player is first and not fenced:
            fenced.append(True)
            await first.env.sleep(12)
            raise FencedError("passed over")

    async def mark(owner: Any, *rest: Any) -> None:
        await once(first if owner is first.ns.updates else second)
        await grant(owner, *rest)

    async def in_turn(self: Any, place: Any) -> Any:
        await once(first if self.owner is first.ns.updates else second)
        return await turn(self, place)

    monkeypatch.setattr(lock_module, "mark_lock", mark)
    monkeypatch.setattr(update_module._Attempt, "in_turn", in_turn)

    async def holds(seconds: float) -> None:
        held = await locked(second)
        await second.env.sleep(seconds)
        await held.release()

    if how == "update":  # which queues only where somebody is before it
        second.does(holds(2))
        stage.sim.run(seconds=1)
    began = first.env.boot()
    if how == "update":
        actor = first.does(first.ns.update(["n"], one_more, lock="deploy", deadline=20.0))
    else:
        actor = first.does(locked(first, deadline_s=20.0))
    stage.sim.run(seconds=3)
    second.does(holds(200))
    with pytest.raises(DeadlinePassed):
        stage.ends(actor, seconds=400)
    assert fenced
    assert first.env.boot() - began < 25


def test_a_deadline_counts_the_wait_for_others_of_the_same_process(monkeypatch: pytest.MonkeyPatch) -> None:
    stage = Stage()
    player = stage.player("one")
    left: list[float] = []

    async def run(_self: Any, deadline_s: float, _waited: float) -> Any:
        left.append(deadline_s)
        raise DeadlinePassed("enough")

    monkeypatch.setattr(update_module._Attempt, "run", run)

    async def other() -> None:
        async with player.ns.updates._local.turn("deploy", None):
            await player.env.sleep(12)

    player.does(other())
    stage.sim.run(seconds=1)
    with pytest.raises(DeadlinePassed):
        stage.ends(player.does(player.ns.update(["n"], one_more, lock="deploy", deadline=20.0)))
    assert left == [pytest.approx(9, abs=1)]
