"""Creates whose outcome stays unknown, broken slots, lanes that went back: decided for good, or said so."""

from __future__ import annotations

from typing import Any

import pytest

from swampstore.errors import AmbiguousAppend, Damaged, Misuse, StoreUnavailable
from swampstore.protocols.commit import Committed
from swampstore.stores.base import Create, Put, Request
from swampstore.testing.sim_store import Faults
from swampstore.testing.wrappers import FaultyStore, in_order, lost_answer, lost_request
from swampstore.values.names import COMMIT_LANE
from tests.coordination.support import Player, Stage, drive
from tests.coordination.test_lane import commit, draft, lane_of, read


def undecided(stage: Stage, player: Player, *, landed: bool) -> AmbiguousAppend:
    """Commit while every answer to a create and to its read-back is lost."""
    faulty = FaultyStore(player.sim_store.inner)
    player.sim_store.inner = faulty
    fault = lost_answer if landed else lost_request

    def script(call: Any) -> Any:
        return (
            fault()
            if call.verb == "create"
            else lost_request()
            if "/log/" in call.names[0] and call.verb == "get"
            else None
        )

    faulty.script = script
    with pytest.raises(AmbiguousAppend) as caught:
        stage.does(commit(player, "k"))
    faulty.script = in_order(())
    return caught.value


@pytest.mark.parametrize("landed", [True, False])
def test_an_undecided_create_is_resolved_for_good(landed: bool) -> None:
    stage = Stage()
    one, two = stage.player("one"), stage.player("two")
    error = undecided(stage, one, landed=landed)
    assert stage.does(one.ns.resolve(error)) is landed
    assert stage.does(two.ns.resolve(error)) is landed
    stage.sweep_log(two)
    assert stage.does(one.ns.resolve(error)) is landed  # by the root's memory, the slot is gone
    assert (stage.does(read(two, "k")) is not None) is landed
    assert stage.does(commit(one, "k")).slot == 2


@pytest.mark.parametrize("landed", [True, False])
def test_after_an_undecided_create_the_next_commit_settles_the_slot_itself(landed: bool) -> None:
    stage = Stage()
    one = stage.player("one")
    error = undecided(stage, one, landed=landed)
    assert stage.does(commit(one, "k")).slot == (2 if landed else 1)
    assert stage.does(one.ns.resolve(error)) is landed


def test_only_shared_lanes_can_be_resolved() -> None:
    stage = Stage()
    one = stage.player("one")
    for error in (AmbiguousAppend("x", lane="w" + "0" * 24, slot=1, write_id=b"x"), ValueError("x")):
        with pytest.raises(Misuse):
            stage.does(one.ns.resolve(error))  # type: ignore[arg-type]


def test_resolve_believes_the_root_more_than_what_lies_in_a_dead_slot() -> None:
    """Its own late write may lie there: brought back after the slot was used, it is no commit."""
    stage = Stage()
    one, two = stage.player("one"), stage.player("two")
    sent: list[Put] = []
    one.hook = lambda request: sent.append(request) if _creates(request) else None
    faulty = FaultyStore(
        one.sim_store.inner,
        lambda call: lost_request() if call.verb in ("create", "get") and "/log/" in call.names[0] else None,
    )
    one.sim_store.inner = faulty
    with pytest.raises(AmbiguousAppend) as caught:
        stage.does(commit(one, "k", data=b"mine"))
    stage.does(commit(two, "k", data=b"theirs"))
    stage.sweep_log(two)
    stage.overwrite(sent[0].name, sent[0].body)  # type: ignore[arg-type]
    assert stage.does(two.ns.resolve(caught.value)) is False


def test_resolve_looks_at_the_root_again_after_it_has_met_the_slot() -> None:
    """The resolver stands still between its look at the root and the slot; meanwhile the slot is used and deleted."""
    stage = Stage()
    one, two, three = stage.player("one"), stage.player("two"), stage.player("three")
    sent: list[Put] = []
    one.hook = lambda request: sent.append(request) if _creates(request) else None
    error = undecided(stage, one, landed=False)
    three.hook = lambda request: three.process.pause(600) if _creates(request) else None
    resolving = three.does(three.ns.resolve(error))
    stage.sim.run(seconds=1)
    assert not resolving.done
    stage.does(commit(two, "k", data=b"theirs"))
    stage.sweep_log(two)
    stage.overwrite(sent[0].name, sent[0].body)  # type: ignore[arg-type]
    three.hook = None
    assert stage.ends(resolving) is False


def _creates(request: Request) -> bool:
    return isinstance(request, Put) and isinstance(request.when, Create) and f"/log/{COMMIT_LANE}/" in request.name


@pytest.mark.parametrize("seen", [True, False])
def test_a_broken_slot_blocks_nobody(seen: bool) -> None:
    """Whether it was there when the draft was made, or is met at its create."""
    stage = Stage()
    one, two = stage.player("one"), stage.player("two")
    stage.does(commit(one, "a"))
    held = stage.does(draft(one, "b"))
    stage.overwrite(f"ops/log/{COMMIT_LANE}/{2:016x}", b"garbage")
    assert stage.does(commit(one, "b") if seen else lane_of(one).commit(held)).slot == 3
    assert stage.does(commit(two, "c")).slot == 4
    stage.compact(two)
    assert stage.does(read(two, "b")) is not None


def test_a_lane_that_went_back_is_damage_not_an_endless_wait() -> None:
    stage = Stage()
    one = stage.player("one")
    stage.does(commit(one, "a"))
    held = stage.does(draft(one, "b"))
    for name in stage.names():
        drive(stage.inner.delete([name]))
    stage.does(one.env.sleep(30))
    with pytest.raises(Damaged, match="gone back"):
        stage.does(lane_of(one).commit(held))


def test_contents_uploaded_long_ago_are_not_named() -> None:
    stage = Stage()
    one = stage.player("one")
    stage.does(one.env.sleep(14 * 3600))
    held = stage.does(draft(one, "a", uploaded=one.env.boot() - 13 * 3600))
    with pytest.raises(Misuse, match="12 hours"):
        stage.does(lane_of(one).commit(held))
    assert stage.does(lane_of(one).commit(stage.does(draft(one, "a", uploaded=one.env.boot() - 3600)))).slot == 1


def test_hard_weather_decides_every_commit_or_says_so() -> None:
    """Lost answers, 409s, 503s: each commit is there once, or undecided and resolvable."""
    for seed in range(8):
        stage = Stage(seed, Faults(lost=0.1, refused=0.1, busy=0.1))
        players = [stage.player(f"p{n}") for n in range(3)]
        calm = stage.player("calm", Faults())

        async def many(player: Player, mine: int) -> list[Any]:
            outcomes = []
            for number in range(5):
                try:
                    outcomes.append(await commit(player, f"k{mine}-{number}"))
                except (AmbiguousAppend, StoreUnavailable) as error:
                    outcomes.append(error)
            return outcomes

        actors = [player.does(many(player, mine)) for mine, player in enumerate(players)]
        for actor in actors:
            stage.sim.run(seconds=3000, until=actor)
        for mine, actor in enumerate(actors):
            for number, outcome in enumerate(actor.result):
                there = stage.does(read(calm, f"k{mine}-{number}")) is not None
                if isinstance(outcome, Committed):
                    assert there
                elif isinstance(outcome, AmbiguousAppend):
                    assert stage.does(calm.ns.resolve(outcome)) is there
