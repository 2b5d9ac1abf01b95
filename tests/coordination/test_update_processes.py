"""Updates of many processes: conflicts, neighbours, turns, deaths, costs."""

from __future__ import annotations

from typing import Any

import pytest

from swampstore.errors import DeadlinePassed
from swampstore.protocols.commit import CommitLane, Draft
from swampstore.protocols.queue import fair_queue
from swampstore.protocols.update import Seen, changes
from swampstore.testing.sim_store import Faults
from swampstore.values.deltas import Delete, Put
from swampstore.values.names import COMMIT_LANE
from swampstore.values.segment import Commit
from tests.coordination.support import Player, Stage
from tests.coordination.test_update import one_more


async def count(player: Player, keys: list[str], times: int, lock: str | None = None) -> list[Any]:
    return [await player.ns.update(keys, one_more, lock=lock) for _ in range(times)]


def test_all_of_many_keys_or_none() -> None:
    """Transfers between accounts, watched: the sum never changes."""
    stage = Stage(3)
    players = [stage.player(f"p{number}") for number in range(3)]
    stage.does(players[0].ns.append([Put(key="a", data=b"100"), Put(key="b", data=b"100")]))

    async def transfer(player: Player) -> None:
        for _ in range(5):
            await player.ns.update(["a", "b"], moved)
            await player.env.sleep(stage.sim.dice.random())

    def moved(held: dict[str, Seen]) -> dict[str, bytes]:
        amount = stage.sim.dice.randint(1, 9)
        return {
            "a": b"%d" % (int(held["a"].data or b"") - amount),
            "b": b"%d" % (int(held["b"].data or b"") + amount),
        }

    sums: list[int] = []

    async def watch(player: Player) -> None:
        for _ in range(100):
            found = await player.ns.get_many(["a", "b"])
            sums.append(sum([int(data) for data in await player.ns.read_entries([e for e in found.values() if e])]))  # type: ignore[arg-type]
            await player.env.sleep(0.1)

    actors = [player.does(transfer(player)) for player in players]
    stage.ends(stage.player("w").does(watch(stage.player("watcher"))))
    for actor in actors:
        stage.ends(actor)
    assert set(sums) == {200}


def test_other_keys_never_conflict_nor_wait() -> None:
    stage = Stage(1)
    players = [stage.player(f"p{number}") for number in range(8)]
    actors = [player.does(count(player, [f"k{number}"], 5)) for number, player in enumerate(players)]
    outcomes = [done for actor in actors for done in stage.ends(actor)]
    assert {(done.how, done.attempts, done.waited) for done in outcomes} == {("optimistic", 1, 0)}
    assert sum(done.neighbours for done in outcomes) > 0  # they share the lane's slots, and count it


def test_a_shared_key_conflicts_and_then_queues() -> None:
    stage = Stage(1)
    players = [stage.player(f"p{number}") for number in range(8)]
    actors = [player.does(count(player, ["n"], 4)) for player in players]
    outcomes = [done for actor in actors for done in stage.ends(actor)]
    assert stage.does(players[0].value("n")) == b"32"
    assert {done.how for done in outcomes} == {"optimistic", "ticket"}
    tickets = sorted((done.slot, done.ticket) for done in outcomes if done.ticket)
    assert [ticket for _, ticket in tickets] == sorted(ticket for _, ticket in tickets)  # served in arrival order


def test_keys_that_overlap_are_serial_though_their_queues_differ() -> None:
    stage = Stage(2)
    sets = [["a"], ["a", "b"], ["b", "c"], ["a", "c"]]
    actors = []
    for number, keys in enumerate(sets):
        player = stage.player(f"p{number}")
        actors.append(player.does(count(player, keys, 5)))
    for actor in actors:
        stage.ends(actor)
    end = stage.player("end")
    assert [stage.does(end.value(key)) for key in "abc"] == [b"15", b"10", b"10"]


def test_a_lock_name_makes_updates_of_other_keys_serial() -> None:
    stage = Stage(4)
    actors = []
    for number in range(4):
        player = stage.player(f"p{number}")
        actors.append(player.does(count(player, [f"k{number}"], 4, lock="deploy")))
    outcomes = [done for actor in actors for done in stage.ends(actor)]
    assert sum(done.attempts for done in outcomes) > 16  # they conflict by the name alone


def test_fn_is_called_again_and_its_answer_never_posted_again() -> None:
    stage = Stage()
    one, two = stage.player("one"), stage.player("two")
    seen: list[bytes | None] = []
    done = stage.does(isolated(one, two, seen))
    assert seen == [None, b"1", b"2"]
    assert (done.attempts, done.how) == (3, "ticket")
    assert stage.does(one.value("n")) == b"2!"


async def isolated(one: Player, two: Player, seen: list[bytes | None]) -> Any:
    """``one`` updates; in the middle of the first two attempts ``two`` commits first."""
    wanted = [one.env.event(), one.env.event()]
    done = [one.env.event(), one.env.event()]

    async def meddle() -> None:
        for number in range(2):
            await wanted[number].wait()
            snapshot, span = await two.ns.reader.open_timed()
            await two.ns.updates.lane.commit(await _draft(two, snapshot, span, number))
            done[number].set()

    two.does(meddle())

    async def decide(held: dict[str, Seen]) -> dict[str, bytes]:
        seen.append(held["n"].data)
        number = len(seen) - 1
        if number < 2:
            wanted[number].set()
            await done[number].wait()
        return {"n": (held["n"].data or b"") + b"!"}

    return await one.ns.update(["n"], decide)


async def _draft(player: Player, snapshot: Any, span: Any, number: int) -> Any:
    record = await snapshot.record("n")
    drafted = await changes(player.ns.updates, ["n"], {"n": b"%d" % (number + 1)})
    return Draft(
        commit=Commit(footprint=("n",)),
        build=lambda _slot, _start: drafted.records,
        seen={"n": record.version if record else None},
        tail=snapshot.tail(COMMIT_LANE),
        span=span,
    )


def test_with_conflicts_unseen_increments_are_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    """The fence off: what the tests above rest on."""

    async def always(self: CommitLane, one: Any) -> bool:
        return True

    monkeypatch.setattr(CommitLane, "_may_follow", always)
    stage = Stage(1)
    players = [stage.player(f"p{number}") for number in range(8)]
    for actor in [player.does(count(player, ["n"], 4)) for player in players]:
        stage.ends(actor)
    assert int(stage.does(players[0].value("n"))) < 32


def test_an_update_is_above_every_version_it_knows_however_far_ahead() -> None:
    stage = Stage()
    one, two = stage.player("one"), stage.player("two")
    one.ns.place.clock.observe(int((one.env.wall_ms() + 240_000) << 16))
    stage.does(one.put("n", b"5"))
    stage.does(two.ns.update(["n"], one_more))
    assert stage.does(two.value("n")) == b"6"
    assert stage.does(one.value("n")) == b"6"
    stage.does(one.ns.append([Delete(key="n")]))
    stage.does(two.ns.update(["n"], one_more))
    assert stage.does(two.value("n")) == b"1"


def test_a_deadline_names_holder_age_and_place() -> None:
    stage = Stage()
    one, two = stage.player("holder"), stage.player("two")

    async def hold_on() -> None:
        grant = await fair_queue(one.ns.place, "n").acquire(purpose="a long job")
        await one.env.sleep(60)
        await grant.release()

    one.does(hold_on())
    stage.does(two.env.sleep(5))
    with pytest.raises(
        DeadlinePassed, match=r"position 1, held by holder:1 \(a long job\), ticket 1 taken 1[0-9] s ago"
    ) as caught:
        stage.does(two.ns.update(["n"], one_more, deadline=10))
    assert "swamp datastore queue show n" in caught.value.hint
    done = stage.does(two.ns.update(["n"], one_more))
    assert done.how == "ticket"
    assert 40 < done.waited < 50
    assert done.ticket == 3  # the ticket of the one that gave up was finished, not left


@pytest.mark.parametrize("at", range(8))
def test_whoever_dies_in_an_update_holds_up_nobody_for_longer_than_its_ttl(at: int) -> None:
    stage = Stage(at)
    players = [stage.player(f"p{number}") for number in range(4)]
    for player in players[:2]:
        calls = [0]

        def kill(request: Any, player: Player = player, calls: list[int] = calls) -> None:
            calls[0] += 1
            if calls[0] == 10 + 5 * at:
                player.process.kill()

        player.hook = kill
    actors = [player.does(count(player, ["n"], 6)) for player in players]
    for actor in actors[2:]:
        stage.ends(actor, seconds=120)
    assert int(stage.does(players[3].value("n"))) >= 12


# --- costs ------------------------------------------------------------------------------------------------------------


def test_what_an_update_costs() -> None:
    stage = Stage()
    one = stage.player("one", Faults(latency_s=0.0))
    stage.does(one.put("other", b"x"))
    stage.compact(one)
    for expected in (
        {"list": 2, "get": 2, "create": 1},  # the log and the root, the lock's register and its last ticket; the commit
        {"list": 2, "get": 3, "create": 1},  # and the block of the manifest that may hold the key, or the last commit
    ):
        one.counting.reset()
        done = stage.does(one.ns.update(["n"], one_more))
        assert (done.how, done.attempts) == ("optimistic", 1)
        counted = {verb: number for verb, number in one.counting.requests.items() if number}
        assert all(counted[verb] <= expected[verb] for verb in counted), counted
